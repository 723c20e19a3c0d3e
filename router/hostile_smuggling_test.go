package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Behind each of these a second request stands, which a reader that understands the first one in another
// way would take for a body, or for a request of its own.
var smuggling = map[string]struct {
	request string
	status  int
}{
	"CL.TE":                     {hostilePost("Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\nG", 400},
	"TE.CL":                     {hostilePost("Transfer-Encoding: chunked", "Content-Length: 4") + "5c\r\n", 400},
	"TE.TE":                     {hostilePost("Transfer-Encoding: chunked", "Transfer-Encoding: x") + "0\r\n\r\n", 501},
	"TE.TE, spelled otherwise":  {hostilePost("Transfer-Encoding: xchunked") + "0\r\n\r\n", 501},
	"TE.TE, in a list":          {hostilePost("Transfer-Encoding: identity, chunked") + "0\r\n\r\n", 501},
	"TE after a space":          {hostilePost("Transfer-Encoding : chunked") + "0\r\n\r\n", 400},
	"TE after a tab":            {hostilePost("\tTransfer-Encoding: chunked") + "0\r\n\r\n", 400},
	"TE behind a bare LF":       {hostilePost("X: y\nTransfer-Encoding: chunked") + "0\r\n\r\n", 400},
	"TE behind a bare CR":       {hostilePost("X: y\rTransfer-Encoding: chunked") + "0\r\n\r\n", 400},
	"TE of HTTP/1.0":            {"POST /services/hello/x HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	"two lengths":               {hostilePost("Content-Length: 0", "Content-Length: 5"), 400},
	"the same length twice":     {hostilePost("Content-Length: 0", "Content-Length: 0"), 400},
	"a list of lengths":         {hostilePost("Content-Length: 0, 0"), 400},
	"a length with a plus":      {hostilePost("Content-Length: +0"), 400},
	"a length with a minus":     {hostilePost("Content-Length: -1"), 400},
	"a length in hex":           {hostilePost("Content-Length: 0x0"), 400},
	"a length with a space":     {hostilePost("Content-Length: 0 5"), 400},
	"a length that wraps":       {hostilePost("Content-Length: 18446744073709551616"), 400},
	"obs-fold of a length":      {hostilePost("Content-Length: 0\r\n 5"), 400},
	"a space before the colon":  {hostilePost("Content-Length : 5"), 400},
	"bare LF":                   {"GET /services/hello/x HTTP/1.1\nHost: x\n\n", 400},
	"NUL":                       {hostilePost("X: \x00", "Content-Length: 0"), 400},
	"two Hosts":                 {hostilePost("Host: y", "Content-Length: 0"), 400},
	"no Host":                   {"POST /services/hello/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400},
	"a Host with a path":        {"POST /services/hello/x HTTP/1.1\r\nHost: x/y\r\nContent-Length: 0\r\n\r\n", 400},
	"HTTP/0.9":                  {"GET /services/hello/x\r\nHost: x\r\n\r\n", 400},
	"HTTP/1.2":                  {"GET /services/hello/x HTTP/1.2\r\nHost: x\r\n\r\n", 505},
	"HTTP/2.0":                  {"GET /services/hello/x HTTP/2.0\r\nHost: x\r\n\r\n", 505},
	"half of HTTP/2":            {"PRI * HTTP/2.0\r\n\r\nxx\r\n\r\n", 505},
	"PRI of HTTP/1.1":           {"PRI /services/hello/x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
	"two requests in a line":    {"GET /services/hello/x HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"257 headers":               {hostilePost(strings.Repeat("X: y\r\n", 256) + "Content-Length: 0"), 431},
	"a header of 64 KiB":        {hostilePost("X: "+strings.Repeat("y", 64<<10), "Content-Length: 0"), 431},
	"a length in the trailer":   {hostilePost("Transfer-Encoding: chunked", "Trailer: Content-Length") + "0\r\n\r\n", 400},
	"an upgrade and a bare LF":  {hostilePost("Connection: upgrade\nUpgrade: x", "Content-Length: 0"), 400},
	"too many hidden headers":   {hostilePost("Connection: " + strings.Repeat("a,", 100)), 400},
	"a target with a bare CR":   {"GET /services/hello/x\r HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"an empty line, then other": {"\r\nGET /services/hello/x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
}

// Nobody can say where the next request would begin: so none is answered, and none reaches an engine.
func TestSmuggling(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	for name, c := range smuggling {
		for where, before := range map[string]string{"own path": "", "own path, as the second": plainGet, "net/http": chunkedOne} {
			t.Run(name+", "+where, func(t *testing.T) {
				asked := e.asks.Load()
				got := g.talk(before + c.request + "GET /services/hello/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
				want := []int{c.status}
				if before != "" {
					want = []int{200, c.status}
					asked++
				}
				if !slices.Equal(statuses(got), want) {
					t.Fatalf("got %v, want %v", statuses(got), want)
				}
				last := got[len(got)-1]
				if !last.close || !strings.Contains(last.body, `"code":"malformed_request"`) || last.head.Get("X-Request-Id") == "" {
					t.Errorf("got %+v", last)
				}
				if n := e.asks.Load(); n != asked {
					t.Errorf("%d requests more reached the engine", n-asked)
				}
			})
		}
	}
	g.nothingIsHeld()
}

// Chunks that two readers could read in two ways end the request, and the connection.
func TestSmugglingInChunks(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	for name, chunks := range map[string]string{
		"a size that overflows":    "ffffffffffffffff0\r\nabc\r\n0\r\n\r\n",
		"a size with a sign":       "+3\r\nabc\r\n0\r\n\r\n",
		"a size with 0x":           "0x3\r\nabc\r\n0\r\n\r\n",
		"two sizes":                "3 3\r\nabc\r\n0\r\n\r\n",
		"bare LF after the size":   "3\nabc\r\n0\r\n\r\n",
		"bare LF in an extension":  "3;x\nabc\r\n0\r\n\r\n",
		"bare CR in an extension":  "3;x\ry\r\nabc\r\n0\r\n\r\n",
		"data longer than said":    "3\r\nabcd\r\n0\r\n\r\n",
		"no end of data":           "3\r\nabc0\r\n\r\n",
		"bare LF in the trailer":   "3\r\nabc\r\n0\r\nX: y\n\r\n",
		"bare LF as the end":       "3\r\nabc\r\n0\r\n\n",
		"a length in the trailer":  "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
		"a host in the trailer":    "3\r\nabc\r\n0\r\nHost: y\r\n\r\n",
		"a token in the trailer":   "3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
		"a trailer that is folded": "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
		"an endless extension":     "3;" + strings.Repeat("x", 100<<10) + "\r\nabc\r\n0\r\n\r\n",
		"extensions without end":   strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 100) + "0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			asked := e.asks.Load()
			got := g.talk(hostilePost("Transfer-Encoding: chunked") + chunks + "GET /services/hello/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			if len(got) != 1 || got[0].status != 400 || !strings.Contains(got[0].body, `"code":"malformed_request"`) {
				t.Errorf("got %v %+v", statuses(got), got)
			}
			if n := e.asks.Load(); n != asked {
				t.Errorf("%d whole requests reached the engine", n-asked)
			}
		})
	}
	g.nothingIsHeld()
}

// What is fine goes on as it is: extensions, any case, trailers.
func TestChunksThatAreFine(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	got := g.talk(hostilePost("transfer-encoding: CHUNKED", "Trailer: X-A") + "3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-A: y\r\n\r\n" + lastGet)
	if !slices.Equal(statuses(got), []int{200, 200}) || got[0].body != `POST /x x "abc0123456789"` {
		t.Errorf("got %v %+v", statuses(got), got[0])
	}
}

// A refusal comes in its turn: never as the answer to the request before it.
func TestRefusalWaitsForItsTurn(t *testing.T) {
	release := make(chan struct{})
	g := newRig(t, Config{}, open(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
		_, _ = io.WriteString(w, "first")
	})))
	for _, first := range []string{plainGet, chunkedOne} {
		conn := g.dial()
		if _, err := io.WriteString(conn, first); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the first request reaches the engine", func() bool { return g.InFlight("r1") == 1 })
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		release <- struct{}{}
		from := bufio.NewReader(conn)
		one, two := next(from, "GET"), next(from, "GET")
		if one == nil || one.body != "first" || two == nil || two.status != 400 {
			t.Errorf("got %+v, then %+v", one, two)
		}
	}
}

// An upgrade that nobody follows does not turn the rules off.
func TestRulesAfterAnUpgradeThatIsRefused(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{}, open(e.addr))
	conn := g.dial()
	from := bufio.NewReader(conn)
	for range 2 {
		if _, err := io.WriteString(conn, "GET /services/hello/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a := next(from, "GET"); a == nil || a.status != 200 {
			t.Fatalf("got %+v", a)
		}
	}
	if _, err := io.WriteString(conn, "GET /services/hello/x HTTP/1.1\nHost: x\n\n"); err != nil {
		t.Fatal(err)
	}
	if a := next(from, "GET"); a == nil || a.status != 400 || !strings.Contains(a.body, "malformed_request") {
		t.Errorf("got %+v", a)
	}
	if n := e.asks.Load(); n != 2 {
		t.Errorf("%d requests reached the engine", n)
	}
}

// What follows the request for an upgrade at once is no request, and is not lost where the engine switches.
func TestBytesBehindAnUpgrade(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n") {
			_, _ = io.Copy(c, c.from)
		}
	})
	g := newRig(t, Config{}, open(e.addr))
	const early = "\x00\x01early\n\n"
	conn := g.dial()
	if _, err := io.WriteString(conn, "GET /services/hello/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"+early); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	res, err := http.ReadResponse(from, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", res, err)
	}
	if _, err := io.WriteString(conn, "late"); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, len(early)+4)
	if _, err := io.ReadFull(from, back); err != nil || string(back) != early+"late" {
		t.Errorf("came back %q, %v", back, err)
	}
	_ = conn.Close()
	g.nothingIsHeld()
}

// Absolute and other forms of a target go to net/http; whom they mean there, and here, is the same.
func TestFormsOfTargets(t *testing.T) {
	e := newCounting(t)
	g := newRig(t, Config{Domain: "ai.example"}, open(e.addr))
	for line, want := range map[string]int{
		"GET http://other/services/hello/x HTTP/1.1\r\nHost: x": 200,
		"GET http://other/ HTTP/1.1\r\nHost: x":                 404,
		"GET http://x y/ HTTP/1.1\r\nHost: x":                   400,
		"OPTIONS * HTTP/1.1\r\nHost: x":                         200, // of the server itself
		"GET * HTTP/1.1\r\nHost: x":                             404,
		"CONNECT x:80 HTTP/1.1\r\nHost: x":                      404,
		"CONNECT /services/hello/x HTTP/1.1\r\nHost: x":         405,
		"GET x HTTP/1.1\r\nHost: x":                             400,
		"GET /services/hello/../x HTTP/1.1\r\nHost: x":          400,
		"GET /services/hello/%zz HTTP/1.1\r\nHost: x":           400,
		"GET //services/hello/x HTTP/1.1\r\nHost: x":            404,
		"GET /x HTTP/1.1\r\nHost: HELLO.ai.example.:80":         200,
		"GET /x HTTP/1.1\r\nHost: a.hello.ai.example":           404,
	} {
		got := g.talk(line + "\r\nConnection: close\r\n\r\n")
		if !slices.Equal(statuses(got), []int{want}) {
			t.Errorf("%q: got %v, want %d", line, statuses(got), want)
		}
	}
}

// A TLS client that ends its side in the record of its last bytes: those bytes count.
func TestLastBytesOfTLS(t *testing.T) {
	p := &passedConn{Conn: &lastWords{text: chunkedOne}, state: &tls.ConnectionState{}}
	b, err := io.ReadAll(p)
	if string(b) != chunkedOne || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

// lastWords gives its text together with the end.
type lastWords struct {
	net.Conn
	text string
}

func (l *lastWords) Read(p []byte) (int, error) {
	n := copy(p, l.text)
	if l.text = l.text[n:]; l.text == "" {
		return n, io.EOF
	}
	return n, nil
}

// Whatever the pieces in which the bytes are read and come, the same goes on: all that keeps the rules.
func TestPassedInPieces(t *testing.T) {
	text := chunkedOne + plainGet + hostilePost("Content-Length: 5") + "hello" + chunkedOne
	for _, bad := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + plainGet} {
		for cut := range len(text) {
			client, server := net.Pipe()
			go func() {
				_, _ = io.WriteString(client, text[:cut])
				_, _ = io.WriteString(client, text[cut:]+bad)
				_ = client.Close()
			}()
			var got strings.Builder
			p := &passedConn{Conn: server}
			if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{p}, make([]byte, 1+cut%9)); err != nil {
				t.Fatal(err)
			}
			_ = server.Close()
			want := text
			if bad != "" {
				want += refusedRequest
			}
			if got.String() != want {
				t.Fatalf("cut at %d: got %q, want %q", cut, got.String(), want)
			}
		}
	}
}

func BenchmarkPassedBody(b *testing.B) {
	for _, chunked := range []bool{false, true} {
		b.Run("chunked "+strconv.FormatBool(chunked), func(b *testing.B) {
			const size = 64 << 10
			piece := strings.Repeat("x", size)
			head, length := hostilePost(fmt.Sprintf("Content-Length: %d", size)), size
			if chunked {
				head, piece, length = hostilePost("Transfer-Encoding: chunked"), fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, piece), size
			}
			p := &passedConn{Conn: &endless{text: head + piece}}
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(length))
			b.ReportAllocs()
			for b.Loop() {
				for read := 0; read < len(head)+len(piece); {
					n, err := p.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					read += n
				}
			}
		})
	}
}

// endless gives its text again and again.
type endless struct {
	net.Conn
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}
