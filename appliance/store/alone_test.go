package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/store"
)

// theLock is how it is taken, as another program would.
const theLock = "hashtext(current_schema())"

func alone(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: dsn, Alone: true})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// holders are the connections that hold the lock, by their backends' numbers.
func holders(t *testing.T, dsn string) []int {
	t.Helper()
	return column[int](t, dsn, "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted")
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

// A second one is told who has the database; who only looks, or comes when the first has closed, gets in.
func TestADatabaseForOne(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	first := alone(t, dsn)
	_, err := store.Open(t.Context(), store.Options{DSN: dsn, Alone: true})
	wantKind(t, err, store.ErrTaken)
	host, _ := os.Hostname()
	if want := fmt.Sprintf("process %d on %.36s", os.Getpid(), host); !strings.Contains(err.Error(), want) {
		t.Errorf("%v: not %s", err, want)
	}
	seen, err := store.Look(t.Context(), dsn)
	if err != nil || !strings.Contains(seen.Holder, fmt.Sprint("process ", os.Getpid())) || seen.Version != seen.Known || seen.Bytes == 0 || len(seen.Tables) < 30 {
		t.Errorf("%+v %v", seen, err)
	}
	open(t, dsn)
	for range 3 { // at once, as often as one likes
		must(t, first.Close())
		began := time.Now()
		first = alone(t, dsn)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the next one waited %v", took)
		}
	}
}

// Where the connection with the lock ends, it is got again, and a write waits for it.
func TestTheLockIsGotAgain(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	s := alone(t, dsn)
	for i := range 3 {
		pid := holders(t, dsn)
		if len(pid) != 1 {
			t.Fatalf("%v hold it", pid)
		}
		_, err := raw(t, dsn).Exec("SELECT pg_terminate_backend($1)", pid[0])
		must(t, err)
		saved(t, s, aService(fmt.Sprint("svc-", i), fmt.Sprint("n", i)))
		waitFor(t, "the lock again", func() bool { now := holders(t, dsn); return len(now) == 1 && now[0] != pid[0] })
	}
	select {
	case err := <-s.Taken():
		t.Error(err)
	default:
	}
}

// Where another has got it meanwhile, it is that one's: writes fail, and who holds the store is told.
func TestTheLockIsAnothers(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	s := alone(t, dsn)
	other, err := raw(t, dsn).Conn(t.Context())
	must(t, err)
	defer other.Close()
	got := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(context.Background(), "SELECT pg_advisory_lock(1885432937, "+theLock+")")
		got <- err
	}()
	waiting := "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted"
	waitFor(t, "somebody who waits", func() bool { return len(column[int](t, dsn, waiting)) == 1 })
	_, err = raw(t, dsn).Exec("SELECT pg_terminate_backend($1)", holders(t, dsn)[0])
	must(t, err)
	must(t, <-got)
	select {
	case err := <-s.Taken():
		wantKind(t, err, store.ErrTaken)
	case <-time.After(30 * time.Second):
		t.Fatal("nobody said so")
	}
	_, err = s.SaveService(t.Context(), aService("svc-1", "one"))
	wantKind(t, err, store.ErrTaken)
	if _, err := s.Services(t.Context()); err != nil {
		t.Error(err)
	}
}

// A connection that has ended for us and goes on for the server, as over a broken network, still holds the lock: it is
// our own, and the server is told to end it.
func TestAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	socket := databases["postgres"](t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	direct := server.OverTCP(t, socket, "right")
	_, rest, _ := strings.Cut(direct, "@")
	target, name, _ := strings.Cut(rest, "/")
	clients := make(chan net.Conn, 100)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				return
			}
			clients <- client
			go io.Copy(behind, client) // its end is told to nobody
			go io.Copy(client, behind)
		}
	}()
	s := alone(t, "postgres://postgres:right@"+l.Addr().String()+"/"+name)
	before := holders(t, socket)
	for range len(clients) {
		(<-clients).Close()
	}
	waitFor(t, "the lock again", func() bool {
		now := holders(t, socket)
		return len(now) == 1 && now[0] != before[0]
	})
	saved(t, s, aService("svc-1", "one"))
	// And while it is away for good, a write ends within its bound.
	l.Close()
	for range len(clients) {
		(<-clients).Close()
	}
	if _, err := s.SaveService(t.Context(), aService("svc-2", "two")); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}
