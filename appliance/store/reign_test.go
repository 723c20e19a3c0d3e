package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router/usage"
)

// TestReigns: who was deposed writes no decision any more, whichever it is; what requests used is kept all the same.
func TestReigns(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		open := func(term int64) *store.Store {
			t.Helper()
			s, err := store.Open(t.Context(), store.Options{DSN: dsn, Term: term})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		decide := func(s *store.Store) error { return s.DeleteSession(t.Context(), "ses-nobody") }
		last := func(s *store.Store, want int64) {
			t.Helper()
			if got, err := s.LastTerm(t.Context()); err != nil || got != want {
				t.Errorf("decided last: %d %v, want %d", got, err, want)
			}
		}
		last(open(0), 0)
		first := open(7)
		last(first, 7)
		if err := decide(first); err != nil {
			t.Fatal("before anybody else decides:", err)
		}
		second := open(9)
		err := decide(first)
		if !errors.Is(err, store.ErrDeposed) {
			t.Errorf("after another began: %v, want ErrDeposed", err)
		}
		if e, ok := errors.AsType[*store.Error](err); !ok || e.RetryAfter() <= 0 {
			t.Errorf("who is told so is not told to ask again: %v", err)
		}
		select {
		case <-first.Deposed():
		default:
			t.Error("it was not told")
		}
		if err := decide(second); err != nil {
			t.Error("who decides now:", err)
		}
		batch := usage.Batch{Writer: "first", Number: 1, Rows: []usage.Row{{Hour: time.Now().UTC().Truncate(time.Hour), Key: usage.Key{Token: "t", Project: "p"}, Class: usage.Class2xx, Sums: usage.Sums{Requests: 1}}}}
		if err := first.AddUsage(t.Context(), batch); err != nil {
			t.Error("what requests used:", err)
		}
		if s, err := store.Open(context.WithoutCancel(t.Context()), store.Options{DSN: dsn, Term: 8}); !errors.Is(err, store.ErrDeposed) {
			t.Errorf("beginning late: %v, want ErrDeposed", err)
			_ = s.Close()
		}
	})
}

// TestFrozenInAWrite: one that decides and is frozen within a write keeps the next from deciding for seconds, and not for as long as
// its connection seems to be there.
func TestFrozenInAWrite(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	w := newWay(t, dsn)
	first, err := store.Open(t.Context(), store.Options{DSN: w.dsn, Term: 7})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	w.last.Store(new("DELETE FROM sessions"))
	go func() { ended <- first.DeleteSession(ctx, "ses-nobody") }()
	<-w.frozen
	second, err := store.Open(t.Context(), store.Options{DSN: dsn, Term: 9})
	must(t, err)
	must(t, second.DeleteSession(t.Context(), "ses-nobody"))
	must(t, second.Close())
	cancel()
	if err := <-ended; err == nil {
		t.Error("the frozen one has written")
	}
	must(t, first.Close())
}
