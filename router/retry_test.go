package router

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// What could not connect was not begun: another route does it, with a body small or large.
func TestRetriesWhereNothingListens(t *testing.T) {
	g := newRig(t, Config{}, hello(nowhere(t), nowhere(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
	})))
	large := fmt.Sprintf(`{"model":"hello","x":"%s"}`, strings.Repeat("a", 3<<20))
	for range 3 {
		for _, body := range []string{chatHello, large} {
			for _, path := range []string{"/v1/chat/completions", "/services/hello/x"} {
				if status, answer := g.ask(g.request("POST", path, body)); status != 200 || answer != strconv.Itoa(len(body)) {
					t.Errorf("%s: %d %s", path, status, answer)
				}
			}
		}
	}
	if n := g.metric("palisade_router_retries_total", "service", "hello", "reason", "connect"); n < 2 {
		t.Errorf("%v retries", n)
	}
	if n := g.metric("palisade_router_routes", "service", "hello", "state", "avoided"); n != 2 {
		t.Errorf("%v routes are avoided", n)
	}
}

func TestNothingListensAnywhere(t *testing.T) {
	g := newRig(t, Config{}, hello(nowhere(t), nowhere(t), nowhere(t), nowhere(t)))
	res := g.send(g.request("POST", "/v1/chat/completions", chatHello))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %s", res.Status)
	}
	load := g.Snapshot()[0]
	tries := uint64(0)
	for _, r := range load.Routes {
		tries += r.Total
	}
	if tries != 1+maxRetries || load.Errors != 1 {
		t.Errorf("%d tries, %+v", tries, load)
	}
}

func TestRetriesWhereTheEngineSaysSo(t *testing.T) {
	var busy atomic.Int32
	says503 := func(after string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			busy.Add(1)
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "busy")
		}
	}
	g := newRig(t, Config{}, hello(engine(t, says503("0")), engine(t, says("b"))))
	for range 4 {
		if status, body := g.chat(); status != 200 || body != "b" {
			t.Errorf("got %d %s", status, body)
		}
	}
	if n := busy.Load(); n != 2 {
		t.Errorf("the busy one was asked %d times of 4", n)
	}
	// Without another route, or without that header, the engine's word is the answer.
	for _, s := range []Service{hello(engine(t, says503("0"))), hello(engine(t, says503("1")), engine(t, says("b")))} {
		g := newRig(t, Config{}, s)
		if status, body := g.chat(); status != 503 || body != "busy" {
			t.Errorf("got %d %s", status, body)
		}
	}
}

// An engine that read the request and died may have been killed by it: no other gets it.
func TestNoRetryOfWhatWasBegun(t *testing.T) {
	var asked atomic.Int32
	dies := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	g := newRig(t, Config{}, hello(engine(t, dies), engine(t, dies)))
	if status, _ := g.chat(); status != 502 || asked.Load() != 1 {
		t.Errorf("got %d after %d tries", status, asked.Load())
	}
}

// Connections that the engine closed while they idled are no failure, even of the only route.
func TestStaleConnections(t *testing.T) {
	g := newRig(t, Config{}, hello(plainEngine(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
	for range 50 {
		if status, body := g.chat(); status != 200 || body != "ok" {
			t.Fatalf("got %d %s", status, body)
		}
	}
	if load := g.Snapshot()[0]; load.Errors != 0 || load.Routes[0].Errors != 0 {
		t.Errorf("load %+v", load)
	}
}

// After an answer of unknown length some engines close the connection although they promised to keep it. Nothing may
// be written to it: whether it would be read nobody can tell.
func TestConnectionsOfStreamsAreNotUsedAgain(t *testing.T) {
	var mu sync.Mutex
	carried := map[net.Conn]int{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateActive {
			carried[c]++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	g := newRig(t, Config{}, hello(server.Listener.Addr().String()))
	for range 20 {
		if status, body := g.ask(g.request("POST", "/v1/chat/completions", chatStream)); status != 200 || !strings.Contains(body, "[DONE]") {
			t.Fatalf("got %d %s", status, body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, n := range carried {
		if n > 1 {
			t.Errorf("a connection carried %d requests", n)
		}
	}
	if load := g.Snapshot()[0]; load.Errors != 0 {
		t.Errorf("load %+v", load)
	}
}

// A connection that was taken by the kernel, but never by the engine, carried nothing to it.
func TestRetriesWhatWasNeverRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 1)
		_, _ = conn.Read(b) // the request is there; most of it stays unread
		_ = conn.Close()
		_ = l.Close()
		close(written)
	}()
	g := newRig(t, Config{}, hello(l.Addr().String(), engine(t, says("b"))))
	if status, body := g.chat(); status != 200 || body != "b" {
		t.Errorf("got %d %s", status, body)
	}
	<-written
	if n := g.metric("palisade_router_retries_total", "service", "hello", "reason", "reset"); n != 1 {
		t.Errorf("%v retries", n)
	}
}
