package router

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/router/waiting"
)

// hold lets a service's requests wait.
func hold(s Service, most int, timeout time.Duration) Service {
	s.Traffic.Hold = waiting.Settings{Most: most, Timeout: timeout}
	return s
}

// heard is what became of a request that goes on in the background.
type heard struct {
	status int
	body   string
	header http.Header
}

// background sends a chat request with a secret.
func (g *rig) background(ctx context.Context, secret, body string) <-chan heard {
	g.t.Helper()
	req := g.request("POST", "/v1/chat/completions", body).WithContext(ctx)
	req.Header.Set("Authorization", "Bearer "+secret)
	out := make(chan heard, 1)
	go func() {
		defer close(out)
		res, err := g.server.Client().Do(req)
		if err != nil {
			return
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		out <- heard{res.StatusCode, string(b), res.Header}
	}()
	return out
}

// awaitWaiting returns when n requests wait.
func (g *rig) awaitWaiting(n int) {
	g.t.Helper()
	g.await(func() bool { return g.Snapshot()[0].Waiting == n })
}

// await looks until is is true.
func (g *rig) await(is func() bool) {
	g.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			g.t.Fatalf("it does not come to that: %+v", g.Snapshot())
		}
	}
}

// A service whose only route is on its way lets all wait, plain and streams, and answers them all.
func TestRequestsWaitForARoute(t *testing.T) {
	s := hold(hello(), 100, time.Minute)
	g := newRig(t, Config{}, s)
	var all []<-chan heard
	for i := range 30 {
		all = append(all, g.background(t.Context(), g.secret, []string{chatHello, chatStream}[i%2]))
	}
	g.awaitWaiting(30)
	s.Routes = hello(engine(t, says("here"))).Routes
	g.SetServices([]Service{s})
	for _, one := range all {
		if a := <-one; a.status != 200 || a.body != "here" {
			t.Errorf("got %+v", a)
		}
	}
	if n := g.Snapshot()[0].Waiting; n != 0 {
		t.Errorf("%d wait", n)
	}
}

// The only route dies under load and another takes its place a while later: those that no engine had read wait.
func TestTheOnlyRouteRestarts(t *testing.T) {
	dying := newMortal(t, says("first"))
	s := hold(hello(dying.Addr().String()), 100, time.Minute)
	g := newRig(t, Config{}, s)
	var failed, answered, second atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for second.Load() < 200 {
				switch a := <-g.background(t.Context(), g.secret, chatHello); a.status {
				case http.StatusOK:
					if n := answered.Add(1); n == 100 {
						dying.kill()
					}
					if a.body == "second" {
						second.Add(1)
					}
				case http.StatusBadGateway:
					failed.Add(1)
				default:
					t.Errorf("got %+v", a)
					return
				}
			}
		})
	}
	// It is in the table for a moment longer, as one is whose end was not noticed yet.
	g.await(func() bool { return g.metric("palisade_router_upstream_errors_total", "kind", "connect") >= 8 })
	s.Routes = nil
	g.SetServices([]Service{s})
	g.awaitWaiting(8)
	s.Routes = []Route{{ID: "r2", Addr: engine(t, says("second")), Weight: 1}}
	g.SetServices([]Service{s})
	all.Wait()
	if n := failed.Load(); n > dying.begun {
		t.Errorf("%d failed, and %d had begun", n, dying.begun)
	}
}

// More requests lose their route at once than the budget of retries pays for: those that no engine has read are
// answered all the same.
func TestMoreThanTheBudgetPaysFor(t *testing.T) {
	frozen, err := net.Listen("tcp", "127.0.0.1:0") // takes connections as a stopped process does: its kernel
	if err != nil {
		t.Fatal(err)
	}
	s := hold(hello(frozen.Addr().String()), 1000, time.Minute)
	g := newRig(t, Config{}, s)
	var all []<-chan heard
	for range 60 {
		all = append(all, g.background(t.Context(), g.secret, chatHello))
	}
	g.await(func() bool { return g.InFlight("r1") == 60 })
	s.Routes = append(s.Routes, Route{ID: "r2", Addr: engine(t, says("b")), Weight: 1})
	s.Routes[0].Draining = true
	g.SetServices([]Service{s})
	g.await(func() bool { // all of them are in the kernel's hands
		return g.metric("palisade_router_requests_in_flight") == 60
	})
	if err := frozen.Close(); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if a := <-one; a.status != 200 || a.body != "b" {
			t.Errorf("got %+v", a)
		}
	}
}

// Where a route takes one request at a time, those of one token come in their order, and tokens in turn.
func TestWhoWaitsComesInTurn(t *testing.T) {
	var mu sync.Mutex
	var order []string
	next := make(chan struct{})
	s := hold(hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		_, user, _ := strings.Cut(string(b), `"user":"`)
		order = append(order, user[:2])
		mu.Unlock()
		<-next
	})), 100, time.Minute)
	s.Traffic.Balance.Limit = 1
	g := newRig(t, Config{}, s)
	_, other := issue(t, g.tokens, IssueRequest{Project: "p"})
	var all []<-chan heard
	ask := func(secret, name string) {
		all = append(all, g.background(t.Context(), secret, `{"model":"hello","user":"`+name+`","messages":[]}`))
	}
	ask(g.secret, "a0")
	g.await(func() bool { return g.InFlight("r1") == 1 })
	for i, name := range []string{"a1", "a2", "a3", "a4", "b1", "b2"} {
		ask(map[byte]string{'a': g.secret, 'b': other}[name[0]], name)
		g.awaitWaiting(i + 1)
	}
	for range all {
		if n := g.InFlight("r1"); n > 1 {
			t.Errorf("%d at once", n)
		}
		next <- struct{}{}
	}
	for _, one := range all {
		if a := <-one; a.status != 200 {
			t.Errorf("got %+v", a)
		}
	}
	if want := []string{"a0", "a1", "b1", "a2", "b2", "a3", "a4"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}

// Who comes when as many wait as may is sent away at once, with a word on when to come again.
func TestTheQueueIsFull(t *testing.T) {
	s := hold(hello(), 2, time.Minute)
	g := newRig(t, Config{}, s)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	first := g.background(ctx, g.secret, chatHello)
	second := g.background(t.Context(), g.secret, chatHello)
	g.awaitWaiting(2)
	full := <-g.background(t.Context(), g.secret, chatHello)
	after, err := strconv.Atoi(full.header.Get("Retry-After"))
	if full.status != http.StatusTooManyRequests || err != nil || after < 1 || after > 60 || !strings.Contains(full.body, `"queue_full"`) {
		t.Errorf("got %+v", full)
	}
	leave() // who goes frees its place
	<-first
	g.awaitWaiting(1)
	third := g.background(t.Context(), g.secret, chatHello)
	g.awaitWaiting(2)
	s.Routes = hello(engine(t, says("here"))).Routes
	g.SetServices([]Service{s})
	for _, one := range []<-chan heard{second, third} {
		if a := <-one; a.status != 200 {
			t.Errorf("got %+v", a)
		}
	}
	g.await(func() bool { return g.metric("palisade_router_requests_total", "code", "aborted") == 1 })
	g.idle()
}

// A service at zero by its owner's wish lets nobody wait; one whose service goes is told so.
func TestNobodyWaitsForNothing(t *testing.T) {
	g := newRig(t, Config{}, hold(hello(), 0, 0))
	if status, body := g.chat(); status != 503 || !strings.Contains(body, `"no_route"`) {
		t.Errorf("got %d %s", status, body)
	}
	g.SetServices([]Service{hold(hello(), 10, time.Minute)})
	waits := g.background(t.Context(), g.secret, chatHello)
	g.awaitWaiting(1)
	g.SetServices(nil)
	if a := <-waits; a.status != 404 {
		t.Errorf("got %+v", a)
	}
}

// serveGate is as serveOnPipes, with our own path before net/http's.
func serveGate(t *testing.T, r *Router) pipes {
	t.Helper()
	p := pipes{make(chan net.Conn), make(chan struct{})}
	g := NewGate(r.config, &http.Server{Handler: r}, slog.New(slog.DiscardHandler))
	g.Open(r)
	go func() { _ = g.Serve(p) }()
	t.Cleanup(func() { _ = g.Close() })
	return p
}

// heldRig is a router within a bubble whose one service has no route yet. ready gives it one.
func heldRig(t *testing.T, own bool, timeout time.Duration, h http.HandlerFunc) (p pipes, ready func(), r *Router) {
	t.Helper()
	tokens, err := NewTokens(t.Context(), &memoryStore{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r = New(Config{}, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	s := hold(hello(), 10, timeout)
	s.Public = true
	r.SetServices([]Service{s})
	dial := serveOnPipes(t, h).dial
	ready = func() {
		s.Routes = hello("engine:80").Routes
		s.Routes[0].Weight = 0
		r.SetServices([]Service{s}) // in the table, and nobody may take it yet
		up := r.routes["r1"].upstream
		up.dial = func(ctx context.Context) (net.Conn, error) { return dial(ctx, "", "") }
		t.Cleanup(up.closeIdle)
		s.Routes = slices.Clone(s.Routes)
		s.Routes[0].Weight = 1
		r.SetServices([]Service{s})
	}
	if own {
		return serveGate(t, r), ready, r
	}
	return serveOnPipes(t, r), ready, r
}

// events reads a stream and notes when its lines came.
type events struct {
	status int
	kind   string
	lines  []string
	at     []time.Duration
}

func follow(t *testing.T, p pipes, body string) <-chan events {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan events, 1)
	begun := time.Now()
	go func() {
		_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	}()
	go func() {
		defer func() { _ = conn.Close() }()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Error(err)
			close(out)
			return
		}
		e := events{status: res.StatusCode, kind: res.Header.Get("Content-Type")}
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if lines.Text() != "" {
				e.lines, e.at = append(e.lines, lines.Text()), append(e.at, time.Since(begun).Round(time.Second))
			}
		}
		if lines.Err() != nil {
			e.lines = append(e.lines, "broke: "+lines.Err().Error())
		}
		out <- e
	}()
	return out
}

// A client that waits for a stream is told each ten seconds that it is not forgotten, and then gets the stream; or, as
// an event, why there is none. One that comes to an answer sooner sees nothing of it.
func TestPings(t *testing.T) {
	stream := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\ndata: [DONE]\n\n")
	}
	refuses := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"too long","code":"context_length_exceeded"}}`)
	}
	dies := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		after  time.Duration // that a route comes; 0: none does
		h      http.HandlerFunc
		body   string
		status int
		pings  int
		last   string
	}{
		"soon":             {9 * time.Second, stream, chatStream, 200, 0, "data: [DONE]"},
		"late":             {35 * time.Second, stream, chatStream, 200, 3, "data: [DONE]"},
		"no stream":        {35 * time.Second, says("x"), chatHello, 200, 0, "x"},
		"late and refused": {15 * time.Second, refuses, chatStream, 200, 1, `"context_length_exceeded"}}`},
		"late and dies":    {15 * time.Second, dies, chatStream, 200, 1, `"engine_failed"}}`},
		"never":            {0, stream, chatStream, 200, 6, `"no_route"}}`}, // at 60 s, the moment of the last ping
		"never, no stream": {0, stream, chatHello, 503, 0, `"no_route"}}`},
	} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", own path: ", own), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, ready, _ := heldRig(t, own, 61*time.Second, c.h)
					got := follow(t, p, c.body)
					if c.after > 0 {
						time.AfterFunc(c.after, ready)
					}
					e := <-got
					if e.status != c.status || len(e.lines) <= c.pings || !strings.HasSuffix(e.lines[len(e.lines)-1], c.last) {
						t.Fatalf("got %+v", e)
					}
					for i, line := range e.lines {
						if ping := line == ": ping"; ping != (i < c.pings) || ping && e.at[i] != time.Duration(i+1)*heartbeat {
							t.Errorf("line %d: %q at %v", i, line, e.at[i])
						}
					}
					if c.body == chatStream && e.status == 200 && e.kind != "text/event-stream" {
						t.Errorf("a stream of type %q", e.kind)
					}
				})
			})
		}
	}
}

// A client that goes while it waits, told by pings or not, leaves its place.
func TestWhoGoesFreesItsPlace(t *testing.T) {
	for _, waited := range []time.Duration{time.Second, 25 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, _, r := heldRig(t, false, time.Hour, says("x"))
			conn, err := p.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(len(chatStream))+"\r\n\r\n"+chatStream)
				_, _ = io.Copy(io.Discard, conn)
			}()
			time.Sleep(waited)
			synctest.Wait()
			if n := r.Snapshot()[0].Waiting; n != 1 {
				t.Errorf("%d wait", n)
			}
			_ = conn.Close()
			time.Sleep(heartbeat)
			synctest.Wait()
			if s := r.Snapshot()[0]; s.Waiting != 0 || s.InFlight != 0 {
				t.Errorf("after it went: %+v", s)
			}
		})
	}
}

// A route that is there and takes no connection is tried again and again, as long as requests may wait; who waits
// for a stream is told.
func TestARouteThatTakesNoConnection(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		last string
	}{
		"plain": {chatHello, `"route_unreachable"}}`}, "stream": {chatStream, `"route_unreachable"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, ready, r := heldRig(t, true, 45*time.Second, says("x"))
				ready()
				var tries int
				r.routes["r1"].upstream.dial = func(context.Context) (net.Conn, error) {
					tries++
					return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
				}
				e := <-follow(t, p, c.body)
				pings := slices.Index(e.lines, e.lines[len(e.lines)-1])
				if !strings.HasSuffix(e.lines[pings], c.last) || (c.body == chatStream) != (pings >= 3) || tries < 30 || tries > 100 {
					t.Errorf("%d tries, got %+v", tries, e)
				}
			})
		})
	}
}
