package balance

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func prompt(pieces ...string) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for _, p := range pieces {
			if !yield([]byte(p)) {
				return
			}
		}
	}
}

func text(seed uint64, n int) string {
	random := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte('a' + random.IntN(26))
	}
	return string(out)
}

func prefixAsk(now time.Time, pieces ...string) Ask { return Ask{Now: now, Prompt: prompt(pieces...)} }

func TestConversationsStay(t *testing.T) {
	b, _ := balanceOf(Settings{Policy: Prefix}, equal(8)...)
	now := start
	talk, home := map[int]string{}, map[int]*Route{}
	for turn := range 10 {
		for i := range 50 {
			talk[i] += text(uint64(i*100+turn), 700)
			r := mustTake(t, b, prefixAsk(now, "You are kind.", talk[i]))
			r.Release()
			if turn == 0 {
				home[i] = r
			} else if r != home[i] {
				t.Errorf("conversation %d left its route in turn %d", i, turn)
			}
			now = now.Add(50 * time.Millisecond)
		}
	}
	seen := map[*Route]int{}
	for _, r := range home {
		seen[r]++
	}
	if len(seen) != 8 {
		t.Errorf("50 conversations began on %d of 8 routes", len(seen))
	}
	// After a long time it is like new.
	left := 0
	for i := range 50 {
		if r := mustTake(t, b, prefixAsk(now.Add(time.Hour), talk[i])); r != home[i] {
			left++
		}
	}
	if left < 20 {
		t.Errorf("an hour later %d of 50 are elsewhere: nothing was forgotten", left)
	}
}

// What was learned of those that stay is kept, and a newcomer on the seat of one that left knows nothing.
func TestMemoryOverTables(t *testing.T) {
	s := Settings{Policy: Prefix}
	b, routes := balanceOf(s, 1, 1, 1)
	home := map[int]*Route{}
	for i := range 30 {
		r := mustTake(t, b, prefixAsk(start, text(uint64(i), 3000)))
		r.Release()
		home[i] = r
	}
	fresh := NewRoute("n", nil)
	b.Set([]Member{{Route: routes[1], Weight: 1}, {Route: fresh, Weight: 1}, {Route: routes[0], Weight: 1}}, s)
	for i, was := range home {
		r := mustTake(t, b, prefixAsk(start, text(uint64(i), 3000)))
		r.Release()
		if was != routes[2] && r != was {
			t.Errorf("%d left %s, which stayed", i, was.ID())
		}
	}
	if fresh.Total() == 10 {
		t.Error("the newcomer has just what its seat had")
	}
}

// The same prompt, in whatever pieces, is the same.
func FuzzPieces(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"), uint64(3), uint8(16))
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64, block uint8) {
		s := &roster{Settings: Settings{PrefixBlock: max(16, int(block))}}
		s.memory = newMemoryOf(s.Settings)
		raw = bytes.Repeat(raw, 1+int(seed%50))
		whole, pieces := &look{}, &look{}
		whole.begin(s)
		whole.feed(raw)
		pieces.begin(s)
		random := rand.New(rand.NewPCG(seed, 0))
		for rest := raw; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 600))
			pieces.feed(rest[:n])
			rest = rest[n:]
		}
		if whole.size != pieces.size || !slices.Equal(whole.marks[:whole.marked], pieces.marks[:pieces.marked]) {
			t.Error("other marks in pieces")
		}
	})
}

func newMemoryOf(s Settings) *memory { return newMemory(s.withDefaults()) }

func TestLongPrompts(t *testing.T) {
	for _, block := range []int{leastBlock, 256, mostBlock} {
		s := &roster{Settings: Settings{PrefixBlock: block}}
		s.memory = newMemoryOf(s.Settings)
		l := &look{}
		l.begin(s)
		for range 3 {
			l.feed(bytes.Repeat([]byte("x"), 900_000))
		}
		if l.size != mostPrompt || l.marked >= mostMarks {
			t.Errorf("blocks of %d: %d bytes, %d marks", block, l.size, l.marked)
		}
		last := 0
		for _, end := range l.ends[:l.marked] { // as near as 1 in 32
			if gap := int(end) - last; gap > 1 && gap*32 > int(end) {
				t.Fatalf("blocks of %d: nothing is remembered between %d and %d", block, last, end)
			}
			last = int(end)
		}
	}
}

// Whatever is cached where: no route is given a request that makes it carry more than 125 % of the mean.
func TestNobodyCarriesOver125Percent(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		n := 2 + random.IntN(10)
		b, _ := balanceOf(Settings{Policy: Prefix}, equal(n)...)
		var held []*Route
		hot := text(seed, 8000)
		for range 600 {
			if len(held) > 0 && random.IntN(100) < 40 {
				i := random.IntN(len(held))
				held[i].Release()
				held = slices.Delete(held, i, i+1)
				continue
			}
			own := hot[:random.IntN(len(hot))] // all of them know the same text
			r := mustTake(t, b, prefixAsk(start, own))
			held = append(held, r)
			mean := float64(len(held)) / float64(n)
			if got := r.InFlight(); float64(got) > math.Ceil(1.25*mean) {
				t.Fatalf("%d routes: %s carries %d, the mean is %.2f", n, r.ID(), got, mean)
			}
		}
	}
}

// A beginning that all have tells nobody from another: who has the rest does.
func TestCommonBeginnings(t *testing.T) {
	b, routes := balanceOf(Settings{Policy: Prefix}, equal(20)...)
	system := text(1, 20_000)
	home, left, held := map[int]*Route{}, 0, []*Route(nil)
	for round := range 3 {
		for i := range 200 {
			r := mustTake(t, b, prefixAsk(start, system, text(uint64(i+10), 2000)))
			if held = append(held, r); len(held) > 30 {
				held[0].Release()
				held = held[1:]
			}
			if round == 0 {
				home[i] = r
			} else if r != home[i] {
				left++
			}
		}
	}
	if left > 40 {
		t.Errorf("%d of 400 turns were elsewhere than the one before", left)
	}
	for _, r := range routes {
		if r.Total() == 0 {
			t.Errorf("%s got nothing: the first with the common beginning keep all", r.ID())
		}
	}
}

// engine is one route in a model of a box: it keeps what it was given last, computes prompts one after
// the other, and answers side by side.
type engine struct {
	cache []string // beginnings by blocks, the one used last at the end
	has   map[string]bool
	free  float64   // when it has computed what it was given
	ends  []float64 // of answers
}

const (
	cacheBlocks = 1500
	cachePiece  = 256
	perByte     = 50e-6 // seconds to compute: 20 kB a second
	answering   = 2.0   // seconds
)

// serve gives the time to the first token and the bytes that were in the cache.
func (e *engine) serve(now float64, p string) (wait float64, cached int) {
	hit := true
	for i := cachePiece; i <= len(p); i += cachePiece {
		if hit = hit && e.has[p[:i]]; hit {
			cached = i
			e.cache = slices.Delete(e.cache, slices.Index(e.cache, p[:i]), slices.Index(e.cache, p[:i])+1)
		}
		e.has[p[:i]] = true
		e.cache = append(e.cache, p[:i])
	}
	for len(e.cache) > cacheBlocks {
		delete(e.has, e.cache[0])
		e.cache = e.cache[1:]
	}
	e.free = max(e.free, now) + float64(len(p)-cached)*perByte
	e.ends = append(e.ends, e.free+answering)
	return e.free - now, cached
}

// simulate has people talk to 8 routes, each turn with all that was said before, and tells how much of
// the prompts was cached and how long first tokens took.
func simulate(policy Kind, seed uint64) (cachedShare, mean, p95 float64) {
	random := rand.New(rand.NewPCG(seed, 2))
	b := &Balance{}
	var members []Member
	engines := map[*Route]*engine{}
	for i := range 8 {
		r := NewRoute(fmt.Sprint(i), nil)
		engines[r] = &engine{has: map[string]bool{}}
		members = append(members, Member{Route: r, Weight: 1})
	}
	b.Set(members, Settings{Policy: policy, PrefixBlock: cachePiece})
	system := []string{text(1, 3000), text(2, 6000), text(3, 500)}
	said := make([]strings.Builder, 60)
	asked, cached, waits := 0, 0, []float64(nil)
	now := 0.0
	for n := range 3000 {
		now += random.ExpFloat64() * 0.07
		for r, e := range engines {
			e.ends = slices.DeleteFunc(e.ends, func(end float64) bool {
				if end <= now {
					r.Release()
				}
				return end <= now
			})
		}
		who := int(math.Abs(random.NormFloat64()) * 20)
		if who >= len(said) {
			continue
		}
		talk := &said[who]
		if talk.Len() == 0 || talk.Len() > 16000 { // another conversation begins
			talk.Reset()
			talk.WriteString(system[random.IntN(3)])
		}
		talk.WriteString(text(uint64(n)+1000, 200+random.IntN(1200)))
		ask := prefixAsk(start.Add(time.Duration(now*float64(time.Second))), talk.String())
		ask.Key = uint64(who + 1)
		r, _ := b.Acquire(&ask)
		wait, hit := engines[r].serve(now, talk.String())
		asked, cached, waits = asked+talk.Len(), cached+hit, append(waits, wait)
	}
	slices.Sort(waits)
	for _, w := range waits {
		mean += w / float64(len(waits))
	}
	return float64(cached) / float64(asked), mean, waits[len(waits)*95/100]
}

// In that model the policy that looks at prompts computes far less than those that do not, and its first
// tokens come earlier.
func TestPrefixIsWorthIt(t *testing.T) {
	share, mean := map[Kind]float64{}, map[Kind]float64{}
	for _, policy := range policies {
		var p95 float64
		share[policy], mean[policy], p95 = simulate(policy, 1)
		t.Logf("%-17v cached %4.1f %%, first token mean %.3f s, p95 %.3f s", policy, 100*share[policy], mean[policy], p95)
	}
	if share[Prefix] < 1.3*share[RoundRobin] || share[Prefix] < share[LeastInFlight] {
		t.Error("no more is cached")
	}
	if mean[Prefix] > 0.7*mean[RoundRobin] || mean[Prefix] > mean[LeastInFlight] {
		t.Error("first tokens come no earlier")
	}
}
