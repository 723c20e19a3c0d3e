package router

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Streams whose engines reset them as they begin: each ends at once, and none is taken for another.
func TestCarriedResetsAtOnce(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	last := strings.Replace(g.streamAsk(), "Host: x\r\n", "Host: x\r\nConnection: close\r\n", 1)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 30 {
				if said := g.talk(last); len(said) != 1 {
					t.Errorf("%d answers", len(said))
				}
			}
		})
	}
	all.Wait()
	g.nothingIsHeld()
}

// A stream keeps nothing of its request, whatever had to be added to that.
func TestCarriedKeepsNoRequest(t *testing.T) {
	for _, size := range []int{50 << 10, 500 << 10} { // sent at once, and by another goroutine
		keepsNoRequest(t, size)
	}
}

func keepsNoRequest(t *testing.T, size int) {
	t.Helper()
	e := newScripted(t, func(c *turn) {
		for ok := c.read() && c.say(eventHead); ok; ok = c.say(chunk(firstEvent)) { // the router may not know at once that all was sent
			runtime.Gosched()
		}
	})
	s := hello(e.addr)
	s.Traffic.AskUsage = true
	g := newRig(t, Config{}, s)
	k := g.byHand()
	conn := g.dial()
	body := strings.Replace(askedStream, "[]", `[{"role":"user","content":"`+strings.Repeat("x", size)+`"}]`, 1)
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", g.secret, len(body), body); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	g.awaitCarrying(1)
	k.mu.Lock()
	x := k.places[0].exchange
	k.mu.Unlock()
	if n := cap(x.asked) + cap(x.body.prefix) + cap(x.kept) + cap(x.answer.head); n > 1<<10 {
		t.Errorf("%d bytes are held", n)
	}
	_ = conn.Close()
	k.until(t, "it is over", func() bool { return g.carrying() == 0 })
	g.nothingIsHeld()
}
