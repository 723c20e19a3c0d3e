package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/appliance/store/pgtest"
	"github.com/palisade-run/palisade/sessions"
)

func TestNewerDataIsRefusedAndUntouched(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		saved(t, s, aService("svc-1", "one"))
		must(t, s.Close())
		db := raw(t, dsn)
		_, err := db.Exec("INSERT INTO palisade_schema (version_id, is_applied) VALUES (999, TRUE)")
		must(t, err)
		_, err = db.Exec("ALTER TABLE services ADD COLUMN future TEXT")
		must(t, err)
		must(t, db.Close())

		before := contents(t, dsn)
		err = refused(t, dsn, store.ErrNewerData)
		if !strings.Contains(err.Error(), "version 999") {
			t.Errorf("the error does not name the version: %v", err)
		}
		if !bytes.Equal(before, contents(t, dsn)) {
			t.Error("the file was changed")
		}
	})
}

// A newer program that was killed leaves its log beside the file.
func TestNewerDataInTheLog(t *testing.T) {
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "palisade.db")
	s := open(t, dsn)
	db := raw(t, dsn)
	_, err := db.Exec("INSERT INTO palisade_schema (version_id, is_applied) VALUES (999, TRUE)")
	must(t, err)
	before := contents(t, dsn)
	if log := contents(t, dsn+"-wal"); len(log) == 0 {
		t.Fatal("nothing is in the log")
	}
	refused(t, dsn, store.ErrNewerData)
	if !bytes.Equal(before, contents(t, dsn)) {
		t.Error("the file was changed")
	}
	must(t, s.Close())
}

// contents of a SQLite file; nil for a server's database.
func contents(t *testing.T, dsn string) []byte {
	t.Helper()
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return nil
	}
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func TestTablesOfAnotherProgram(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		_, err := raw(t, dsn).Exec("CREATE TABLE sessions (cookie TEXT)")
		must(t, err)
		refused(t, dsn, store.ErrForeignData)
		_, err = raw(t, dsn).Exec("INSERT INTO sessions VALUES ('mine')")
		must(t, err)
		var half int
		if err := raw(t, dsn).QueryRow("SELECT COUNT(*) FROM services").Scan(&half); err == nil {
			t.Error("half of the tables were made")
		}
	})
}

func TestBadAddresses(t *testing.T) {
	dir := t.TempDir()
	for dsn, kind := range map[string]error{
		"":                                     store.ErrInvalidDSN,
		"sqlite:":                              store.ErrInvalidDSN,
		"sqlite::memory:":                      store.ErrInvalidDSN,
		":memory:":                             store.ErrInvalidDSN,
		"file:x.db?mode=memory":                store.ErrInvalidDSN,
		"mysql://root:secret@host/db":          store.ErrInvalidDSN,
		"postgres:secret":                      store.ErrInvalidDSN,
		"postgres://u:sec/ret@host/db":         store.ErrInvalidDSN,
		"postgres://u:secret@host:port/db":     store.ErrInvalidDSN,
		"postgres://u:secret@h/db?sslmode=odd": store.ErrInvalidDSN,
		"postgresql://u:secret@%zz/db":         store.ErrInvalidDSN,
		"sqlite:" + dir + "/":                  store.ErrInvalidDSN,
		"sqlite:" + dir + "/a\x00b":            store.ErrInvalidDSN,
		"sqlite:" + dir:                        store.ErrUnavailable,
		"sqlite:" + dir + "/missing/x.db":      store.ErrUnavailable,
	} {
		t.Run(dsn, func(t *testing.T) {
			if err := refused(t, dsn, kind); strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec/ret") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite:/var/x":                     "sqlite:/var/x",
		"postgres://u:pw@h:5/db":            "postgres://u:xxxxx@h:5/db",
		"postgresql://u@h/db?password=pw":   "postgresql://u@h/db?password=xxxxx",
		"postgres://u@/db?host=/run&port=5": "postgres://u@/db?host=%2Frun&port=5",
		"postgres://u:p/w@h:x/db":           "postgres://(unreadable)",
	} {
		if got := store.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDamagedFiles(t *testing.T) {
	t.Run("not a database", func(t *testing.T) {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "notes.txt")
		notes := []byte(strings.Repeat("These are my notes. ", 1000))
		must(t, os.WriteFile(dsn[len("sqlite:"):], notes, 0o600))
		refused(t, dsn, store.ErrCorrupt)
		if !bytes.Equal(notes, contents(t, dsn)) {
			t.Error("the notes were changed")
		}
	})
	t.Run("pages overwritten", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "palisade.db")
		s := open(t, path)
		for i := range 200 {
			must(t, s.SaveSession(t.Context(), aSession(fmt.Sprint("ses-", i))))
		}
		must(t, s.Close())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size()/2)), info.Size()/2)
		must(t, err)
		must(t, f.Close())
		_, err = open(t, path).Sessions(t.Context())
		wantKind(t, err, store.ErrCorrupt)
	})
	t.Run("cut short", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "palisade.db")
		s := open(t, path)
		saved(t, s, aService("svc-1", "one"))
		must(t, s.Close())
		must(t, os.Truncate(path, 5000))
		refused(t, path, store.ErrCorrupt)
	})
}

// asNobody runs fn without root's right to write everywhere: for files, its thread is another user's.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			if _, err := unix.SetfsuidRetUid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		fn()
	}()
	<-done
}

func TestFileThatMayNotBeWritten(t *testing.T) {
	dir, err := os.MkdirTemp("", "palisade") // t.TempDir is closed to other users
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "palisade.db")
	must(t, open(t, path).Close())
	must(t, os.Chmod(path, 0o444))
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	for _, dsn := range []string{path, filepath.Join(dir, "new.db")} {
		asNobody(t, func() {
			_, err := store.Open(t.Context(), store.Options{DSN: dsn})
			if !errors.Is(err, store.ErrDenied) {
				t.Errorf("opening %s: %v, want %v", dsn, err, store.ErrDenied)
			}
		})
	}
}

// onSmallDisk runs fn with a directory that is a disk of its own of 1 MiB, seen by fn's thread alone.
func onSmallDisk(t *testing.T, fn func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("disk", dir, "tmpfs", 0, "size=1m"))
		if err != nil {
			t.Error(err)
			return
		}
		fn(dir)
	}()
	<-done
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("making a small disk needs root; TestFullDatabase shows the same without one")
		return
	}
	onSmallDisk(t, func(dir string) {
		dsn := filepath.Join(dir, "palisade.db")
		s, err := store.Open(t.Context(), store.Options{DSN: dsn})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		fillUntilRefused(t, s)
		other := filepath.Join(dir, "other.db")
		if _, err := store.Open(t.Context(), store.Options{DSN: other}); !errors.Is(err, store.ErrFull) {
			t.Errorf("opening another on a full disk: %v", err)
		}
		if err := unix.Mount("disk", dir, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
			t.Error(err)
		}
		if err := s.SaveSession(t.Context(), aSession("ses-after")); err != nil {
			t.Errorf("once there is space again: %v", err)
		}
	})
}

// fillUntilRefused saves sessions until one is refused as ErrFull, and checks that those before are kept.
func fillUntilRefused(t *testing.T, s *store.Store) {
	t.Helper()
	v := aSession("")
	v.Reason = strings.Repeat("x", 10_000)
	for i := range 10_000 {
		v.ID = fmt.Sprint("ses-", i)
		err := s.SaveSession(t.Context(), v, sessions.Transition{SessionID: v.ID})
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrFull) {
			t.Errorf("session %d: %v, want %v", i, err, store.ErrFull)
		}
		got, err := s.Sessions(t.Context())
		if err != nil || len(got) != i {
			t.Errorf("%d sessions were saved, %d can be read (%v)", i, len(got), err)
		}
		return
	}
	t.Error("10,000 sessions fit on the small disk")
}

func TestClosedStore(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		must(t, s.Close())
		_, err := s.Services(t.Context())
		wantError(t, err, store.ErrClosed)
		_, err = s.SaveService(t.Context(), aService("svc-1", "one"))
		wantError(t, err, store.ErrClosed)
		wantError(t, s.Ping(t.Context()), store.ErrClosed)
	})
}

func TestCancelledCaller(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		why := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		_, err := s.SaveService(ctx, aService("svc-1", "one"))
		wantError(t, err, why)
		_, err = s.Services(ctx)
		wantError(t, err, why)
		got, err := s.Services(t.Context())
		must(t, err)
		if len(got) != 0 {
			t.Errorf("saved all the same: %v", got)
		}
	})
}

// database is dsn with another database of the same server.
func database(t *testing.T, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	u.Path = "/" + name
	return u.String()
}

func TestPostgresRefusals(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	must(t, s.Close())
	t.Run("right password", func(t *testing.T) { open(t, server.OverTCP(t, dsn, pgtest.Password)) })
	t.Run("wrong password", func(t *testing.T) {
		if err := refused(t, server.OverTCP(t, dsn, "hunter2"), store.ErrDenied); strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	})
	t.Run("no such database", func(t *testing.T) {
		refused(t, database(t, dsn, "nosuch"), store.ErrDenied)
	})
	t.Run("no such user", func(t *testing.T) {
		refused(t, strings.Replace(dsn, "postgres@", "nobody@", 1), store.ErrDenied)
	})
	t.Run("takes no writes", func(t *testing.T) {
		fresh := server.Database(t)
		refused(t, fresh+"&default_transaction_read_only=on", store.ErrReadOnly)
	})
	t.Run("user without rights", func(t *testing.T) {
		fresh := server.Database(t)
		_, err := raw(t, fresh).Exec("CREATE ROLE guest LOGIN")
		must(t, err)
		refused(t, strings.Replace(fresh, "postgres@", "guest@", 1), store.ErrDenied)
	})
	t.Run("not UTF-8", func(t *testing.T) {
		_, err := raw(t, dsn).Exec("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
		must(t, err)
		refused(t, database(t, dsn, "latin"), store.ErrForeignData)
	})
	t.Run("nobody listens", func(t *testing.T) {
		refused(t, "postgres://u:pw@127.0.0.1:1/db", store.ErrUnavailable)
	})
	t.Run("accepts and is silent", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		refused(t, "postgres://u:pw@"+l.Addr().String()+"/db?sslmode=disable&connect_timeout=1", store.ErrUnavailable)
	})
}

func TestPostgresRestarts(t *testing.T) {
	s := open(t, server.Database(t))
	v := saved(t, s, aService("svc-1", "one"))
	fillPool := func() {
		for _, err := range race(16, func(int) error { _, err := s.Services(t.Context()); return err }) {
			must(t, err)
		}
	}
	for round := range 3 {
		fillPool()
		server.Stop(t)
		if round == 0 {
			_, err := s.Services(t.Context())
			wantKind(t, err, store.ErrUnavailable)
			_, err = s.SaveService(t.Context(), v)
			wantKind(t, err, store.ErrUnavailable)
			wantKind(t, s.Ping(t.Context()), store.ErrUnavailable)
			fillFails := race(16, func(int) error { return s.Ping(t.Context()) })
			for _, err := range fillFails {
				wantKind(t, err, store.ErrUnavailable)
			}
		}
		server.Start(t)
		// At once, with every pooled connection dead: nobody sees it.
		v.Replicas = round
		v = saved(t, s, v)
		fillPool()
	}
}
