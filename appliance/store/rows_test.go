package store_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// awkward is text that breaks what is careless: quotes, SQL, templates, other scripts, emoji, controls.
const awkward = `O'Brien "x" \ %s $1 ?1 :a {{.}} -- ; DROP TABLE services;` + "\n\t\r 한국어 العربية 🦙 e\u0301 \u200b\uFFFD"

// at is a time as others hand it over: not UTC, with all that a microsecond can hold.
var at = time.Date(2026, 3, 29, 1, 59, 59, 123456000, time.FixedZone("far", 13*3600+1800))

func aService(id, name string) sessions.Service {
	return sessions.Service{
		ID: id, Name: name, Project: "default", CreatedBy: awkward, CreatedAt: at, UpdatedAt: at.Add(time.Hour),
		Lifecycle: sessions.LifecycleActive, Replicas: 2, Public: true,
		Policy: sessions.Policy{UnhealthyTTL: time.Minute, OnUnhealthy: "hold", TerminationGrace: 1500 * time.Millisecond,
			StartTimeout: 30 * time.Minute, MaxSurge: 1, MaxUnavailable: 2},
		Revision: 3, GoodRevision: 2, Failures: 4, LastError: awkward, RetryAt: at.Add(time.Second),
	}
}

func aLaunch() variants.LaunchSpec {
	return variants.LaunchSpec{
		Variant: "custom", ModelName: awkward, Port: 8000, Mount: "/models", Scratch: []string{"/tmp"},
		Health: &catalog.HealthCheck{Path: "/health", Interval: 10 * time.Second, MaxRetries: 10, MaxWait: 15 * time.Second, ExpectedStatus: 200},
		Env:    map[string]string{"A": awkward, "": "empty"},
		Processes: []variants.Process{{Name: "m", Argv: []string{"bash", "-c", awkward}, WorkDir: "/models", Port: 8000,
			PreStart: []catalog.Action{{Name: "write_file", Args: catalog.ActionArgs{Filename: "/x", Body: []string{awkward, ""}, Mode: "644"}}}}},
		Metrics: variants.Metrics{Path: "/metrics", Names: map[string][]string{"running": {"vllm:num_requests_running"}}},
	}
}

func aSession(id string) sessions.Session {
	return sessions.Session{
		ID: id, Name: awkward, Project: "default", Type: sessions.TypeInference, CreatedBy: "me", CreatedAt: at,
		ServiceID: "svc-1", Revision: 3, Image: "host", Launch: aLaunch(),
		Mounts: []sessions.Mount{{Source: "/a b/'c'", Target: "/models", ReadOnly: true}},
		Limits: sessions.Limits{MilliCPU: 500, Memory: math.MaxInt64, Shm: 1, Pids: 2},
		Status: sessions.StatusTerminated, Reason: awkward, Result: sessions.ResultFailure,
		Exit:    &sessions.Exit{Reason: sessions.ExitOutOfMemory, Code: 137, Signal: "SIGKILL", Message: awkward, FinishedAt: at},
		Address: "10.1.2.3:8000", PID: 4194304, StartedAt: at.Add(time.Second), HealthyAt: at.Add(2 * time.Second), EndedAt: at.Add(time.Minute), TrafficRatio: 0.1,
	}
}

func TestServiceRoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full := saved(t, s, aService("svc-1", awkward))
		bare := saved(t, s, sessions.Service{ID: "svc-2", Lifecycle: sessions.LifecycleDestroying})
		if full.Version != 1 || bare.Version != 1 {
			t.Errorf("versions after the first save: %d, %d, want 1", full.Version, bare.Version)
		}
		got, err := s.Services(t.Context())
		must(t, err)
		slices.SortFunc(got, func(a, b sessions.Service) int { return strings.Compare(a.ID, b.ID) })
		if d := cmp.Diff([]sessions.Service{full, bare}, got); d != "" {
			t.Errorf("services (-saved +read):\n%s", d)
		}
		for _, v := range got {
			if loc := v.CreatedAt.Location(); loc != time.UTC && !v.CreatedAt.IsZero() {
				t.Errorf("times come back in %v, want UTC", loc)
			}
		}
		full.Replicas, full.Public, full.RetryAt, full.LastError, full.Project = 0, false, time.Time{}, "", "other"
		full = saved(t, s, full)
		got, err = s.Services(t.Context())
		must(t, err)
		if i := slices.IndexFunc(got, func(v sessions.Service) bool { return v.ID == "svc-1" }); cmp.Diff(full, got[i]) != "" {
			t.Errorf("after an update (-saved +read):\n%s", cmp.Diff(full, got[i]))
		}
	})
}

// A service that an older version wrote has the routing that such services had: the default.
func TestServiceOfAnOlderVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		saved(t, s, aService("svc-1", "one"))
		db := raw(t, dsn)
		for kept, want := range map[string]sessions.Routing{
			`{}`:                                sessions.DefaultRouting(),
			`{"balance":"prefix","max_held":0}`: {Balance: "prefix", HoldTimeout: sessions.DefaultRouting().HoldTimeout, Usage: "auto"},
		} {
			_, err := db.Exec("UPDATE services SET routing = '" + kept + "'")
			must(t, err)
			got, err := s.Services(t.Context())
			must(t, err)
			if d := cmp.Diff(want, got[0].Routing); d != "" {
				t.Errorf("%s (-want +got):\n%s", kept, d)
			}
		}
	})
}

func TestServiceVersions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		v := saved(t, s, aService("svc-1", "one"))
		stale := v
		v.Replicas = 7
		v = saved(t, s, v)
		if v.Version != 2 {
			t.Errorf("version %d, want 2", v.Version)
		}
		_, err := s.SaveService(t.Context(), stale)
		wantError(t, err, sessions.ErrConflict)
		_, err = s.SaveService(t.Context(), aService("svc-1", "one"))
		wantError(t, err, sessions.ErrConflict)
		gone := aService("svc-9", "nine")
		gone.Version = 1
		_, err = s.SaveService(t.Context(), gone)
		wantError(t, err, sessions.ErrNotFound)

		got, err := s.Services(t.Context())
		must(t, err)
		if d := cmp.Diff([]sessions.Service{v}, got); d != "" {
			t.Errorf("refused saves left a trace (-want +got):\n%s", d)
		}
	})
}

func TestServiceNames(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		one := saved(t, s, aService("svc-1", "name"))
		_, err := s.SaveService(t.Context(), aService("svc-2", "name"))
		wantError(t, err, sessions.ErrExists)
		elsewhere := aService("svc-3", "name")
		elsewhere.Project = "other"
		saved(t, s, elsewhere)
		saved(t, s, aService("svc-4", "Name"))

		// Taken while being destroyed, free after.
		one.Lifecycle = sessions.LifecycleDestroying
		one = saved(t, s, one)
		_, err = s.SaveService(t.Context(), aService("svc-2", "name"))
		wantError(t, err, sessions.ErrExists)
		one.Lifecycle = sessions.LifecycleDestroyed
		one = saved(t, s, one)
		two := saved(t, s, aService("svc-2", "name"))

		// Nor does a change of name, or a return from the dead, take a name that another has.
		four := aService("svc-4", "name")
		four.Version = 1
		_, err = s.SaveService(t.Context(), four)
		wantError(t, err, sessions.ErrExists)
		one.Lifecycle = sessions.LifecycleActive
		_, err = s.SaveService(t.Context(), one)
		wantError(t, err, sessions.ErrExists)

		got, err := s.Services(t.Context())
		must(t, err)
		var ids []string
		for _, v := range got {
			ids = append(ids, v.ID)
		}
		slices.Sort(ids)
		if d := cmp.Diff([]string{two.ID, "svc-3", "svc-4"}, ids); d != "" {
			t.Errorf("services that are not destroyed (-want +got):\n%s", d)
		}
	})
}

func TestRevisions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		var want []sessions.Revision
		for n := range 12 {
			r := sessions.Revision{ServiceID: "svc-1", Number: n + 1, CreatedAt: at, CreatedBy: awkward, Launch: aLaunch(),
				Recipe: sessions.Recipe{Image: "host", Folder: "fld-1", Variant: "custom", Env: map[string]string{"K": awkward},
					Resources: map[string]string{"cpu": "4", "cuda.shares": "2.5"}, Mounts: []sessions.FolderMount{{Folder: "fld-2", Target: "/data"}}}}
			want = append(want, r)
		}
		for _, r := range slices.Backward(want) {
			must(t, s.SaveRevision(t.Context(), r))
		}
		must(t, s.SaveRevision(t.Context(), sessions.Revision{ServiceID: "svc-2", Number: 1}))
		want[3].Failed = awkward
		must(t, s.SaveRevision(t.Context(), want[3]))
		got, err := s.Revisions(t.Context(), "svc-1")
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("revisions (-want +got):\n%s", d)
		}
		none, err := s.Revisions(t.Context(), "svc-9")
		must(t, err)
		if len(none) != 0 {
			t.Errorf("revisions of nobody: %v", none)
		}
	})
}

func TestSessionRoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		newest := aSession("ses-a")
		newest.CreatedAt = at.Add(time.Microsecond)
		oldest := sessions.Session{ID: "ses-z", CreatedAt: at, Status: sessions.StatusPending}
		must(t, s.SaveSession(t.Context(), newest))
		must(t, s.SaveSession(t.Context(), oldest))
		got, err := s.Sessions(t.Context())
		must(t, err)
		if d := cmp.Diff([]sessions.Session{oldest, newest}, got); d != "" {
			t.Errorf("sessions (-saved +read):\n%s", d)
		}
		newest.Exit, newest.EndedAt, newest.Status, newest.TrafficRatio = nil, time.Time{}, sessions.StatusRunning, 0
		must(t, s.SaveSession(t.Context(), newest))
		must(t, s.DeleteSession(t.Context(), oldest.ID))
		must(t, s.DeleteSession(t.Context(), oldest.ID))
		got, err = s.Sessions(t.Context())
		must(t, err)
		if d := cmp.Diff([]sessions.Session{newest}, got); d != "" {
			t.Errorf("after update and delete (-want +got):\n%s", d)
		}
	})
}

// Sessions that are added together are there together, each with the first entry of its history, and adding them again
// after an answer was lost changes nothing.
func TestSessionsAddedTogether(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		all := make([]sessions.Session, 60)
		for i := range all {
			all[i] = filled[sessions.Session]()
			all[i].ID = fmt.Sprintf("ses-%03d", i)
		}
		for range 2 {
			must(t, s.AddSessions(t.Context(), all))
		}
		got, err := s.Sessions(t.Context())
		must(t, err)
		if d := cmp.Diff(all, got, addresses); d != "" {
			t.Errorf("(-added +read):\n%s", d)
		}
		history, err := s.Transitions(t.Context(), "ses-059")
		must(t, err)
		if d := cmp.Diff([]sessions.Transition{all[59].Recorded()}, history); d != "" {
			t.Errorf("history (-added +read):\n%s", d)
		}
	})
}

func TestTransitions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		life := []sessions.Status{sessions.StatusPending, sessions.StatusScheduled, sessions.StatusPreparing, sessions.StatusPrepared,
			sessions.StatusCreating, sessions.StatusRunning, sessions.StatusTerminating, sessions.StatusTerminated}
		var want []sessions.Transition
		for i := range len(life) - 1 {
			// All within one microsecond: the order is that of saving.
			step := sessions.Transition{SessionID: "ses-1", From: life[i], To: life[i+1], Reason: awkward, At: at}
			v := aSession("ses-1")
			v.Status = step.To
			must(t, s.SaveSession(t.Context(), v, step))
			must(t, s.SaveSession(t.Context(), v, step)) // again: the answer was lost
			want = append(want, step)
		}
		must(t, s.SaveSession(t.Context(), aSession("ses-2"), sessions.Transition{SessionID: "ses-2", To: sessions.StatusError}))
		got, err := s.Transitions(t.Context(), "ses-1")
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("transitions (-want +got):\n%s", d)
		}
		must(t, s.DeleteSession(t.Context(), "ses-1"))
		for id, n := range map[string]int{"ses-1": 0, "ses-2": 1} {
			got, err := s.Transitions(t.Context(), id)
			must(t, err)
			if len(got) != n {
				t.Errorf("%s has %d transitions after the delete of ses-1, want %d", id, len(got), n)
			}
		}
	})
}

func TestEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		const many = 1010
		scaled := func(i int) sessions.Event {
			return sessions.Event{ServiceID: "svc-1", SessionID: "ses-1", At: at, Kind: "scaled", Message: fmt.Sprint(i, " ", awkward)}
		}
		for i := range many - 2 {
			must(t, s.AddEvent(t.Context(), scaled(i)))
		}
		must(t, s.AddEvent(t.Context(), sessions.Event{ServiceID: "svc-2", Kind: "created"}, scaled(many-2), scaled(many-1)))
		got, err := s.Events(t.Context(), "svc-1", 3)
		must(t, err)
		var want []sessions.Event
		for i := range 3 {
			want = append(want, sessions.Event{ServiceID: "svc-1", SessionID: "ses-1", At: at, Kind: "scaled",
				Message: fmt.Sprint(many-1-i, " ", awkward)})
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("newest events (-want +got):\n%s", d)
		}
		all, err := s.Events(t.Context(), "svc-1", 0)
		must(t, err)
		if len(all) != 1000 || !strings.HasPrefix(all[999].Message, "10 ") {
			t.Errorf("%d events kept, the oldest is %q; want 1000 from 10 on", len(all), all[len(all)-1].Message)
		}
		other, err := s.Events(t.Context(), "svc-2", 10)
		must(t, err)
		if len(other) != 1 {
			t.Errorf("the other service has %d events, want 1", len(other))
		}
	})
}

func TestFolders(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		one := folders.Folder{ID: "fld-1", Name: awkward, Project: "default", Usage: folders.UsageModel, Path: "/srv/" + awkward,
			Imported: true, CreatedBy: "me", CreatedAt: at}
		two := folders.Folder{ID: "fld-2", Name: awkward, Project: "other", CreatedAt: at.Add(time.Hour)}
		must(t, s.SaveFolder(t.Context(), two))
		must(t, s.SaveFolder(t.Context(), one))
		same := one
		same.ID = "fld-3"
		wantError(t, s.SaveFolder(t.Context(), same), folders.ErrExists)
		wantError(t, s.SaveFolder(t.Context(), one), folders.ErrExists)
		got, err := s.Folders(t.Context())
		must(t, err)
		if d := cmp.Diff([]folders.Folder{one, two}, got); d != "" {
			t.Errorf("folders (-want +got):\n%s", d)
		}
		must(t, s.DeleteFolder(t.Context(), one.ID))
		wantError(t, s.DeleteFolder(t.Context(), one.ID), folders.ErrNotFound)
		must(t, s.SaveFolder(t.Context(), same))
	})
}

func TestTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		v := router.Token{ID: "tok-1", Hash: "h1", Name: awkward, Project: "default", ServiceID: "svc-1", CreatedBy: "me",
			CreatedAt: at, ExpiresAt: at.AddDate(1, 0, 0)}
		never := router.Token{ID: "tok-2", Hash: "h2", CreatedAt: at.Add(1e9)}
		must(t, s.SaveToken(t.Context(), v))
		must(t, s.SaveToken(t.Context(), never))
		wantError(t, s.SaveToken(t.Context(), router.Token{ID: "tok-3", Hash: "h1"}), store.ErrExists)

		must(t, s.TouchTokens(t.Context(), map[string]time.Time{"tok-1": at.Add(time.Hour), "tok-9": at}))
		must(t, s.TouchTokens(t.Context(), map[string]time.Time{"tok-1": at.Add(time.Minute)}))
		must(t, s.TouchTokens(t.Context(), nil))
		revoked := v // read before it was used
		revoked.RevokedAt = at.Add(2 * time.Hour)
		must(t, s.SaveToken(t.Context(), revoked))
		must(t, s.SaveToken(t.Context(), v)) // an old copy brings nothing back to life

		v.LastUsed, v.RevokedAt = at.Add(time.Hour), at.Add(2*time.Hour)
		got, err := s.Tokens(t.Context())
		must(t, err)
		if d := cmp.Diff([]router.Token{v, never}, got); d != "" {
			t.Errorf("tokens (-want +got):\n%s", d)
		}
	})
}

func TestKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		k := keys.Key{ID: "key-1", Hash: "h1", Name: awkward, CreatedBy: "me", CreatedAt: at}
		must(t, s.SaveKey(t.Context(), k))
		wantError(t, s.SaveKey(t.Context(), keys.Key{ID: "key-2", Hash: "h1"}), store.ErrExists)
		used, revoked := k, k
		used.LastUsed = at.Add(time.Hour)
		revoked.RevokedAt = at.Add(time.Minute)
		for _, copied := range []keys.Key{used, revoked, k} { // an old copy brings nothing back to life
			must(t, s.SaveKey(t.Context(), copied))
		}
		k.LastUsed, k.RevokedAt = used.LastUsed, revoked.RevokedAt
		got, err := s.Keys(t.Context())
		must(t, err)
		if d := cmp.Diff([]keys.Key{k}, got); d != "" {
			t.Errorf("keys (-want +got):\n%s", d)
		}
	})
}

func TestSSHKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		k := authorized.Key{ID: "sshkey-1", Name: awkward, Owner: "ada", Fingerprint: "SHA256:a", Line: "ssh-ed25519 AAAA", CreatedAt: at}
		must(t, s.SaveSSHKey(t.Context(), k))
		wantError(t, s.SaveSSHKey(t.Context(), authorized.Key{ID: "sshkey-2", Fingerprint: "SHA256:a"}), store.ErrExists)
		wantError(t, s.SaveSSHKey(t.Context(), authorized.Key{ID: "sshkey-2", Name: awkward, Owner: "ada", Fingerprint: "SHA256:b"}), store.ErrExists)
		used := k
		used.LastUsed = at.Add(time.Hour)
		must(t, s.SaveSSHKey(t.Context(), used))
		must(t, s.SaveSSHKey(t.Context(), k)) // an old copy takes nothing back
		same(t, s.SSHKeys, used)
		for range 2 {
			must(t, s.DeleteSSHKey(t.Context(), k.ID))
		}
		if left, err := s.SSHKeys(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%v %v", left, err)
		}
	})
}

// What an engine wrote last becomes the reason of an exit: it may be anything.
func TestTextThatIsNoText(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		const raw, kept = "a\x00b\xff\xfe c\xc3", "a\uFFFDb\uFFFD c\uFFFD"
		v := aSession("ses-1")
		v.Reason = raw
		v.Exit.Message = "\x00\xff"
		must(t, s.SaveSession(t.Context(), v, sessions.Transition{SessionID: v.ID, Reason: raw}))
		got, err := s.Sessions(t.Context())
		must(t, err)
		if got[0].Reason != kept || got[0].Exit.Message != "\x00\uFFFD" {
			t.Errorf("kept %q and %q", got[0].Reason, got[0].Exit.Message)
		}
		long := strings.Repeat("x", 5<<20)
		v.Reason = long
		must(t, s.SaveSession(t.Context(), v))
		got, err = s.Sessions(t.Context())
		must(t, err)
		if got[0].Reason != long {
			t.Errorf("of 5 MiB, %d bytes came back", len(got[0].Reason))
		}
	})
}

func TestTimesAreCutToMicroseconds(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		for i, in := range []time.Time{time.Now(), at.Add(999), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
			time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)} {
			id := fmt.Sprint("svc-", i)
			must(t, s.AddEvent(t.Context(), sessions.Event{ServiceID: id, At: in}))
			got, err := s.Events(t.Context(), id, 1)
			must(t, err)
			if want := in.UTC().Truncate(time.Microsecond); !got[0].At.Equal(want) {
				t.Errorf("saved %v, read %v, want %v", in, got[0].At, want)
			}
		}
	})
}
