package router

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gateOnPipes is a gate before r, within a bubble.
func gateOnPipes(t *testing.T, r *Router) pipes {
	t.Helper()
	p := pipes{make(chan net.Conn), make(chan struct{})}
	log := slog.New(slog.DiscardHandler)
	g := NewGate(r.config, &http.Server{Handler: r, ReadHeaderTimeout: headTime, IdleTimeout: idleTime}, log)
	g.Open(r)
	go func() { _ = g.Serve(p) }()
	t.Cleanup(func() { _ = g.Close() })
	return p
}

// Clients that say little and slowly are borne for ten seconds over a head, a minute without a byte of a
// body, two minutes between requests.
func TestSlowClients(t *testing.T) {
	for name, c := range map[string]struct {
		first, drip string
		every, ends time.Duration
		status      int // 0: closed without a word
	}{
		"says nothing":           {ends: idleTime + idleTime/8},
		"a head, byte by byte":   {first: "GET / HTTP/1.1\r\n", drip: "x", every: time.Second, ends: headTime, status: 408},
		"half a head":            {first: "GET / HTTP/1.1\r\nHost:", ends: headTime, status: 408},
		"a body that stops":      {first: hostilePost("Content-Length: 100") + "half", ends: time.Minute, status: 408},
		"an upload":              {first: hostilePost("Transfer-Encoding: chunked") + "5\r\nha", ends: minSilence, status: 408},
		"a chunked body, model":  {first: strings.Replace(hostilePost("Transfer-Encoding: chunked"), "/services/hello/x", "/v1/x", 1) + "5\r\n{\"", ends: time.Minute, status: 408},
		"a next head, by net":    {first: chunkedOne + "GET / HT", ends: idleTime, status: 200},
		"a refused body, by net": {first: "POST /services/none/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", ends: refusedBody, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := bubbleRig(t, Config{}, says("x"))
				conn, err := gateOnPipes(t, r).dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				var writes sync.WaitGroup
				defer writes.Wait()
				defer conn.Close()
				begun := time.Now()
				writes.Go(func() {
					_, err := io.WriteString(conn, c.first)
					for c.drip != "" && err == nil {
						time.Sleep(c.every)
						_, err = io.WriteString(conn, c.drip)
					}
				})
				from := bufio.NewReader(conn)
				status := 0
				if a := next(from, "POST"); a != nil {
					status = a.status
				}
				_, _ = io.Copy(io.Discard, from)
				if took := time.Since(begun); status != c.status || took < c.ends || took > c.ends+time.Second {
					t.Errorf("got %d after %v, want %d after %v", status, took, c.status, c.ends)
				}
				synctest.Wait()
				if n := r.InFlight("r1"); n != 0 || r.buffered.Load() != 0 {
					t.Errorf("%d in flight, %d bytes held", n, r.buffered.Load())
				}
			})
		})
	}
}

// A client of our own path that reads no more holds its route for as long as silence is borne, and little
// memory.
func TestWireClientThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := int64(0)
		r, _ := bubbleRig(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				n, err := io.WriteString(w, strings.Repeat("data: {}\n\n", 1000))
				if told += int64(n); err != nil {
					return
				}
			}
		})
		conn, err := gateOnPipes(t, r).dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, plainGet); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(r.config.Silence)
		synctest.Wait()
		if n := r.InFlight("r1"); n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		time.Sleep(r.config.Silence / 4)
		synctest.Wait()
		if n := r.InFlight("r1"); n != 0 {
			t.Errorf("%d in flight though the client took nothing for an hour", n)
		}
		if told > 1<<20 {
			t.Errorf("%d bytes were taken for a client that takes none", told)
		}
	})
}

// Requests in one go are answered one after the other, in their order, on both paths.
func TestPipelining(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	const many = 1000
	for where, line := range map[string]string{"own path": "Accept: a", "net/http": "TE: trailers"} {
		var b strings.Builder
		for i := range many {
			fmt.Fprintf(&b, "POST /services/hello/%d HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 4\r\n\r\n%04d", i, line, i)
		}
		got := g.talk(b.String() + lastGet)
		if len(got) != many+1 {
			t.Fatalf("%s: %d answers", where, len(got))
		}
		for i, a := range got[:many] {
			if want := fmt.Sprintf("POST /%d x \"%04d\"", i, i); a.status != 200 || a.body != want {
				t.Fatalf("%s: answer %d is %d %q", where, i, a.status, a.body)
			}
		}
	}
	if n := e.asks.Load(); n != 2*(many+1) {
		t.Errorf("the engine got %d", n)
	}
	g.nothingIsHeld()
}

// Clients that go in the middle, politely or not, leave nothing behind.
func TestClientsThatGo(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	before := goroutines()
	whole := plainGet + hostilePost("Content-Length: 5") + "hello" + chunkedOne + plainGet
	for cut := 0; cut < len(whole); cut += 3 {
		for _, how := range []string{"close", "half", "reset"} {
			conn := g.dial()
			if _, err := io.WriteString(conn, whole[:cut]); err != nil {
				t.Fatal(err)
			}
			switch how {
			case "half":
				_ = conn.CloseWrite()
				_, _ = io.Copy(io.Discard, conn) // comes to its end
			case "reset":
				_ = conn.SetLinger(0)
			}
			_ = conn.Close()
		}
	}
	g.talk(lastGet) // all before were accepted then
	g.nothingIsHeld()
	g.routes["r1"].upstream.closeIdle()
	eventually(t, "goroutines end", func() bool { return goroutines() <= before })
	if load := g.Snapshot()[0]; load.Routes[0].Errors != 0 {
		t.Errorf("the route is blamed: %+v", load)
	}
}

// Heads without end cost what a head may have, and are refused.
func TestHeaderBombs(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	for name, bomb := range map[string]string{
		"one line":   "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 1<<20),
		"many lines": "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1<<17),
		"a target":   "GET /" + strings.Repeat("y", 1<<20),
	} {
		for where, before := range map[string]string{"own path": "", "net/http": chunkedOne} {
			got := g.talk(before + bomb)
			if len(got) == 0 || got[len(got)-1].status != 431 {
				t.Errorf("%s, %s: got %v", name, where, statuses(got))
			}
		}
	}
	// What just fits is taken, in whatever pieces.
	conn := g.dial()
	head := "GET /services/hello/x HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 60<<10) + "\r\n\r\n"
	for piece := range slices.Chunk([]byte(head), 997) {
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if a := next(bufio.NewReader(conn), "GET"); a == nil || a.status != 200 {
		t.Errorf("got %+v", a)
	}
	_ = conn.Close()
	g.nothingIsHeld()
}

// Bodies that try what a search for their model can bear.
func TestHostileBodies(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	long := strings.Repeat("a", 10<<20)
	for name, c := range map[string]struct {
		lines  string
		body   string
		status int
		code   string
	}{
		"a model of 10 MB":     {"", `{"model":"` + long + `"}`, 400, "invalid_model"},
		"a model 10 MB in":     {"", `{"messages":"` + long + `","model":"hello"}`, 200, ""},
		"two models":           {"", `{"model":"hello","model":"other"}`, 400, "invalid_model"},
		"two models, the same": {"", `{"model":"hello","model":"hello"}`, 200, ""},
		"two models, escaped":  {"", `{"model":"hello","mod\u0065l":"other"}`, 400, "invalid_model"},
		"gzip":                 {"Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00{}", 415, "unsupported_encoding"},
		"a deep body":          {"", strings.Repeat("[", 100<<10), 400, "invalid_json"},
		"no JSON":              {"", "model=hello", 400, "invalid_json"},
		"no model":             {"", "{}", 400, "missing_model"},
		"a body cut by itself": {"", `{"model":"hello"`, 400, "incomplete_body"},
	} {
		for _, framing := range []string{"length", "chunked"} {
			t.Run(name+", "+framing, func(t *testing.T) {
				head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n" + c.lines
				text := head + "Content-Length: " + strconv.Itoa(len(c.body)) + "\r\n\r\n" + c.body
				if framing == "chunked" {
					text = head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(c.body), c.body)
				}
				got := g.talk(text)
				if len(got) != 1 || got[0].status != c.status || !strings.Contains(got[0].body, c.code) {
					t.Errorf("got %v %.300v", statuses(got), got)
				}
			})
		}
	}
	g.nothingIsHeld()
}

// 100 MB go through without being held.
func TestLargeBody(t *testing.T) {
	const size = 100 << 20
	sum := make(chan int64, 1)
	g := newRig(t, Config{}, open(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		sum <- n
	})))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	conn := g.dial()
	piece := []byte(strings.Repeat("x", 1<<20))
	_, _ = io.WriteString(conn, hostilePost("Content-Length: "+strconv.Itoa(size)))
	for range size / len(piece) {
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if a := next(bufio.NewReader(conn), "POST"); a == nil || a.status != 200 {
		t.Fatalf("got %+v", a)
	}
	if n := <-sum; n != size {
		t.Errorf("%d bytes arrived", n)
	}
	runtime.ReadMemStats(&after)
	if all := after.TotalAlloc - before.TotalAlloc; all > 16<<20 {
		t.Errorf("%d MB were allocated", all>>20)
	}
	_ = conn.Close()
	g.nothingIsHeld()
}

// Wrong tokens reach nobody, whatever comes with them.
func TestWrongTokens(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, hello(e.addr))
	wrong := "Authorization: Bearer " + secretPrefix + strings.Repeat("a", secretLen-len(secretPrefix))
	for _, path := range []string{"/v1/chat/completions", "/services/hello/x", "/services/none/x"} {
		for _, framing := range []string{"Content-Length: 900000", "Content-Length: 90000000", "Transfer-Encoding: chunked"} {
			conn := g.dial()
			// Not a byte of the body: the answer must not wait for it.
			if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+wrong+"\r\n"+framing+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			_ = conn.CloseWrite()
			if a := next(bufio.NewReader(conn), "POST"); a == nil || a.status != 401 {
				t.Errorf("%s, %s: got %+v", path, framing, a)
			}
			_ = conn.Close()
		}
	}
	if n := e.asks.Load(); n != 0 || g.Snapshot()[0].Total != 0 {
		t.Errorf("%d reached the engine", n)
	}
	g.nothingIsHeld()
}

func BenchmarkWrongTokens(b *testing.B) {
	tokens, err := NewTokens(b.Context(), &memoryStore{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	_, right, err := tokens.Issue(b.Context(), IssueRequest{Project: "p", Duration: "1h"})
	if err != nil {
		b.Fatal(err)
	}
	other := func(at int) string {
		wrong := []byte(right)
		wrong[at] = 'a' + (wrong[at]-'a'+1)%26
		return string(wrong)
	}
	for name, secret := range map[string]string{"at the start": other(len(secretPrefix)), "at the end": other(secretLen - 1), "everywhere": secretPrefix + strings.Repeat("z", secretLen-len(secretPrefix))} {
		b.Run("wrong "+name, func(b *testing.B) {
			secret := "Bearer " + secret
			b.ReportAllocs()
			for b.Loop() {
				if who := identify(tokens, secret, "", time.Time{}); who.token != nil {
					b.Fatal("is taken")
				}
			}
		})
	}
}
