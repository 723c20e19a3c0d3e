package balance

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func letter(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return "r" + strconv.Itoa(i)
}

func membersOf(routes []*Route, weights ...float64) []Member {
	var out []Member
	for i, w := range weights {
		out = append(out, Member{Route: routes[i], Weight: w})
	}
	return out
}

// balanceOf makes a balance of routes a, b, c, ...
func balanceOf(s Settings, weights ...float64) (*Balance, []*Route) {
	b := &Balance{}
	var routes []*Route
	for i := range weights {
		routes = append(routes, NewRoute(letter(i), nil))
	}
	b.Set(membersOf(routes, weights...), s)
	return b, routes
}

func equal(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// picks makes n picks in a row, each given back at once, and names them.
func picks(b *Balance, ask Ask, n int) string {
	var out strings.Builder
	for range n {
		r, v := b.Acquire(&ask)
		if v != Taken {
			out.WriteByte('-')
			continue
		}
		out.WriteString(r.ID())
		r.Release()
	}
	return out.String()
}

func mustTake(t *testing.T, b *Balance, ask Ask) *Route {
	t.Helper()
	r, v := b.Acquire(&ask)
	if v != Taken {
		t.Fatalf("got %v", v)
	}
	return r
}
