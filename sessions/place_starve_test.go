package sessions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// The head of the queue starts once enough has been given back, however many small sessions arrive meanwhile. On
// half of the pools the node where it would fit when just one session ends is the wrong one: that never ends.
func TestPlaceStarvesNobody(t *testing.T) {
	for seed := range uint64(60) {
		p := newPlay(t, rand.New(rand.NewPCG(seed, 2)), seed%2 == 0)
		if p.run("big", 150) < 0 {
			t.Errorf("seed %d: after 150 minutes the head has not started", seed)
		}
	}
}

// play lets time go by over a pool: sessions arrive, are placed, and end.
type play struct {
	*lineup
	r     *rand.Rand
	now   time.Time
	ends  map[string]time.Time
	count int
}

func newPlay(t *testing.T, r *rand.Rand, endless bool) *play {
	t.Helper()
	l := newLineup(t, box("a", 32, 128, 8), box("b", 32, 128, 8), box("c", 32, 128, 8))
	l.Strategy = []sessions.Strategy{"", sessions.StrategyConcentrated, sessions.StrategyRoundRobin}[r.IntN(3)]
	p := &play{lineup: l, r: r, now: t0, ends: map[string]time.Time{}}
	if endless {
		l.held("endless", "a", "cuda.device=8")
		p.ends["endless"] = t0.Add(1000 * time.Hour)
	}
	return p
}

// run returns after how many minutes a session started that wants a whole node, having come when the
// pool was full of small ones; -1: not in time.
func (p *play) run(id string, minutes int) int {
	for minute := range minutes {
		p.now = t0.Add(time.Duration(minute) * time.Minute)
		for len(p.Waiting) < 8 { // of the same priority, and older for a while
			p.count++
			ask := []string{"cuda.device=1", "cuda.device=2", "cuda.shares=0.5", "cpu=4"}[p.r.IntN(4)]
			p.waits(fmt.Sprintf("s%05d", p.count), ask, func(w *sessions.Waiting) { w.Since = p.now })
		}
		if minute == 5 {
			p.waits(id, "cpu=8 cuda.device=8", func(w *sessions.Waiting) { w.Since = p.now })
		}
		p.end()
		if p.step(id) {
			return minute
		}
	}
	return -1
}

// end gives back what has run for its time.
func (p *play) end() {
	p.Running = slices.DeleteFunc(p.Running, func(h sessions.Held) bool {
		if p.ends[h.ID].After(p.now) {
			return false
		}
		for i, s := range p.Pool {
			p.Pool[i] = s.Without(h.ID)
		}
		return true
	})
}

// step commits one pass and reports whether a session was placed.
func (p *play) step(id string) bool {
	d := sessions.Place(p.Queue, p.now)
	p.Kept, p.LastNode = d.Kept, d.LastNode
	found := false
	for _, placed := range d.Placed {
		found = found || placed.Session == id
		i := slices.IndexFunc(p.Pool, func(s accel.State) bool { return s.Name() == placed.Claim.Node })
		p.Pool[i] = p.Pool[i].With(placed.Claim)
		p.Running = append(p.Running, sessions.Held{ID: placed.Session, Type: sessions.TypeBatch, StartedAt: p.now, Claim: placed.Claim})
		p.ends[placed.Session] = p.now.Add(time.Duration(1+p.r.IntN(40)) * time.Minute)
		p.Waiting = slices.DeleteFunc(p.Waiting, func(w sessions.Waiting) bool { return w.ID == placed.Session })
	}
	return found
}
