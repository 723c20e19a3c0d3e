package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secret = "pal-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func ask(t *testing.T, addr, token, model string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/chat/completions", strings.NewReader(`{"model":"`+model+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("Content-Type", "application/json")
	return do(t, q)
}

func do(t *testing.T, q *http.Request) (int, string) {
	t.Helper()
	for {
		res, err := http.DefaultClient.Do(q)
		if errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err != nil {
			q = q.Clone(t.Context()) // it does not listen yet
			if q.GetBody != nil {
				q.Body, _ = q.GetBody()
			}
			continue
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
}

func TestGateChecksAndCounts(t *testing.T) {
	well := atomic.Bool{}
	well.Store(true)
	engine := func(name string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/health" && name == "one" && !well.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, name)
		}))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	g := gate{listen: addr, routes: engine("one") + "," + engine("two"), model: "m", token: secret, probe: 20 * time.Millisecond}
	go func() { ended <- g.run(ctx) }()

	seen := map[string]int{}
	for range 10 {
		status, body := ask(t, addr, secret, "m")
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		seen[body]++
	}
	if len(seen) != 2 {
		t.Errorf("who answered: %v, want both", seen)
	}
	if status, _ := ask(t, addr, strings.Replace(secret, "a", "b", 1), "m"); status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", status)
	}
	if status, _ := ask(t, addr, secret, "another"); status != http.StatusNotFound {
		t.Errorf("for a model that is not there: %d", status)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, text := do(t, q); !strings.Contains(text, "palisade_router_requests_total{") {
		t.Errorf("metrics have no requests in them:\n%s", text)
	}

	well.Store(false)
	for others := 0; others < 5; { // the probe takes the sick one out of the balance: then the other has them all
		if _, body := ask(t, addr, secret, "m"); body == "two" {
			others++
		} else {
			others = 0
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
