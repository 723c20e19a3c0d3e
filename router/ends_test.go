package router

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A gate that is closed ends the connections that wait for a request, also one that began to wait this moment.
// One that stays would hold its memory and its descriptor until the client goes, and nobody would answer on it.
func TestCloseEndsIdleConnections(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("b"))))
	for i := range 20 {
		f := newFront(t, g.Router)
		conn, err := net.Dial("tcp", f.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = fmt.Fprintf(conn, "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n", g.secret)
		if err != nil {
			t.Fatal(err)
		}
		if a := next(bufio.NewReader(conn), "GET"); a == nil || a.status != http.StatusOK || a.ended != nil {
			t.Fatalf("got %+v", a)
		}
		if i%2 == 0 { // it waits
			eventually(t, "the request has ended", func() bool {
				f.gate.mu.Lock()
				defer f.gate.mu.Unlock()
				for w := range f.gate.wires {
					if w.busy.Load() {
						return false
					}
				}
				return true
			})
		}
		if err := f.gate.Close(); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d is still open: %v", i, err)
		}
		_ = conn.Close()
	}
}

// kept gives the connections to r1 that are kept.
func (g *rig) kept() int {
	up := g.route("r1").upstream
	up.mu.Lock()
	defer up.mu.Unlock()
	return len(up.idle)
}

// Kept connections that the engine closes are closed here too, and not only when somebody would take them: after a
// rush a thousand of them would hold descriptors, in CLOSE_WAIT, for as long as the service is quiet.
func TestKeptConnectionsThatEngineCloses(t *testing.T) {
	const rush = 20
	var arrived sync.WaitGroup
	arrived.Add(rush)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rush" {
			arrived.Done()
			arrived.Wait() // each has a connection of its own
		}
		_, _ = io.WriteString(w, "b")
	}))
	t.Cleanup(s.Close)
	g := newRig(t, Config{}, open(s.Listener.Addr().String()))
	var all sync.WaitGroup
	for range rush {
		all.Go(func() {
			if got := g.talk("GET /services/hello/rush HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0].body != "b" {
				t.Errorf("got %+v", got)
			}
		})
	}
	all.Wait()
	g.idle()
	if n := g.kept(); n != rush {
		t.Errorf("%d of %d connections are kept", n, rush)
	}
	s.CloseClientConnections()
	eventually(t, "none is kept", func() bool { return g.kept() == 0 })
	if status, body := g.chat(); status != http.StatusOK || body != "b" {
		t.Errorf("then: %d %s", status, body)
	}
}

// A connection to an engine that was interrupted, because a client went, is nobody's after that: were it kept, the
// next client's request would fail by the deadline that was meant for the one who went.
func TestInterruptedConnectionIsNotKept(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		for c.read() && c.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb") {
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	up := g.route("r1").upstream
	take := func() *engineConn {
		c, err := up.take(t.Context, time.Now(), false)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	well := func(when string) {
		t.Helper()
		if status, body := g.chat(); status != http.StatusOK || body != "b" {
			t.Errorf("%s: %d %s", when, status, body)
		}
		g.idle()
		if n := g.metric("palisade_router_upstream_errors_total") + g.metric("palisade_router_retries_total"); n != 0 {
			t.Errorf("%s: it took %v retries", when, n)
		}
	}
	well("at first")

	before := take()
	before.interrupt()
	up.keep(before, time.Now())
	if n := g.kept(); n != 0 {
		t.Errorf("%d are kept that were interrupted before", n)
	}
	eventually(t, "the first is closed", func() bool { return e.closed.Load() == 1 })
	well("interrupted before it was kept")

	kept := take()
	up.keep(kept, time.Now())
	kept.interrupt()
	c := take()
	if c == kept {
		t.Error("one is given that was interrupted while it was kept")
	}
	c.close()
	eventually(t, "all are closed", func() bool { return e.closed.Load() == e.conns.Load() })
	well("interrupted while it was kept")
}

// HTTP/2 can say a method with spaces, which in HTTP/1.1 begins another request line: the engine would be asked
// for an address that was not checked here.
func TestMethodWithSpacesIsRefused(t *testing.T) {
	e := newScripted(t, func(c *turn) { c.read() })
	g := newRig(t, Config{}, open(e.addr))
	certificates := httptest.NewUnstartedServer(nil) // has a certificate
	certificates.StartTLS()
	t.Cleanup(certificates.Close)
	addr := bothFront(t, g.Router, &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"h2"}})
	status, body := ask2(t, addr, [][2]string{
		{":method", "GET /admin?x HTTP/1.1"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/services/hello/x"},
	})
	if status != http.StatusBadRequest || !strings.Contains(body, "invalid_method") {
		t.Errorf("got %d %s", status, body)
	}
	if n := e.conns.Load(); n != 0 {
		t.Errorf("the engine was asked, in %d connections", n)
	}
}

// ask2 asks in HTTP/2 what no client library would: with the fields as they are. It gives the answer; of statuses
// it knows those 200 and 400 alone.
func ask2(t *testing.T, addr string, fields [][2]string) (status int, body string) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	frame := func(kind, flags byte, stream uint32, payload string) string { // RFC 9113, 4.1
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		head = binary.BigEndian.AppendUint32(append(head, flags), stream)
		return string(head) + payload
	}
	const data, headers, settings, endStream, endHeaders = 0, 1, 4, 1, 4
	block := ""
	for _, f := range fields { // literal, never indexed: RFC 7541, 6.2.3
		block += "\x10" + string(rune(len(f[0]))) + f[0] + string(rune(len(f[1]))) + f[1]
	}
	text := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, "") + frame(headers, endStream|endHeaders, 1, block)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatalf("no answer: %v", err)
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:])>>8)
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		switch head[3] {
		case headers:
			status = map[byte]int{0x88: http.StatusOK, 0x8c: http.StatusBadRequest}[payload[0]] // RFC 7541, appendix A
		case data:
			body += string(payload)
		case 3, 7: // RST_STREAM, GOAWAY
			return status, body
		}
		ended = head[3] <= headers && head[4]&endStream != 0
	}
	return status, body
}

// A length is soon said. Who announces a body and sends none of it holds the memory of a head: with the memory of
// the body a few thousand connections, a hundred bytes each, would take all that the box has.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) {
	const conns, announced = 50, 1 << 20
	g := newRig(t, Config{BodySilence: time.Second}, hello(engine(t, says("b"))))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all []net.Conn
	for range conns {
		conn := g.dial()
		all = append(all, conn)
		_, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", g.secret, announced)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range all { // each was read, waited for, and given up
		if a := next(bufio.NewReader(conn), "POST"); a == nil || a.status != http.StatusRequestTimeout {
			t.Fatalf("got %+v", a)
		}
		_ = conn.Close()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > conns*announced/4 {
		t.Errorf("%d connections took %d KiB each", conns, took/conns>>10)
	}
	g.nothingIsHeld()
}
