package router

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counting is an engine that says what it was asked, and counts.
type counting struct {
	addr string
	asks atomic.Int64
}

func newCounting(t *testing.T) *counting {
	t.Helper()
	e := &counting{}
	e.addr = engine(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e.asks.Add(1) // whole
		_, _ = fmt.Fprintf(w, "%s %s %s %q", r.Method, r.RequestURI, r.Host, b)
	})
	return e
}

// open is hello, open to all.
func open(addrs ...string) Service {
	s := hello(addrs...)
	s.Public = true
	return s
}

// dial gives a connection to the front.
func (g *rig) dial() *net.TCPConn {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs ends with its place
	return conn.(*net.TCPConn)
}

// said is an answer as a client has it.
type said struct {
	status int
	body   string
	ended  error // nil: the body is whole
	head   http.Header
	close  bool
}

// next reads an answer; nil where the connection has ended.
func next(from *bufio.Reader, method string) *said {
	for {
		res, err := http.ReadResponse(from, &http.Request{Method: method})
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(res.Body)
		if res.StatusCode >= 200 {
			return &said{res.StatusCode, string(b), err, res.Header, res.Close}
		}
	}
}

// talk sends bytes and reads all answers until the connection ends.
func (g *rig) talk(text string) []*said {
	g.t.Helper()
	conn := g.dial()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, text)
	}()
	var all []*said
	from := bufio.NewReader(conn)
	for a := next(from, "POST"); a != nil; a = next(from, "POST") {
		all = append(all, a)
	}
	_ = conn.Close()
	<-written
	return all
}

func statuses(all []*said) []int {
	var s []int
	for _, a := range all {
		s = append(s, a.status)
	}
	return s
}

// eventually waits for what others do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-look.C {
		if time.Now().After(end) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("%s: it did not come so; %s", what, stacks.String())
		}
	}
}

// goroutines counts them, but for the watches over ends, which stay with the process.
func goroutines() int {
	stacks := make([]byte, 4<<20)
	n := 0
	for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if !strings.Contains(one, "(*departures).run") {
			n++
		}
	}
	return n
}

// nothingIsHeld waits until no request, memory or connection of clients is held any more.
func (g *rig) nothingIsHeld() {
	g.t.Helper()
	g.idle()
	eventually(g.t, "memory is given back", func() bool { return g.buffered.Load() == 0 })
	eventually(g.t, "connections are closed", func() bool {
		g.server.gate.mu.Lock()
		defer g.server.gate.mu.Unlock()
		return len(g.server.gate.wires)+g.server.gate.passedOn == 0
	})
	if load := g.Snapshot()[0]; load.InFlight != 0 {
		g.t.Errorf("in flight: %+v", load)
	}
}

// scripted is an engine that does what a script says with each connection. It counts connections, and the
// requests that were read.
type scripted struct {
	addr         string
	conns, reads atomic.Int64
	closed       atomic.Int64  // connections that the router has ended, or the script
	heard        chan struct{} // closed when what was said has been read: for scripts that want to know
}

// turn is one connection as a script has it.
type turn struct {
	net.Conn
	from *bufio.Reader
	e    *scripted
}

// read takes a request as a whole; false: there is none any more.
func (c *turn) read() bool {
	req, err := http.ReadRequest(c.from)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	c.e.reads.Add(1)
	return true
}

// say writes; what cannot be written nobody wants.
func (c *turn) say(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// wait reads on until the router ends the connection.
func (c *turn) wait() { _, _ = io.Copy(io.Discard, c.from) }

func newScripted(t testing.TB, script func(c *turn)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &scripted{addr: l.Addr().String()}
	var open sync.Map
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			e.conns.Add(1)
			open.Store(conn, nil)
			running.Go(func() {
				defer e.closed.Add(1)
				defer open.Delete(conn)
				defer func() { _ = conn.Close() }()
				script(&turn{conn, bufio.NewReader(conn), e})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(conn, _ any) bool { _ = conn.(net.Conn).Close(); return true })
		running.Wait()
	})
	return e
}

const (
	plainGet   = "GET /services/hello/plain HTTP/1.1\r\nHost: x\r\n\r\n"
	lastGet    = "GET /services/hello/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	chunkedOne = "POST /services/hello/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)

// post is a request to the open service, with lines after its Host.
func hostilePost(lines ...string) string {
	return "POST /services/hello/x HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}
