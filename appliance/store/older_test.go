package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

// TestDataOfAnOlderProgram: what the program wrote before people had sessions and services scaled by themselves (schema 6)
// is read as it was meant, and goes on being written.
func TestDataOfAnOlderProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "palisade.db")
	dump, err := os.ReadFile("testdata/version6.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), string(dump)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	services, err := s.Services(t.Context())
	if err != nil || len(services) != 1 || services[0].Name != "chat" || services[0].Replicas != 1 || services[0].GoodRevision != 1 {
		t.Fatalf("%+v, %v", services, err)
	}
	if revisions, err := s.Revisions(t.Context(), "svc-1"); err != nil || len(revisions) != 1 || revisions[0].Launch.Port != 8000 {
		t.Errorf("%+v, %v", revisions, err)
	}
	all, err := s.Sessions(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	want := map[string]sessions.Status{"ses-up": sessions.StatusRunning, "ses-done": sessions.StatusTerminated}
	for _, v := range all {
		if v.Status != want[v.ID] || v.Personal() || v.ServiceID != "svc-1" || v.Launch.Health == nil || v.Task.Command != "" || v.Task.Array != nil || v.TrafficRatio != 1 {
			t.Errorf("%+v", v)
		}
		v.Reason = "seen again"
		if err := s.SaveSession(t.Context(), v, sessions.Transition{SessionID: v.ID, From: v.Status, To: v.Status, Reason: v.Reason, At: at}); err != nil {
			t.Errorf("writing it: %v", err)
		}
		if changes, err := s.Transitions(t.Context(), v.ID); err != nil || len(changes) != 2 || changes[0].Reason != "as it was" {
			t.Errorf("%+v, %v", changes, err)
		}
	}
}
