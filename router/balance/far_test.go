package balance

import (
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
