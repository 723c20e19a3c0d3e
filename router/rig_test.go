package router

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// rig is a router behind a real server, with a token for everything of project "p".
type rig struct {
	*Router
	t      testing.TB
	server *front
	tokens *Tokens
	secret string
	reg    *prometheus.Registry
}

func newRig(t testing.TB, c Config, services ...Service) *rig {
	t.Helper()
	tokens, err := NewTokens(t.Context(), &memoryStore{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, secret := issue(t, tokens, IssueRequest{Project: "p"})
	g := &rig{t: t, tokens: tokens, secret: secret, reg: prometheus.NewRegistry()}
	g.Router = New(c, tokens, g.reg, slog.New(slog.DiscardHandler))
	g.SetServices(services)
	g.server = newFront(t, g.Router)
	return g
}

// front is where clients of a router come in.
type front struct {
	URL      string
	Listener net.Listener
	gate     *Gate
	client   *http.Client
}

func newFront(t testing.TB, r *Router) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{URL: "http://" + l.Addr().String(), Listener: l, client: &http.Client{Transport: &http.Transport{}}}
	f.gate = NewGate(r.config, &http.Server{Handler: r}, slog.New(slog.DiscardHandler))
	f.gate.Open(r)
	served := make(chan error, 1)
	go func() { served <- f.gate.Serve(l) }()
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		if err := f.gate.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return f
}

func (f *front) Client() *http.Client { return f.client }

// hello is a service named hello of project "p" with routes r1, r2, ... at addrs.
func hello(addrs ...string) Service {
	s := Service{ID: "svc", Name: "hello", Project: "p"}
	for i, addr := range addrs {
		s.Routes = append(s.Routes, Route{ID: "r" + string(rune('1'+i)), Addr: addr, Weight: 1})
	}
	return s
}

// engine is a real server that stands for one.
func engine(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// says answers name to everything.
func says(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name)
	}
}

// nowhere is an address where nobody listens.
func nowhere(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

const chatHello = `{"model":"hello","messages":[]}`

// request makes one to the router, with the token.
func (g *rig) request(method, path, body string) *http.Request {
	g.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.server.URL+path, from)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.secret)
	return req
}

func (g *rig) send(req *http.Request) *http.Response {
	g.t.Helper()
	res, err := g.server.Client().Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// ask sends and reads all.
func (g *rig) ask(req *http.Request) (int, string) {
	g.t.Helper()
	res := g.send(req)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (g *rig) chat() (int, string) {
	g.t.Helper()
	return g.ask(g.request("POST", "/v1/chat/completions", chatHello))
}

// raw sends bytes as they are and reads the answer.
func (g *rig) raw(text string) *http.Response {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		g.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return res
}

// idle waits until no route of the table has anything in flight.
func (g *rig) idle() {
	g.t.Helper()
	for _, s := range g.Snapshot() {
		for _, r := range s.Routes {
			if err := g.WaitIdle(g.t.Context(), r.ID); err != nil {
				g.t.Fatal(err)
			}
		}
	}
}

// metric is the sum of a metric's series that have the labels given as name, value, ...
func (g *rig) metric(name string, labels ...string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
