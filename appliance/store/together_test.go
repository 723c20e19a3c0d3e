package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

var errRefused = errors.New("this part is refused")

// note is something small to write.
func note(name string) sessions.LoadTime {
	return sessions.LoadTime{Key: name, Device: "d", At: at, Took: 1}
}

// wantNoted fails unless those were written, and nothing else.
func wantNoted(t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	all, err := s.LoadTimes(t.Context())
	must(t, err)
	var names []string
	for _, l := range all {
		names = append(names, l.Key)
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("written was %q, want %q", names, want)
	}
}

// writes has a part write what is called so.
func writes(name string) func(context.Context, store.Writing) error {
	return func(ctx context.Context, w store.Writing) error { return w.Note(ctx, note(name)) }
}

// crowd has callers ask for parts while another one is being written: all of them wait for it, in order.
type crowd struct {
	t       *testing.T
	s       *store.Store
	release chan struct{}
	first   chan error
}

func gather(t *testing.T, s *store.Store) *crowd {
	t.Helper()
	c := &crowd{t, s, make(chan struct{}), make(chan error, 1)}
	begun := make(chan struct{})
	go func() {
		c.first <- s.Together(t.Context(), "first", func(ctx context.Context, w store.Writing) error {
			close(begun)
			<-c.release
			return w.Note(ctx, note("first"))
		})
	}()
	<-begun
	return c
}

// ask has one more caller ask, and returns when it waits.
func (c *crowd) ask(ctx context.Context, name string, fn func(context.Context, store.Writing) error) <-chan error {
	c.t.Helper()
	said := make(chan error, 1)
	waited := c.s.Waiting()
	go func() { said <- c.s.Together(ctx, name, fn) }()
	for c.s.Waiting() == waited {
		runtime.Gosched()
	}
	return said
}

// end lets the one that is being written go on.
func (c *crowd) end() {
	c.t.Helper()
	close(c.release)
	must(c.t, <-c.first)
}

// TestTogether: what is asked for while something is written is written in one transaction.
func TestTogether(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		c := gather(t, s)
		in := map[any]int{}
		var all []<-chan error
		want := []string{"first"}
		for i := range 100 {
			name := fmt.Sprintf("part-%03d", i)
			want = append(want, name)
			all = append(all, c.ask(t.Context(), name, func(ctx context.Context, w store.Writing) error {
				in[w.Transaction()]++
				return w.Note(ctx, note(name))
			}))
		}
		c.end()
		for _, said := range all {
			must(t, <-said)
		}
		var sizes []int
		for _, n := range in {
			sizes = append(sizes, n)
		}
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{36, 64}) {
			t.Errorf("written in transactions of %d", sizes)
		}
		wantNoted(t, s, want...)
	})
}

// TestTogetherOneRefused: one that cannot be written keeps no other from it, and leaves nothing behind.
func TestTogetherOneRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		c := gather(t, s)
		a := c.ask(t.Context(), "a", writes("a"))
		bad := c.ask(t.Context(), "saving the bad one", func(ctx context.Context, w store.Writing) error {
			return errors.Join(w.Note(ctx, note("bad")), errRefused)
		})
		b := c.ask(t.Context(), "b", writes("b"))
		c.end()
		must(t, <-a)
		must(t, <-b)
		if err := <-bad; !errors.Is(err, errRefused) || !strings.HasPrefix(err.Error(), "saving the bad one: ") {
			t.Errorf("the bad one: %v", err)
		}
		wantNoted(t, s, "a", "b", "first")
	})
}

// TestTogetherLeft: who has left before its part was begun is not written; who leaves while it is written does not wait.
func TestTogetherLeft(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		c := gather(t, s)
		leaving, leave := context.WithCancel(t.Context())
		gone := c.ask(leaving, "gone", writes("gone"))
		stays := c.ask(t.Context(), "stays", writes("stays"))
		leave()
		wantError(t, <-gone, context.Canceled)
		c.end()
		must(t, <-stays)
		wantNoted(t, s, "first", "stays")

		leaving, leave = context.WithCancel(t.Context())
		begun, ended := make(chan struct{}), make(chan struct{})
		said := make(chan error, 1)
		go func() {
			said <- s.Together(leaving, "hangs", func(ctx context.Context, w store.Writing) error {
				defer close(ended)
				close(begun)
				<-ctx.Done() // nobody waits any more
				return ctx.Err()
			})
		}()
		<-begun
		leave()
		wantError(t, <-said, context.Canceled)
		<-ended
		must(t, s.Together(t.Context(), "after", writes("after")))
	})
}

// TestTogetherClosed: what is asked of a store that is closed is refused, and what waits is told.
func TestTogetherClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		c := gather(t, s)
		waits := c.ask(t.Context(), "waits", writes("waits"))
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		close(c.release)
		<-c.first
		<-waits // written or not
		must(t, <-closed)
		wantError(t, s.SaveSession(t.Context(), aSession("ses-late")), store.ErrClosed)
	})
}
