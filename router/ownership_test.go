package router

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A request that left a busy route for a dead one gives back what it took, and no more. Were a slot given back
// twice, it would be another request's: the route would be taken for idle, and ended, while that one is answered.
func TestBusyThenDeadGivesBackOnce(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	dying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-proceed
		_, _ = io.WriteString(w, "held")
	}))
	t.Cleanup(dying.Close)
	var other sync.WaitGroup
	t.Cleanup(other.Wait)
	let := sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(let)
	var refused atomic.Int64
	busy := engine(t, func(w http.ResponseWriter, r *http.Request) {
		refused.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	dead := dying.Listener.Addr().String()
	g := newRig(t, Config{}, hello(dead))
	other.Go(func() {
		res, err := http.DefaultTransport.RoundTrip(g.request("POST", "/v1/chat/completions", chatHello))
		if err != nil {
			t.Error(err)
			return
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || string(b) != "held" {
			t.Errorf("the request that was in flight: %s %q %v", res.Status, b, err)
		}
	})
	<-arrived
	_ = dying.Listener.Close() // from now on nobody gets in; who is in stays
	both := hello(dead, busy)
	both.Routes[1].Weight = 100 // it is the first that is tried
	g.SetServices([]Service{both})
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if status, body := g.ask(g.request("POST", "/v1/chat/completions", chatHello).WithContext(ctx)); status < 500 {
			t.Errorf("nobody took it: %d %s", status, body)
		}
		cancel()
	}
	if n := refused.Load(); n == 0 {
		t.Error("the busy engine was never asked")
	}
	if n := g.metric("palisade_router_upstream_errors_total", "kind", "connect"); n == 0 {
		t.Error("the dead route was never tried")
	}
	if one, two := g.InFlight("r1"), g.InFlight("r2"); one != 1 || two != 0 {
		t.Errorf("in flight: %d and %d, and it is 1 and 0", one, two)
	}
	let()
	other.Wait()
	g.idle()
	if load := g.Snapshot()[0]; load.InFlight != 0 {
		t.Errorf("in flight at the end: %+v", load)
	}
}

// An engine may begin its answer, a stream, before it has read the request. What is not read yet stays the
// request's until then: were its memory given to others, the engine would read their prompts and secrets.
func TestEarlyStreamKeepsTheRequest(t *testing.T) {
	certificates := httptest.NewUnstartedServer(nil) // has a certificate
	certificates.StartTLS()
	t.Cleanup(certificates.Close)
	secure := &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"http/1.1"}}
	t.Run("plain", func(t *testing.T) {
		earlyStream(t, nil)
	})
	t.Run("TLS", func(t *testing.T) {
		earlyStream(t, secure)
	})
}

// slow is an engine that streams an answer to the first request before it reads its body, and reads it only once
// so many others have come whole.
type slow struct {
	first   atomic.Bool
	others  atomic.Int64
	proceed chan struct{}
	body    []byte // of the first request
	err     error
	read    chan struct{} // closed when body is there
}

func (e *slow) script(c *turn) {
	req, err := http.ReadRequest(c.from)
	if err != nil {
		return
	}
	if e.first.Swap(true) {
		if _, err := io.Copy(io.Discard, req.Body); err == nil {
			e.others.Add(1)
		}
		<-e.proceed
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
		return
	}
	defer close(e.read)
	c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
	<-e.proceed
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	e.body, e.err = io.ReadAll(req.Body)
	c.say("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
}

// earlyStream has a client and others come to slow: over TLS, where secure is not nil.
func earlyStream(t *testing.T, secure *tls.Config) {
	const size, others = 1 << 20, 8
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // memory that is given back goes to the next who asks
	e := &slow{proceed: make(chan struct{}), read: make(chan struct{})}
	scripted := newScripted(t, e.script)
	let := sync.OnceFunc(func() { close(e.proceed) })
	t.Cleanup(let)
	g := newRig(t, Config{}, hello(scripted.addr))
	up := g.route("r1").upstream
	dial := up.dial
	up.dial = func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx)
		if err == nil { // most of the body is not in the kernel's hands
			err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		}
		return c, err
	}
	g.SetServices([]Service{hello(scripted.addr)}) // requests see it from here on
	connect := func() (net.Conn, error) { return net.Dial("tcp", g.server.Listener.Addr().String()) }
	if secure != nil {
		addr := bothFront(t, g.Router, secure)
		connect = func() (net.Conn, error) { return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) }
	}
	post := func(content string) net.Conn {
		c, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = fmt.Fprintf(c, "POST /services/hello/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", g.secret, size, strings.Repeat(content, size/len(content)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	res, err := http.ReadResponse(bufio.NewReader(post("a")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	event := make([]byte, len("data: 1\n\n"))
	if _, err := io.ReadFull(res.Body, event); err != nil {
		t.Fatal(err)
	}
	for range others {
		post("PRIVATE ")
	}
	eventually(t, "the others have come whole", func() bool { return e.others.Load() == others })
	let()
	rest, err := io.ReadAll(res.Body)
	if got := string(event) + string(rest); err != nil || got != "data: 1\n\ndata: [DONE]\n\n" {
		t.Errorf("the answer is %q, %v", got, err)
	}
	<-e.read
	if own := bytes.Count(e.body, []byte("a")); e.err != nil || len(e.body) != size || own != size {
		t.Errorf("the engine got %d of %d bytes, %d are another's: %v", len(e.body), size, len(e.body)-own, e.err)
	}
}

// An engine that is busy says so without reading a large upload. The client is told, or another route answers:
// were the rest of the upload promised to another route and then not sent, the request would hang for minutes.
func TestBusyWhileLargeUpload(t *testing.T) {
	over := make(chan struct{})
	busy := newScripted(t, func(c *turn) {
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4096)
		if _, err := http.ReadRequest(c.from); err != nil {
			return
		}
		if _, err := c.from.Peek(1); err != nil { // the upload has begun
			return
		}
		c.e.reads.Add(1)
		c.say("HTTP/1.1 503 busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
		<-over
	})
	t.Cleanup(func() { close(over) })
	s := hello(busy.addr, engine(t, says("b")))
	s.Routes[0].Weight = 100
	g := newRig(t, Config{}, s)
	body := `{"x":"` + strings.Repeat("a", 12<<20) + `","model":"hello","y":"` + strings.Repeat("a", 8<<20) + `"}`
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		res, err := g.server.Client().Do(g.request("POST", "/v1/chat/completions", body).WithContext(ctx))
		if err != nil {
			cancel()
			t.Fatalf("no answer: %v", err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		cancel()
		whole := res.StatusCode == http.StatusOK && string(b) == "b"
		if err != nil || !whole && (res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "0") {
			t.Errorf("got %s %q %v", res.Status, b, err)
		}
	}
	if busy.reads.Load() == 0 {
		t.Error("the busy engine was never asked")
	}
	g.idle()
	if load := g.Snapshot()[0]; load.InFlight != 0 {
		t.Errorf("in flight at the end: %+v", load)
	}
}
