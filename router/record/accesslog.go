package record

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LogConfig is the access log's part of the settings.
type LogConfig struct {
	Path    string        `yaml:"path"`     // file of JSON lines; "" for none
	Sample  float64       `yaml:"sample"`   // part of the requests that is written, 0 to 1; errors and slow ones always are
	Slow    time.Duration `yaml:"slow"`     // a request that took so long is written; 0: none is slow
	MaxSize int64         `yaml:"max_size"` // of a file in bytes, before the next is begun; -1: no limit
	Keep    int           `yaml:"keep"`     // files beside the one that is written: PATH.1 is the newest
}

// DefaultLogConfig is what holds where nothing is set.
func DefaultLogConfig() LogConfig {
	return LogConfig{Sample: 1, Slow: 30 * time.Second, MaxSize: 100 << 20, Keep: 5}
}

// The bounds of lines that are not written yet, of each of the places where they wait.
const (
	enoughLines = 64 << 10  // bytes that are written at once
	mostLines   = 512 << 10 // bytes that may wait: what comes then is dropped, and counted
	mostPlaces  = 16
)

// AccessLog writes a line for each request. Lines wait in several places, so that no lock is one that all requests share,
// and one goroutine writes them; those of the same second may stand in any order.
type AccessLog struct {
	config LogConfig
	log    *slog.Logger
	seed   maphash.Seed
	places []place
	poked  chan struct{}

	written, dropped atomic.Int64

	file  rotated // of the goroutine in Run, as the following
	spare []byte
	lost  bool // the last write failed
	told  int64
}

// place is where lines wait.
type place struct {
	mu    sync.Mutex
	lines []byte
	clock clock
	_     [64]byte // another place's lock is on another line of the processor's cache
}

// OpenAccessLog opens the file; nothing is written until Run. The error has a hint.
func OpenAccessLog(c LogConfig, log *slog.Logger) (*AccessLog, error) {
	n := 1
	for n < min(runtime.GOMAXPROCS(0), mostPlaces) {
		n *= 2
	}
	a := &AccessLog{
		config: c, log: log, seed: maphash.MakeSeed(), places: make([]place, n), poked: make(chan struct{}, 1),
		file: rotated{path: c.Path, most: c.MaxSize, keep: c.Keep},
	}
	if err := a.file.open(); err != nil {
		return nil, fmt.Errorf("opening the access log: %w", err)
	}
	return a, nil
}

// Write notes a record, if it is one of those to be written. It waits for no disk, and may be called on nil.
func (a *AccessLog) Write(r *Record) {
	if a == nil {
		return
	}
	of := a.part(r)
	if of == 0 {
		return
	}
	p := a.place()
	if len(p.lines) > mostLines {
		p.mu.Unlock()
		a.dropped.Add(1)
		return
	}
	p.lines = appendLine(p.lines, r, &p.clock, of)
	enough := len(p.lines) > enoughLines
	p.mu.Unlock()
	if enough {
		poke(a.poked)
	}
}

// part is the part of records like r that is written; 0 where r itself is not.
func (a *AccessLog) part(r *Record) float64 {
	switch {
	case a.config.Sample >= 1, r.Failed(), a.config.Slow > 0 && r.Took >= a.config.Slow:
		return 1
	case a.config.Sample <= 0:
		return 0
	}
	// By the id, so that all that is told of a request is told or none; by a seed, so that nobody chooses.
	if float64(maphash.String(a.seed, r.ID)>>11)/(1<<53) < a.config.Sample {
		return a.config.Sample
	}
	return 0
}

// place locks one of the places, the first that is free.
func (a *AccessLog) place() *place {
	at := rand.Uint32()
	for i := range uint32(len(a.places)) {
		if p := &a.places[(at+i)%uint32(len(a.places))]; p.mu.TryLock() {
			return p
		}
	}
	p := &a.places[at%uint32(len(a.places))]
	p.mu.Lock()
	return p
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// patience is how long one flush may wait for a pipe that nobody reads, at the end too.
const patience = 2 * time.Second

// Run writes what waits, each second and when there is much of it, until ctx ends; then what is left, and closes the file.
func (a *AccessLog) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.note(a.file.follow())
			a.tell()
		case <-a.poked:
		case <-ctx.Done():
			a.flush()
			a.tell()
			a.note(a.file.close())
			return
		}
		a.flush()
	}
}

// flush writes what waits.
func (a *AccessLog) flush() {
	deadline := time.Now().Add(patience)
	for i := range a.places {
		p := &a.places[i]
		p.mu.Lock()
		p.lines, a.spare = a.spare[:0], p.lines
		p.mu.Unlock()
		if len(a.spare) == 0 {
			continue
		}
		whole, lost, err := a.file.write(a.spare, deadline)
		a.written.Add(whole)
		a.dropped.Add(lost)
		a.note(err)
		if err == nil && a.lost {
			a.lost = false
			a.log.Info("the access log is written again", "path", a.config.Path)
		}
		if cap(a.spare) > 2*enoughLines { // a burst's room is given back
			a.spare = nil
		}
	}
	a.note(a.file.rotate())
}

// note tells of an error, once until it is over.
func (a *AccessLog) note(err error) {
	if err == nil || a.lost {
		return
	}
	a.lost = true
	a.log.Error("the access log cannot be written: its lines are lost until it can", "error", err, "hint", hintOf(err))
}

// tell says how many lines were lost since it said so the last time.
func (a *AccessLog) tell() {
	if n := a.dropped.Load(); n > a.told && !a.lost {
		a.log.Warn("lines of the access log were dropped: they came faster than they could be written", "lines", n-a.told)
		a.told = n
	}
}

func hintOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

// Describe and Collect give the log's own counters.
func (a *AccessLog) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(a, to) }

// Collect implements prometheus.Collector.
func (a *AccessLog) Collect(to chan<- prometheus.Metric) {
	for _, m := range []struct {
		name, help string
		n          int64
	}{
		{"palisade_access_log_lines_total", "Lines of the access log that were written.", a.written.Load()},
		{"palisade_access_log_dropped_total", "Lines of the access log that could not be written.", a.dropped.Load()},
	} {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), prometheus.CounterValue, float64(m.n))
	}
}
