package calibrate

import (
	"errors"
	"time"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	// ErrNotReady: no route of the service answers.
	ErrNotReady = errors.New("not ready")
	// ErrBusy: its users asked so much that it could not be measured.
	ErrBusy = errors.New("in use")
	// ErrNoTokens: what the engine serves is not measured in tokens (images, speech), or it speaks no API that is known.
	ErrNoTokens = errors.New("not measured in tokens")
	// ErrEnded: somebody ended it, or the appliance stopped.
	ErrEnded = errors.New("ended")
)

// API is what an engine was asked by.
type API string

// The APIs, in the order in which they are tried.
const (
	APIChat        API = "chat"        // /v1/chat/completions
	APICompletions API = "completions" // /v1/completions
	APIEmbeddings  API = "embeddings"  // /v1/embeddings
)

// Wish is what somebody wants measured.
type Wish struct {
	ServiceID string
	By        string
	Budget    time.Duration // how long it may take; 0: DefaultBudget
	Most      int           // requests at once that are tried at most; 0: DefaultMost
	Force     bool          // measure though users ask: they and the figures are disturbed
}

// Bounds of a wish.
const (
	DefaultBudget = time.Minute
	LeastBudget   = 5 * time.Second
	MostBudget    = 30 * time.Minute
	DefaultMost   = 256
	MostAtOnce    = 1024
)

// Calibration is one measurement of one route. Of each service, revision and device the newest is kept.
type Calibration struct {
	ID        string        `json:"id"` // "cal-" and 12 characters
	ServiceID string        `json:"service_id"`
	Service   string        `json:"service"`
	Project   string        `json:"project"`
	Revision  int           `json:"revision"`
	Route     string        `json:"route"`
	Image     string        `json:"image"`
	Folder    string        `json:"folder,omitempty"` // id
	Variant   string        `json:"variant,omitempty"`
	Device    string        `json:"device,omitempty"` // "2 x NVIDIA H200"; "" for none
	At        time.Time     `json:"at"`               // of its end
	Took      time.Duration `json:"took"`
	By        string        `json:"by,omitempty"`
	API       API           `json:"api"`

	Load         time.Duration `json:"load,omitempty"`          // from the start to the first answer; 0: not known
	Weights      int64         `json:"weights,omitempty"`       // bytes of the model's files; 0: not known
	DeviceMemory int64         `json:"device_memory,omitempty"` // bytes, the most that was seen; 0: not known, or none
	Memory       int64         `json:"memory,omitempty"`        // of the box, likewise
	Claimed      int64         `json:"claimed,omitempty"`       // bytes of devices that it holds a claim on; 0: none

	Prefill float64 `json:"prefill,omitempty"` // prompt tokens a second; 0: not known
	Decode  float64 `json:"decode,omitempty"`  // tokens a second of one request alone; 0: it makes none
	Points  []Point `json:"points"`            // by concurrency
	Knee    Knee    `json:"knee"`
	// Disturbed is how often users came meanwhile, and it was begun again; with Force, how often they were there.
	Disturbed int  `json:"disturbed,omitempty"`
	Forced    bool `json:"forced,omitempty"`
	// Stopped is why no more requests at once were tried, where that was no choice: what the engine said; "" otherwise.
	Stopped string `json:"stopped,omitempty"`
}

// Point is what an engine did with so many requests at once.
type Point struct {
	Concurrency int           `json:"concurrency"`
	Requests    int           `json:"requests"`          // that ended; those that the end of the time cut off are not among them
	Tokens      float64       `json:"tokens_per_second"` // of all together: made, or read where it makes none
	Each        float64       `json:"each"`              // of one
	First       time.Duration `json:"first,omitempty"`   // to the first token, median
	FirstP95    time.Duration `json:"first_p95,omitempty"`
	Latency     time.Duration `json:"latency,omitempty"` // of a request, median
}

// LoadSpeed is how many bytes of weights a second came up; 0 where that is not known.
func (c *Calibration) LoadSpeed() float64 {
	if c.Load <= 0 || c.Weights <= 0 {
		return 0
	}
	return float64(c.Weights) / c.Load.Seconds()
}

// Alone is the point of one request; the zero Point where it was not measured.
func (c *Calibration) Alone() Point {
	if len(c.Points) > 0 && c.Points[0].Concurrency == 1 {
		return c.Points[0]
	}
	return Point{}
}

// Progress says how far a measurement is.
type Progress struct {
	Doing   string        // what goes on: "4 requests at once"
	Elapsed time.Duration // since it began
	Budget  time.Duration // it ends by then
}

// Standing is how measuring a service stands.
type Standing struct {
	Running string       // id of the one that goes on; "" none
	Now     Progress     // of it
	Last    *Calibration // the newest of the service's revision and device; nil: none
	Failed  *Failure     // of the one before, where it failed; forgotten with the daemon
}

// Failure is a measurement that came to nothing.
type Failure struct {
	ID  string
	At  time.Time
	Err error
}
