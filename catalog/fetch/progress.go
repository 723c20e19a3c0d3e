package fetch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// state is how far a job is. What the job's goroutines tell it, one goroutine passes on.
type state struct {
	mu      sync.Mutex
	sizes   map[string]int64        // of files; -1: not known
	coming  map[string]func() int64 // bytes that are here, of files that come
	done    int64                   // bytes of files that are here whole
	files   int                     // of these
	reused  int64
	fetched int64
	current string
	message string
	speed   meter
}

func newState(in Listing) *state {
	s := &state{sizes: map[string]int64{}, coming: map[string]func() int64{}}
	for _, f := range in.Files {
		s.sizes[f.Name] = f.Bytes
	}
	return s
}

func (s *state) begin(name string, here func() int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming[name], s.current = here, name
}

// resumed says that bytes of a file were here.
func (s *state) resumed(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reused += bytes
}

// lost says that bytes that were here are fetched anew.
func (s *state) lost(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reused = max(0, s.reused-bytes)
}

func (s *state) came(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched += bytes
	s.message = ""
}

func (s *state) resize(name string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[name] = bytes
}

func (s *state) finish(name string, bytes int64, reused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.coming, name)
	s.sizes[name] = bytes
	s.done += bytes
	s.files++
	if reused {
		s.reused += bytes
	}
}

// trouble says why nothing comes for a while.
func (s *state) trouble(err error, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.message = fmt.Sprintf("%v; tried again in %v", err, wait.Round(time.Second))
	if errors.Is(err, ErrTruncated) && wait < 2*time.Second {
		s.message = "" // goes on at once
	}
}

func (s *state) say(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.message = message
}

func (s *state) totals() (fetched, reused int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched, s.reused
}

func (s *state) progress(now time.Time) Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Progress{Files: len(s.sizes), FilesDone: s.files, Done: s.done, Reused: s.reused, Current: s.current, Message: s.message, ETA: -1}
	for _, n := range s.sizes {
		if n < 0 || p.Bytes < 0 {
			p.Bytes = -1
		} else {
			p.Bytes += n
		}
	}
	for name, here := range s.coming {
		p.Done += here()
		if _, is := s.coming[s.current]; !is {
			p.Current = name
		}
	}
	p.Speed = s.speed.add(now, s.fetched)
	if left := p.Bytes - p.Done; p.Bytes >= 0 && (p.Speed > 0 || left <= 0) {
		p.ETA = 0
		if left > 0 {
			p.ETA = min(time.Duration(float64(left)/p.Speed*float64(time.Second)), 1000*time.Hour).Round(time.Second)
		}
	}
	return p
}

const tick = 200 * time.Millisecond

// tell passes progress on while work runs, and once after that. work waits for done before it returns: nothing is told later.
func (s *state) tell(ctx context.Context, to func(Progress), work func(done <-chan struct{})) {
	done := make(chan struct{})
	close(done)
	if to == nil {
		work(done)
		return
	}
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		to(s.progress(time.Now()))
		for {
			select {
			case <-ticker.C:
				to(s.progress(time.Now()))
			case <-ctx.Done():
				return
			}
		}
	})
	work(done)
	stop()
	group.Wait()
	to(s.progress(time.Now()))
}

// meter is a speed over the last seconds.
type meter struct{ samples []sample }

type sample struct {
	at    time.Time
	bytes int64
}

const window = 5 * time.Second

// add notes how many bytes had come at a time, and is bytes a second over the window before it.
func (m *meter) add(now time.Time, bytes int64) float64 {
	m.samples = append(m.samples, sample{now, bytes})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= window {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	if took := now.Sub(first.at); took > 0 {
		return float64(bytes-first.bytes) / took.Seconds()
	}
	return 0
}
