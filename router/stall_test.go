package router

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A client that reads no more, and lives, must not hold its route for ever.
func TestClientThatStopsReading(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "application/json"} {
		synctest.Test(t, func(t *testing.T) {
			r, p := bubbleRig(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				for {
					if _, err := io.WriteString(w, strings.Repeat("data: {}\n\n", 1000)); err != nil {
						return
					}
				}
			})
			conn, err := p.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /services/hello/x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := r.InFlight("r1"); n != 1 {
				t.Fatalf("%d in flight, want 1", n)
			}
			time.Sleep(2 * r.config.Silence)
			synctest.Wait()
			if n := r.InFlight("r1"); n != 0 {
				t.Errorf("%s: %d in flight though the client took nothing for an hour", kind, n)
			}
		})
	}
}

// A client that reads slowly, but does, is borne.
func TestClientThatReadsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 40
		_, p := bubbleRig(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range pieces {
				_, _ = io.WriteString(w, "data: {}\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		})
		conn, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /services/hello/x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		buf := make([]byte, 10)
		for {
			n, err := res.Body.Read(buf)
			got += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			time.Sleep(5 * time.Minute)
		}
		if want := pieces * len("data: {}\n\n"); got != want {
			t.Errorf("%d bytes of %d", got, want)
		}
	})
}
