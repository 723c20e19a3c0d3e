package sessions

import (
	"fmt"
	"time"
)

// Policy is how a service's routes are treated.
type Policy struct {
	UnhealthyTTL     time.Duration `json:"unhealthy_ttl"`     // an unhealthy route is replaced after it; default 60 s
	OnUnhealthy      string        `json:"on_unhealthy"`      // "replace" (default) or "hold"
	TerminationGrace time.Duration `json:"termination_grace"` // drain before SIGTERM; default 30 s
	StartTimeout     time.Duration `json:"start_timeout"`     // from start to first healthy; default 30 min
	MaxSurge         int           `json:"max_surge"`         // default 1
	MaxUnavailable   int           `json:"max_unavailable"`   // default 0
}

// OnUnhealthy policies.
const (
	OnUnhealthyReplace = "replace"
	OnUnhealthyHold    = "hold"
)

// DefaultPolicy is what a service gets where its owner says nothing.
func DefaultPolicy() Policy {
	return Policy{
		UnhealthyTTL: time.Minute, OnUnhealthy: OnUnhealthyReplace, TerminationGrace: 30 * time.Second,
		StartTimeout: 30 * time.Minute, MaxSurge: 1, MaxUnavailable: 0,
	}
}

// Check reports what is wrong with a policy.
func (p Policy) Check() error {
	switch {
	case p.OnUnhealthy != OnUnhealthyReplace && p.OnUnhealthy != OnUnhealthyHold:
		return fmt.Errorf("%w: on_unhealthy %q: %q or %q", ErrInvalid, p.OnUnhealthy, OnUnhealthyReplace, OnUnhealthyHold)
	case p.UnhealthyTTL < 0 || p.TerminationGrace < 0:
		return fmt.Errorf("%w: unhealthy_ttl and termination_grace cannot be negative", ErrInvalid)
	case p.StartTimeout <= 0:
		return fmt.Errorf("%w: start_timeout must be more than 0", ErrInvalid)
	case p.MaxSurge < 0 || p.MaxUnavailable < 0 || p.MaxSurge+p.MaxUnavailable == 0:
		return fmt.Errorf("%w: max_surge and max_unavailable cannot be negative, nor both be 0", ErrInvalid)
	}
	return nil
}
