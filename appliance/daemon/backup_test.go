package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
)

// TestFinishRestore: wherever it is cut off between two renames, what is there at the end is what came, and what was there is aside.
func TestFinishRestore(t *testing.T) {
	journalText := `{"names":["a.key","palisade.db","tls","folders/fld-1","folders/fld-2"],"gone":["usage"],"aside":"before-restore-x"}`
	make1 := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		for name, text := range map[string]string{
			"a.key": "old", "usage/x": "old", "palisade.db": "old", "palisade.db-wal": "old", "b.key": "stays", "tls/cert": "old",
			".restoring/a.key": "new", ".restoring/palisade.db": "new", ".restoring/tls/cert": "new", "folders/fld-1/w": "old", "folders/fld-3/w": "stays", ".restoring/folders/fld-1/w": "new", ".restoring/folders/fld-2/w": "new", restoreJournal: journalText,
		} {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	// The renames in their order: each prefix of them is a place to be cut off at.
	moves := [][2]string{
		{"usage", "before-restore-x/usage"}, {"a.key", "before-restore-x/a.key"}, {".restoring/a.key", "a.key"},
		{"palisade.db-wal", "before-restore-x/palisade.db-wal"}, {"palisade.db", "before-restore-x/palisade.db"}, {".restoring/palisade.db", "palisade.db"}, {"tls", "before-restore-x/tls"}, {".restoring/tls", "tls"},
	}
	for n := range len(moves) + 1 {
		dir := make1(t)
		if n > 0 {
			if err := os.Mkdir(filepath.Join(dir, "before-restore-x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range moves[:n] {
			if err := os.Rename(filepath.Join(dir, m[0]), filepath.Join(dir, m[1])); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // once it is over it does nothing
			if err := finishRestore(t.Context(), config.Config{Data: dir}); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]string{"a.key": "new", "palisade.db": "new", "tls/cert": "new", "b.key": "stays", "before-restore-x/a.key": "old", "before-restore-x/palisade.db-wal": "old", "before-restore-x/tls/cert": "old",
			"folders/fld-1/w": "new", "folders/fld-2/w": "new", "folders/fld-3/w": "stays", "before-restore-x/folders/fld-1/w": "old"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
				t.Errorf("cut off after %d: %s is %q, want %q: %v", n, name, text, want, err)
			}
		}
		var left []string
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if !slices.Equal(left, []string{"a.key", "b.key", "before-restore-x", "folders", "palisade.db", "tls"}) {
			t.Errorf("cut off after %d: %v", n, left)
		}
	}
}

func TestBackupsAreDue(t *testing.T) {
	times, err := config.Backup{Schedule: "0 3 * * *"}.Times()
	if err != nil {
		t.Fatal(err)
	}
	day := func(d, h, m int) time.Time { return time.Date(2026, 3, d, h, m, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		r      backupRecord
		now    time.Time
		due    time.Time
		status string
		says   string
	}{
		"never":               {backupRecord{}, day(5, 12, 0), day(5, 3, 0), api.CheckOK, "none was made yet"},
		"never, failed":       {backupRecord{Tried: day(5, 11, 55), Error: "no room"}, day(5, 12, 0), time.Time{}, api.CheckWarning, "no room"},
		"again":               {backupRecord{Tried: day(5, 11, 50), Error: "no room"}, day(5, 12, 0), day(5, 3, 0), api.CheckWarning, "no room"},
		"done":                {backupRecord{At: day(5, 3, 0), Slot: day(5, 3, 0), Name: "x"}, day(5, 12, 0), time.Time{}, api.CheckOK, "x on"},
		"next day":            {backupRecord{At: day(5, 3, 0), Slot: day(5, 3, 0), Name: "x"}, day(6, 3, 0), day(6, 3, 0), api.CheckOK, "x on"},
		"late":                {backupRecord{At: day(5, 3, 0), Slot: day(5, 3, 0), Name: "x"}, day(6, 4, 0), day(6, 3, 0), api.CheckWarning, "older than the schedule says"},
		"by hand":             {backupRecord{At: day(6, 3, 10), Slot: day(5, 3, 0), Name: "x"}, day(6, 5, 0), day(6, 3, 0), api.CheckOK, "x on"},
		"clock set back":      {backupRecord{At: day(6, 3, 0), Slot: day(6, 3, 0), Name: "x"}, day(6, 2, 50), time.Time{}, api.CheckOK, "x on"},
		"clock was far ahead": {backupRecord{At: day(9, 3, 0), Slot: day(9, 3, 0), Name: "x"}, day(6, 5, 0), day(6, 3, 0), api.CheckWarning, "yet to come"},
		"failed far ahead":    {backupRecord{Tried: day(9, 3, 0)}, day(6, 5, 0), day(6, 3, 0), api.CheckOK, "none was made yet"},
		"files left out":      {backupRecord{At: day(6, 3, 0), Slot: day(6, 3, 0), Name: "x", LeftOut: 2}, day(6, 5, 0), time.Time{}, api.CheckWarning, "2 files could not be read"},
	} {
		if got := c.r.due(times, c.now); !got.Equal(c.due) {
			t.Errorf("%s: due %v, want %v", name, got, c.due)
		}
		if status, says := c.r.standing(times, c.now); status != c.status || !strings.Contains(says, c.says) {
			t.Errorf("%s: %s %s", name, status, says)
		}
	}
}

// TestScheduleKnows: what was made is made, though it could not be written down.
func TestScheduleKnows(t *testing.T) {
	times, err := config.Backup{Schedule: "0 3 * * *"}.Times()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, known := range map[string]backupRecord{"made": {Slot: times.Last(now)}, "failed": {Tried: now}} {
		b := &backups{known: known} // there is nothing that it could make one with, and no record
		if err := b.onSchedule(t.Context(), times); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRestoreOfABoxOfACluster: the others have the rows.
func TestRestoreOfABoxOfACluster(t *testing.T) {
	r := &restoring{BackupRestore: BackupRestore{Config: config.Config{Data: t.TempDir()}, Replace: true}}
	if err := r.mayBegin(); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(r.Config.Data, clusterDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.mayBegin(); err == nil || !strings.Contains(adviceOf(err), "palisade cluster init") {
		t.Error(err)
	}
}
