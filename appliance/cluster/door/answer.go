package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// answer makes a handler of one that returns its error. What was begun by then is broken off.
func (s *Server) answer(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen := &recorder{ResponseWriter: w}
		err := h(seen, r)
		switch {
		case err == nil || seen.taken:
		case !seen.begun:
			refuse(w, statusOf(err), err)
		default:
			panic(http.ErrAbortHandler) // half of it must not look whole
		}
	}
}

func statusOf(err error) int {
	if errors.Is(err, ErrNotReady) {
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if text, failed := json.Marshal(cluster.FaultOf(err)); failed == nil {
		_, _ = w.Write(text) // the other box may have gone
	}
}

func respond(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answering another box: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the other box may have gone
	return nil
}

// read takes the JSON of a request.
func read(r *http.Request, v any) error {
	if err := json.NewDecoder(io.LimitReader(r.Body, longestBody)).Decode(v); err != nil {
		return fmt.Errorf("reading what another box says: %w", err)
	}
	return nil
}

// recorder remembers whether an answer was begun.
type recorder struct {
	http.ResponseWriter
	begun, taken bool
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	r.begun = true
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.begun = true
	return r.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (r *recorder) Flush() {
	r.begun = true
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets the rest through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// flushing writes so that nothing stays behind.
type flushing struct{ *recorder }

// Write implements io.Writer.
func (f flushing) Write(p []byte) (int, error) {
	n, err := f.recorder.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// lines answers with a line of JSON for each thing that happens: what goes on, and in the end what came of it.
type lines struct {
	mu sync.Mutex
	w  flushing
}

// line is one of them.
type line struct {
	Progress *progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Fault    *cluster.Fault  `json:"fault,omitempty"`
	Done     bool            `json:"done,omitempty"`
}

type progress struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"`
	Message string `json:"message,omitempty"`
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	rec, ok := w.(*recorder)
	if !ok {
		rec = &recorder{ResponseWriter: w}
	}
	rec.Flush()
	return &lines{w: flushing{rec}}
}

func (l *lines) say(v line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := json.Marshal(v)
	if err != nil { // what is in it was marshalled before
		return
	}
	_, _ = l.w.Write(append(text, '\n'))
}

// end says what came of it.
func (l *lines) end(result any, err error) error {
	last := line{Done: true}
	if err != nil {
		last.Fault = cluster.FaultOf(err)
	} else if result != nil {
		raw, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("telling another box what came of it: %w", err)
		}
		last.Result = raw
	}
	l.say(last)
	return nil
}
