package api

import (
	"context"
	"net/http"
	"time"
)

// Rehearse asks what a service would have done with another policy.
type Rehearse struct {
	Since       string       `json:"since,omitempty"`       // from when on: 24h, 2d, 2026-03-01, RFC 3339; 24h
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"` // laid over the policy that it has; left out: that one alone is played
}

// Rehearsal is what came to a service, played again with the policy that it has and with another.
type Rehearsal struct {
	From     time.Time      `json:"from"`
	To       time.Time      `json:"to"` // of the last request
	Requests int            `json:"requests"`
	Route    RehearsalRoute `json:"route"`
	Now      RehearsalRun   `json:"now"`                // the policy that it has; where none decides, the number of routes that it has
	Proposed *RehearsalRun  `json:"proposed,omitempty"` // the one that was asked for
	Notes    []string       `json:"notes"`              // what could not be played as it would be
}

// RehearsalRoute is what a route was taken to be like.
type RehearsalRoute struct {
	Knee            int     `json:"knee"`              // requests up to which each goes at full speed
	TokensPerSecond float64 `json:"tokens_per_second"` // of one answer
	PromptPerSecond float64 `json:"prompt_per_second"` // tokens that are read before the first of an answer
	LoadTime        float64 `json:"load_time"`         // seconds until it is ready
	Devices         float64 `json:"devices"`           // accelerators; 0: it has none, and hours are of routes
	Measured        bool    `json:"measured"`          // by a calibration; else assumed
}

// RehearsalRun is what came of one policy. Waits are seconds until a route took a request, left out where so many were
// sent away that there is no such time.
type RehearsalRun struct {
	DeviceHours float64          `json:"device_hours"`
	WaitP50     *float64         `json:"wait_p50,omitempty"`
	WaitP95     *float64         `json:"wait_p95,omitempty"`
	WaitP99     *float64         `json:"wait_p99,omitempty"`
	TTFTP95     *float64         `json:"ttft_p95,omitempty"`
	Held        int              `json:"held"`    // requests that had to wait
	Refused     int              `json:"refused"` // because too many waited, or for too long
	MostWaiting int              `json:"most_waiting"`
	MostRoutes  int              `json:"most_routes"`
	Actions     int              `json:"actions"` // changes of the number of routes
	Steps       []RehearsalStep  `json:"steps"`   // the first 200 of them
	Points      []RehearsalPoint `json:"points"`  // over time
}

// RehearsalStep is one change of the number of routes.
type RehearsalStep struct {
	At       time.Time `json:"at"`
	Was      int       `json:"was"`
	Replicas int       `json:"replicas"`
	Reason   string    `json:"reason"`
}

// RehearsalPoint is a stretch of time.
type RehearsalPoint struct {
	At       time.Time `json:"at"`
	Demand   float64   `json:"demand"`  // requests in flight and waiting, on average
	Waiting  int       `json:"waiting"` // the most
	Ready    float64   `json:"ready"`   // routes, on average
	Starting float64   `json:"starting"`
}

// Rehearse plays what came to a service again.
func (c *Client) Rehearse(ctx context.Context, ref string, in Rehearse) (Rehearsal, error) {
	var out Rehearsal
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/services/" + seg(ref) + "/rehearse", in: in}, &out)
}
