package balance

import (
	"slices"
	"testing"
)

// homes is where each of n keys goes when nothing is in flight.
func homes(t *testing.T, b *Balance, n int) []*Route {
	t.Helper()
	var out []*Route
	for i := range n {
		r := mustTake(t, b, Ask{Now: start, Key: uint64(i + 1)})
		r.Release()
		out = append(out, r)
	}
	return out
}

func moved(before, after []*Route) (n int, from map[*Route]int) {
	from = map[*Route]int{}
	for i := range before {
		if before[i] != after[i] {
			n++
			from[before[i]]++
		}
	}
	return n, from
}

func TestSessionsStay(t *testing.T) {
	const keys = 5000
	s := Settings{Policy: SessionAffinity}
	b, routes := balanceOf(s, equal(10)...)
	first := homes(t, b, keys)
	if n, _ := moved(first, homes(t, b, keys)); n != 0 {
		t.Errorf("%d of %d keys moved for nothing", n, keys)
	}
	for _, r := range routes {
		if n := len(slices.DeleteFunc(slices.Clone(first), func(h *Route) bool { return h != r })); n < keys/10*8/10 || n > keys/10*12/10 {
			t.Errorf("%s has %d of %d keys", r.ID(), n, keys)
		}
	}
	// However the table lists them, and in another run.
	turned := append(membersOf(routes[5:], equal(5)...), membersOf(routes[:5], equal(5)...)...)
	b.Set(turned, s)
	if n, _ := moved(first, homes(t, b, keys)); n != 0 {
		t.Errorf("%d keys moved as the table was turned", n)
	}
	again, _ := balanceOf(s, equal(10)...)
	for i, r := range homes(t, again, keys) {
		if r.ID() != first[i].ID() {
			t.Fatalf("key %d is at %s in another run, was at %s", i, r.ID(), first[i].ID())
		}
	}
	// One comes: it gets its part, and few others move.
	b.Set(membersOf(append(slices.Clone(routes), NewRoute("n", nil)), equal(11)...), s)
	if n, _ := moved(first, homes(t, b, keys)); n < keys/11*8/10 || n > keys/11*14/10 {
		t.Errorf("%d of %d keys moved as an eleventh came", n, keys)
	}
	b.Set(membersOf(routes, equal(10)...), s)
	if n, _ := moved(first, homes(t, b, keys)); n != 0 {
		t.Errorf("%d keys did not come back", n)
	}
}

// The sessions of one that fails spread over all others, the same way each time; nobody else's move, and
// they come back.
func TestSessionsOfOneThatFails(t *testing.T) {
	const keys = 5000
	b, routes := balanceOf(Settings{Policy: SessionAffinity}, equal(10)...)
	first := homes(t, b, keys)
	routes[3].Failed(start, Connect)
	second := homes(t, b, keys)
	n, from := moved(first, second)
	if len(from) != 1 || from[routes[3]] != n {
		t.Errorf("moved from %v", from)
	}
	to := map[*Route]int{}
	for i, r := range first {
		if r == routes[3] {
			to[second[i]]++
		}
	}
	for _, r := range routes {
		if r != routes[3] && (to[r] < n/9/2 || to[r] > n/9*2) {
			t.Errorf("%s got %d of the %d", r.ID(), to[r], n)
		}
	}
	if n, _ := moved(second, homes(t, b, keys)); n != 0 {
		t.Errorf("%d moved again", n)
	}
	routes[3].Worked()
	if n, _ := moved(first, homes(t, b, keys)); n != 0 {
		t.Errorf("%d did not come back", n)
	}
}

// One session that floods does not take its route down: beyond its slack it is held to 125 % of the mean.
func TestOneSessionIsNoFlood(t *testing.T) {
	b, routes := balanceOf(Settings{Policy: SessionAffinity}, equal(4)...)
	home := mustTake(t, b, Ask{Now: start, Key: 7})
	for range slack - 1 {
		if r := mustTake(t, b, Ask{Now: start, Key: 7}); r != home {
			t.Fatal("left its route within the slack")
		}
	}
	for range 400 {
		mustTake(t, b, Ask{Now: start, Key: 7})
	}
	for _, r := range routes {
		if n := r.InFlight(); n > (408*5/4+3)/4+1 {
			t.Errorf("%s has %d of 408", r.ID(), n)
		}
	}
}
