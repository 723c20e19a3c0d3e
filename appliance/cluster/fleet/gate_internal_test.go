package fleet

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// Those who wait at the gate go in in their order; who has gone away is passed over, and keeps no place.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var inside []*pass
		for range mostUntaken {
			inside = append(inside, entered(t, g, "box"))
		}
		tired, goAway := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		let := make(chan int, 10)
		for i, ctx := range []context.Context{t.Context(), tired, t.Context(), t.Context()} {
			go func() {
				if _, err := g.enter(ctx, "box"); err == nil {
					let <- i
				} else if !errors.Is(err, gone) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		goAway(gone)
		synctest.Wait()
		inside[0].leave()
		inside[0].leave() // once is enough
		synctest.Wait()
		inside[1].leave()
		synctest.Wait()
		if g.inside != mostUntaken || g.line.Len() != 1 {
			t.Errorf("after two had left %d are inside and %d wait", g.inside, g.line.Len())
		}
		inside[2].leave()
		synctest.Wait()
		close(let)
		if got := slices.Collect(func(yield func(int) bool) {
			for i := range let {
				yield(i)
			}
		}); !slices.Equal(got, []int{0, 2, 3}) {
			t.Errorf("there went in %v", got)
		}
	})
}

// entered is one that need not wait.
func entered(t *testing.T, g *gate, node string) *pass {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	p, err := g.enter(ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Who goes away in the very moment in which it is let in gives its place to the next one.
func TestGateBothAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 1000 {
			g := newGate()
			g.places = 1
			first := entered(t, g, "box")
			ctx, goAway := context.WithCancel(t.Context())
			go func() {
				if p, err := g.enter(ctx, "box"); err == nil {
					p.leave()
				}
			}()
			synctest.Wait() // it stands in line
			if i%2 == 0 {
				goAway()
			}
			first.leave()
			goAway()
			synctest.Wait()
			if entered(t, g, "box").leave(); g.inside != 0 || g.line.Len() != 0 {
				t.Fatalf("%d are inside of an empty gate, and %d wait", g.inside, g.line.Len())
			}
		}
	})
}

// There are fewer places while nodes take long, by a third each time that all were slow, and all again once they are quick.
func TestGateLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		round := func(takes time.Duration) int {
			var inside []*pass
			for range int(g.places) {
				inside = append(inside, entered(t, g, "box"))
			}
			time.Sleep(takes)
			for _, p := range inside {
				p.taken()
			}
			return int(g.places)
		}
		var got []int
		for range 7 {
			got = append(got, round(time.Second))
		}
		if want := []int{42, 28, 18, 12, 8, 8, 8}; !slices.Equal(got, want) {
			t.Errorf("where they take long there are %v places; want %v", got, want)
		}
		rounds := 0
		for ; g.places < mostUntaken && rounds < 1000; rounds++ {
			round(takenSoon)
		}
		if rounds < mostUntaken-leastUntaken || rounds > 2*mostUntaken {
			t.Errorf("after %d rounds that were quick there are %v places", rounds, g.places)
		}
	})
}

// One node that takes nothing in leaves the places of the others as they are, but for the first time.
func TestGateOfADeafNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		for range 100 {
			p := entered(t, g, "deaf")
			p.written()
			time.Sleep(takenWithin)
			p.silent()
		}
		if got, want := int(g.places), mostUntaken*2/3; got != want {
			t.Errorf("there are %d places; want %d", got, want)
		}
		one := entered(t, g, "deaf")
		if one.written(); g.inside != 0 {
			t.Error("what waits for a deaf node keeps others out")
		}
		one.taken()
		two := entered(t, g, "deaf")
		if two.written(); g.inside != 1 {
			t.Error("it takes starts in again, and nobody waits until it does")
		}
	})
}

// deafDesk takes what is wanted, and nobody hears of it.
type deafDesk struct {
	Desk
	wanted atomic.Int64
}

func (d *deafDesk) Want(context.Context, cluster.Reign, string, cluster.Wanted) error {
	d.wanted.Add(1)
	return nil
}

func (*deafDesk) FollowReports(ctx context.Context, f func([]cluster.Told, bool)) { f(nil, true) }
func (*deafDesk) FollowOrders(ctx context.Context, f func([]cluster.Order, bool)) { f(nil, true) }

// Where nodes say nothing no more starts are written than there may be, and the others go on all the same, more slowly.
func TestStartsAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &deafDesk{}
		f := New(Deps{Desk: desk})
		f.Run(t.Context())
		ctx, giveUp := context.WithCancelCause(t.Context())
		var held atomic.Int64
		for i := range 400 {
			go func() {
				switch _, err := f.Node(strconv.Itoa(i)).Start(ctx, sessions.Spec{}); {
				case err == nil:
					t.Error("it runs")
				case errors.Is(err, sessions.ErrRuntimeDown) && errors.Is(err, errHeld):
					held.Add(1)
				}
			}()
		}
		want := int64(0)
		for _, more := range []int64{mostUntaken, 42, 28, 18, 12} {
			want += more
			synctest.Wait()
			if got := desk.wanted.Load(); got != want {
				t.Errorf("%d are written; want %d", got, want)
			}
			time.Sleep(takenWithin)
		}
		synctest.Wait()
		if got := desk.wanted.Load() + held.Load(); got != 400 || held.Load() == 0 {
			t.Errorf("after %s %d are to be tried again; written or so are %d", heldFor, held.Load(), got)
		}
		giveUp(sessions.ErrAskerGone)
		synctest.Wait()
		if f.untaken.inside != 0 || f.untaken.line.Len() != 0 {
			t.Errorf("%d are inside and %d wait when all have gone", f.untaken.inside, f.untaken.line.Len())
		}
	})
}
