package calibrate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// promptTokens is how long the prompts are with which answers are measured.
const promptTokens = 128

// prefill measures how fast prompts are read: the time to the first token of longer and longer ones, until one takes long, is
// too long for the engine, or a part of the budget is over. The slope counts, so that what each request costs does not.
func (m *measurement) prefill(ctx context.Context) error {
	var all []reading
	until := time.Now().Add(m.run.wish.Budget / prefillPart)
	for words := 64; words <= 1<<15; words *= 4 {
		m.tell(fmt.Sprintf("a prompt of %d words", words))
		var a answer
		err := m.alone(ctx, func(ctx context.Context) (err error) {
			ctx, cancel := context.WithDeadlineCause(ctx, until, errLevel)
			defer cancel()
			a, err = m.engine.insist(ctx, prompt(words), 2)
			return err
		})
		if _, no := errors.AsType[*refusal](err); (no || errors.Is(err, errLevel)) && words > 64 {
			break // too long, or too slow
		} else if err != nil && !errors.Is(err, errLevel) {
			return err
		}
		took := a.First
		if took == 0 { // an answer that comes as a whole
			took = a.Took
		}
		if a.Prompt > 0 && took > 0 {
			all = append(all, reading{words, a.Prompt, took})
		}
		if took > m.run.wish.Budget/prefillPart/8 {
			break
		}
	}
	m.readings(all)
	return nil
}

// reading is how long the first token of a prompt took.
type reading struct {
	words, tokens int
	took          time.Duration
}

// readings tell how fast prompts are read, and how many words a prompt of some tokens has.
func (m *measurement) readings(all []reading) {
	m.words = promptTokens
	if len(all) == 0 {
		return
	}
	first, last := all[0], all[len(all)-1]
	m.words = max(promptTokens*last.words/last.tokens, 1)
	m.out.Prefill = float64(last.tokens) / last.took.Seconds()
	if slope := last.took - first.took; last.tokens > first.tokens && slope > last.took/4 {
		m.out.Prefill = float64(last.tokens-first.tokens) / slope.Seconds()
	}
}

// Bounds of how many tokens each request makes, and what part of a level one alone takes.
const (
	fewestTokens = 4
	mostTokens   = 256
	requestPart  = 4
)

// pace finds how many tokens a request is to make, so that some of them end while a level is looked at.
func (m *measurement) pace(ctx context.Context) error {
	if m.engine.api == APIEmbeddings {
		return nil
	}
	m.tell("one answer")
	a, err := m.engine.insist(ctx, prompt(m.words), 16)
	if err != nil {
		return err
	}
	m.count(a)
	made := max(a.Made, a.Chunks)
	if made < 2 || a.Took <= a.First {
		m.tokens = 32
		return nil
	}
	each := (a.Took - a.First) / time.Duration(made-1)
	m.tokens = min(max(int(m.level/requestPart/max(each, time.Microsecond)), fewestTokens), mostTokens)
	return nil
}

// count takes over how many tokens are in a piece of a stream.
func (m *measurement) count(a answer) {
	if a.Made > 0 && a.Chunks > 0 {
		m.pieces = float64(a.Made) / float64(a.Chunks)
	}
}

// ladder measures with more and more requests at once, as long as there is something to learn and time to do it.
func (m *measurement) ladder(ctx context.Context) error {
	for n := Next(nil, m.run.wish.Most); n > 0; n = Next(m.out.Points, m.run.wish.Most) {
		if deadline, _ := ctx.Deadline(); len(m.out.Points) > 0 && time.Until(deadline) < m.level {
			return nil
		}
		m.tell(atOnce(n))
		var p Point
		err := m.alone(ctx, func(ctx context.Context) (err error) {
			p, err = m.look(ctx, n)
			return err
		})
		if err != nil && n > 1 && !errors.Is(err, errTimeOver) && ctx.Err() == nil {
			m.out.Stopped = fmt.Sprintf("%s: %v", atOnce(n), err)
			return nil // what was measured before counts
		}
		if err != nil {
			return err
		}
		m.out.Points = append(m.out.Points, p)
		slices.SortFunc(m.out.Points, func(a, b Point) int { return a.Concurrency - b.Concurrency })
		m.weigh(ctx)
	}
	return nil
}

func atOnce(n int) string {
	if n == 1 {
		return "1 request at a time"
	}
	return fmt.Sprintf("%d requests at once", n)
}

// seen is what came of the requests of a level. Its goroutines share it.
type seen struct {
	mu      sync.Mutex
	chunks  int // of all requests, those too that were cut off
	read    int // tokens of prompts, of requests that ended
	ended   []answer
	firsts  []time.Duration // to the first token; of those that had none, as long as they had waited
	refused int
	failed  error
}

// settles is how long an engine has to let go of requests whose client has gone.
const settles = 100 * time.Millisecond

// look keeps n requests in flight for the level's time, and counts what comes.
func (m *measurement) look(ctx context.Context, n int) (Point, error) {
	select { // what was cut off before is to have left the engine
	case <-ctx.Done():
		return Point{}, context.Cause(ctx)
	case <-time.After(settles):
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.level, errLevel)
	defer cancel()
	var s seen
	var all sync.WaitGroup
	begun := time.Now()
	for range n {
		all.Go(func() {
			for ctx.Err() == nil && s.one(ctx, m, begun) {
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errLevel) {
		return Point{}, cause
	}
	switch {
	case s.failed != nil:
		return Point{}, s.failed
	case s.refused > 0 && len(s.ended) == 0 && s.chunks == 0:
		return Point{}, fmt.Errorf("the engine refused all of them (%d)", s.refused)
	}
	return m.point(n, &s, took), nil
}

// one asks once; it is false where there is nothing to go on with.
func (s *seen) one(ctx context.Context, m *measurement, begun time.Time) bool {
	sent := time.Now()
	a, err := m.engine.ask(ctx, prompt(m.words), m.tokens, func() {
		s.mu.Lock()
		s.chunks++
		s.mu.Unlock()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.First > 0:
		s.firsts = append(s.firsts, a.First)
	case err != nil && m.engine.api != APIEmbeddings && errors.Is(context.Cause(ctx), errLevel) && sent.Sub(begun) < m.level/2:
		s.firsts = append(s.firsts, time.Since(sent))
	}
	if err == nil {
		s.ended = append(s.ended, a)
		if s.read += a.Prompt; a.Prompt == 0 {
			s.read += m.words // as good a guess as any
		}
		return a.Took > 0
	}
	if ctx.Err() != nil {
		return false
	}
	no, isRefusal := errors.AsType[*refusal](err)
	if isRefusal && (no.status == http.StatusTooManyRequests || no.status == http.StatusServiceUnavailable) {
		s.refused++
		s.mu.Unlock()
		select { // it has said that it has enough
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
		s.mu.Lock()
		return true
	}
	if s.failed == nil {
		s.failed = err
	}
	return false
}

// point sums up what was seen.
func (m *measurement) point(n int, s *seen, took time.Duration) Point {
	p := Point{Concurrency: n, Requests: len(s.ended)}
	for _, a := range s.ended {
		m.count(a)
	}
	p.First, p.FirstP95 = quantile(s.firsts, 0.5), quantile(s.firsts, 0.95)
	var latencies []time.Duration
	var each []float64
	for _, a := range s.ended {
		latencies = append(latencies, a.Took)
		if made := float64(a.Chunks) * m.pieces; made > 1 && a.Took > a.First {
			each = append(each, (made-1)/(a.Took-a.First).Seconds())
		}
	}
	p.Latency = quantile(latencies, 0.5)
	if m.engine.api == APIEmbeddings {
		p.Tokens = float64(s.read) / took.Seconds()
		p.Each = p.Tokens / float64(n)
		return p
	}
	p.Tokens = float64(s.chunks) * m.pieces / took.Seconds()
	p.Each = p.Tokens / float64(n)
	if len(each) > 0 {
		slices.Sort(each)
		p.Each = each[len(each)/2]
	}
	return p
}

// quantile of durations; 0 of none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(int(q*float64(len(all))), len(all)-1)]
}
