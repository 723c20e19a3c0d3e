package router

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// twoWays is one router behind a gate, and behind net/http alone.
type twoWays struct{ gate, plain string }

func newTwoWays(f *testing.F) twoWays {
	f.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		body := strings.Join([]string{r.Method, r.RequestURI, r.Host, r.Header.Get("X-Echo"), r.Header.Get("Content-Type"), string(b)}, "|")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	}))
	f.Cleanup(echo.Close)
	tokens, err := NewTokens(f.Context(), &memoryStore{}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	r := New(Config{}, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	r.SetServices([]Service{open(echo.Listener.Addr().String())})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	gate := NewGate(r.config, &http.Server{Handler: r, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}, slog.New(slog.DiscardHandler))
	gate.Open(r)
	go func() { _ = gate.Serve(l) }()
	f.Cleanup(func() { _ = gate.Close() })
	plain := httptest.NewUnstartedServer(r)
	plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	plain.Start()
	f.Cleanup(plain.Close)
	return twoWays{l.Addr().String(), plain.Listener.Addr().String()}
}

// converseInPieces sends the pieces, each on its own, and reads answers until the connection ends, or is silent for
// a while because more is waited for.
func converseInPieces(addr string, pieces [][]byte) ([]*said, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = conn.(*net.TCPConn).SetLinger(0) // so many connections would take all ports
		_ = conn.Close()
	}()
	go func() {
		for _, p := range pieces {
			if _, err := conn.Write(p); err != nil {
				return
			}
		}
	}()
	var all []*said
	from := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(exchangePatience))
		a := next(from, "POST")
		if a == nil {
			return all, nil
		}
		if all = append(all, a); a.close {
			return all, nil
		}
	}
}

const exchangePatience = 300 * time.Millisecond

// FuzzExchange: the same bytes give the same statuses and bodies, whether our own path answers them or
// net/http does, pipelined too, and however they are cut. What is malformed is another matter: there the gate
// refuses more, and says no more.
func FuzzExchange(f *testing.F) {
	const end = "GET /services/hello/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for _, c := range smuggling {
		if len(c.request) < 2000 {
			f.Add([]byte(c.request+end), []byte{40, 3})
		}
	}
	chat := func(body string) string {
		return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	for _, text := range []string{
		plainGet + plainGet + lastGet,
		chat(`{"model":"hello"}`) + chat(`{"model":"nope"}`) + chat(`{"model":`) + chat("") + lastGet,
		chat(`{"model":"hello","model":"other"}`) + lastGet,
		chunkedOne + plainGet + chunkedOne + lastGet,
		hostilePost("Content-Length: 3", "X-Echo: é") + "abc" + lastGet,
		hostilePost("Content-Length: 3", "Expect: 100-continue") + "abc" + lastGet,
		"GET /services/hello/%7Ex?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n" + lastGet,
		"GET /services/hello/../x HTTP/1.1\r\nHost: x\r\n\r\nGET /services/hello//%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n" + lastGet,
		"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models/hello HTTP/1.1\r\nHost: x\r\n\r\n" + lastGet,
		"DELETE /services/hello? HTTP/1.1\r\nHost: x\r\nConnection: x-echo, close\r\nX-Echo: y\r\n\r\n",
		"GET /services/nope/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n" + lastGet,
		"GET /services/hello/x HTTP/1.0\r\n\r\n",
		"GET /services/hello/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + lastGet,
		"GET http://x/services/hello/x HTTP/1.1\r\nHost: y\r\n\r\n" + lastGet,
		"GET /else HTTP/1.1\r\nHost: x\r\n\r\n" + lastGet,
	} {
		f.Add([]byte(text), []byte{})
		f.Add([]byte(text), []byte{20, 1, 1, 70})
	}
	w := newTwoWays(f)
	f.Fuzz(func(t *testing.T, b, cuts []byte) {
		if len(b) > 8<<10 || len(cuts) > 64 || bytes.Contains(b, []byte("HTTP/2.0")) {
			return
		}
		ours, err := converseInPieces(w.gate, pieces(b, cuts))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := converseInPieces(w.plain, [][]byte{b})
		if err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, ours, theirs)
	})
}

// pieces cuts b: each byte of cuts is the length of a piece.
func pieces(b, cuts []byte) [][]byte {
	var all [][]byte
	for _, n := range cuts {
		k := min(int(n), len(b))
		if k > 0 {
			all = append(all, b[:k])
		}
		b = b[k:]
	}
	return append(all, b)
}

func sameAnswers(t *testing.T, ours, theirs []*said) {
	t.Helper()
	for i, a := range ours {
		if strings.Contains(a.body, `"code":"malformed_request"`) {
			if i != len(ours)-1 || !a.close {
				t.Fatalf("more came behind a malformed request: %v", statuses(ours))
			}
			return
		}
		if i == len(theirs) {
			t.Fatalf("got %v, net/http said %v; first %+v", statuses(ours), statuses(theirs), a)
		}
		b := theirs[i]
		if a.status == http.StatusBadRequest && b.status == a.status {
			continue // net/http has words of its own for what it finds first
		}
		if a.status != b.status || a.body != b.body || a.close != b.close || a.head.Get("Content-Type") != b.head.Get("Content-Type") {
			t.Fatalf("answer %d of %v: got %+v, net/http said %+v", i, statuses(ours), a, b)
		}
	}
	if len(ours) < len(theirs) && !slices.Contains(statuses(ours), http.StatusBadRequest) {
		t.Fatalf("got %v, net/http said %v", statuses(ours), statuses(theirs))
	}
}
