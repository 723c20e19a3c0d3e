package load_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/bench/engine"
	"github.com/palisade-run/palisade/router/bench/load"
)

// start runs an engine until the test ends.
func start(t *testing.T, s engine.Settings) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for {
		if c, err := net.Dial("tcp", s.Addr.String()); err == nil {
			_ = c.Close()
			return s.Addr
		}
		if t.Context().Err() != nil {
			t.Fatal("the engine does not listen")
		}
	}
}

func run(t *testing.T, s load.Settings) (words []string, result load.Event) {
	t.Helper()
	var out bytes.Buffer
	if err := load.Run(s, &out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, load.LongestLine)
	for lines.Scan() {
		var e load.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		words, result = append(words, e.Event), e
	}
	return words, result
}

func TestCalls(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	addr := start(t, engine.Settings{Events: 3, Gap: time.Millisecond, EventBytes: 200, Delay: time.Millisecond, Journal: journal})
	words, result := run(t, load.Settings{Addr: addr, Conns: 8, Time: 200 * time.Millisecond, Patience: 10 * time.Second, Model: "m", BodyBytes: 1024, IDs: true})
	if got := strings.Join(words, " "); got != "begin end result" {
		t.Errorf("it says %q", got)
	}
	c := result.Calls
	if c == nil || c.OK == 0 || len(c.Kinds) > 0 || c.Latency.P50 < 1000 {
		t.Fatalf("calls: %+v, want answers only, after a millisecond or more", c)
	}
	j, err := engine.OpenJournal(journal)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	seen := map[uint64]bool{}
	for _, id := range j.IDs() {
		seen[id] = true
	}
	if len(seen) != len(j.IDs()) || len(seen) != c.OK {
		t.Errorf("the engine has seen %d requests, %d of them different; %d were answered", len(j.IDs()), len(seen), c.OK)
	}
}

func TestStreams(t *testing.T) {
	addr := start(t, engine.Settings{Events: 20, Gap: 2 * time.Millisecond, EventBytes: 200})
	words, result := run(t, load.Settings{Streams: true, Addr: addr, Conns: 50, Ramp: 20 * time.Millisecond, Gap: 2 * time.Millisecond, Patience: 30 * time.Second, Model: "m", BodyBytes: 1024})
	if got := strings.Join(words, " "); got != "begin open end result" {
		t.Errorf("it says %q", got)
	}
	if s := result.Streams; s == nil || s.Completed != 50 || s.Broken != 0 || s.Events != 1000 || s.Delay.P50 <= 0 {
		t.Errorf("streams: %+v, want 50 whole ones with 20 events each", s)
	}
}

// TestWhatIsNoAnswerFails asks servers that are no engine.
func TestWhatIsNoAnswerFails(t *testing.T) {
	for kind, handler := range map[string]http.HandlerFunc{
		"503":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"wrong": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") },
		"cut":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"lost": func(_ http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body) // or the server does not see that the client goes
			<-q.Context().Done()
		},
	} {
		t.Run(kind, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, result := run(t, load.Settings{
				Addr: netip.MustParseAddrPort(server.Listener.Addr().String()), Conns: 2, Time: 50 * time.Millisecond,
				Patience: 50 * time.Millisecond, Model: "m", BodyBytes: 100, IDs: true,
			})
			c := result.Calls
			if c == nil || c.OK != 0 || c.Kinds[kind] == 0 || len(c.Kinds) != 1 || len(c.Failed) != c.Kinds[kind] {
				t.Errorf("calls: %+v, want some that are %s and nothing else", c, kind)
			}
			server.CloseClientConnections()
		})
	}
}

// TestEngineTakesWhatProxiesSend: bodies in chunks and in pieces, and one request after the other on a connection.
func TestEngineTakesWhatProxiesSend(t *testing.T) {
	addr := start(t, engine.Settings{Events: 2, Gap: time.Millisecond, EventBytes: 200})
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := `{"model":"m","stream":true}`
	chunked := fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 10, body[:10], len(body)-10, body[10:])
	answers := bufio.NewReader(c)
	for i, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
		"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body,
	} {
		for _, piece := range []string{request[:25], request[25:]} {
			if _, err := io.WriteString(c, piece); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		text, err := io.ReadAll(res.Body)
		want := []string{`"completion_tokens":42,`, "ok", "data: [DONE]", "data: [DONE]"}[i]
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("request %d: %v, %q, want %q in it", i, err, text, want)
		}
	}
}
