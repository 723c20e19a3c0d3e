package api

import (
	"context"
	"net/http"
	"time"
)

// Calibrate asks that a service be measured on its device.
type Calibrate struct {
	Seconds        *float64 `json:"seconds,omitempty"`         // that it may take; 60
	MaxConcurrency *int     `json:"max_concurrency,omitempty"` // requests at once that are tried at most; 256
	Force          bool     `json:"force,omitempty"`           // measure though users ask the service: they and the figures are disturbed
}

// CalibrationStanding is how measuring a service stands, and what is known of the revision that it has now.
type CalibrationStanding struct {
	Running *CalibrationRun     `json:"running,omitempty"` // what goes on; left out: nothing
	Last    *Calibration        `json:"last,omitempty"`    // what was measured last; left out: nothing was
	Failed  *CalibrationFailure `json:"failed,omitempty"`  // where what was tried after that came to nothing
}

// CalibrationRun is a measurement that goes on.
type CalibrationRun struct {
	ID      string  `json:"id"`
	Doing   string  `json:"doing"`   // what goes on: "4 requests at once"
	Elapsed float64 `json:"elapsed"` // seconds
	Budget  float64 `json:"budget"`  // seconds that it may take
}

// CalibrationFailure is a measurement that came to nothing.
type CalibrationFailure struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// Calibration is what was measured of one route of a service. What is not known is left out.
type Calibration struct {
	ID       string    `json:"id"`
	Service  string    `json:"service"`
	Revision int       `json:"revision"`
	Route    string    `json:"route"`
	Device   string    `json:"device,omitempty"` // left out: it holds none
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
	Took     float64   `json:"took"` // seconds
	API      string    `json:"api"`  // that its engine was asked by: chat, completions or embeddings

	LoadTime     float64 `json:"load_time,omitempty"`     // seconds from the start to the first answer
	Weights      int64   `json:"weights,omitempty"`       // bytes of the model's files
	LoadSpeed    float64 `json:"load_speed,omitempty"`    // bytes of them a second
	DeviceMemory int64   `json:"device_memory,omitempty"` // bytes that it held of its devices, at most
	Claimed      int64   `json:"claimed,omitempty"`       // bytes of its devices that are set aside for it
	Memory       int64   `json:"memory,omitempty"`        // bytes that it held of the box, at most

	PromptTokensPerSecond float64            `json:"prompt_tokens_per_second,omitempty"` // that are read, of one prompt alone
	TokensPerSecond       float64            `json:"tokens_per_second,omitempty"`        // that are made, of one request alone
	FirstToken            float64            `json:"first_token,omitempty"`              // seconds until it, of one request alone
	Points                []CalibrationPoint `json:"points"`                             // by concurrency
	Knee                  int                `json:"knee"`                               // requests at once above which more of them only wait; 0: not known
	KneeBeyond            bool               `json:"knee_beyond,omitempty"`              // it is at least that: no more were tried
	Why                   string             `json:"why"`                                // one sentence on the knee
	Stopped               string             `json:"stopped,omitempty"`                  // why no more at once were tried, where that was the engine's doing
	Disturbed             int                `json:"disturbed,omitempty"`                // how often users asked meanwhile
	Forced                bool               `json:"forced,omitempty"`                   // it was measured beside users
}

// CalibrationPoint is what an engine did with so many requests at once.
type CalibrationPoint struct {
	Concurrency     int     `json:"concurrency"`
	Requests        int     `json:"requests"`          // that ended in the time
	TokensPerSecond float64 `json:"tokens_per_second"` // of all together
	Each            float64 `json:"each"`              // of one
	FirstToken      float64 `json:"first_token,omitempty"`
	FirstTokenP95   float64 `json:"first_token_p95,omitempty"`
	Latency         float64 `json:"latency,omitempty"` // seconds that one takes, median
}

// CalibrateService has a service measured; it answers at once. Where that goes on already, it is left to.
func (c *Client) CalibrateService(ctx context.Context, ref string, in Calibrate) (CalibrationStanding, error) {
	var out CalibrationStanding
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/services/" + seg(ref) + "/calibrate", in: in}, &out)
}

// Calibration says how measuring a service stands, and what came of it last.
func (c *Client) Calibration(ctx context.Context, ref string) (CalibrationStanding, error) {
	var out CalibrationStanding
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/calibration"}, &out)
}

// CancelCalibration ends a measurement; where none goes on it does nothing.
func (c *Client) CancelCalibration(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/services/" + seg(ref) + "/calibration"}, nil)
}
