package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var policies = []Kind{RoundRobin, LeastInFlight, SessionAffinity, Prefix}

// world is a service under a random life: what a policy must hold to is checked after each step.
type world struct {
	t       *testing.T
	random  *rand.Rand
	b       *Balance
	now     time.Time
	s       Settings
	routes  []*Route
	weights []float64
	held    map[*Route]int
	words   [][]byte // prompts
}

func newWorld(t *testing.T, policy Kind, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, uint64(policy))), b: &Balance{}, now: start, held: map[*Route]int{}}
	w.s = Settings{Policy: policy, Limit: w.random.IntN(3) * w.random.IntN(4), PrefixBlock: 16}
	for i := range 1 + w.random.IntN(12) {
		w.routes = append(w.routes, NewRoute(letter(i), nil))
		w.weights = append(w.weights, 1)
	}
	for range 20 {
		text := make([]byte, w.random.IntN(400))
		for i := range text {
			text[i] = byte(w.random.IntN(256))
		}
		w.words = append(w.words, text)
	}
	w.set()
	return w
}

func (w *world) set() { w.b.Set(membersOf(w.routes, w.weights...), w.s) }

// step lets one thing happen.
func (w *world) step() {
	i := w.random.IntN(len(w.routes))
	r := w.routes[i]
	switch w.random.IntN(30) {
	case 0:
		r.SetClosed(true)
	case 1, 2:
		r.SetClosed(false)
	case 3:
		w.weights[i] = []float64{0, 1, 1, 2, 0.3}[w.random.IntN(5)]
		w.set()
	case 4:
		r.Failed(w.now, Connect)
	case 5:
		r.Failed(w.now, Gateway)
	case 6, 7:
		r.Worked()
	case 8, 9:
		w.now = w.now.Add(time.Duration(w.random.Int64N(int64(400 * time.Millisecond))))
	case 10, 11, 12, 13, 14, 15:
		for held := range w.held { // any
			w.release(held)
			break
		}
	default:
		w.acquire()
	}
}

func (w *world) release(r *Route) {
	r.Release()
	if w.held[r]--; w.held[r] == 0 {
		delete(w.held, r)
	}
}

func (w *world) ask() *Ask {
	ask := &Ask{Now: w.now, Key: w.random.Uint64N(10)}
	text := w.words[w.random.IntN(len(w.words))]
	ask.Prompt = func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := 1 + w.random.IntN(len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
	for range w.random.IntN(3) * w.random.IntN(2) {
		ask.Tried = append(ask.Tried, w.routes[w.random.IntN(len(w.routes))])
	}
	return ask
}

func (w *world) acquire() {
	ask := w.ask()
	var healthy, room, healthyRoom []*Route // of those in the table, open to new ones, not tried
	for i, r := range w.routes {
		if !(w.weights[i] > 0) || r.word.Load()&closed != 0 || slices.Contains(ask.Tried, r) {
			continue
		}
		has := w.s.Limit == 0 || w.held[r] < w.s.Limit
		well := r.State(w.now) != Open && (r.mark.Load() == nil || !w.now.Before(r.mark.Load().ends))
		if has {
			room = append(room, r)
		}
		if well {
			healthy = append(healthy, r)
			if has {
				healthyRoom = append(healthyRoom, r)
			}
		}
	}
	r, v := w.b.Acquire(ask)
	say := func(format string, args ...any) {
		w.t.Helper()
		w.t.Fatalf("%v, limit %d, weights %v: %s", w.s.Policy, w.s.Limit, w.weights, fmt.Sprintf(format, args...))
	}
	if v != Taken {
		switch {
		case r != nil:
			say("a route with %v", v)
		case len(healthyRoom) > 0:
			say("%v though %s can", v, healthyRoom[0].ID())
		case len(healthy) == 0 && len(room) > 0:
			say("%v though all are passed over, and %s can", v, room[0].ID())
		}
		return
	}
	w.held[r]++
	switch i := slices.Index(w.routes, r); {
	case !(w.weights[i] > 0):
		say("%s is not in the table", r.ID())
	case r.word.Load()&closed != 0:
		say("%s is closed", r.ID())
	case slices.Contains(ask.Tried, r):
		say("%s was tried", r.ID())
	case w.s.Limit > 0 && w.held[r] > w.s.Limit:
		say("%s has %d", r.ID(), w.held[r])
	case len(healthy) > 0 && !slices.Contains(healthy, r):
		say("%s is open, %s is not", r.ID(), healthy[0].ID())
	}
}

// check compares what is counted with what is so.
func (w *world) check() {
	for _, r := range w.routes {
		if got := r.InFlight(); got != w.held[r] {
			w.t.Fatalf("%s has %d in flight, counts %d", r.ID(), w.held[r], got)
		}
	}
}

func TestLaws(t *testing.T) {
	for _, policy := range policies {
		for seed := range uint64(25) {
			w := newWorld(t, policy, seed)
			for range 400 {
				w.step()
			}
			w.check()
			for r := range w.held { // and to its end
				for w.held[r] > 0 {
					w.release(r)
				}
			}
			w.check()
		}
	}
}

// Fair to one request: where nothing else distinguishes them, in any number of requests nobody is more
// than one off their share; by turns that holds for requests that are held, too.
func TestFairToOneRequest(t *testing.T) {
	for _, policy := range policies {
		for _, hold := range []int{0, 1, 5} {
			for _, n := range []int{1, 2, 3, 7, 20} {
				b, routes := balanceOf(Settings{Policy: policy}, equal(n)...)
				var held []*Route
				for i := range 20 * n {
					held = append(held, mustTake(t, b, Ask{Now: start}))
					if len(held) > hold {
						held[0].Release()
						held = held[1:]
					}
					for _, r := range routes {
						if off := float64(r.Total()) - float64(i+1)/float64(n); math.Abs(off) >= 1.0001 {
							t.Fatalf("%v, %d routes, %d held: after %d requests %s is %.2f off", policy, n, hold, i+1, r.ID(), off)
						}
					}
				}
			}
		}
	}
}

// Nobody starves: whatever the weights, each gets what is not far from its share.
func TestNoStarvation(t *testing.T) {
	for _, policy := range policies {
		for seed := range uint64(8) {
			random := rand.New(rand.NewPCG(seed, 7))
			var weights []float64
			total := 0.0
			for range 2 + random.IntN(8) {
				weights = append(weights, 0.2+random.Float64()*3)
				total += weights[len(weights)-1]
			}
			b, routes := balanceOf(Settings{Policy: policy}, weights...)
			for i := range 10000 {
				key := uint64(0)
				if policy == SessionAffinity {
					key = mix(uint64(i) + seed<<32)
				}
				mustTake(t, b, Ask{Now: start, Key: key}).Release()
			}
			for i, r := range routes {
				if got, want := float64(r.Total())/10000, weights[i]/total; got < want*0.85 || got > want*1.15 {
					t.Errorf("%v %.2v: %s got %.4f, its share is %.4f", policy, weights, r.ID(), got, want)
				}
			}
		}
	}
}

// Under load, too: with many in flight each carries its part of them.
func TestLoadIsShared(t *testing.T) {
	for _, policy := range policies {
		b, routes := balanceOf(Settings{Policy: policy}, 1, 2, 1, 4)
		random := rand.New(rand.NewPCG(1, uint64(policy)))
		var held []*Route
		for range 8000 {
			held = append(held, mustTake(t, b, Ask{Now: start, Key: 1 + random.Uint64N(1000)}))
			if len(held) > 80 {
				i := random.IntN(len(held))
				held[i].Release()
				held = slices.Delete(held, i, i+1)
			}
		}
		for i, r := range routes {
			want := []int{10, 20, 10, 40}[i]
			if got := r.InFlight(); got < want/3 || got > want*2 {
				t.Errorf("%v: %s has %d in flight, its part is %d", policy, r.ID(), got, want)
			}
		}
	}
}

// Nothing is handed out on a route once Set has taken it out, nothing over the limit, nothing is lost
// between the tables, however all race.
func TestLawsWhenAllRace(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			const limit = 4
			b, routes := balanceOf(Settings{Policy: policy, Limit: limit}, 1, 1, 1)
			s := Settings{Policy: policy, Limit: limit}
			stop := make(chan struct{})
			var none atomic.Int64
			var load sync.WaitGroup
			for i := range 4 {
				load.Go(func() {
					text := []byte(fmt.Sprintf("%4000d", i))
					ask := Ask{Prompt: func(yield func([]byte) bool) { yield(text) }}
					for ask.Key = uint64(i); ; ask.Key++ {
						select {
						case <-stop:
							return
						default:
						}
						ask.Now = start
						r, v := b.Acquire(&ask)
						if v == None {
							none.Add(1)
						}
						if v != Taken {
							runtime.Gosched()
							continue
						}
						if n := r.InFlight(); n > limit {
							t.Errorf("%d in flight", n)
						}
						switch ask.Key % 50 {
						case 0:
							r.Failed(start, Gateway)
						case 1:
							r.Worked()
						}
						r.Release()
						runtime.Gosched() // or who sets waits for a core most of the time
					}
				})
			}
			for range 50 { // a rolls over to b, and back: one is always there
				for i, out := range routes[:2] {
					weights := []float64{1, 1, 0}
					weights[i] = 0
					b.Set(membersOf(routes, weights...), s)
					if err := out.WaitIdle(t.Context()); err != nil {
						t.Fatal(err)
					}
					before := out.Total()
					for range 10 {
						if r, v := b.Acquire(&Ask{Now: start, Key: 5}); v == Taken {
							r.Release()
						}
					}
					if got := out.Total(); got != before {
						t.Fatalf("%d requests came after it was out", got-before)
					}
				}
			}
			close(stop)
			load.Wait()
			if none.Load() != 0 {
				t.Errorf("%d requests found no route though one was always there", none.Load())
			}
			for _, r := range routes {
				if r.InFlight() != 0 {
					t.Errorf("%s ends with %d in flight", r.ID(), r.InFlight())
				}
			}
		})
	}
}

// A route is one balance's at a time: who had it before takes nothing from who has it.
func TestARouteMoves(t *testing.T) {
	b, routes := balanceOf(Settings{}, 1)
	other := &Balance{}
	other.Set(membersOf(routes, 1), Settings{})
	b.Set(nil, Settings{})
	if got := picks(other, Ask{Now: start}, 2); got != "aa" {
		t.Errorf("got %s", got)
	}
	if got := picks(b, Ask{Now: start}, 2); got != "--" {
		t.Errorf("the one before: %s", got)
	}
}

func TestBusyOrNone(t *testing.T) {
	for _, policy := range policies {
		b, routes := balanceOf(Settings{Policy: policy, Limit: 1}, 1, 1)
		verdict := func(tried ...*Route) Verdict {
			r, v := b.Acquire(&Ask{Now: start, Key: 1, Tried: tried})
			if r != nil {
				r.Release()
			}
			return v
		}
		routes[0].Take(0)
		if got := verdict(routes[1]); got != Busy {
			t.Errorf("%v: the other is full: %v", policy, got)
		}
		if got := verdict(routes...); got != None {
			t.Errorf("%v: both were tried: %v", policy, got)
		}
		routes[1].Failed(start, Connect)
		if got := verdict(); got != Busy { // what fails is no way out
			t.Errorf("%v: the other fails: %v", policy, got)
		}
		routes[0].Release()
		routes[0].SetClosed(true)
		if got := verdict(); got != Taken {
			t.Errorf("%v: only one that fails: %v", policy, got)
		}
		routes[1].SetClosed(true)
		if got := verdict(); got != None {
			t.Errorf("%v: all are closed: %v", policy, got)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, k := range policies {
		if got, known := ParseKind(k.String()); got != k || !known {
			t.Errorf("%v is read as %v", k, got)
		}
	}
	if k, known := ParseKind(""); k != RoundRobin || !known {
		t.Error("nothing is not round robin")
	}
	if _, known := ParseKind("random"); known {
		t.Error("random is known")
	}
}

// A request that looked at the table before Set, and takes its route after it: it gets none that left.
func TestWhoLookedBefore(t *testing.T) {
	for _, policy := range policies {
		b, routes := balanceOf(Settings{Policy: policy}, 1, 1, 1)
		before := b.roster.Load()
		b.Set(membersOf(routes, 1, 0), Settings{Policy: policy}) // b has no weight, c is gone
		for key := range uint64(20) {
			if r, v := b.acquire(before, &Ask{Now: start, Key: key}); v != Taken || r != routes[0] {
				t.Fatalf("%v: %v", policy, v)
			}
		}
		b.Set(membersOf(routes[1:], 1), Settings{Policy: policy}) // and one who looks again finds who came
		if _, v := b.acquire(before, &Ask{Now: start, Tried: routes[1:2]}); v != None {
			t.Errorf("%v: %v", policy, v)
		}
		if r := mustTake(t, b, Ask{Now: start}); r != routes[1] {
			t.Errorf("%v: got %s", policy, r.ID())
		}
	}
}
