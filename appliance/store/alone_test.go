package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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

// Boxes of a cluster work on a database together, and one alone does not beside them.
func TestADatabaseForACluster(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	open := func(o store.Options) (*store.Store, error) {
		o.DSN = dsn
		s, err := store.Open(t.Context(), o)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
		}
		return s, err
	}
	leads, err := open(store.Options{Shared: true, Term: 7})
	must(t, err)
	follows, err := open(store.Options{Shared: true})
	must(t, err)
	must(t, leads.DeleteSession(t.Context(), "ses-nobody"))
	_, err = open(store.Options{Alone: true})
	wantKind(t, err, store.ErrTaken)
	must(t, leads.Close())
	_, err = open(store.Options{Alone: true})
	wantKind(t, err, store.ErrTaken)

	// And the other way round.
	must(t, follows.Close())
	one, err := open(store.Options{Alone: true})
	must(t, err)
	_, err = open(store.Options{Shared: true})
	wantKind(t, err, store.ErrTaken)
	must(t, one.Close())
	again, err := open(store.Options{Shared: true, Term: 8})
	must(t, err)
	must(t, again.DeleteSession(t.Context(), "ses-nobody"))
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
	w := newWay(t, socket)
	s := alone(t, w.dsn)
	before := holders(t, socket)
	w.cut()
	waitFor(t, "the lock again", func() bool {
		now := holders(t, socket)
		return len(now) == 1 && now[0] != before[0]
	})
	saved(t, s, aService("svc-1", "one"))
	// And while it is away for good, a write ends within its bound.
	w.shut(true)
	w.cut()
	if _, err := s.SaveService(t.Context(), aService("svc-2", "two")); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// way leads to a server, and can be cut: its end is told to nobody behind it.
type way struct {
	dsn     string
	closed  atomic.Bool
	clients chan net.Conn
	last    atomic.Pointer[string] // what is frozen when it is said; nil: nothing
	freeze  sync.Once
	frozen  chan struct{} // closed when nothing is passed on any more
}

func newWay(t *testing.T, socket string) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	direct := server.OverTCP(t, socket, "right")
	_, rest, _ := strings.Cut(direct, "@")
	target, name, _ := strings.Cut(rest, "/")
	w := &way{dsn: "postgres://postgres:right@" + l.Addr().String() + "/" + name, clients: make(chan net.Conn, 1000), frozen: make(chan struct{})}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if w.closed.Load() {
				client.Close()
				continue
			}
			behind, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				return
			}
			w.clients <- client
			go io.Copy(passage{w, behind}, client)
			go io.Copy(passage{w, client}, behind)
		}
	}()
	return w
}

// passage is one direction of a way.
type passage struct {
	way *way
	to  net.Conn
}

// Write passes p on. A frozen way takes it all the same, as the kernel does for a process that is frozen.
func (p passage) Write(b []byte) (int, error) {
	if last := p.way.last.Load(); last != nil && bytes.Contains(b, []byte(*last)) {
		p.way.freeze.Do(func() { close(p.way.frozen) })
	}
	select {
	case <-p.way.frozen:
		return len(b), nil
	default:
		return p.to.Write(b)
	}
}

// shut lets nobody through any more, or again.
func (w *way) shut(is bool) { w.closed.Store(is) }

// cut ends all connections that are there.
func (w *way) cut() {
	for range len(w.clients) {
		(<-w.clients).Close()
	}
}

// The server ends the locks of two in turn. The first gets its own again when the other has none any more, and is told that it was
// another's meanwhile.
func TestTheLockWasAnothers(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	one, two := newWay(t, dsn), newWay(t, dsn)
	lose := func(w *way) {
		w.shut(true)
		for _, pid := range holders(t, dsn) {
			_, err := raw(t, dsn).Exec("SELECT pg_terminate_backend($1)", pid)
			must(t, err)
		}
		w.cut()
		waitFor(t, "nobody has the lock", func() bool { return len(holders(t, dsn)) == 0 })
	}
	first := alone(t, one.dsn)
	saved(t, first, aService("svc-1", "one"))
	lose(one)
	one.shut(false) // nobody else was there: it is the first one's again
	writes := func(s *store.Store, id string) {
		t.Helper()
		waitFor(t, "it writes again", func() bool { _, err := s.SaveService(t.Context(), aService(id, id)); return err == nil })
	}
	writes(first, "svc-2")
	lose(one)
	second := alone(t, two.dsn)
	saved(t, second, aService("svc-3", "three"))
	lose(two)
	one.shut(false)
	select {
	case err := <-first.Taken():
		wantKind(t, err, store.ErrTaken)
		if want := fmt.Sprintf("process %d on", os.Getpid()); !strings.Contains(err.Error(), want) {
			t.Errorf("%v: not %s", err, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody said so")
	}
	_, err := first.SaveService(t.Context(), aService("svc-4", "four"))
	wantKind(t, err, store.ErrTaken)
	two.shut(false)
	writes(second, "svc-5")
}

// Who could not open the database is not promised that it goes on by itself, as who has it open is.
func TestWhoGoesOnByItself(t *testing.T) {
	t.Parallel()
	dsn := databases["postgres"](t)
	w := newWay(t, dsn)
	s := open(t, w.dsn)
	w.shut(true)
	w.cut()
	_, err := s.SaveService(t.Context(), aService("svc-1", "one"))
	_, start := store.Open(t.Context(), store.Options{DSN: w.dsn})
	for _, tt := range []struct {
		err  error
		goes bool
	}{{err, true}, {start, false}} {
		wantKind(t, tt.err, store.ErrUnavailable)
		h, _ := errors.AsType[*store.Error](tt.err)
		if strings.Contains(h.Hint(), "goes on by itself") != tt.goes {
			t.Errorf("%v: %q", tt.err, h.Hint())
		}
	}
}
