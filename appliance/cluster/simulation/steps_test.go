package simulation_test

import (
	"slices"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// steps are when sessions came to be, and how far they got.
type steps struct{ Decided, Placed, Begun, Healthy step }

// step is when, in seconds, the first of some sessions, half, and all of them had done it.
type step struct{ First, Half, All float64 }

func stepOf(after []float64) step {
	if len(after) == 0 {
		return step{}
	}
	slices.Sort(after)
	return step{after[0], after[len(after)/2], after[len(after)-1]}
}

// steps are those of sessions that came after then, and how many those are.
func (h *house) steps(then time.Time) (of steps, came int) {
	var decided, placed, begun, healthy []float64
	note := func(to *[]float64, at time.Time) {
		if !at.IsZero() {
			*to = append(*to, at.Sub(then).Seconds())
		}
	}
	h.managing.Load().EachSession("", sessions.SessionFilter{}, func(s *sessions.Session) {
		if !s.CreatedAt.Before(then) {
			came++
			note(&decided, s.CreatedAt)
			note(&placed, s.PlacedAt)
			note(&begun, s.StartedAt)
			note(&healthy, s.HealthyAt)
		}
	})
	return steps{stepOf(decided), stepOf(placed), stepOf(begun), stepOf(healthy)}, came
}
