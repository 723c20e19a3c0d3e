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

// cold is a router within a bubble whose one service, hello, is at zero and is started for whoever waits.
type cold struct {
	*Router
	t       *testing.T
	front   pipes
	service Service
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	held    atomic.Int32 // how often Held was called
}

func newCold(t *testing.T, own bool, engine http.HandlerFunc, change ...func(*Service)) *cold {
	t.Helper()
	tokens, err := NewTokens(t.Context(), &memoryStore{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c := &cold{t: t, Router: New(Config{}, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))}
	c.Observe(Observers{Held: func(id string) {
		if id != "svc" {
			t.Errorf("held for %q", id)
		}
		c.held.Add(1)
	}})
	c.service = hold(hello(), 1000, 90*time.Second)
	c.service.Public, c.service.Zero, c.service.Wakes, c.service.Status = true, true, true, "IDLE"
	for _, one := range change {
		one(&c.service)
	}
	c.SetServices([]Service{c.service})
	if engine != nil {
		c.dial = serveOnPipes(t, engine).dial
	}
	if c.front = serveOnPipes(t, c.Router); own {
		c.front = serveGate(t, c.Router)
	}
	return c
}

// set changes the service.
func (c *cold) set(change func(*Service)) {
	change(&c.service)
	c.SetServices([]Service{c.service})
}

// starts is what becomes of the table when a route is asked for: expected is when it is thought to answer.
func (c *cold) starts(expected time.Duration) {
	c.set(func(s *Service) {
		s.Zero, s.Status, s.Broken, s.ReadyAt = false, "PROVISIONING", "", time.Now().Add(expected)
	})
}

// ready is what becomes of it when that route answers.
func (c *cold) ready() {
	c.set(func(s *Service) {
		s.Zero, s.Status, s.ReadyAt, s.Broken = false, "HEALTHY", time.Time{}, ""
		s.Routes = hello("engine:80").Routes
		s.Routes[0].Weight = 0 // in the table, and nobody may take it yet
	})
	up := c.routes["r1"].upstream
	up.dial = func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, "", "") }
	c.t.Cleanup(up.closeIdle)
	c.set(func(s *Service) {
		s.Routes = slices.Clone(s.Routes)
		s.Routes[0].Weight = 1
	})
}

// told is what a client was told.
type told struct {
	status int
	header http.Header
	body   string
	after  time.Duration
}

// eta and retry are headers in seconds; 0 where they are missing.
func (a told) eta() int   { n, _ := strconv.Atoi(a.header.Get("X-Palisade-Eta")); return n }
func (a told) retry() int { n, _ := strconv.Atoi(a.header.Get("Retry-After")); return n }

func (c *cold) post(path, body string) <-chan told {
	return c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func (c *cold) send(text string) <-chan told {
	c.t.Helper()
	conn, err := c.front.dial(c.t.Context(), "", "")
	if err != nil {
		c.t.Fatal(err)
	}
	out, begun := make(chan told, 1), time.Now()
	go func() { _, _ = io.WriteString(conn, text) }()
	go func() {
		defer func() { _ = conn.Close() }()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			out <- told{body: err.Error()}
			return
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			b = append(b, " broke: "+err.Error()...)
		}
		out <- told{res.StatusCode, res.Header, string(b), time.Since(begun)}
	}()
	return out
}

// bothPaths runs a test on our own path and on net/http's.
func bothPaths(t *testing.T, test func(t *testing.T, own bool)) {
	t.Helper()
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprint("own path: ", own), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, own) })
		})
	}
}

// All that come to a service at zero are held and answered; whoever starts routes is told each time; the new route
// gets no more at first than it takes, and those of one client in their order.
func TestAtZero(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		const many = 200
		var mu sync.Mutex
		var order []string
		inFlight, most := 0, 0
		c := newCold(t, own, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, user, _ := strings.Cut(string(b), `"user":"`)
			mu.Lock()
			order = append(order, user[:3])
			inFlight++
			most = max(most, inFlight)
			mu.Unlock()
			time.Sleep(200 * time.Millisecond) // in a bubble
			mu.Lock()
			inFlight--
			mu.Unlock()
			_, _ = io.WriteString(w, "warm")
		})
		var all []<-chan told
		for i := range many {
			all = append(all, c.post("/v1/chat/completions", fmt.Sprintf(`{"model":"hello","user":"%03d","messages":[]}`, i)))
			synctest.Wait()
		}
		if n := c.Snapshot()[0].Waiting; n != many || c.held.Load() != many {
			t.Fatalf("%d wait, told %d times", n, c.held.Load())
		}
		c.starts(8 * time.Second)
		time.Sleep(8 * time.Second)
		c.ready()
		synctest.Wait()
		mu.Lock()
		if inFlight > 4 {
			t.Errorf("%d at once at first", inFlight)
		}
		first := slices.Sorted(slices.Values(order)) // they went at one moment
		mu.Unlock()
		if !slices.Equal(first, []string{"000", "001", "002", "003"}) {
			t.Errorf("the first were %v", first)
		}
		for _, one := range all {
			if a := <-one; a.status != 200 || a.body != "warm" {
				t.Fatalf("got %+v", a)
			}
		}
		for i, user := range order { // no later than those that may go with it
			if n, _ := strconv.Atoi(user); n-i > most || i-n > most {
				t.Errorf("%s came as number %d, with at most %d at once", user, i, most)
			}
		}
	})
}

const chatAnthropic = `{"model":"hello","stream":true,"max_tokens":1,"messages":[]}`

// Who waits for a stream is told with the first ping when a route is expected; who is sent away, too.
func TestETA(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		c := newCold(t, own, says("data: [DONE]\n\n"), func(s *Service) { s.Traffic.Hold.Most = 3 })
		stream, plain := c.post("/v1/chat/completions", chatStream), c.post("/v1/chat/completions", chatHello)
		synctest.Wait()
		if a := <-c.sendFull(); a.eta() != 0 {
			t.Errorf("before anything is known: %+v", a)
		}
		c.starts(42500 * time.Millisecond)
		if a := <-c.sendFull(); a.status != 429 || a.eta() != 43 || a.retry() != 43 {
			t.Errorf("while it starts: %+v", a)
		}
		c.set(func(s *Service) { s.ReadyAt = s.ReadyAt.Add(time.Hour) })
		if a := <-c.sendFull(); a.eta() != 3643 || a.retry() != 60 {
			t.Errorf("never more than a minute: %+v", a)
		}
		c.set(func(s *Service) { s.ReadyAt = s.ReadyAt.Add(-time.Hour) })
		time.Sleep(45 * time.Second) // overdue
		if a := <-c.sendFull(); a.eta() != 1 || a.retry() != 1 {
			t.Errorf("overdue: %+v", a)
		}
		if a := <-plain; a.status != 503 || a.eta() != 1 || a.retry() != 1 || a.after != 90*time.Second {
			t.Errorf("at the end of its time: %+v", a)
		}
		if a := <-stream; a.status != 200 || a.eta() != 33 || strings.Count(a.body, ": ping") < 8 || !strings.Contains(a.body, `"no_route"`) {
			t.Errorf("a stream: %+v", a)
		}
	})
}

// sendFull fills the line, and returns what the one is told that is too many.
func (c *cold) sendFull() <-chan told {
	one := make(chan told, 1)
	all := []<-chan told{c.post("/v1/chat/completions", chatHello), c.post("/v1/chat/completions", chatHello)}
	synctest.Wait()
	go func() {
		for {
			for i := range all {
				select {
				case a := <-all[i]:
					one <- a
					return
				default:
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return one
}

// A start that fails answers all that wait with the engine's last words, and all that come before the next one;
// then they wait again.
func TestStartFails(t *testing.T) {
	const words = "RuntimeError: CUDA out of memory.\n  tried to allocate \"2 GiB\""
	bothPaths(t, func(t *testing.T, own bool) {
		c := newCold(t, own, says("at last"))
		plain, stream := c.post("/v1/chat/completions", chatHello), c.post("/v1/chat/completions", chatStream)
		messages, grpcLess := c.post("/v1/messages", chatAnthropic), c.post("/services/hello/v1/messages", `{"max_tokens":1}`)
		c.starts(time.Minute)
		time.Sleep(25 * time.Second)
		late := c.post("/v1/chat/completions", chatStream) // nothing was said to it yet
		synctest.Wait()
		if n := c.Snapshot()[0].Waiting; n != 5 {
			t.Fatalf("%d wait", n)
		}
		failedAt := time.Now()
		c.set(func(s *Service) {
			s.Status, s.Broken, s.RetryAt, s.ReadyAt = "UNHEALTHY", words, time.Now().Add(3500*time.Millisecond), time.Time{}
		})
		for name, of := range map[string]<-chan told{"plain": plain, "late": late} {
			a := <-of
			if a.status != 503 || a.retry() != 4 || !strings.Contains(a.body, `"code":"start_failed"`) || !strings.Contains(a.body, `tried to allocate \"2 GiB\"`) || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if a := <-grpcLess; a.status != 503 || !strings.Contains(a.body, `{"type":"error","error":{"type":"overloaded_error"`) {
			t.Errorf("in Anthropic's shape: %+v", a)
		}
		if a := <-stream; a.status != 200 || a.eta() != 50 || !strings.Contains(a.body, "\n\ndata: {\"error\":{") || !strings.Contains(a.body, `"code":"start_failed"`) {
			t.Errorf("a stream that was told to wait: %+v", a)
		}
		if a := <-messages; a.status != 200 || !strings.Contains(a.body, "event: error\ndata: {\"type\":\"error\"") || !strings.Contains(a.body, "CUDA out of memory") {
			t.Errorf("the same of Anthropic's: %+v", a)
		}
		before := c.held.Load()
		if a := <-c.post("/v1/chat/completions", chatHello); a.status != 503 || !strings.Contains(a.body, "start_failed") || a.after != 0 {
			t.Errorf("one that comes then: %+v", a)
		}
		if time.Since(failedAt) != 0 || c.held.Load() != before {
			t.Errorf("it took %v; told %d times of one that was not held", time.Since(failedAt), c.held.Load()-before)
		}
		time.Sleep(3500 * time.Millisecond)
		again := c.post("/v1/chat/completions", chatHello) // the table says the same still
		synctest.Wait()
		if n := c.Snapshot()[0].Waiting; n != 1 || c.held.Load() != before+1 {
			t.Errorf("%d wait for the next try, told %d times", n, c.held.Load()-before)
		}
		c.starts(time.Second)
		time.Sleep(time.Second)
		c.ready()
		if a := <-again; a.status != 200 || a.body != "at last" {
			t.Errorf("got %+v", a)
		}
	})
}

// Broken while a route answers is nobody's business who asks; nor where nothing is started by itself.
func TestStartFailsElsewhere(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		c := newCold(t, own, says("well"))
		c.ready()
		c.set(func(s *Service) { s.Broken, s.RetryAt = "no", time.Now().Add(time.Hour) })
		if a := <-c.post("/v1/chat/completions", chatHello); a.status != 200 {
			t.Errorf("got %+v", a)
		}
		c.set(func(s *Service) { s.Zero, s.Wakes, s.Routes, s.Traffic.Hold = true, false, nil, waiting.Settings{} })
		if a := <-c.post("/v1/chat/completions", chatHello); a.status != 503 || !strings.Contains(a.body, "scaled_to_zero") {
			t.Errorf("got %+v", a)
		}
	})
}

// Where nobody may wait, a request at zero is sent away, and wakes the service all the same.
func TestAtZeroWhereNobodyMayWait(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		c := newCold(t, own, nil, func(s *Service) { s.Traffic.Hold = waiting.Settings{} })
		a := <-c.post("/v1/chat/completions", chatHello)
		if a.status != 503 || a.retry() != 5 || !strings.Contains(a.body, "is being started") || c.held.Load() != 1 {
			t.Errorf("told %d times: %+v", c.held.Load(), a)
		}
		c.starts(20 * time.Second)
		if a = <-c.post("/v1/chat/completions", chatHello); a.status != 503 || a.retry() != 20 || a.eta() != 20 {
			t.Errorf("got %+v", a)
		}
		if a = <-c.send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != 200 || !strings.Contains(a.body, `"id":"hello"`) {
			t.Errorf("the list of models: %+v", a)
		}
	})
}

// What keeps a service's routes from starting is told to those who have waited in vain, at zero and while one is wanted.
func TestWhatHoldsAServiceUpIsTold(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		const why = "project red may have 1 route in all, and has them"
		c := newCold(t, own, nil, func(s *Service) { s.Held = why })
		a := <-c.post("/v1/chat/completions", chatHello)
		if a.status != 503 || !strings.Contains(a.body, "cannot be started now: "+why) || !strings.Contains(a.body, "within 1m30s") {
			t.Errorf("at zero: %+v", a)
		}
		c.set(func(s *Service) { s.Zero, s.Status = false, "PROVISIONING" })
		if a = <-c.post("/v1/chat/completions", chatHello); a.status != 503 || !strings.Contains(a.body, why) {
			t.Errorf("while one is wanted: %+v", a)
		}
		c.set(func(s *Service) { s.Held = "" })
		if a = <-c.post("/v1/chat/completions", chatHello); a.status != 503 || strings.Contains(a.body, why) {
			t.Errorf("while nothing is known: %+v", a)
		}
	})
}

// Requests that wait when the last route goes are a reason to start one, too.
func TestTheLastRouteGoesWhileSomeWait(t *testing.T) {
	bothPaths(t, func(t *testing.T, own bool) {
		c := newCold(t, own, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, func(s *Service) { s.Traffic.Balance.Limit = 1 })
		c.ready()
		first := c.post("/v1/chat/completions", chatHello)
		synctest.Wait()
		second := c.post("/v1/chat/completions", chatHello)
		synctest.Wait()
		if c.held.Load() != 0 {
			t.Errorf("told of one that waits for a route that is there")
		}
		c.set(func(s *Service) { s.Routes = slices.Clone(s.Routes); s.Routes[0].Draining = true })
		if c.held.Load() == 0 {
			t.Error("not told")
		}
		<-first
		c.ready()
		if a := <-second; a.status != 200 {
			t.Errorf("got %+v", a)
		}
	})
}
