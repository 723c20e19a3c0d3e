package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// race runs fn n times at once and returns what each returned.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// oneWins fails unless exactly one of errs is nil and all others are of kind.
func oneWins(t *testing.T, errs []error, kind error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, kind) {
			t.Errorf("a loser got %v, want %v", err, kind)
		}
	}
	if won != 1 {
		t.Errorf("%d won, want exactly one", won)
	}
}

// Two stores on one database, as two programs would have it, must keep all promises together.
func eachPair(t *testing.T, test func(t *testing.T, s [2]*store.Store)) {
	onBoth(t, func(t *testing.T, dsn string) {
		test(t, [2]*store.Store{open(t, dsn), open(t, dsn)})
	})
}

func TestSameVersionRace(t *testing.T) {
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		v := saved(t, s[0], aService("svc-1", "one"))
		for range 10 {
			errs := race(8, func(i int) error {
				mine := v
				mine.Replicas = i
				_, err := s[i%2].SaveService(t.Context(), mine)
				return err
			})
			oneWins(t, errs, sessions.ErrConflict)
			v.Version++
		}
	})
}

func TestNewIDRace(t *testing.T) {
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		oneWins(t, race(8, func(i int) error {
			_, err := s[i%2].SaveService(t.Context(), aService("svc-1", fmt.Sprint("name-", i)))
			return err
		}), sessions.ErrConflict)
	})
}

func TestNameRace(t *testing.T) {
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		for round := range 10 {
			oneWins(t, race(8, func(i int) error {
				_, err := s[i%2].SaveService(t.Context(), aService(fmt.Sprintf("svc-%d-%d", round, i), fmt.Sprint("name-", round)))
				return err
			}), sessions.ErrExists)
		}
	})
}

func TestEventsAndTransitionsFromManySides(t *testing.T) {
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		const sides, each = 8, 20
		for _, err := range race(sides, func(i int) error {
			for n := range each {
				if err := s[i%2].AddEvent(t.Context(), sessions.Event{ServiceID: "svc-1", Message: fmt.Sprint(i, "/", n)}); err != nil {
					return err
				}
				if err := s[i%2].SaveSession(t.Context(), aSession("ses-1"), sessions.Transition{SessionID: "ses-1", At: at, Reason: fmt.Sprint(i, "/", n)}); err != nil {
					return err
				}
				if _, err := s[i%2].Sessions(t.Context()); err != nil {
					return err
				}
			}
			return nil
		}) {
			must(t, err)
		}
		events, err := s[0].Events(t.Context(), "svc-1", 0)
		must(t, err)
		transitions, err := s[1].Transitions(t.Context(), "ses-1")
		must(t, err)
		if len(events) != sides*each || len(transitions) != sides*each {
			t.Errorf("%d events and %d transitions, want %d of each", len(events), len(transitions), sides*each)
		}
	})
}

func TestManyOpenAnEmptyDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		for _, err := range race(6, func(i int) error {
			s, err := store.Open(t.Context(), store.Options{DSN: dsn})
			if err != nil {
				return err
			}
			_, err = s.SaveService(t.Context(), aService(fmt.Sprint("svc-", i), fmt.Sprint("name-", i)))
			return errors.Join(err, s.Close())
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		got, err := open(t, dsn).Services(t.Context())
		must(t, err)
		if len(got) != 6 {
			t.Errorf("%d services, want 6", len(got))
		}
	})
}
