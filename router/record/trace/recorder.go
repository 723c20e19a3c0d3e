package trace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

// Bounds of what is kept of each service.
const (
	Keep = 48 * time.Hour
	Most = 2_000_000 // requests
)

const (
	segmentTime = time.Hour
	segmentMost = 62_500 // records: 1 MB
	bufferMost  = 32_768 // requests that wait to be written; more are dropped, and counted
	idleClose   = time.Minute
)

// Recorder writes what came to services. Run it.
type Recorder struct {
	dir     string
	log     *slog.Logger
	early   chan struct{} // of size 1: the buffer fills
	reading chan struct{} // one Window at a time: each may take some ten megabytes

	mu      sync.Mutex
	series  map[string]*series
	waiting []entry // to be written
	dropped int

	// What follows is used by Run's goroutine alone.
	writing  []entry
	touched  []*series
	toldAt   time.Time
	sweptAt  time.Time
	lastBase int64
}

type entry struct {
	of *series
	r  Request
}

// series is one service's. Its fields are used by Run's goroutine alone, but for id.
type series struct {
	id    string
	file  *os.File // nil: none is open
	base  int64
	n     int // records in file
	batch []Request
	bytes []byte
	used  time.Time
}

// NewRecorder makes one that keeps its files below dir, which it makes when there is something to keep.
func NewRecorder(dir string, log *slog.Logger) *Recorder {
	return &Recorder{
		dir: dir, log: log, early: make(chan struct{}, 1), reading: make(chan struct{}, 1), series: map[string]*series{},
		waiting: make([]entry, 0, bufferMost), writing: make([]entry, 0, bufferMost),
	}
}

// Write keeps a request that has ended. Those that no route took are kept without tokens: they are demand too. What the
// router refused for other reasons, what was answered from another's answer, and what is no request to a model is not.
func (r *Recorder) Write(of *record.Record) {
	u := of.Usage
	known := u.Prompt+u.Completion > 0
	switch {
	case of.ServiceID == "" || of.Repeated:
		return
	case known:
	case of.Code == "routes_busy" || of.Code == "no_route" || of.Code == "start_failed" || of.Code == "scaled_to_zero" || of.Code == "route_unreachable":
		u = record.Usage{}
	default:
		return
	}
	r.Add(of.ServiceID, of.Start, u.Prompt, u.Completion)
}

// Add keeps a request that arrived at a time. It never blocks, and makes no garbage.
func (r *Recorder) Add(serviceID string, at time.Time, prompt, output int64) {
	q := Request{At: at.UnixMilli(), Prompt: clamp(prompt), Output: clamp(output)}
	r.mu.Lock()
	s := r.series[serviceID]
	if s == nil {
		if !isID(serviceID) {
			r.mu.Unlock()
			return
		}
		s = &series{id: strings.Clone(serviceID)}
		r.series[s.id] = s
	}
	full := len(r.waiting) == cap(r.waiting)
	if full {
		r.dropped++
	} else {
		r.waiting = append(r.waiting, entry{s, q})
	}
	hurry := len(r.waiting) > cap(r.waiting)/2
	r.mu.Unlock()
	if hurry {
		select {
		case r.early <- struct{}{}:
		default:
		}
	}
}

func clamp(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

// isID tells what can be the name of a directory of ours: no word of a client becomes a path.
func isID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Run writes what comes, each second, and removes what is too old, until ctx ends; then it writes the rest.
func (r *Recorder) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	r.sweep(time.Now())
	for {
		select {
		case <-ctx.Done():
			r.flush(time.Now())
			for _, s := range r.series {
				s.close()
			}
			return
		case <-tick.C:
		case <-r.early:
		}
		now := time.Now()
		r.flush(now)
		if now.Sub(r.sweptAt) >= segmentTime {
			r.sweep(now)
		}
	}
}

// flush writes what waits.
func (r *Recorder) flush(now time.Time) {
	r.mu.Lock()
	r.waiting, r.writing = r.writing[:0], r.waiting
	dropped := r.dropped
	r.dropped = 0
	r.mu.Unlock()
	var failed error
	for _, e := range r.writing {
		if len(e.of.batch) == 0 {
			r.touched = append(r.touched, e.of)
		}
		e.of.batch = append(e.of.batch, e.r)
	}
	for _, s := range r.touched {
		if err := r.write(s, now); err != nil {
			failed = err
		}
		s.batch, s.used = s.batch[:0], now
	}
	clear(r.writing)
	clear(r.touched)
	r.touched = r.touched[:0]
	r.rest(now)
	if dropped > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d requests came faster than they could be written", dropped))
	}
	if failed != nil && now.Sub(r.toldAt) >= time.Minute {
		r.toldAt = now
		r.log.Warn("a part of what came to services is not kept for rehearsals; nothing else depends on it", "error", failed)
	}
}

// write appends a service's batch to its segments.
func (r *Recorder) write(s *series, now time.Time) error {
	for batch := s.batch; len(batch) > 0; {
		if s.file == nil || s.n >= segmentMost || now.UnixMilli()-s.base >= segmentTime.Milliseconds() || now.UnixMilli() < s.base-segmentTime.Milliseconds() {
			if err := r.begin(s, now); err != nil {
				return err
			}
		}
		n := min(len(batch), segmentMost-s.n)
		s.bytes = s.bytes[:0]
		for _, q := range batch[:n] {
			s.bytes = appendRecord(s.bytes, s.base, q)
		}
		if _, err := s.file.Write(s.bytes); err != nil {
			s.close() // what was torn ends the segment: the next is another
			return err
		}
		s.n += n
		batch = batch[n:]
	}
	return nil
}

// begin begins a segment, and removes those that are too many.
func (r *Recorder) begin(s *series, now time.Time) error {
	s.close()
	dir := filepath.Join(r.dir, s.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	base := max(now.UnixMilli(), r.lastBase+1) // none has the name of another, whatever the clock does
	r.lastBase = base
	f, err := os.OpenFile(filepath.Join(dir, segmentName(base)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		r.lastBase += segmentTime.Milliseconds() // of a time to come, from before the clock was set back
		return err
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(appendHead(nil, base)); err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.base, s.n = f, base, 0
	return r.trim(s.id, now)
}

func (s *series) close() {
	if s.file != nil {
		_ = s.file.Close() // all of it is written
		s.file = nil
	}
}

// rest closes the files of services that nothing comes to, and forgets them.
func (r *Recorder) rest(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.series {
		if s.used.IsZero() {
			s.used = now
		}
		if now.Sub(s.used) < idleClose || r.waits(s) {
			continue
		}
		s.close()
		delete(r.series, id)
	}
}

// waits reports whether something of a service is still to be written. The caller holds mu.
func (r *Recorder) waits(s *series) bool {
	for i := range r.waiting {
		if r.waiting[i].of == s {
			return true
		}
	}
	return false
}
