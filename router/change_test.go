package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A route that drains gets nothing new; what it has goes on to its end, even when it has left the table.
func TestDraining(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	slow := engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "slow ")
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "but whole")
	})
	s := hello(slow, engine(t, says("b")))
	g := newRig(t, Config{}, s)
	first := make(chan string)
	go func() {
		_, body := g.chat()
		first <- body
	}()
	<-begun
	s.Routes[0].Draining = true
	g.SetServices([]Service{s})
	for range 4 {
		if _, body := g.chat(); body != "b" {
			t.Errorf("a draining route answered %q", body)
		}
	}
	if n := g.metric("palisade_router_routes", "service", "hello", "state", "draining"); n != 1 {
		t.Errorf("%v routes drain", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.WaitIdle(ended, "r1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Routes = s.Routes[1:]
	g.SetServices([]Service{s})
	if n := g.InFlight("r1"); n != 1 {
		t.Errorf("%d in flight on the route that left", n)
	}
	g.SetServices(nil)
	if status, _ := g.chat(); status != 404 {
		t.Errorf("a service that is gone answers %d", status)
	}
	close(finish)
	if body := <-first; body != "slow but whole" {
		t.Errorf("got %q", body)
	}
	if err := g.WaitIdle(t.Context(), "r1"); err != nil {
		t.Error(err)
	}
	if n := g.metric("palisade_router_requests_total", "service", "hello"); n != 0 {
		t.Errorf("%v series of a service that is gone", n)
	}
	g.SetServices(nil)
	if len(g.routes) != 0 {
		t.Errorf("%d routes are remembered", len(g.routes))
	}
}

// Eight clients stream all the time while one of two engines dies: only streams that it had begun
// see it, and they see an error.
func TestOneOfTwoDiesUnderLoad(t *testing.T) {
	stream := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 20 {
			_, _ = io.WriteString(w, "data: {}\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}
	dying := newMortal(t, stream)
	g := newRig(t, Config{}, hello(dying.Addr().String(), engine(t, stream)))
	var done, cut atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				if done.Add(1) == 100 {
					dying.kill()
				}
				res, err := g.server.Client().Do(g.request("POST", "/v1/chat/completions", chatStream))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				whole := strings.HasSuffix(string(b), "data: [DONE]\n\n") && !strings.Contains(string(b), "error")
				said := strings.Contains(string(b), `data: {"error"`) && !strings.Contains(string(b), "DONE")
				switch {
				case err != nil:
					t.Errorf("broke without a word: %v", err)
				case res.StatusCode == http.StatusOK && said, res.StatusCode == http.StatusBadGateway:
					cut.Add(1)
				case res.StatusCode != http.StatusOK || !whole:
					t.Errorf("got %d %q", res.StatusCode, b)
				}
			}
		})
	}
	all.Wait()
	if n := cut.Load(); n > dying.begun {
		t.Errorf("%d failed, and %d had begun", n, dying.begun)
	}
	g.idle()
}

// mortal is an engine that can be killed as a process is: at one moment nothing more is read or
// written, and what came and was not read stays unread.
type mortal struct {
	net.Listener
	mu    sync.Mutex
	dead  bool
	begun int32 // connections in the middle of a request when it died
	conns map[*mortalConn]bool
}

type mortalConn struct {
	net.Conn
	of   *mortal
	busy bool // a byte of a request was read, and its answer is not over
}

func newMortal(t *testing.T, h http.HandlerFunc) *mortal {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{Listener: l, conns: map[*mortalConn]bool{}}
	s := &http.Server{Handler: h, ConnState: func(c net.Conn, state http.ConnState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if state == http.StateIdle {
			c.(*mortalConn).busy = false
		}
	}}
	go func() { _ = s.Serve(m) }()
	t.Cleanup(func() { _ = s.Close() })
	return m
}

func (m *mortal) Accept() (net.Conn, error) {
	conn, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &mortalConn{Conn: conn, of: m}
	if m.conns[c] = true; m.dead {
		_ = c.Close()
	}
	return c, nil
}

// Read waits until there is something to read, and reads it while nobody can kill.
func (c *mortalConn) Read(p []byte) (int, error) {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if err := raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return !errors.Is(err, syscall.EAGAIN)
	}); err != nil {
		return 0, err
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.dead {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	c.busy = c.busy || n > 0
	return n, err
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	_ = m.Close()
	for c := range m.conns {
		if c.busy {
			m.begun++
		}
		_ = c.Close()
	}
}

// Tables change all the time, routes and services come and go: no request sees it.
func TestTablesChangeUnderLoad(t *testing.T) {
	addrs := []string{engine(t, says("a")), engine(t, says("b")), engine(t, says("c"))}
	table := func(n int) []Service {
		s := hello()
		for i := range 2 {
			k := (n + i) % len(addrs)
			// Ids are never used again for another place, and here they change with every table.
			s.Routes = append(s.Routes, Route{ID: fmt.Sprintf("r%d-%d", n, k), Addr: addrs[k], Weight: 1})
		}
		s.Routes = append(s.Routes, Route{ID: fmt.Sprintf("d%d", n), Addr: addrs[(n+2)%3], Weight: 1, Draining: true})
		return []Service{s, {ID: fmt.Sprint("extra", n), Name: "extra", Project: "p"}}
	}
	g := newRig(t, Config{}, table(0)...)
	stop := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				g.SetServices(table(n))
				g.Snapshot()
				if _, err := g.reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if status, body := g.chat(); status != 200 || len(body) != 1 {
					t.Errorf("got %d %s", status, body)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	swaps.Wait()
	g.idle()
	if n := g.metric("palisade_router_table_swaps_total"); n < 2 {
		t.Errorf("%v swaps", n)
	}
}

// What is counted of a service goes on when one of the same name, in another project, goes.
func TestCountsOfOneName(t *testing.T) {
	s, other := hello(engine(t, says("a"))), hello(engine(t, says("b")))
	other.ID, other.Project, other.Routes[0].ID = "other", "elsewhere", "r9"
	g := newRig(t, Config{}, s, other)
	count := func() float64 { return g.metric("palisade_router_requests_total", "service", "hello", "code", "2xx") }
	if n := g.metric("palisade_router_routes", "service", "hello", "state", "ready"); n != 2 {
		t.Errorf("%v routes of both", n)
	}
	g.chat()
	g.idle()
	g.SetServices([]Service{s})
	g.chat()
	g.idle()
	if n := count(); n != 2 {
		t.Errorf("%v requests were counted", n)
	}
	g.SetServices(nil)
	g.SetServices([]Service{other})
	if n := count(); n != 0 {
		t.Errorf("%v requests of one that is gone", n)
	}
}
