package sessions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// usage is what users and projects hold, those placed in this pass included.
type usage struct {
	quotas   Quotas
	users    map[string]*tally
	projects map[string]*tally
	capacity accel.Slots // of the pool, by device slot; for dominant shares
}

// tally is what the sessions of one user or project hold together.
type tally struct {
	slots    accel.Slots
	sessions int
	leaving  tallyLeaving
}

// tallyLeaving is the part of a tally that comes free by itself.
type tallyLeaving struct {
	slots    accel.Slots
	sessions int
}

// newUsage counts. Where nothing depends on it, nothing is counted, and it is nil.
func newUsage(q *Queue) *usage {
	if q.Order != OrderDRF && q.Quotas.none() {
		return nil
	}
	u := &usage{quotas: q.Quotas, users: map[string]*tally{}, projects: map[string]*tally{}}
	if q.Order == OrderDRF {
		u.capacity = capacityOf(q.Pool)
	}
	for i := range q.Running {
		h := &q.Running[i]
		held := h.slots()
		u.add(h.Owner, h.Project, held)
		if h.Leaving {
			u.users[h.Owner].leave(held)
			u.projects[h.Project].leave(held)
		}
	}
	return u
}

// capacityOf sums up what a pool has, taken or not.
func capacityOf(pool accel.Pool) accel.Slots {
	sum := accel.Slots{}
	for _, s := range pool {
		sum[accel.SlotCPU] += s.Total(accel.SlotCPU)
		sum[accel.SlotMem] += s.Total(accel.SlotMem)
		var seen []accel.Slot
		for i := range s.Node().Devices {
			if slot := s.Node().Devices[i].Slot; !slices.Contains(seen, slot) {
				seen = append(seen, slot)
				sum[slot] += s.Total(slot)
			}
		}
	}
	return sum
}

func (u *usage) add(user, project string, slots accel.Slots) {
	if u == nil {
		return
	}
	for _, t := range []*tally{tallyOf(u.users, user), tallyOf(u.projects, project)} {
		t.sessions++
		for slot, amount := range slots {
			t.slots[slot] += amount
		}
	}
}

func tallyOf(all map[string]*tally, name string) *tally {
	t := all[name]
	if t == nil {
		t = &tally{slots: accel.Slots{}, leaving: tallyLeaving{slots: accel.Slots{}}}
		all[name] = t
	}
	return t
}

func (t *tally) leave(slots accel.Slots) {
	t.leaving.sessions++
	for slot, amount := range slots {
		t.leaving.slots[slot] += amount
	}
}

// share is a user's dominant share: the largest part of any resource of the pool that they hold. A
// resource that the pool has nothing of is left out. Shares of devices count as parts of devices.
func (u *usage) share(user string) float64 {
	t := u.users[user]
	if t == nil {
		return 0
	}
	held := accel.Slots{}
	for slot, amount := range t.slots {
		held[deviceSlot(slot)] += amount
	}
	most := 0.0
	for slot, amount := range held {
		if capacity := u.capacity[slot]; capacity > 0 {
			most = max(most, float64(amount)/float64(capacity))
		}
	}
	return most
}

// check returns why the quotas of a session's user and project keep it from starting.
func (u *usage) check(w *want) []Wait {
	if u == nil {
		return nil
	}
	var waits []Wait
	if q := u.quotas.ofUser(w.Owner); !q.none() {
		waits = append(waits, overQuota(PredicateUserLimit, "user "+w.Owner, q, tallyOf(u.users, w.Owner), w.shape.slots)...)
	}
	if q := u.quotas.ofProject(w.Project); !q.none() {
		waits = append(waits, overQuota(PredicateProjectLimit, "project "+w.Project, q, tallyOf(u.projects, w.Project), w.shape.slots)...)
	}
	return waits
}

// bound is what a quota lets a slot have, and how much of it is held. Parts of devices and whole ones are the same
// devices: where only one of the two has a line, that holds for both together.
func (q Quota) bound(slot accel.Slot, held, leaving accel.Slots) (most, has, ends accel.Amount, bounded bool) {
	line := slot
	if _, own := q.Slots[slot]; !own {
		for other := range q.Slots {
			if deviceSlot(other) == deviceSlot(slot) {
				line = other
			}
		}
	}
	if most, bounded = q.Slots[line]; !bounded {
		return 0, 0, 0, false
	}
	for other, amount := range held {
		if _, own := q.Slots[other]; other == line || !own && deviceSlot(other) == deviceSlot(line) {
			has += amount
			ends += leaving[other]
		}
	}
	return most, has, ends, true
}

// overQuota lists each bound that the ask would pass, in the order cpu, mem, accelerators, sessions.
func overQuota(p Predicate, who string, q Quota, t *tally, asked accel.Slots) []Wait {
	var waits []Wait
	for _, slot := range append([]accel.Slot{accel.SlotCPU, accel.SlotMem}, asked.Accelerators()...) {
		most, has, ends, bounded := q.bound(slot, t.slots, t.leaving.slots)
		want := asked[slot]
		if !bounded || want == 0 || want <= most-has {
			continue
		}
		wait := Wait{Predicate: p, Sentence: fmt.Sprintf("waits for the limit of %s: %s of %s %s in use, it asks for %s",
			who, accel.Format(slot, has), accel.Format(slot, most), slot, accel.Format(slot, want))}
		switch {
		case want > most:
			wait.Sentence = fmt.Sprintf("asks for %s, more than %s may have: %s",
				amountOf(slot, want), who, accel.Format(slot, most))
			if most > 0 {
				wait.Would = "would be within it with " + amountOf(slot, most)
			}
		case want <= most-has+ends:
			wait.Would = "is within it when sessions that are ending have given back what they hold"
		default:
			wait.Would = fmt.Sprintf("would be within it if other sessions of %s gave back %s", who, amountOf(slot, has+want-most))
		}
		waits = append(waits, wait)
	}
	if q.Sessions > 0 && t.sessions >= q.Sessions {
		wait := Wait{Predicate: p, Sentence: fmt.Sprintf("waits for the limit of %s: %d of %d sessions", who, t.sessions, q.Sessions)}
		wait.Would = fmt.Sprintf("would be within it if %s of it ended", plural(t.sessions-q.Sessions+1, "session"))
		if t.sessions-t.leaving.sessions < q.Sessions {
			wait.Would = "is within it when sessions that are ending have gone"
		}
		waits = append(waits, wait)
	}
	return waits
}

// amountOf writes an amount with its slot: "2 cuda.device", "64 GiB mem".
func amountOf(slot accel.Slot, amount accel.Amount) string {
	return accel.Format(slot, amount) + " " + string(slot)
}

// enumerate joins words for people: "a", "a and b", "a, b and c".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
