package sessions

import (
	"cmp"
	"slices"
)

// turns calls waiting sessions one after the other: higher priorities first, and inside one as the
// queue's order says. Under DRF who comes next depends on what was placed before.
type turns struct {
	order   Order
	waiting []*want                   // sorted; not yet called
	share   func(user string) float64 // the dominant share of a user as it is at that moment
	users   []*userTurn               // DRF: of the priority that is being called, the next one first
}

// newTurns sorts the sessions. share is only called for DRF.
func newTurns(order Order, waiting []*want, share func(user string) float64) *turns {
	slices.SortFunc(waiting, func(a, b *want) int {
		since := a.Since.Compare(b.Since)
		if order == OrderLIFO {
			since = -since
		}
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), since, cmp.Compare(a.ID, b.ID))
	})
	return &turns{order: order, waiting: waiting, share: share}
}

// next calls a session; nil: all have been called.
func (t *turns) next() *want {
	if t.order != OrderDRF {
		if len(t.waiting) == 0 {
			return nil
		}
		w := t.waiting[0]
		t.waiting = t.waiting[1:]
		return w
	}
	t.settle()
	if len(t.users) == 0 {
		t.fill()
	}
	if len(t.users) == 0 {
		return nil
	}
	u := t.users[0]
	w := u.waiting[0]
	u.waiting, u.called = u.waiting[1:], true
	return w
}

// settle moves the user whose session was called last to where their share now belongs.
func (t *turns) settle() {
	if len(t.users) == 0 || !t.users[0].called {
		return
	}
	u := t.users[0]
	t.users = t.users[1:]
	if len(u.waiting) == 0 {
		return
	}
	u.called, u.share = false, t.share(u.name)
	i, _ := slices.BinarySearchFunc(t.users, u, (*userTurn).compare)
	t.users = slices.Insert(t.users, i, u)
}

// fill takes all sessions of the next priority and groups them by user.
func (t *turns) fill() {
	byName := map[string]*userTurn{}
	for len(t.waiting) > 0 {
		w := t.waiting[0]
		if len(t.users) > 0 && w.Priority != t.users[0].waiting[0].Priority {
			break
		}
		t.waiting = t.waiting[1:]
		u := byName[w.Owner]
		if u == nil {
			u = &userTurn{name: w.Owner, share: t.share(w.Owner)}
			byName[w.Owner] = u
			t.users = append(t.users, u)
		}
		u.waiting = append(u.waiting, w)
	}
	slices.SortFunc(t.users, (*userTurn).compare)
}

// userTurn is what one user waits for in one priority, the oldest first.
type userTurn struct {
	name    string
	share   float64
	waiting []*want
	called  bool // the first of them has just been called; it is not in waiting any more
}

// compare has the user with the smallest share first; among equals who waits longest.
func (u *userTurn) compare(o *userTurn) int {
	return cmp.Or(cmp.Compare(u.share, o.share), u.waiting[0].Since.Compare(o.waiting[0].Since), cmp.Compare(u.name, o.name))
}
