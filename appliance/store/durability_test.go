package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// dsnEnv tells a child which database to open.
const dsnEnv = "PALISADE_STORE_TEST_DSN"

// child is what this binary does when one of its tests has started it: it saves services, tokens and
// sessions without end, and prints the number of each round once all of it was committed.
func child(role string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{DSN: os.Getenv(dsnEnv)})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id := fmt.Sprint(role, "-", i)
		_, err := s.SaveService(ctx, aService("svc-"+id, id))
		err = errors.Join(err,
			s.SaveToken(ctx, router.Token{ID: "tok-" + id, Hash: id}),
			s.SaveSession(ctx, aSession("ses-"+id), sessions.Transition{SessionID: "ses-" + id, To: sessions.StatusPending}))
		if err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// startChild runs child in a process of its own. rounds yields the number of each round it committed.
func startChild(t *testing.T, role, dsn string) (rounds func() int, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+role, dsnEnv+"="+dsn)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	rounds = func() int {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the child ended: %v %s", lines.Err(), stderr.String())
		}
		n, err := strconv.Atoi(lines.Text())
		must(t, err)
		return n
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		must(t, cmd.Process.Kill())
		for lines.Scan() { // what it had printed before
		}
		_ = cmd.Wait() // "signal: killed"
	}
	t.Cleanup(kill)
	return rounds, kill
}

// counts is how many services, tokens, sessions and transitions of role there are.
func counts(t *testing.T, s *store.Store, role string) (n [4]int) {
	t.Helper()
	services, err := s.Services(t.Context())
	must(t, err)
	tokens, err := s.Tokens(t.Context())
	must(t, err)
	runs, err := s.Sessions(t.Context())
	must(t, err)
	for _, v := range services {
		n[0] += one(strings.HasPrefix(v.ID, "svc-"+role+"-"))
	}
	for _, v := range tokens {
		n[1] += one(strings.HasPrefix(v.ID, "tok-"+role+"-"))
	}
	for _, v := range runs {
		if !strings.HasPrefix(v.ID, "ses-"+role+"-") {
			continue
		}
		n[2]++
		steps, err := s.Transitions(t.Context(), v.ID)
		must(t, err)
		n[3] += len(steps)
	}
	return n
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func TestKilledProgramLosesNothingCommitted(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		for kill := range 3 {
			role := fmt.Sprint("k", kill)
			rounds, end := startChild(t, role, dsn)
			var last int
			for last < 10+kill {
				last = rounds()
			}
			end() // in the middle of the next round

			s := open(t, dsn)
			n := counts(t, s, role)
			for _, have := range n {
				if have < last+1 {
					t.Errorf("services, tokens, sessions, transitions: %v, want at least %d of each", n, last+1)
				}
			}
			if n[2] != n[3] {
				t.Errorf("%d sessions but %d transitions: they are one transaction", n[2], n[3])
			}
			must(t, s.Close())
		}
		intact(t, dsn)
	})
}

func TestTwoProgramsDoNotCorrupt(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		roundsA, killA := startChild(t, "a", dsn)
		roundsB, killB := startChild(t, "b", dsn)
		s := open(t, dsn)
		for i := range 10 {
			roundsA()
			saved(t, s, aService(fmt.Sprint("svc-own-", i), fmt.Sprint("own-", i)))
			roundsB()
		}
		killA()
		killB()
		for _, role := range []string{"a", "b"} {
			if n := counts(t, s, role); n[0] < 10 || n[2] != n[3] {
				t.Errorf("of %s: %v", role, n)
			}
		}
		must(t, s.Close())
		intact(t, dsn)
	})
}

// intact asks SQLite to check every page and index of its file.
func intact(t *testing.T, dsn string) {
	t.Helper()
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return
	}
	var verdict string
	must(t, raw(t, dsn).QueryRow("PRAGMA integrity_check").Scan(&verdict))
	if verdict != "ok" {
		t.Errorf("integrity of %s: %s", path, verdict)
	}
}

// raw is the database without a store in between.
func raw(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	driver, name := "pgx", dsn
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestReopenFindsEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		want := saved(t, s, aService("svc-1", "one"))
		must(t, s.Close())
		must(t, s.Close())
		got, err := open(t, dsn).Services(t.Context())
		must(t, err)
		if d := cmp.Diff([]sessions.Service{want}, got); d != "" {
			t.Errorf("services (-saved +read):\n%s", d)
		}
	})
}

func TestSQLiteFileIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), `odd ?name#100%'".db`)
	s := open(t, path) // a plain path is a SQLite file
	saved(t, s, aService("svc-1", "one"))
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	must(t, err)
	if len(files) < 2 {
		t.Errorf("files: %q, want the database and its log", files)
	}
	for _, f := range files {
		if !strings.HasPrefix(f, path) {
			t.Errorf("stray file %s", f)
		}
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600: it holds hashes of tokens", f, info.Mode().Perm())
		}
	}
	if s.Kind() != "sqlite" {
		t.Errorf("kind %q", s.Kind())
	}
	must(t, s.Ping(t.Context()))
}
