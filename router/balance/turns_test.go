package balance

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    string
	}{
		{[]float64{1, 1}, "abababab"},
		{[]float64{3, 3, 3}, "abcabcabc"},
		{[]float64{5, 1, 1}, "aabacaaaabacaa"},
		{[]float64{2, 1}, "abaaba"},
		{[]float64{0.5, 0.25}, "abaaba"},
		{[]float64{1, 0, 1}, "acacac"},
		{[]float64{1, -1}, "aaa"},
		{[]float64{math.NaN(), 1, math.Inf(1)}, "bbb"},
		{[]float64{0, 0}, "--"},
		{nil, "--"},
	} {
		b, _ := balanceOf(Settings{}, c.weights...)
		if got := picks(b, Ask{Now: start}, len(c.want)); got != c.want {
			t.Errorf("weights %v: %s, want %s", c.weights, got, c.want)
		}
	}
	if got := picks(&Balance{}, Ask{Now: start}, 2); got != "--" {
		t.Errorf("the zero value gives %s", got)
	}
}

func TestTurnsSurviveANewTable(t *testing.T) {
	b, routes := balanceOf(Settings{}, 1, 1)
	ask := Ask{Now: start}
	got := picks(b, ask, 3)
	b.Set(membersOf(routes, 1, 1), Settings{})
	if got += picks(b, ask, 3); got != "ababab" {
		t.Errorf("got %s", got)
	}
	got = picks(b, ask, 1) // a: next is b, however the table lists them
	b.Set([]Member{{Route: routes[1], Weight: 1}, {Route: routes[0], Weight: 1}}, Settings{})
	if got += picks(b, ask, 3); got != "abab" {
		t.Errorf("in another order: %s", got)
	}
	// One comes: it gets its share at once, and no more than that.
	routes = append(routes, NewRoute("n", nil))
	b.Set(membersOf(routes, 1, 1, 1), Settings{})
	if got := picks(b, ask, 30); strings.Count(got, "n") != 10 || strings.Contains(got, "nn") {
		t.Errorf("with a new one: %s", got)
	}
	// The rest go on evenly after one has left.
	b.Set(membersOf(routes, 1, 1), Settings{})
	if got := picks(b, ask, 8); strings.Contains(got, "aaa") || strings.Contains(got, "bbb") {
		t.Errorf("without it: %s", got)
	}
}

// However often the table changes between requests, nobody gets much more or less than their share.
func TestTurnsAreFairOverManyTables(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b, routes := balanceOf(Settings{}, 1, 1, 1, 1)
	counts := map[string]int{}
	for i := range 1500 {
		weights := []float64{1, 1, 1, 0} // the fourth comes and goes
		if i%2 == 0 {
			weights[3] = 1e-9
		}
		b.Set(membersOf(routes, weights...), Settings{})
		for range random.IntN(3) {
			counts[picks(b, Ask{Now: start}, 1)]++
		}
	}
	sum := counts["a"] + counts["b"] + counts["c"]
	for _, id := range []string{"a", "b", "c"} {
		if got := float64(counts[id]) / float64(sum); math.Abs(got-1.0/3) > 0.02 {
			t.Errorf("%s got %.3f of %v", id, got, counts)
		}
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    []int
	}{
		{[]float64{1}, []int{1}},
		{[]float64{7, 7}, []int{1, 1}},
		{[]float64{0.3, 0.7}, []int{3, 7}},
		{[]float64{2.5, 1}, []int{5, 2}},
		{[]float64{1, 1e-300}, []int{4096, 1}},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, []int{1, 1}},
		{[]float64{math.SmallestNonzeroFloat64, 1}, []int{1, 4096}},
	} {
		if got := shares(c.weights); !cmp.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.weights, got, c.want)
		}
	}
}

// A schedule gives each exactly its share, and by any time within one turn of it for each that shares.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{255, 1, 1, 7})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var weights []float64
		for _, w := range raw[:min(len(raw), 40)] {
			weights = append(weights, float64(w)+0.37*float64(w%3)+0.001)
		}
		if len(weights) == 0 {
			return
		}
		parts := shares(weights)
		total, sum := 0.0, 0
		for i, w := range weights {
			total += w
			sum += parts[i]
		}
		if sum > mostTurns+len(weights) {
			t.Fatalf("%d turns", sum)
		}
		for i, w := range weights {
			if got, want := float64(parts[i])/float64(sum), w/total; math.Abs(got-want) > (1+float64(len(weights)))/mostTurns {
				t.Errorf("%d of %v has %.5f, should have %.5f", i, weights, got, want)
			}
		}
		schedule := newSchedule(parts)
		for i, o := range owed(schedule, parts, len(schedule)) {
			if math.Abs(o) > 1e-6 {
				t.Errorf("%d is owed %v after a round", i, o)
			}
		}
		for i, o := range owed(schedule, parts, len(schedule)/2) {
			if math.Abs(o) > float64(len(weights)) {
				t.Errorf("%d is owed %v in the middle", i, o)
			}
		}
	})
}

// The share of one that cannot be taken goes to all others alike, not to who stands beside it.
func TestWhatOneCannotTakeGoesToAllOthers(t *testing.T) {
	for name, stop := range map[string]func(*Route){
		"closed": func(r *Route) { r.SetClosed(true) },
		"open":   func(r *Route) { r.Failed(start, Connect) },
		"full":   func(r *Route) { r.Take(0) },
	} {
		for _, down := range [][]int{{2}, {1, 2}, {0, 5}, {0, 1, 2, 3, 4}, {0, 2, 4}} {
			b, routes := balanceOf(Settings{Limit: 1}, equal(6)...)
			for _, i := range down {
				stop(routes[i])
			}
			counts := map[rune]int{}
			for _, id := range picks(b, Ask{Now: start}, 6000) {
				counts[id]++
			}
			for i, r := range routes {
				want := 6000 / (6 - len(down))
				for _, d := range down {
					if d == i {
						want = 0
					}
				}
				if got := counts[rune(r.ID()[0])]; got < want-1 || got > want+1 {
					t.Errorf("%s %v: %s got %d of 6000, want %d", name, down, r.ID(), got, want)
				}
			}
		}
	}
}

// With many down, what is left is still shared evenly.
func TestFewLeftOfMany(t *testing.T) {
	b, routes := balanceOf(Settings{}, equal(100)...)
	for i, r := range routes {
		r.SetClosed(i%25 != 3)
	}
	before := routes[3].Total()
	picks(b, Ask{Now: start}, 4000)
	for _, i := range []int{3, 28, 53, 78} {
		if got := routes[i].Total() - before; got < 990 || got > 1010 {
			t.Errorf("route %d got %d of 4000", i, got)
		}
	}
}
