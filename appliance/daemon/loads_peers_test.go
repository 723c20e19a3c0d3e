package daemon

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/door"
)

// All other boxes are one elder: what they have in flight is summed up, of one that falls silent nothing counts, and of a route that
// is closed each is asked whether it knows.
func TestPeersAreOneElder(t *testing.T) {
	over, lives := make(chan struct{}), map[string]bool{"two": true, "three": true}
	closed := map[string]int64{}
	ps := &peers{closed: func(route string) bool { _, is := closed[route]; return is }}
	of := func(name string) *peer {
		return ps.of(name, func() *peer {
			return &peer{name: name, over: over, living: func(name string) bool { return lives[name] },
				told: func(route string, revision int64) bool { at, is := closed[route]; return !is || revision >= at }}
		})
	}
	flying := func(step, route string, want int) {
		t.Helper()
		if got := ps.flying(route); got != want {
			t.Errorf("%s: %d in flight on %s, want %d", step, got, route, want)
		}
	}
	if !ps.gone() {
		t.Error("nobody is there, and they are")
	}
	two := of("two")
	ps.hear(two, door.Load{Revision: 1, Flying: map[string]int{"a": 2, "b": 1}, Held: map[string]int{"chat": 1}}, carried{})
	ps.hear(of("three"), door.Load{Revision: 1, Flying: map[string]int{"a": 1}, Held: map[string]int{"chat": 2}}, carried{})
	flying("both", "a", 3)
	ps.hear(two, door.Load{Revision: 1, Flying: map[string]int{"a": 1}}, carried{})
	flying("one has less", "a", 2)
	flying("one has none", "b", 0)
	if n := ps.waiting()["chat"]; n != 2 {
		t.Errorf("%d wait, want 2", n)
	}
	closed["c"] = 2
	flying("nobody knows that it is closed", "c", 2)
	ps.hear(two, door.Load{Revision: 2}, carried{})
	flying("one knows", "c", 1)
	lives["three"] = false
	flying("the other is silent", "c", 0)
	ps.sweep()
	flying("and forgotten", "a", 0)
	ps.hear(two, door.Load{Revision: 2, Flying: map[string]int{"a": 4}}, carried{})
	lives["two"] = false
	if !ps.gone() {
		t.Error("all are silent, and somebody is there")
	}
	lives["two"] = true
	ps.hear(of("two"), door.Load{Revision: 2, Flying: map[string]int{"a": 5}}, carried{})
	flying("back", "a", 5)
	e := &elders{}
	e.join(ps)
	e.join(ps)
	if n := e.flying("a"); n != 5 {
		t.Errorf("joined twice they have %d in flight", n)
	}
	close(over)
	if !ps.gone() {
		t.Error("they outlive the life that heard of them")
	}
}
