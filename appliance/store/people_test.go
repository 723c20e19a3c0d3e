package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/store"
)

var _ people.Store = (*store.Store)(nil)

func TestUsers(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full := filled[people.User]()
		bare := people.User{Name: "a"}
		must(t, s.SaveUser(t.Context(), full))
		must(t, s.SaveUser(t.Context(), bare))
		got, err := s.Users(t.Context())
		must(t, err)
		if d := cmp.Diff([]people.User{bare, full}, got); d != "" && full.Name > "a" {
			t.Errorf("users (-want +got):\n%s", d)
		}
		other := people.User{Name: "z z", Issuer: full.Issuer, Subject: full.Subject}
		wantError(t, s.SaveUser(t.Context(), other), store.ErrExists)
		full = people.User{Name: full.Name, DisplayName: awkward, Recovery: []string{}, Known: []string{awkward}}
		must(t, s.SaveUser(t.Context(), full))
		got, err = s.Users(t.Context())
		must(t, err)
		if d := cmp.Diff(full, got[1]); d != "" {
			t.Errorf("after an update (-want +got):\n%s", d)
		}
		must(t, s.SaveUser(t.Context(), other)) // it is free now
	})
}

func TestLogIns(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full := filled[people.Session]()
		later := people.Session{ID: "login-2", Hash: "h2", User: "ada", Agent: awkward, CreatedAt: full.CreatedAt.Add(time.Hour), LastSeen: full.CreatedAt.Add(time.Hour)}
		must(t, s.SaveLogIn(t.Context(), full))
		must(t, s.SaveLogIn(t.Context(), later))
		same := later
		same.ID = "login-3"
		wantError(t, s.SaveLogIn(t.Context(), same), store.ErrExists)
		seen := later.LastSeen.Add(time.Minute)
		must(t, s.TouchLogIns(t.Context(), map[string]time.Time{"login-2": seen, full.ID: full.LastSeen.Add(-time.Hour), "login-9": seen}))
		must(t, s.TouchLogIns(t.Context(), nil))
		later.LastSeen = seen
		got, err := s.LogIns(t.Context())
		must(t, err)
		if d := cmp.Diff([]people.Session{full, later}, got); d != "" {
			t.Errorf("log-in sessions (-want +got):\n%s", d)
		}
		later.Hash = "h3"
		must(t, s.SaveLogIn(t.Context(), later))
		must(t, s.DeleteLogIns(t.Context(), full.ID, "login-9"))
		got, err = s.LogIns(t.Context())
		must(t, err)
		if d := cmp.Diff([]people.Session{later}, got); d != "" {
			t.Errorf("after a new secret and the end of the other (-want +got):\n%s", d)
		}
	})
}
