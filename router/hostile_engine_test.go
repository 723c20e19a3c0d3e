package router

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	answerSized   = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	answerEvents  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	answerChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	oneEvent      = "9\r\ndata: 1\n\n\r\n"
)

// badEngines are answers that break rules, or end early, and what clients get.
var badEngines = map[string]struct {
	dies   bool // and closes the connection behind it
	says   string
	status int
	body   string // begins with it
	broken bool   // the client sees that the answer is not whole
	event  bool   // it ends with an error's event
	kept   bool   // the connection may carry another request
}{
	"nothing":                            {dies: true, says: "", status: 502},
	"half a head":                        {dies: true, says: "HTTP/1.1 200 OK\r\nContent-", status: 502},
	"a head and dies":                    {dies: true, says: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 502, broken: true},
	"a part and dies":                    {dies: true, says: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", status: 200, body: "hel", broken: true},
	"a head in chunks and dies":          {dies: true, says: answerChunked, status: 200, broken: true},
	"half a chunk":                       {dies: true, says: answerChunked + "5\r\nhel", status: 200, body: "hel", broken: true},
	"half a chunk's size":                {dies: true, says: answerChunked + "5\r\nhello\r\n1", status: 200, body: "hello", broken: true},
	"no last chunk":                      {dies: true, says: answerChunked + "5\r\nhello\r\n", status: 200, body: "hello", broken: true},
	"half a last chunk":                  {dies: true, says: answerChunked + "5\r\nhello\r\n0\r\n", status: 200, body: "hello", broken: true},
	"a bad chunk":                        {says: answerChunked + "5\r\nhello\r\nxyz\r\n", status: 200, body: "", broken: true},
	"a chunk that overflows":             {says: answerChunked + "ffffffffffffffff\r\nhello", status: 200, broken: true},
	"a chunk longer than said":           {says: answerChunked + "3\r\nhello\r\n0\r\n\r\n", status: 200, broken: true},
	"events and dies":                    {dies: true, says: answerEvents + oneEvent, status: 200, body: "data: 1\n\n", event: true},
	"half an event":                      {dies: true, says: answerEvents + "b\r\ndata: 1\n\nda\r\n", status: 200, body: "data: 1\n\nda", event: true},
	"events and a bad chunk":             {says: answerEvents + oneEvent + "zz\r\n", status: 200, event: true},
	"events with a length, cut":          {dies: true, says: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 50\r\n\r\ndata: 1\n\n", status: 200, body: "data: 1\n\n", broken: true},
	"no status line":                     {says: "hello\r\n\r\n", status: 502},
	"another protocol":                   {says: "SSH-2.0-OpenSSH_9.2\r\n", status: 502},
	"two lengths":                        {says: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", status: 502},
	"a length with a plus":               {says: "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", status: 502},
	"another coding":                     {says: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", status: 502},
	"a folded header":                    {says: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", status: 502},
	"a header with a bare CR":            {says: "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\n\r\nhello", status: 502},
	"an endless head":                    {says: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20), status: 502},
	"headers without end":                {says: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 2000), status: 502},
	"interim answers without end":        {says: strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("y", 1000)+"\r\n\r\n", 2000) + answerSized, status: 502},
	"a switch that nobody asked for":     {says: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello", status: 502},
	"more than its length":               {says: answerSized + "more", status: 200, body: "hello"},
	"another answer behind it":           {says: answerSized + answerSized, status: 200, body: "hello"},
	"more behind the last chunk":         {says: answerChunked + "5\r\nhello\r\n0\r\n\r\nmore", status: 200, body: "hello"},
	"a body where none may be":           {says: "HTTP/1.1 204 No Content\r\n\r\nhello", status: 204},
	"a body though its length is none":   {says: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello", status: 200},
	"length and chunks":                  {says: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", status: 200, body: "hello"},
	"chunks of HTTP/1.0":                 {says: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", status: 200, body: "hello"},
	"the end of the connection":          {dies: true, says: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, body: "hello"},
	"close":                              {says: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", status: 200, body: "hello"},
	"bare LF":                            {says: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", status: 200, body: "hello", kept: true},
	"trailers":                           {says: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", status: 200, body: "hello"},
	"trailers that frame":                {says: answerChunked + "5\r\nhello\r\n0\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n", status: 200, body: "hello"},
	"a few interim answers":              {says: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 50) + answerSized, status: 200, body: "hello", kept: true},
	"200 with an error in it":            {says: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"error\": true}", status: 200, body: `{"error": true}`, kept: true},
	"an answer":                          {says: answerSized, status: 200, body: "hello", kept: true},
	"an error of its own with a message": {says: "HTTP/1.1 500 Oh no\r\nContent-Length: 2\r\n\r\nno", status: 500, body: "no", kept: true},
}

// Each ends as it should for clients of our own path and of net/http; no connection that said too much, or
// too little, is used again; nothing is left behind.
func TestBadEngines(t *testing.T) {
	for name, c := range badEngines {
		for where, request := range map[string]string{"own path": "Accept: */*", "net/http": "TE: trailers"} {
			t.Run(name+", "+where, func(t *testing.T) {
				before := goroutines()
				t.Run("", func(t *testing.T) {
					checkBadEngine(t, c.says, request, c.dies, func(got *said, e *scripted) {
						late := c.status == 502 && c.broken && got.status == 200 // the head went out
						// Of an answer that broke net/http may have sent less.
						begins := strings.HasPrefix(got.body, c.body) || c.broken && strings.HasPrefix(c.body, got.body)
						if !late && got.status != c.status || !begins {
							t.Errorf("got %d %q", got.status, got.body)
						}
						if whole := got.ended == nil; whole == c.broken && got.status == 200 {
							t.Errorf("whole %v: %v", whole, got)
						}
						if has := strings.Contains(got.body, `data: {"error":`); has != c.event || strings.Contains(got.body, "[DONE]") {
							t.Errorf("got %q", got.body)
						}
						if kept := e.conns.Load() == 1; kept != c.kept {
							t.Errorf("%d connections for two requests", e.conns.Load())
						}
					})
				})
				eventually(t, "goroutines end", func() bool { return goroutines() <= before })
			})
		}
	}
}

// checkBadEngine asks an engine twice that says the same to each: check gets the first answer.
func checkBadEngine(t *testing.T, says, line string, dies bool, check func(*said, *scripted)) {
	t.Helper()
	e := newScripted(t, func(c *turn) {
		for c.read() {
			if !c.say(says) || dies {
				return
			}
		}
	})
	g := newRig(t, Config{}, open(e.addr))
	request := hostilePost("Content-Length: 3", line) + "abc"
	for i := range 2 {
		conn := g.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		got := next(bufio.NewReader(conn), "POST")
		_ = conn.Close()
		if got == nil { // before its head was sent
			got = &said{status: 200, ended: io.ErrUnexpectedEOF}
		}
		g.idle()
		if i == 1 {
			check(got, e)
		}
	}
	if n := e.reads.Load(); n != 2 {
		t.Errorf("the engine got %d requests", n)
	}
	g.nothingIsHeld()
}

// What an engine says after its answer is nobody's: not the next request's answer.
func TestBytesAfterTheAnswer(t *testing.T) {
	said, told := make(chan struct{}), make(chan struct{})
	e := newScripted(t, func(c *turn) {
		for n := 1; c.read(); n++ {
			if !c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)) {
				return
			}
			<-told
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			said <- struct{}{}
		}
	})
	g := newRig(t, Config{}, open(e.addr))
	for range 3 {
		conn := g.dial()
		if _, err := io.WriteString(conn, lastGet); err != nil {
			t.Fatal(err)
		}
		if a := next(bufio.NewReader(conn), "GET"); a == nil || a.body != "1" {
			t.Errorf("got %+v", a)
		}
		told <- struct{}{}
		<-said
		g.oneIsKept()
	}
	if n := e.conns.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// oneIsKept waits until a connection to r1 idles for long enough to be looked at.
func (g *rig) oneIsKept() {
	g.t.Helper()
	e := g.routes["r1"].upstream
	eventually(g.t, "a connection is kept", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.idle) == 1 && time.Since(e.idle[0].idleSince) > time.Millisecond
	})
}

// An engine that answers before it was asked has answered; what it says of a request that it did not read is
// no answer to the next.
func TestAnswerBeforeTheRequest(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		c.say("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")
		c.wait()
	})
	g := newRig(t, Config{}, open(e.addr))
	for range 2 {
		if got := g.talk(lastGet); len(got) != 1 || got[0].status != 503 || got[0].body != "busy" {
			t.Errorf("got %+v", got)
		}
	}
	if n := e.conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	g.nothingIsHeld()
}

// A stream without end, and its client goes: the engine is told at once.
func TestClientLeavesAnEndlessStream(t *testing.T) {
	for where, request := range map[string]string{"own path": plainGet, "net/http": chunkedOne} {
		t.Run(where, func(t *testing.T) {
			e := newScripted(t, func(c *turn) {
				for c.read() && c.say(answerEvents) {
					for c.say(oneEvent) {
					}
				}
			})
			g := newRig(t, Config{}, open(e.addr))
			for _, reset := range []bool{false, true} {
				conn := g.dial()
				if _, err := io.WriteString(conn, request); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 100<<10)); err != nil {
					t.Fatal(err)
				}
				if reset {
					_ = conn.SetLinger(0)
				}
				_ = conn.Close()
				g.nothingIsHeld()
			}
			eventually(t, "the engine's connections end", func() bool { return e.closed.Load() == 2 })
		})
	}
}

// An engine that never reads a large request holds nobody for longer than its client stays.
func TestEngineThatReadsNothing(t *testing.T) {
	hold := make(chan struct{})
	e := newScripted(t, func(*turn) { <-hold })
	defer close(hold)
	g := newRig(t, Config{}, open(e.addr))
	for _, size := range []int{1000, 1 << 20, 8 << 20} {
		conn := g.dial()
		go func() {
			_, _ = fmt.Fprintf(conn, "%s%s", hostilePost(fmt.Sprintf("Content-Length: %d", size)), strings.Repeat("x", size))
		}()
		eventually(t, "the request is on its way", func() bool { return g.InFlight("r1") == 1 })
		_ = conn.SetLinger(0)
		_ = conn.Close()
		g.nothingIsHeld()
	}
}
