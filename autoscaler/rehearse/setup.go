package rehearse

import (
	"errors"
	"fmt"
	"time"
)

// Setup is what a service's routes are like. A request on a route that has n in flight goes at the speed min(1, Knee/n): up
// to the knee none feels the others, beyond it what the route does a second is shared.
type Setup struct {
	Capacity        int           `json:"route_capacity"`    // requests that a route takes at once; 0: any number
	Knee            int           `json:"knee"`              // requests up to which each goes at full speed; 0: Capacity
	TokensPerSecond float64       `json:"tokens_per_second"` // of one request's answer, at full speed
	PromptPerSecond float64       `json:"prompt_per_second"` // tokens of its prompt that are read before the first of its answer
	LoadTime        time.Duration `json:"load_time"`         // from the wish for a route to its being ready
	LoadSpread      float64       `json:"load_spread"`       // 0.2: each load takes 0.8 to 1.2 times LoadTime
	GPUs            float64       `json:"gpus"`              // of one route
	Pool            int           `json:"pool"`              // routes that there is place for; 0: any number
	Begin           int           `json:"begin"`             // routes that are ready at the start; the policy's bounds hold
	MaxHeld         int           `json:"max_held"`          // requests that wait for a route; more are refused
	HoldTimeout     time.Duration `json:"hold_timeout"`      // that each waits at most
	Seed            uint64        `json:"seed"`
}

// DefaultSetup is a route with one GPU and a model of some 10 GB on it, and the router's own defaults.
func DefaultSetup() Setup {
	return Setup{
		Capacity: 8, TokensPerSecond: 40, PromptPerSecond: 4000, LoadTime: 90 * time.Second, GPUs: 1, Begin: 1,
		MaxHeld: 1000, HoldTimeout: 2 * time.Minute, Seed: 1,
	}
}

// ErrSetup is the kind of all errors of a setup that cannot be.
var ErrSetup = errors.New("no possible setup")

// Check reports all that is wrong, each with the name that people write it by.
func (s *Setup) Check() error {
	var all []error
	bad := func(when bool, field string, value any, want string) {
		if when {
			all = append(all, fmt.Errorf("%w: %s %v: must be %s", ErrSetup, field, value, want))
		}
	}
	within := func(v, least, most float64) bool { return v >= least && v <= most } // false for NaN
	bad(s.Capacity < 0 || s.Capacity > 100_000, "route_capacity", s.Capacity, "from 0 (any number) to 100000")
	bad(s.Knee < 0 || s.Knee > 100_000, "knee", s.Knee, "from 0 (route_capacity) to 100000")
	bad(s.Capacity == 0 && s.Knee == 0, "knee", s.Knee, "more than 0 where a route takes any number of requests")
	bad(!within(s.TokensPerSecond, 0.01, 1e6), "tokens_per_second", s.TokensPerSecond, "from 0.01 to 1000000")
	bad(!within(s.PromptPerSecond, 0.01, 1e9), "prompt_per_second", s.PromptPerSecond, "from 0.01 to 1000000000")
	bad(s.LoadTime < 0 || s.LoadTime > 24*time.Hour, "load_time", s.LoadTime, "from 0s to 24h")
	bad(!within(s.LoadSpread, 0, 1), "load_spread", s.LoadSpread, "from 0 to 1")
	bad(!within(s.GPUs, 0.001, 1024), "gpus", s.GPUs, "from 0.001 to 1024")
	bad(s.Pool < 0 || s.Pool > mostRoutes, "pool", s.Pool, fmt.Sprintf("from 0 (any number) to %d", mostRoutes))
	bad(s.Begin < 0 || s.Begin > mostRoutes, "begin", s.Begin, fmt.Sprintf("from 0 to %d", mostRoutes))
	bad(s.MaxHeld < 0 || s.MaxHeld > 1_000_000, "max_held", s.MaxHeld, "from 0 to 1000000")
	bad(s.HoldTimeout < 0 || s.HoldTimeout > 24*time.Hour, "hold_timeout", s.HoldTimeout, "from 0s to 24h")
	return errors.Join(all...)
}

// mostRoutes bounds what a formula may ask for at a time.
const mostRoutes = 10_000

func (s *Setup) knee() int {
	if s.Knee > 0 {
		return s.Knee
	}
	return s.Capacity
}
