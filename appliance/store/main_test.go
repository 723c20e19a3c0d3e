package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/appliance/store/pgtest"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// What the rooms ask of a store.
var (
	_ sessions.Store    = (*store.Store)(nil)
	_ folders.Store     = (*store.Store)(nil)
	_ router.TokenStore = (*store.Store)(nil)
	_ keys.Store        = (*store.Store)(nil)
	_ authorized.Store  = (*store.Store)(nil)
)

// server is the PostgreSQL of this test binary. It starts with the first test that needs it.
var server pgtest.Server

// childEnv tells this binary, started by one of its own tests, what to be.
const childEnv = "PALISADE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		run := child
		if strings.HasPrefix(role, moveRole) {
			run = movingChild
		}
		if err := run(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the test server:", err)
		code = 1
	}
	os.Exit(code)
}

// databases are the kinds of database on which everything must hold, each with how a test gets a new one.
var databases = map[string]func(t testing.TB) (dsn string){
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "palisade.db") },
	"postgres": server.Database,
}

// onBoth runs test on a new database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, dsn string)) {
	for name, fresh := range databases {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// eachStore runs test on a new store of each kind.
func eachStore(t *testing.T, test func(t *testing.T, s *store.Store)) {
	onBoth(t, func(t *testing.T, dsn string) { test(t, open(t, dsn)) })
}

// open opens dsn until the test ends.
func open(t testing.TB, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatalf("opening %s: %v", store.Redact(dsn), err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// refused opens dsn, which must fail with kind and with a hint, and returns the error.
func refused(t *testing.T, dsn string, kind error) error {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err == nil {
		s.Close()
		t.Fatalf("%s opened, want %v", store.Redact(dsn), kind)
	}
	wantKind(t, err, kind)
	return err
}

// wantKind fails the test unless err is of kind and says what to do.
func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want kind %v", err, kind)
	}
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok || h.Hint() == "" {
		t.Errorf("no hint on %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// saved saves v and returns it with its new version.
func saved(t testing.TB, s sessions.ServiceStore, v sessions.Service) sessions.Service {
	t.Helper()
	version, err := s.SaveService(context.WithoutCancel(t.Context()), v)
	must(t, err)
	v.Version = version
	return v
}
