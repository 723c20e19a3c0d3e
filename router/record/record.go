// Package record is for seeing in: what one request did, told when it has ended, to an access log, to
// captures, to live figures and to traces. It decides nothing and never holds a request up.
package record

import (
	"strings"
	"time"
)

// Record is what one request did. It is valid during the call that gives it: who keeps of it copies.
type Record struct {
	ID     string        // x-request-id
	Start  time.Time     // when it arrived
	Took   time.Duration // to the end of its answer
	First  time.Duration // to the first bytes of its answer's body; 0: there were none
	Held   time.Duration // that it waited for a route
	Method string
	Path   string // that the engine gets, without its query
	Kind   string // chat, completions, responses, messages, embeddings, rerank, audio, images, upgrade, other
	Client string // address of the client

	ServiceID string // "" where it reached none, as with the following
	Service   string
	Project   string
	Model     string // as the client named it
	Route     string
	TokenID   string
	TokenName string

	Status   int    // 499 where the client went before an answer
	Code     string // of the error that the router itself gave; ""
	Stream   bool
	Aborted  bool // the client went first
	Repeated bool // answered from an identical request's answer
	Retries  int
	In       int64 // bytes of the request's body
	Out      int64 // bytes of the answer's body
	Usage    Usage
	Told     int64 // of Usage.Completion: what live figures were told while it came

	Fault string // what went wrong with routes: connect, reset, broken, cut, silence, upgrade; ""
	Err   error  // behind Fault

	Trace Trace
}

// Usage is what an engine says it has used.
type Usage struct {
	Prompt     int64
	Completion int64
	Cached     int64 // of Prompt: taken from the engine's cache
	Estimated  bool  // the engine said nothing: Completion is the number of its events
}

// Trace is the request's place in a trace; zero where traces are off.
type Trace struct {
	ID      [16]byte
	Span    [8]byte // of the router's own span: the engine's parent
	Parent  [8]byte // of the client; zero: none
	Sampled bool
}

// Failed tells whether the service is to blame: it answered 5xx, broke, or did not answer.
func (r *Record) Failed() bool { return r.Status >= 500 || r.Fault != "" }

// Clone is a record that stays good: its words are copied, in one piece.
func (r *Record) Clone() Record {
	words := r.words()
	n := 0
	for _, w := range words {
		n += len(*w)
	}
	var b strings.Builder
	b.Grow(n)
	for _, w := range words {
		b.WriteString(*w)
	}
	out, all := *r, b.String()
	for _, w := range out.words() {
		n := len(*w)
		*w, all = all[:n], all[n:]
	}
	return out
}

func (r *Record) words() [14]*string {
	return [...]*string{
		&r.ID, &r.Method, &r.Path, &r.Kind, &r.Client, &r.ServiceID, &r.Service, &r.Project, &r.Model, &r.Route, &r.TokenID, &r.TokenName, &r.Code, &r.Fault,
	}
}
