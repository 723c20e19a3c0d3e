package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// How the table is written: see admit.
const (
	// fanOut is how many bytes a second of the table go to all boxes together: a gigabit, of all members of etcd.
	fanOut = 128 << 20
	// tellingShare is the part of it that may tell of what no request is routed by.
	tellingShare = 8
	// turn is for how long is decided at a time.
	turn = time.Second
	// mostPause is how long a change by which requests are routed waits for others.
	mostPause = 10 * time.Second
	// outlookEvery is how often a row is written again for what is expected alone, which changes with the time.
	outlookEvery = 5 * time.Second
)

// gap is how long after a write the next one follows at the soonest: each is a message to each box, whatever is in it.
func gap(boxes int) time.Duration {
	return min(time.Duration(boxes)*250*time.Microsecond, 250*time.Millisecond)
}

// mostBusy is how long etcd is left alone at most because it was slow, and busyOf what that is for each box.
const (
	mostBusy = time.Second
	busyOf   = time.Millisecond
)

// nextAfter is when the next write may follow one that took from began to now. An etcd that took long for it has much to do, and many boxes
// may wait in the same line to say that they live: it is left alone for as long, or a second where they are a thousand.
func nextAfter(began, now time.Time, boxes int) time.Time {
	after, rest := began.Add(gap(boxes)), now.Add(min(now.Sub(began), time.Duration(boxes)*busyOf, mostBusy))
	if rest.After(after) {
		return rest
	}
	return after
}

// What a row takes, about, in bytes. That each box is told at all, which takes as much work as two kilobytes do, is what gap is for.
const (
	rowCost   = 500
	routeCost = 100
)

func costOf(row *cluster.Row) int { return rowCost + routeCost*len(row.Service.Routes) }

// haste is how soon a row is to be written.
type haste int

const (
	none    haste = iota // it is written already
	telling              // what people are told of a service: how far its routes are that do not answer yet, and what keeps them
	beside               // routes that come beside others, and all else by which requests are routed
	atOnce               // a route takes nothing new any more, or there is one now where there was none
)

// hasteOf says how soon row is to be written in the place of was, which was written before for a time; nil: it was not.
func hasteOf(was, row *cluster.Row, before time.Duration) haste {
	switch {
	case was == row || was != nil && same(was, row):
		return none
	case urgent(was, row):
		return atOnce
	case was == nil || !sameRouting(was, row):
		return beside
	case !SameRow(was, row) || before >= outlookEvery:
		return telling
	}
	return none
}

// sameRouting tells whether requests are routed by two rows in the same way.
func sameRouting(a, b *cluster.Row) bool {
	x, y := *a, *b
	for _, r := range []*cluster.Row{&x, &y} {
		r.Service.Status, r.Service.Broken, r.Service.Held = "", "", ""
	}
	return SameRow(&x, &y)
}

// pending is a row that may wait.
type pending struct {
	id    string
	haste haste
	late  time.Duration
	cost  int
}

// admit says which of the rows that wait are written in this turn, where bytes of them a second may go to each box; those that
// have waited for longest go first. What requests are routed by may take more than that, for none of it is to wait for longer than
// mostPause: as much in each turn as it takes to be done with what waits by then. What people are told may take a small part, and
// waits for as long as it takes: where hundreds of services start on a thousand boxes, how far they are changes all the time.
// One of each kind goes in any case.
func admit(waiting []pending, bytes int) []pending {
	slices.SortFunc(waiting, func(a, b pending) int {
		return cmp.Or(cmp.Compare(b.haste, a.haste), cmp.Compare(b.late, a.late), cmp.Compare(a.id, b.id))
	})
	i, _ := slices.BinarySearchFunc(waiting, telling, func(p pending, h haste) int { return cmp.Compare(h, p.haste) })
	routes, told, tell := waiting[:i], waiting[i:], bytes/tellingShare
	before := 0 // and with each of them
	for _, p := range routes {
		before += p.cost
		bytes = max(bytes, int(float64(before)*float64(turn)/float64(max(mostPause-p.late, turn))))
	}
	return slices.Concat(first(routes, bytes), first(told, tell))
}

// first are as many of them as fit, and one at least.
func first(all []pending, bytes int) []pending {
	for i, p := range all {
		if bytes -= p.cost; bytes < 0 {
			return all[:max(i, 1)]
		}
	}
	return all
}

// urgent tells whether a row is not to wait: a route takes nothing new any more, or there is one now where there was none.
func urgent(was, row *cluster.Row) bool {
	if was == nil || len(was.Service.Routes) == 0 {
		return len(row.Service.Routes) > 0
	}
	open := make(map[string]bool, len(row.Service.Routes))
	for _, r := range row.Service.Routes {
		open[r.ID] = !r.Draining
	}
	for _, r := range was.Service.Routes {
		if !r.Draining && !open[r.ID] {
			return true
		}
	}
	return false
}

// SameRow tells whether two rows mean the same, but for what is expected of routes that are not there yet.
func SameRow(a, b *cluster.Row) bool {
	if a == b {
		return true
	}
	x, y := *a, *b
	for _, r := range []*cluster.Row{&x, &y} {
		r.Service.ReadyAt, r.Service.RetryAt = time.Time{}, time.Time{}
	}
	return same(&x, &y)
}
