package router

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

// carrying is how many streams are carried.
func (g *rig) carrying() int {
	all := g.server.gate.carriers.all.Load()
	if all == nil {
		return 0
	}
	n := 0
	for _, k := range *all {
		k.mu.Lock()
		for _, r := range k.places {
			if r != nil {
				n++
			}
		}
		k.mu.Unlock()
	}
	return n
}

func (g *rig) awaitCarrying(n int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d streams are carried", n), func() bool { return g.carrying() == n })
}

// byHand gives the gate one carrier that has no goroutine: it takes its turns when the test says so.
func (g *rig) byHand() *carrier {
	g.t.Helper()
	k, err := newCarrier(g.config.Silence, slog.New(slog.DiscardHandler))
	if err != nil {
		g.t.Fatal(err)
	}
	g.server.gate.carriers.all.Store(&[]*carrier{k})
	g.t.Cleanup(func() { _ = k.file.Close() })
	return k
}

// until takes turns until is.
func (k *carrier) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	eventually(t, what, func() bool { k.turn(0); return is() })
}

const (
	eventHead   = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	firstEvent  = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
	usageEvent  = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":17,\"total_tokens\":48}}\n\n"
	doneEvent   = "data: [DONE]\n\n"
	askedStream = `{"model":"hello","stream":true,"messages":[]}`
)

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// streamAsk is a request for a stream as bytes.
func (g *rig) streamAsk() string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", g.secret, len(askedStream), askedStream)
}

// openStream asks for a stream and reads it to its first event.
func (g *rig) openStream() (*net.TCPConn, *bufio.Reader) {
	g.t.Helper()
	conn := g.dial()
	if _, err := io.WriteString(conn, g.streamAsk()); err != nil {
		g.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var got strings.Builder
	for !strings.HasSuffix(got.String(), "\n\n\r\n") {
		line, err := r.ReadString('\n')
		got.WriteString(line)
		if err != nil {
			g.t.Fatalf("%q: %v", got.String(), err)
		}
	}
	return conn, r
}

// rest reads what is left of a stream in chunks; err is nil where it came to its end.
func rest(r *bufio.Reader) (string, error) {
	res := strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	a := next(bufio.NewReader(io.MultiReader(res, r)), "POST")
	return a.body, a.ended
}

type spans struct {
	mu  sync.Mutex
	all []record.Record
}

func (s *spans) Write(r *record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, *r)
}

// What is used is counted, and the event that only says it is hidden, wherever the reads of a carried stream cut it.
func TestCarriedUsageIsCutAtEveryByte(t *testing.T) {
	for name, framed := range map[string]func(string) string{"in chunks": chunk, "to the end": func(s string) string { return s }} {
		t.Run(name, func(t *testing.T) {
			head, end := eventHead, "0\r\n\r\n"
			if name == "to the end" {
				head, end = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", ""
			}
			tail := framed(usageEvent) + framed(doneEvent) + end
			pieces := make(chan string)
			e := newScripted(t, func(c *turn) {
				if c.read() && c.say(head+framed(firstEvent)) {
					for p := range pieces {
						if p == "" || !c.say(p) {
							return
						}
						pieces <- "" // it is there: loopback delivers before a write returns
					}
				}
			})
			t.Cleanup(func() { close(pieces) })
			s := hello(e.addr)
			s.Traffic.AskUsage = true
			g := newRig(t, Config{})
			seen := &spans{}
			g.Observe(Observers{Tracing: record.Tracing{On: true, Sample: 1}, Spans: seen})
			g.SetServices([]Service{s})
			k := g.byHand()
			for i := range len(tail) + 1 {
				conn, r := g.openStream()
				g.awaitCarrying(1)
				for _, p := range []string{tail[:i], tail[i:]} {
					if p != "" {
						pieces <- p
						<-pieces
						k.turn(0)
					}
				}
				pieces <- ""
				k.until(t, "the stream is over", func() bool { return g.carrying() == 0 })
				got, err := rest(r)
				if err != nil || got != doneEvent {
					t.Fatalf("cut at %d: %q %v", i, got, err)
				}
				_ = conn.Close()
				g.idle()
				seen.mu.Lock()
				u := seen.all[len(seen.all)-1].Usage
				n := len(seen.all)
				seen.mu.Unlock()
				if n != i+1 || u.Prompt != 31 || u.Completion != 17 || u.Estimated {
					t.Fatalf("cut at %d: %d records, %+v", i, n, u)
				}
			}
		})
	}
}

func TestCarriedSilence(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			c.wait()
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	k := g.byHand()
	_, r := g.openStream()
	g.awaitCarrying(1)
	k.turn(0)
	k.sweep(time.Now().Add(g.config.Silence - time.Minute))
	if g.carrying() != 1 {
		t.Fatal("it was given up before its time")
	}
	k.sweep(time.Now().Add(g.config.Silence))
	got, err := rest(r)
	if err != nil || !strings.Contains(got, `"code":"engine_silent"`) || strings.Contains(got, "DONE") {
		t.Errorf("%q %v", got, err)
	}
	eventually(t, "the engine's connection is closed", func() bool { return e.closed.Load() == 1 })
	g.idle()
	if n := g.metric("palisade_router_upstream_errors_total", "service", "hello", "kind", "silence"); n != 1 {
		t.Errorf("%v were silent", n)
	}
}

// stuffed is an engine that says much more than all buffers on the way hold. It tells when nobody takes more.
func stuffed(t *testing.T, events int, text string) (e *scripted, full chan struct{}) {
	full = make(chan struct{})
	e = newScripted(t, func(c *turn) {
		if !c.read() || !c.say(eventHead+chunk(firstEvent)) {
			return
		}
		all := []byte(strings.Repeat(chunk(text), events) + "0\r\n\r\n")
		told := false
		for len(all) > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Write(all)
			if all = all[n:]; err != nil {
				var late net.Error
				if !errors.As(err, &late) || !late.Timeout() {
					return
				}
				if !told && n == 0 {
					told = true
					close(full)
				}
			}
		}
	})
	return e, full
}

// A client that takes nothing for a while holds up its own stream only, loses nothing, and costs no more memory than
// a buffer.
func TestCarriedClientIsSlow(t *testing.T) {
	const events = 40_000
	text := "data: " + strings.Repeat("x", 492) + "\n\n"
	e, full := stuffed(t, events, text)
	g := newRig(t, Config{}, hello(e.addr))
	conn := g.dial()
	if _, err := io.WriteString(conn, g.streamAsk()); err != nil {
		t.Fatal(err)
	}
	<-full
	g.awaitCarrying(1)
	other := newScripted(t, func(c *turn) { c.read(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother") })
	s := Service{ID: "svc2", Name: "other", Project: "p", Routes: []Route{{ID: "o1", Addr: other.addr, Weight: 1}}}
	g.SetServices([]Service{hello(e.addr), s})
	if status, body := g.ask(g.request("POST", "/v1/chat/completions", `{"model":"other"}`)); status != 200 || body != "other" {
		t.Errorf("beside it: %d %s", status, body)
	}
	a := next(bufio.NewReader(conn), "POST")
	if a == nil || a.ended != nil || a.body != firstEvent+strings.Repeat(text, events) {
		t.Fatalf("%d bytes came, want %d", len(a.body), len(firstEvent)+events*len(text))
	}
	g.idle()
}

// A client that is stuck goes, is given up, or is cut off with its gate: its route is free at once.
func TestCarriedClientIsStuck(t *testing.T) {
	for name, end := range map[string]func(g *rig, k *carrier, c *net.TCPConn){
		"goes":  func(_ *rig, _ *carrier, c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"never": func(g *rig, k *carrier, _ *net.TCPConn) { k.sweep(time.Now().Add(g.config.Silence)) },
		"close": func(g *rig, _ *carrier, _ *net.TCPConn) { _ = g.server.gate.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			e, full := stuffed(t, 40_000, "data: "+strings.Repeat("x", 492)+"\n\n")
			g := newRig(t, Config{}, hello(e.addr))
			k := g.byHand()
			conn := g.dial()
			if _, err := io.WriteString(conn, g.streamAsk()); err != nil {
				t.Fatal(err)
			}
			k.until(t, "nobody takes more", func() bool {
				select {
				case <-full:
					return true
				default:
					return false
				}
			})
			end(g, k, conn)
			k.until(t, "the stream is over", func() bool { return g.carrying() == 0 })
			g.nothingIsHeld()
			eventually(t, "the engine's connection is closed", func() bool { return e.closed.Load() == 1 })
		})
	}
}

// An engine that dies in a carried stream: the client is told, and nothing it said before is lost.
func TestCarriedEngineDies(t *testing.T) {
	for name, die := range map[string]func(c *turn){
		"ends":         func(c *turn) { c.say(chunk("data: last\n\n")) },
		"in a chunk":   func(c *turn) { c.say("ff\r\ndata: last\n\n") },
		"resets":       func(c *turn) { c.say(chunk("data: last\n\n")); <-c.e.heard; _ = c.Conn.(*net.TCPConn).SetLinger(0) },
		"broken chunk": func(c *turn) { c.say(chunk("data: last\n\n")); <-c.e.heard; c.say("nonsense\r\n"); c.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			proceed := make(chan struct{})
			e := newScripted(t, func(c *turn) {
				if c.read() && c.say(eventHead+chunk(firstEvent)) {
					<-proceed
					die(c)
				}
			})
			e.heard = make(chan struct{})
			g := newRig(t, Config{}, hello(e.addr))
			_, r := g.openStream()
			g.awaitCarrying(1)
			close(proceed)
			last := make([]byte, len(chunk("data: last\n\n")))
			if _, err := io.ReadFull(r, last); err != nil || !strings.Contains(string(last), "data: last\n\n") {
				t.Fatalf("%q %v", last, err)
			}
			close(e.heard)
			got, err := rest(r)
			if err != nil || !strings.Contains(got, `"code":"engine_failed"`) || strings.Contains(got, "DONE") {
				t.Errorf("%q %v", got, err)
			}
			g.idle()
			if n := g.metric("palisade_router_upstream_errors_total", "service", "hello", "kind", "cut"); n != 1 {
				t.Errorf("%v answers were cut", n)
			}
		})
	}
}

// A client that goes cancels the engine's work at once, though nothing comes of it.
func TestCarriedClientGoes(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			c.wait()
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	var conns []*net.TCPConn
	for range 50 {
		conn, _ := g.openStream()
		conns = append(conns, conn)
	}
	g.awaitCarrying(50)
	for i, conn := range conns {
		if i%2 == 0 {
			_ = conn.SetLinger(0)
		}
		_ = conn.Close()
	}
	eventually(t, "engines see it", func() bool { return e.closed.Load() == 50 })
	g.nothingIsHeld()
	if load := g.Snapshot()[0]; load.Errors != 0 {
		t.Errorf("counted as errors: %+v", load)
	}
}

// What was asked behind a stream is answered when it has ended, and the connection stays, however often.
func TestCarriedConnectionGoesOn(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		for c.read() {
			if !c.say(eventHead + chunk(firstEvent)) {
				return
			}
			if !c.say(chunk(doneEvent) + "0\r\n\r\n") {
				return
			}
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	conn := g.dial()
	r := bufio.NewReader(conn)
	for range 30 {
		if _, err := io.WriteString(conn, strings.Repeat(g.streamAsk(), 3)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if a := next(r, "POST"); a == nil || a.ended != nil || a.body != firstEvent+doneEvent {
				t.Fatalf("%+v", a)
			}
		}
	}
	_ = conn.Close()
	g.nothingIsHeld()
}

// Drain waits for carried streams, and they end as if nothing were.
func TestCarriedDrain(t *testing.T) {
	proceed := make(chan struct{})
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			<-proceed
			c.say(chunk(doneEvent) + "0\r\n\r\n")
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	_, r := g.openStream()
	g.awaitCarrying(1)
	drained := make(chan error, 1)
	go func() { drained <- g.server.gate.Drain(t.Context(), time.Millisecond) }()
	eventually(t, "it drains", func() bool { return g.server.gate.draining.Load() })
	select {
	case err := <-drained:
		t.Fatalf("a stream is carried, and Drain has ended: %v", err)
	default:
	}
	close(proceed)
	if got, err := rest(r); err != nil || got != doneEvent {
		t.Errorf("%q %v", got, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// Close ends carried streams and those who carry them.
func TestCarriedClose(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			c.wait()
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	for range 20 {
		g.openStream()
	}
	g.awaitCarrying(20)
	if err := g.server.gate.Close(); err != nil {
		t.Error(err)
	}
	g.nothingIsHeld()
	eventually(t, "engines see it", func() bool { return e.closed.Load() == 20 })
	eventually(t, "nobody carries any more", func() bool {
		for _, k := range *g.server.gate.carriers.all.Load() {
			if k.file.SetReadDeadline(past) == nil {
				return false
			}
		}
		return true
	})
}

// Two thousand at once, in events of their own, of which none is lost, doubled or another's.
func TestCarriedTwoThousand(t *testing.T) {
	const streams, events = 2000, 12
	var begun atomic.Int64
	proceed := make(chan struct{})
	e := newScripted(t, func(c *turn) {
		if !c.read() || !c.say(eventHead+chunk(firstEvent)) {
			return
		}
		id := begun.Add(1)
		<-proceed
		for i := range events {
			if !c.say(chunk(fmt.Sprintf("data: %d of %d\n\n", i, id))) {
				return
			}
			runtime.Gosched()
		}
		c.say("0\r\n\r\n")
	})
	g := newRig(t, Config{}, hello(e.addr))
	readers := make([]*bufio.Reader, streams)
	for i := range readers {
		_, readers[i] = g.openStream()
	}
	g.awaitCarrying(streams)
	close(proceed)
	seen := map[int]bool{}
	var mu sync.Mutex
	var reading sync.WaitGroup
	for _, r := range readers {
		reading.Go(func() {
			got, err := rest(r)
			var id int
			_, _ = fmt.Sscanf(got, "data: 0 of %d", &id)
			want := ""
			for i := range events {
				want += fmt.Sprintf("data: %d of %d\n\n", i, id)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got != want || seen[id] {
				t.Errorf("stream %d: %v %q", id, err, got)
			}
			seen[id] = true
		})
	}
	reading.Wait()
	if len(seen) != streams {
		t.Errorf("%d streams came", len(seen))
	}
	g.idle()
}
