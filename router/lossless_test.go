package router

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/waiting"
)

// A route that answers with a gateway's fault five times in a row is passed over, tried again after a pause by one
// request, and has its share again when that went well.
func TestFaultyRoutesArePassedOver(t *testing.T) {
	for _, status := range []int{502, 503, 504} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var asked atomic.Int32
			var well atomic.Bool
			faulty := engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				asked.Add(1)
				if !well.Load() {
					w.WriteHeader(status)
				}
			})
			g := newRig(t, Config{}, hello(faulty, engine(t, says("b"))))
			faults := func(n int) (count int) {
				for range n {
					if got, _ := g.chat(); got == status {
						count++
					}
				}
				return count
			}
			begun := time.Now()
			n := faults(50)
			// One trial for each pause that may have passed: this machine may be slow.
			if trials := int(time.Since(begun) / (250 * time.Millisecond)); n < 5 || n > 5+trials {
				t.Errorf("%d of 50 requests were given to it, in %s", n, time.Since(begun))
			}
			if n := g.metric("palisade_router_routes", "state", "avoided"); n != 1 {
				t.Errorf("%v routes are avoided", n)
			}
			before := asked.Load()
			g.await(func() bool { g.chat(); return asked.Load() > before }) // tried again, and still faulty
			well.Store(true)
			before = asked.Load()
			g.await(func() bool { g.chat(); return asked.Load() > before })
			before = asked.Load()
			if n := faults(20); n > 0 || asked.Load() < before+9 {
				t.Errorf("well again, and asked %d times of 20", asked.Load()-before)
			}
		})
	}
}

// Faults with a good answer between them are no reason.
func TestFaultsOfRequestsOpenNoBreaker(t *testing.T) {
	var n atomic.Int32
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1)%5 != 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}), engine(t, says("b"))))
	for range 60 {
		g.chat()
	}
	if got := n.Load(); got != 30 {
		t.Errorf("asked %d times of 60", got)
	}
}

// Where every second request needs another route, retries end where the budget does.
func TestRetriesKeepToTheirBudget(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "busy")
	}), engine(t, says("b"))))
	const asked = 200
	busy := 0
	for range asked {
		switch status, body := g.chat(); {
		case status == 503 && body == "busy":
			busy++
		case status != 200 || body != "b":
			t.Fatalf("got %d %s", status, body)
		}
	}
	if n := g.metric("palisade_router_retries_total", "reason", "busy"); n < 10 || n > 10+asked/5 {
		t.Errorf("%v retries of %d requests, and %d were told to come later", n, asked, busy)
	}
}

// Clients ask all the time, over kept connections and new ones, for answers and for streams, while routes come, drain
// and go as in a rolling update: nothing fails, nothing is done twice.
func TestRollingUnderLoad(t *testing.T) {
	var mu sync.Mutex
	begun := map[string]int{}
	var busy [6]atomic.Int32
	serve := func(i int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			busy[i].Add(1)
			defer busy[i].Add(-1)
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			begun[r.Header.Get("X-Request-Id")]++
			mu.Unlock()
			if strings.Contains(string(b), `"stream":true`) {
				w.Header().Set("Content-Type", "text/event-stream")
				for range 3 {
					_, _ = io.WriteString(w, "data: {}\n\n")
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.WriteString(w, "data: [DONE]\n\n")
				return
			}
			_, _ = io.WriteString(w, "[DONE]\n\n")
		}
	}
	s := hello()
	s.Traffic.Hold = waiting.Settings{Most: 100, Timeout: time.Minute}
	servers := make([]*mortal, len(busy))
	for i := range servers {
		servers[i] = newMortal(t, serve(i))
	}
	route := func(i int, draining bool) Route {
		return Route{ID: "r" + strconv.Itoa(i), Addr: servers[i].Addr().String(), Weight: 1, Draining: draining}
	}
	s.Routes = []Route{route(0, false), route(1, false)}
	g := newRig(t, Config{}, s)
	stop := make(chan struct{})
	var next, answered atomic.Int64
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := next.Add(1)
				req := g.request("POST", "/v1/chat/completions", []string{chatHello, chatStream}[n%2])
				req.Header.Set("X-Request-Id", "c-"+strconv.FormatInt(n, 10))
				req.Close = worker < 2
				res, err := g.server.Client().Do(req)
				if err != nil {
					t.Errorf("no answer: %v", err)
					return
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || !strings.HasSuffix(string(b), "[DONE]\n\n") {
					t.Errorf("got %s %q %v", res.Status, b, err)
				}
				answered.Add(1)
			}
		})
	}
	more := func() {
		until := answered.Load() + 50
		g.await(func() bool { return answered.Load() >= until || t.Failed() })
	}
	for i := 2; i < len(servers); i++ {
		more()
		s.Routes = append(s.Routes, route(i, false))
		g.SetServices([]Service{s})
		more()
		old := i - 2
		s.Routes[0] = route(old, true)
		g.SetServices([]Service{s})
		if err := g.WaitIdle(t.Context(), s.Routes[0].ID); err != nil {
			t.Fatal(err)
		}
		s.Routes = append([]Route(nil), s.Routes[1:]...)
		g.SetServices([]Service{s})
		servers[old].kill() // nothing of it is in flight
	}
	more()
	close(stop)
	all.Wait()
	for id, n := range begun {
		if n > 1 {
			t.Errorf("%s was begun %d times", id, n)
		}
	}
	if n := g.metric("palisade_router_upstream_errors_total"); n > 0 {
		t.Errorf("%v faults of routes", n)
	}
	g.idle()
}

// An engine that has closed a kept connection as the next request came has not seen it, however the two ends crossed on
// their way: it is made again, and answered.
func TestEndsThatCrossRequests(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // answers one request on a connection, and closes it a moment later
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				b := make([]byte, 4096)
				if _, err := conn.Read(b); err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	g := newRig(t, Config{}, hello(l.Addr().String()))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if status, body := g.chat(); status != 200 || body != "ok" {
					t.Errorf("got %d %s", status, body)
					return
				}
			}
		})
	}
	all.Wait()
}

// The kernel gives a silent box up after a minute, also where bytes of ours are on their way to it.
func TestSilentBoxesAreGivenUp(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("b"))))
	conn, err := g.routes["r1"].upstream.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var bound int
	if failed := raw.Control(func(fd uintptr) {
		bound, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); failed != nil || err != nil || bound != 60_000 {
		t.Errorf("%d ms, %v %v", bound, err, failed)
	}
}
