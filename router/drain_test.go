package router

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// caller is one client connection that is kept.
type caller struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (g *rig) call() *caller {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	return &caller{t: g.t, conn: conn, r: bufio.NewReader(conn)}
}

// head sends a chat request and returns the answer, whose body is not read.
func (c *caller) head(g *rig) *http.Response {
	c.t.Helper()
	req := g.request("POST", "/v1/chat/completions", chatHello)
	if err := req.Write(c.conn); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *caller) whole(resp *http.Response) string {
	c.t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// A connection that is kept is told with its next answer that it ends; one in the middle of an answer gets all of
// it; one that asks nothing is closed after its time; and Drain returns when all have ended.
func TestDrain(t *testing.T) {
	proceed := make(chan struct{})
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		if r.Header.Get("Slow") != "" {
			_ = http.NewResponseController(w).Flush()
			<-proceed
		}
		_, _ = io.WriteString(w, "last")
	})))
	kept, silent, streaming := g.call(), g.call(), g.call()
	if got := kept.whole(kept.head(g)); got != "first last" {
		t.Fatal(got)
	}
	silent.whole(silent.head(g))
	req := g.request("POST", "/v1/chat/completions", chatHello)
	req.Header.Set("Slow", "yes")
	if err := req.Write(streaming.conn); err != nil {
		t.Fatal(err)
	}
	stream, err := http.ReadResponse(streaming.r, req)
	if err != nil {
		t.Fatal(err)
	}

	drained := make(chan error, 1)
	const idle = 300 * time.Millisecond
	began := time.Now()
	go func() { drained <- g.server.gate.Drain(t.Context(), idle) }()
	for last := false; !last; { // the first ones may come before it has begun
		resp := kept.head(g)
		if last = resp.Close; kept.whole(resp) != "first last" {
			t.Fatal("a connection that was kept got another answer")
		}
	}
	if _, err := silent.r.ReadByte(); !errors.Is(err, io.EOF) || time.Since(began) < idle {
		t.Errorf("one that asks nothing got %v after %s", err, time.Since(began))
	}
	select {
	case err := <-drained:
		t.Fatal("it did not wait for an answer: ", err)
	default:
	}
	close(proceed)
	if got := streaming.whole(stream); got != "first last" {
		t.Errorf("the answer was cut: %q", got)
	}
	ended := time.Now()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(ended); took > 10*idle {
		t.Errorf("it ended %s after the last answer", took)
	}
}

func TestDrainIsBounded(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-never:
		case <-r.Context().Done():
		}
	})))
	g.call().head(g)
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, enough)
	defer cancel()
	if err := g.server.gate.Drain(ctx, time.Millisecond); !errors.Is(err, enough) {
		t.Errorf("Drain: %v", err)
	}
}

// While one gate stops listening and another goes on with the same port, clients of all kinds see nothing of it.
func TestNothingFailsWhenAnotherGateTakesOver(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("hello"))))
	gate := g.server.gate
	l, ok := g.server.Listener.(*net.TCPListener)
	if !ok {
		t.Fatal("no TCP")
	}
	var asked atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		clients.Go(func() {
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Do(g.request("POST", "/v1/chat/completions", chatHello))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(body) != "hello" {
					t.Errorf("%s %q %v", resp.Status, body, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for range 5 {
		file, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		again, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		next := NewGate(Config{}, &http.Server{Handler: g.Router}, slog.New(slog.DiscardHandler))
		next.Open(g.Router)
		go func() { _ = next.Serve(again) }()
		t.Cleanup(func() { _ = next.Close() })
		if err := gate.Drain(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		var is bool
		if l, is = again.(*net.TCPListener); !is {
			t.Fatal("no TCP")
		}
		gate = next
	}
	close(stop)
	clients.Wait()
	t.Logf("%d requests", asked.Load())
}
