package router

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pipes is a listener whose connections are in memory, so that time in a bubble may pass over them.
type pipes struct {
	ends chan net.Conn
	done chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.ends:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.ends <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func serveOnPipes(t *testing.T, h http.Handler) pipes {
	t.Helper()
	p := pipes{make(chan net.Conn), make(chan struct{})}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(p) }()
	t.Cleanup(func() { _ = s.Close() })
	return p
}

// bubbleRig is a router within a bubble, open to all, with one engine.
func bubbleRig(t *testing.T, c Config, h http.HandlerFunc) (*Router, pipes) {
	t.Helper()
	tokens, err := NewTokens(t.Context(), &memoryStore{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := New(c, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	s := hello("engine:80")
	s.Public = true
	r.SetServices([]Service{s})
	up := r.routes["r1"].upstream
	dial := serveOnPipes(t, h).dial
	up.dial = func(ctx context.Context) (net.Conn, error) { return dial(ctx, "", "") }
	t.Cleanup(up.closeIdle)
	return r, serveOnPipes(t, r)
}

// post sends a chat request over a connection of its own.
func post(t *testing.T, p pipes, length int, body string) (*http.Response, string) {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(length)+"\r\n\r\n"+body)
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// Ten minutes without a word are borne, whatever is set; more than the bound is not.
func TestSilence(t *testing.T) {
	const bound = 20 * time.Minute
	for name, c := range map[string]struct {
		before, between time.Duration
		status          int
		ends            string
	}{
		"long thought":       {10 * time.Minute, 0, 200, "[DONE]\n\n"},
		"long pause":         {0, 19 * time.Minute, 200, "[DONE]\n\n"},
		"too long a thought": {bound + bound/8 + time.Second, 0, 504, `"engine_silent"}}` + "\n"},
		"too long a pause":   {0, bound + bound/8 + time.Second, 200, `"engine_silent"}}` + "\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, p := bubbleRig(t, Config{Silence: bound}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					wait := func(d time.Duration) bool {
						select {
						case <-time.After(d):
							return true
						case <-r.Context().Done():
							return false
						}
					}
					if !wait(c.before) {
						return
					}
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: 1\n\n")
					_ = http.NewResponseController(w).Flush()
					if wait(c.between) {
						_, _ = io.WriteString(w, "data: [DONE]\n\n")
					}
				})
				begun := time.Now()
				res, body := post(t, p, len(chatStream), chatStream)
				if res.StatusCode != c.status || !strings.HasSuffix(body, c.ends) {
					t.Errorf("got %s %q", res.Status, body)
				}
				// The bound is moved on now and then, not with every piece: an eighth more is borne.
				least := min(c.before+c.between, bound)
				if took := time.Since(begun); took < least || took > least+bound/8 {
					t.Errorf("took %v, want %v", took, least)
				}
			})
		})
	}
}

func TestSilenceIsNeverShorterThanTenMinutes(t *testing.T) {
	if c := (Config{Silence: time.Second}).withDefaults(); c.Silence != minSilence {
		t.Errorf("got %v", c.Silence)
	}
}

// A body that stops coming does not hold anything for ever.
func TestBodySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := bubbleRig(t, Config{}, says("x"))
		begun := time.Now()
		res, body := post(t, p, 100, `{"model":`)
		if res.StatusCode != http.StatusRequestTimeout || !strings.Contains(body, `"body_timeout"`) {
			t.Errorf("got %s %s", res.Status, body)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if n := r.buffered.Load(); n != 0 {
			t.Errorf("%d bytes are held", n)
		}
	})
}

// Nor does one that is refused before it was read.
func TestRefusedBodySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := bubbleRig(t, Config{}, says("x"))
		r.SetServices(nil)
		begun := time.Now()
		res, _ := post(t, p, 100, `{"model":`)
		if took := time.Since(begun); res.StatusCode != http.StatusUnauthorized || took != refusedBody {
			t.Errorf("got %s after %v", res.Status, took)
		}
	})
}
