package router

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

const chatStream = `{"model":"hello","stream":true}`

// abort ends an engine's connection without an end to the answer.
func abort(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Every byte arrives before the engine writes the next one.
func TestStreamsPassAtOnce(t *testing.T) {
	const events = ": ping\r\n\r\nid: 1\ndata: {\"a\":\"\xc3\xa4\"}\n\ndata: x\ndata: y\r\rdata: [DONE]\n\n"
	seen := make(chan struct{})
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		control := http.NewResponseController(w)
		_ = control.Flush()
		for i := range len(events) {
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, events[i:i+1])
			_ = control.Flush()
		}
	})))
	res := g.send(g.request("POST", "/v1/chat/completions", chatStream))
	if got := res.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("type %s", got)
	}
	got := make([]byte, 1)
	for i := range len(events) {
		seen <- struct{}{}
		if _, err := io.ReadFull(res.Body, got); err != nil || got[0] != events[i] {
			t.Fatalf("byte %d: %q, %v", i, got, err)
		}
	}
	if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
	g.idle()
	if n := g.metric("palisade_router_ttft_seconds", "service", "hello"); n != 1 {
		t.Errorf("%v first tokens", n)
	}
}

func TestClientsAbortCancelsTheEngine(t *testing.T) {
	for name, path := range map[string]string{"before the answer": "/services/hello/silent", "in the stream": "/services/hello/stream"} {
		t.Run(name, func(t *testing.T) {
			begun, cancelled := make(chan struct{}), make(chan struct{})
			g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/stream" {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: 1\n\n")
					_ = http.NewResponseController(w).Flush()
				}
				close(begun)
				<-r.Context().Done()
				close(cancelled)
			})))
			ctx, cancel := context.WithCancel(t.Context())
			req := g.request("POST", path, chatStream).WithContext(ctx)
			go func() {
				<-begun
				if g.InFlight("r1") != 1 {
					t.Error("not in flight")
				}
				cancel()
			}()
			res, err := g.server.Client().Do(req)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			<-cancelled
			g.idle()
			if load := g.Snapshot()[0]; load.Errors != 0 || load.Routes[0].Errors != 0 {
				t.Errorf("counted as an error: %+v", load)
			}
		})
	}
}

func TestDeathInTheMiddle(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		switch r.URL.Path {
		case "/v1/chat/completions", "/v1/messages":
			h.Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: {\"n\":1}\n\ndata: {\"n\"")
		case "/zipped":
			h.Set("Content-Type", "text/event-stream")
			h.Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "zipped")
		case "/sized":
			h.Set("Content-Length", "100")
			_, _ = io.WriteString(w, "not all")
		case "/chunked":
			_, _ = io.WriteString(w, "not all")
		case "/before":
			panic(http.ErrAbortHandler)
		}
		abort(w)
	})))
	errorEvent := `data: {"error":{"message":"The engine of \"hello\" ended in the middle of this answer. What came of it is not all.","type":"server_error","param":null,"code":"engine_failed"}}` + "\n\n"
	for path, want := range map[string]string{
		"/v1/chat/completions":         "data: {\"n\":1}\n\ndata: {\"n\"\n\n" + errorEvent,
		"/services/hello/v1/messages":  "data: {\"n\":1}\n\ndata: {\"n\"\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"",
		"/v1/chat/completions?model=x": "data: {\"n\":1}\n\ndata: {\"n\"\n\n" + errorEvent,
	} {
		status, body := g.ask(g.request("POST", path, chatStream))
		if status != 200 || !strings.HasPrefix(body, want) || strings.Contains(body, "DONE") {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	for _, path := range []string{"/zipped", "/sized", "/chunked"} {
		res, err := g.server.Client().Do(g.request("POST", "/services/hello"+path, "x"))
		if err != nil {
			continue // the head was not sent yet
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil {
			t.Errorf("%s ended as if it were whole: %q", path, body)
		}
	}
	status, body := g.ask(g.request("POST", "/services/hello/before", "x"))
	if status != 502 || !strings.Contains(body, `"code":"engine_failed"`) {
		t.Errorf("before the answer: %d %s", status, body)
	}
	g.idle()
	if n := g.metric("palisade_router_upstream_errors_total", "service", "hello", "kind", "cut"); n != 6 {
		t.Errorf("%v answers were cut", n)
	}
	if n := g.metric("palisade_router_upstream_errors_total", "service", "hello", "kind", "broken"); n != 1 {
		t.Errorf("%v did not begin", n)
	}
	if load := g.Snapshot()[0]; load.Errors != 7 || load.Total != 7 || load.InFlight != 0 {
		t.Errorf("load %+v", load)
	}
}

// plainEngine answers every connection's first request with the text as it is, and closes.
func plainEngine(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, text)
			}()
		}
	}()
	return l.Addr().String()
}

// Where a stream ends with its connection, only [DONE] tells its end from the engine's.
func TestStreamsThatEndWithTheConnection(t *testing.T) {
	const head = "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
	for text, cut := range map[string]bool{head: true, head + "data: [DONE]\n\n": false} {
		g := newRig(t, Config{}, hello(plainEngine(t, text)))
		_, body := g.ask(g.request("POST", "/v1/chat/completions", chatStream))
		if got := strings.Contains(body, `"engine_failed"`); got != cut {
			t.Errorf("%q became %q", text, body)
		}
		_, body = g.ask(g.request("POST", "/services/hello/own/events", "x"))
		if strings.Contains(body, `"engine_failed"`) {
			t.Errorf("other streams have other ends: %q became %q", text, body)
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	for _, text := range []string{"", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"} {
		g := newRig(t, Config{}, hello(plainEngine(t, text)))
		if status, body := g.chat(); status != 502 {
			t.Errorf("%.20q: %d %s", text, status, body)
		}
	}
}

func TestUploadsAreStreamed(t *testing.T) {
	got := make(chan string)
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			got <- string(b)
			_, _ = w.Write(b)
			_ = http.NewResponseController(w).Flush()
		}
	})))
	from, to := io.Pipe()
	req := g.request("POST", "/services/hello/echo", "")
	req.Body, req.ContentLength = from, -1
	answer := make(chan *http.Response, 1)
	go func() {
		res, err := g.server.Client().Do(req)
		if err != nil {
			t.Error(err)
			close(answer)
			return
		}
		answer <- res
	}()
	var res *http.Response
	for i, c := range "abc" {
		_, _ = io.WriteString(to, string(c))
		if b := <-got; b != string(c) {
			t.Fatalf("the engine got %q", b)
		}
		if i == 0 {
			if res = <-answer; res == nil {
				t.FailNow()
			}
			defer func() { _ = res.Body.Close() }()
		}
		b := make([]byte, 1)
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != string(c) {
			t.Fatalf("came back %q, %v", b, err)
		}
	}
	_ = to.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

// A client that cuts its body off is told so, and no route is blamed.
func TestBodyCutOff(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("x"))))
	for _, path := range []string{"/v1/chat/completions", "/services/hello/x"} {
		for _, size := range []int{100, 2 << 20} {
			conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{\"model\":\"hello\",", path, g.secret, size)
			_ = conn.(*net.TCPConn).CloseWrite()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			_ = conn.Close()
			if res.StatusCode != http.StatusBadRequest && res.StatusCode != statusClientGone {
				t.Errorf("%s, %d bytes: %s %s", path, size, res.Status, b)
			}
		}
	}
	g.idle()
	if load := g.Snapshot()[0]; load.Errors != 0 || load.Routes[0].Errors != 0 {
		t.Errorf("load %+v", load)
	}
}

func TestWebsocket(t *testing.T) {
	s := hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, b, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "bye" {
				_ = conn.Close(4001, "as you said")
				return
			}
			if conn.Write(r.Context(), kind, append([]byte(r.RequestURI+" "), b...)) != nil {
				return
			}
		}
	}))
	g := newRig(t, Config{}, s)
	for path, uri := range map[string]string{"/v1/realtime?model=hello": "/v1/realtime?model=hello", "/services/hello/ws/x": "/ws/x"} {
		conn, res, err := websocket.Dial(t.Context(), g.server.URL+path, &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + g.secret}, "Origin": {g.server.URL}}, Subprotocols: []string{"realtime"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Header.Get("X-Request-Id") == "" || conn.Subprotocol() != "realtime" {
			t.Errorf("headers %v", res.Header)
		}
		for _, text := range []string{"a", strings.Repeat("b", 20000)} {
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, b, err := conn.Read(t.Context()); err != nil || string(b) != uri+" "+text {
				t.Fatalf("got %.40q, %v", b, err)
			}
		}
		if n := g.InFlight("r1"); n != 1 {
			t.Errorf("%d in flight", n)
		}
		_ = conn.Write(t.Context(), websocket.MessageText, []byte("bye"))
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != 4001 {
			t.Errorf("closed with %v", err)
		}
		_ = conn.CloseNow()
		g.idle()
	}
	// A refused handshake is an answer like others.
	if _, res, err := websocket.Dial(t.Context(), g.server.URL+"/v1/realtime?model=hello", nil); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %v", err)
	}
	// Who just vanishes takes the engine's connection along.
	conn, _, err := websocket.Dial(t.Context(), g.server.URL+"/services/hello/x", &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {g.secret}}})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseNow()
	g.idle()
	if n := g.metric("palisade_router_requests_total", "kind", "upgrade", "code", "1xx"); n != 3 {
		t.Errorf("%v upgrades counted", n)
	}
}
