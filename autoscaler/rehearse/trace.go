package rehearse

import (
	"errors"
	"fmt"
	"time"
)

// Request is one request of a trace.
type Request struct {
	At     time.Duration // since the trace's Start
	Prompt int32         // tokens
	Output int32         // tokens
}

// Trace is what came in a window of time.
type Trace struct {
	Name     string
	Start    time.Time
	Requests []Request // by At
}

// Length is from the start to the last request.
func (t *Trace) Length() time.Duration {
	if len(t.Requests) == 0 {
		return 0
	}
	return t.Requests[len(t.Requests)-1].At
}

// The bounds of a trace: what is beyond them is refused rather than played for hours.
const (
	MaxRequests = 20_000_000
	MaxLength   = 100 * 24 * time.Hour
	MaxTokens   = 100_000_000 // of one request
)

// ErrTrace is the kind of all errors of a trace that cannot be played.
var ErrTrace = errors.New("no usable trace")

// check refuses what a simulation would not come to an end with.
func (t *Trace) check() error {
	if len(t.Requests) == 0 {
		return fmt.Errorf("%w: %s has no requests", ErrTrace, t.Name)
	}
	if len(t.Requests) > MaxRequests {
		return fmt.Errorf("%w: %s has %d requests, more than %d", ErrTrace, t.Name, len(t.Requests), MaxRequests)
	}
	before := time.Duration(0)
	for i, r := range t.Requests {
		switch {
		case r.At < before:
			return fmt.Errorf("%w: request %d of %s comes before the one in front of it", ErrTrace, i+1, t.Name)
		case r.At > MaxLength:
			return fmt.Errorf("%w: request %d of %s comes %s after the start, later than %s", ErrTrace, i+1, t.Name, r.At, MaxLength)
		case r.Prompt < 0 || r.Output < 0 || r.Prompt > MaxTokens || r.Output > MaxTokens:
			return fmt.Errorf("%w: request %d of %s has %d and %d tokens, of 0 to %d", ErrTrace, i+1, t.Name, r.Prompt, r.Output, MaxTokens)
		}
		before = r.At
	}
	return nil
}
