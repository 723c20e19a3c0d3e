package balance

import (
	"fmt"
	"strings"
	"testing"
)

// TestFarRoutes: a far route is taken only where no near one can be, by every policy.
func TestFarRoutes(t *testing.T) {
	for _, kind := range []Kind{RoundRobin, LeastInFlight, SessionAffinity, Prefix} {
		t.Run(kind.String(), func(t *testing.T) {
			settings := Settings{Policy: kind, Limit: 1}
			b, routes := balanceOf(settings)
			for i := range 4 {
				routes = append(routes, NewRoute(letter(i), nil))
			}
			a, c := routes[0], routes[2] // near, with b: d is far, as is c
			members := membersOf(routes, 1, 1, 1, 1)
			members[2].Far, members[3].Far = true, true
			b.Set(members, settings)
			ask := Ask{Now: start, Key: 7}
			if got := picks(b, ask, 20); strings.ContainsAny(got, "cd") || !strings.ContainsAny(got, "ab") {
				t.Errorf("with nothing in flight: %s", got)
			}
			a.Take(0)
			routes[1].Take(0)
			if got := picks(b, ask, 20); strings.ContainsAny(got, "ab-") {
				t.Errorf("with the near ones full: %s", got)
			}
			a.Release()
			tried := ask
			tried.Tried = []*Route{a}
			if got := picks(b, tried, 4); strings.ContainsAny(got, "ab-") {
				t.Errorf("the near one was tried, the other is full: %s", got)
			}
			c.Take(0)
			routes[3].Take(0)
			if _, v := b.Acquire(&tried); v != Busy {
				t.Errorf("all are full or tried: %v", v)
			}
			c.Release()
			routes[3].Release()
			routes[1].Release()
			b.Set(members[2:], settings) // the near ones are gone
			if got := picks(b, ask, 20); strings.ContainsAny(got, "ab-") {
				t.Errorf("without near ones: %s", got)
			}
			if a.Take(0) {
				t.Error("a route that is gone was taken")
			}
			members[2].Far = false
			b.Set(members[2:], settings)
			if got := picks(b, ask, 5); got != "ccccc" {
				t.Errorf("when one comes near: %s", got)
			}
		})
	}
}

// TestFarRoutesShare: what the near ones cannot take goes to the far ones evenly, however many there are of both and whatever keeps
// the near ones from it.
func TestFarRoutesShare(t *testing.T) {
	for _, kind := range []Kind{RoundRobin, LeastInFlight, SessionAffinity} {
		for _, c := range []struct{ near, far int }{{1, 2}, {1, 4}, {2, 2}, {2, 3}, {3, 4}, {5, 3}, {7, 4}, {8, 9}} {
			for _, failing := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d+%d/failing=%v", kind, c.near, c.far, failing), func(t *testing.T) {
					settings := Settings{Policy: kind, Limit: 1}
					b, routes := balanceOf(settings, equal(c.near+c.far)...)
					members := membersOf(routes, equal(c.near+c.far)...)
					for i := range c.far {
						members[c.near+i].Far = true
					}
					b.Set(members, settings)
					for _, r := range routes[:c.near] {
						if !failing {
							r.Take(0)
						}
						for range 2 * tolerated {
							if failing {
								r.Failed(start, Gateway)
							}
						}
					}
					got := picks(b, Ask{Now: start}, 10*c.far)
					for _, r := range routes[c.near:] {
						if n := strings.Count(got, r.ID()); n < 9 || n > 11 {
							t.Errorf("%s got %d of %d: %s", r.ID(), n, 10*c.far, got)
						}
					}
				})
			}
		}
	}
}

// TestFarRoutesKeepTheirPart: what near ones carry is no measure of what a far one may.
func TestFarRoutesKeepTheirPart(t *testing.T) {
	settings := Settings{Policy: SessionAffinity, Limit: 100}
	b, routes := balanceOf(settings, equal(5)...)
	members := membersOf(routes, equal(5)...)
	for i := range 3 {
		members[2+i].Far = true
	}
	b.Set(members, settings)
	for range settings.Limit {
		routes[0].Take(0)
		routes[1].Take(0)
	}
	for range 30 {
		mustTake(t, b, Ask{Now: start, Key: 7})
	}
	for _, r := range routes[2:] {
		if n := r.InFlight(); n > 13 { // 125 % of a third
			t.Errorf("%s has %d in flight of 30", r.ID(), n)
		}
	}
}
