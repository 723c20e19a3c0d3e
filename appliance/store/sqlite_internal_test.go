package store

import (
	"errors"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/palisade-run/palisade/sessions"
)

func openFile(t testing.TB) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "palisade.db")
	s, err := Open(t.Context(), Options{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

// A save that returned must survive loss of power. That cannot be had in a test; the settings that
// promise it can.
func TestSQLiteSyncsEveryCommit(t *testing.T) {
	s, _ := openFile(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "9000"} {
		var got string
		if err := s.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	if _, err := s.reader.Exec("DELETE FROM services"); err == nil {
		t.Error("a reader can write")
	}
}

func TestFullDatabase(t *testing.T) {
	s, _ := openFile(t)
	if _, err := s.writer.Exec("PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	var err error
	saved := 0
	for ; err == nil && saved < 10_000; saved++ {
		_, err = s.SaveService(t.Context(), sessions.Service{ID: string(rune('a' + saved)), Name: string(rune('a' + saved)), LastError: string(make([]byte, 3000))})
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("error is %v, want %v", err, ErrFull)
	}
	if _, err := s.writer.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveService(t.Context(), sessions.Service{ID: "after", Name: "after"}); err != nil {
		t.Errorf("once there is space again: %v", err)
	}
	got, err := s.Services(t.Context())
	if err != nil || len(got) != saved {
		t.Errorf("%d services can be read (%v), want %d", len(got), err, saved)
	}
}

func TestLockedByAnotherProgram(t *testing.T) {
	s, path := openFile(t)
	other, err := Open(t.Context(), Options{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := s.writer.Exec("PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	held, err := other.writer.Begin() // takes the write lock
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.SaveService(t.Context(), sessions.Service{ID: "a"})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrUnavailable) || e.Hint() == "" {
		t.Errorf("error is %v, want %v with a hint", err, ErrUnavailable)
	}
	if _, err := s.Services(t.Context()); err != nil {
		t.Errorf("reading beside a writer: %v", err)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveService(t.Context(), sessions.Service{ID: "a"}); err != nil {
		t.Errorf("once the lock is free: %v", err)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\x00b", "\xff", "é🦙", "\xed\xa0\x80", "\uFFFD"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q is no UTF-8", s, got)
		}
		for _, r := range got {
			if r == 0 {
				t.Errorf("clean(%q) = %q holds NUL", s, got)
			}
		}
		if clean(got) != got {
			t.Errorf("clean is not idempotent on %q", s)
		}
	})
}

// An address is a path or an error, whatever is given; and no error repeats a password.
func FuzzParseDSN(f *testing.F) {
	for _, s := range []string{"sqlite:/a", "sqlite:///a", "a/b.db", "postgres://u:p@h/d", "postgres://u:p@[::1/d", ":", "sqlite:file:x", "C:\\x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		addr, err := parseDSN(dsn)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Hint() == "" {
				t.Errorf("no hint on %v", err)
			}
			return
		}
		if addr.scheme == schemeSQLite && !filepath.IsAbs(addr.path) {
			t.Errorf("%q is the relative path %q", dsn, addr.path)
		}
		Redact(dsn)
	})
}
