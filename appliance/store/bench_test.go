package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

// benchBoth runs bench on a new store of each kind.
func benchBoth(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	for name, fresh := range databases {
		b.Run(name, func(b *testing.B) { bench(b, open(b, fresh(b))) })
	}
}

// What a start of the daemon reads: every session that is kept.
func BenchmarkListSessions10000(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *store.Store) {
		for i := range 10_000 {
			v := aSession(fmt.Sprint("ses-", i))
			v.CreatedAt = at.Add(time.Duration(i) * time.Second)
			must(b, s.SaveSession(b.Context(), v))
		}
		for b.Loop() {
			got, err := s.Sessions(b.Context())
			if err != nil || len(got) != 10_000 {
				b.Fatalf("%d sessions, %v", len(got), err)
			}
		}
	})
}

// A status change: one durable commit of a row and a transition.
func BenchmarkSaveSession(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *store.Store) {
		v := aSession("ses-1")
		for b.Loop() {
			must(b, s.SaveSession(b.Context(), v, sessions.Transition{SessionID: "ses-1"}))
		}
	})
}

// Status changes of 64 sessions at one time, as where a box has died, in a transaction each and as they are written.
func BenchmarkSaveSessionsAtOnce(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *store.Store) {
		for _, way := range []struct {
			name string
			do   func(context.Context, string, func(context.Context, store.Writing) error) error
		}{{"alone", s.Alone}, {"together", s.Together}} {
			b.Run(way.name, func(b *testing.B) {
				for b.Loop() {
					for _, err := range race(64, func(i int) error {
						v := aSession(fmt.Sprint("ses-", i))
						return way.do(b.Context(), "saving", func(ctx context.Context, w store.Writing) error { return w.Save(ctx, v) })
					}) {
						must(b, err)
					}
				}
			})
		}
	})
}

func BenchmarkAddEvent(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *store.Store) {
		for b.Loop() {
			must(b, s.AddEvent(b.Context(), sessions.Event{ServiceID: "svc-1", Kind: "scaled", Message: "from 1 to 2"}))
		}
	})
}

// A start: the version is looked at, nothing is migrated.
func BenchmarkOpen(b *testing.B) {
	for name, fresh := range databases {
		b.Run(name, func(b *testing.B) {
			dsn := fresh(b)
			open(b, dsn)
			for b.Loop() {
				s, err := store.Open(b.Context(), store.Options{DSN: dsn})
				must(b, err)
				must(b, s.Close())
			}
		})
	}
}
