package sessions

import (
	"fmt"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

// times is what so many containers of one session ask for together. Of parts of devices each gets whole quanta, so it is
// whole quanta that add up: then all of them fit one after the other wherever their sum fits.
func times(each accel.Slots, count int, o accel.Options) accel.Slots {
	quantum := max(o.Quantum, 1)
	sum := make(accel.Slots, len(each))
	for slot, amount := range each {
		if accelerator(slot) && slot != deviceSlot(slot) {
			amount -= amount % quantum
		}
		sum[slot] = amount * accel.Amount(count)
	}
	return sum
}

// together says of how many containers an ask is; "" of one.
func (s *shape) together() string {
	if s.count < 2 || s.spread {
		return ""
	}
	return fmt.Sprintf(" for its %d containers together", s.count)
}

// allocate finds what each container of a session gets of its node, its own first.
func (p *pass) allocate(w *want, parts []part) ([]accel.Claim, error) {
	claims, ids := make([]accel.Claim, 0, w.shape.count), append([]string{w.ID}, w.Others...)
	for _, part := range parts {
		s := p.nodes.now[part.node]
		for range part.count {
			claim, err := s.Allocate(ids[len(claims)], &w.shape.each)
			if err != nil {
				return nil, err
			}
			claims, s = append(claims, claim), s.With(claim)
		}
	}
	return claims, nil
}

// on reports whether a session holds anything of a node.
func (h *Held) on(node string) bool {
	return h.Claim.Node == node || slices.ContainsFunc(h.Others, func(c accel.Claim) bool { return c.Node == node })
}

// outOf is a node's state without all that a session holds of it.
func (h *Held) outOf(s accel.State) accel.State {
	s = s.Without(h.ID)
	for i := range h.Others {
		s = s.Without(h.Others[i].Session)
	}
	return s
}

// backInto puts back into a state what a session has in another one; false: it has nothing there.
func (h *Held) backInto(s, before accel.State) (accel.State, bool) {
	claim, had := before.Claim(h.ID)
	if had {
		s = s.With(claim)
	}
	for i := range h.Others {
		if other, has := before.Claim(h.Others[i].Session); has {
			s, had = s.With(other), true
		}
	}
	return s, had
}

// slots is what all containers of a session hold together.
func (h *Held) slots() accel.Slots {
	if len(h.Others) == 0 {
		return h.Claim.Slots
	}
	sum := accel.Slots{}
	for slot, amount := range h.Claim.Slots {
		sum[slot] += amount
	}
	for i := range h.Others {
		for slot, amount := range h.Others[i].Slots {
			sum[slot] += amount
		}
	}
	return sum
}

// onDevices reports whether any container of a session has devices.
func (h *Held) onDevices() bool {
	for i := range h.Others {
		if len(h.Others[i].Shares) > 0 {
			return true
		}
	}
	return len(h.Claim.Shares) > 0
}
