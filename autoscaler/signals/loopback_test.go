package signals

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// lookAt looks once, over a real connection, at what a handler serves. It gives what it took of memory.
func lookAt(t *testing.T, h http.HandlerFunc) (bytes uint64, err error) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := New(Config{Timeout: 20 * time.Second}, slog.New(slog.DiscardHandler)) // machines that run tests are busy
	tg := newTarget(&service{}, Route{URL: server.URL + "/metrics"}, c.config)
	tg.paths = tg.paths[:1]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tg.ctx = ctx
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = tg.look(compile(nil, nil), true, c)
	runtime.ReadMemStats(&after)
	_ = tg.getter.close()
	return after.TotalAlloc - before.TotalAlloc, err
}

func TestAPageWithoutEnd(t *testing.T) {
	began := time.Now()
	_, err := lookAt(t, func(w http.ResponseWriter, _ *http.Request) {
		line := strings.Repeat("vllm:num_requests_waiting{user=\"u-0123456789\"} 1\n", 1000)
		for {
			if _, err := fmt.Fprint(w, line); err != nil {
				return
			}
		}
	})
	if !errors.Is(err, errTooLarge) {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestAMillionSeriesTakeNoRoom(t *testing.T) {
	if bytes, err := lookAt(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1_000_000 {
			if _, err := fmt.Fprintf(w, "vllm:request_of_%d{n=\"%d\"} 1\n", i, i); err != nil {
				return
			}
		}
	}); bytes > 64<<20 || err == nil { // the server's part is among it
		t.Errorf("%d bytes, %v", bytes, err)
	}
}

func TestWhatIsPackedIsNotUnpacked(t *testing.T) {
	_, err := lookAt(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("it asks for %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		bomb := gzip.NewWriter(w)
		_, _ = bomb.Write([]byte(strings.Repeat("a 1\n", 1<<20)))
		_ = bomb.Close()
	})
	if err == nil || !strings.Contains(err.Error(), "packed (gzip)") {
		t.Errorf("%v", err)
	}
}

func TestARefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c := New(Config{}, slog.New(slog.DiscardHandler))
	tg := newTarget(&service{}, Route{URL: "http://" + address + "/metrics"}, c.config)
	tg.ctx = t.Context()
	if err := tg.look(compile(nil, nil), false, c); err == nil || err.Error() != "it refuses connections" {
		t.Errorf("%v", err)
	}
}

// FuzzAnswer: whatever an engine sends, a look ends without a panic.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 301 X\r\nLocation: \xff\r\n\r\n"))
	p := compile(nil, nil)
	f.Fuzz(func(t *testing.T, answer []byte) {
		g := getter{address: "x:1", host: "x", dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Read(make([]byte, 4096))
				_, _ = theirs.Write(answer)
				_ = theirs.Close()
			}()
			return ours, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := g.get(ctx, "/metrics", newPage(p), newRoom()); timedOut(err) {
			t.Error("it hangs")
		}
		_ = g.close()
	})
}
