package apps_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

const (
	id    = "ses-4k2m9x7qwd3n"
	other = "ses-other0000000"
)

// world is a box with sessions, whose ports are listeners of this test.
type world struct {
	t    *testing.T
	apps *apps.Apps
	now  time.Time

	mu       sync.Mutex
	sessions map[string]sessions.Session
	ports    map[int]string // listeners' addresses
	shared   bool           // the session has the box's network
	exec     func(cmd sessions.ExecSpec) (sessions.Exit, error)
	scripts  []sessions.ExecSpec
	revoked  bool
	used     int
}

func newWorld(t *testing.T, change ...func(*apps.Deps)) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), ports: map[int]string{}, sessions: map[string]sessions.Session{}}
	for _, s := range []string{id, other} {
		w.sessions[s] = sessions.Session{
			ID: s, Name: "work", Project: "default", Type: sessions.TypeInteractive, Status: sessions.StatusRunning,
			StartedAt: w.now, Task: sessions.Task{Ports: []int{8000}},
		}
	}
	d := apps.Deps{
		Sessions: w, Key: []byte("0123456789abcdef0123456789abcdef"), URL: "http://box.example:8080", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Who: func(r *http.Request) (apps.Actor, bool) {
			return apps.Actor{Name: "ada", Key: "key-1"}, r.Header.Get("Authorization") == "Bearer pal_good"
		},
		Good:   func(key string) bool { w.mu.Lock(); defer w.mu.Unlock(); return key == "key-1" && !w.revoked },
		Access: func(string) func() { w.use(1); return func() { w.use(-1) } },
		Terminal: func(rw http.ResponseWriter, r *http.Request, s sessions.Session, by apps.Actor) {
			fmt.Fprintf(rw, "terminal of %s for %s: %s", s.ID, by.Name, r.URL.RawQuery)
		},
	}
	for _, c := range change {
		c(&d)
	}
	var err error
	if w.apps, err = apps.New(d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.apps.Close)
	return w
}

func (w *world) use(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used += n
}

// Session implements apps.Sessions.
func (w *world) Session(_, ref string) (sessions.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.sessions[ref]; ok {
		return s, nil
	}
	return sessions.Session{}, fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
}

// Exec implements apps.Sessions.
func (w *world) Exec(_ context.Context, _, _ string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	w.mu.Lock()
	w.scripts = append(w.scripts, cmd)
	exec := w.exec
	w.mu.Unlock()
	if exec == nil {
		return sessions.Exit{Reason: sessions.ExitCompleted}, nil
	}
	return exec(cmd)
}

// Dial implements apps.Sessions.
func (w *world) Dial(ctx context.Context, _, ref string, port int) (net.Conn, error) {
	s, err := w.Session("", ref)
	if err != nil {
		return nil, err
	}
	if s.Status != sessions.StatusRunning {
		return nil, sessions.NotRunning(s)
	}
	w.mu.Lock()
	address, listens := w.ports[port]
	shared := w.shared
	w.mu.Unlock()
	switch {
	case listens:
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	case shared:
		return nil, fmt.Errorf("port %d: %w: %w", port, sessions.ErrSharedNetwork, sessions.ErrRefused)
	}
	return nil, fmt.Errorf("port %d: %w", port, sessions.ErrRefused)
}

// listen has a handler answer at a port of the sessions.
func (w *world) listen(port int, h http.Handler) {
	w.t.Helper()
	srv := httptest.NewServer(h)
	w.t.Cleanup(srv.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ports[port] = srv.Listener.Addr().String()
}

func (w *world) set(change func(s *sessions.Session)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[id]
	change(&s)
	w.sessions[id] = s
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// started counts how often a line was started.
func (w *world) started(line string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.scripts {
		if slices.ContainsFunc(s.Argv, func(a string) bool { return strings.Contains(a, line) }) {
			n++
		}
	}
	return n
}

// request asks the door.
func (w *world) request(method, target string, header ...string) *http.Response {
	w.t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "box.example:8080"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	func() {
		defer func() {
			if v := recover(); v != nil && !errors.Is(v.(error), http.ErrAbortHandler) {
				panic(v)
			}
		}()
		w.apps.ServeHTTP(rec, r)
	}()
	return rec.Result()
}

// logIn returns the cookie that a new ticket for an app is worth.
func (w *world) logIn(app string) *http.Cookie {
	w.t.Helper()
	link, err := w.apps.Link(w.t.Context(), "default", id, app, apps.Actor{Name: "ada", Key: "key-1"})
	if err != nil {
		w.t.Fatal(err)
	}
	resp := w.request("GET", link.Path)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 || strings.Contains(resp.Header.Get("Location"), "ticket") {
		w.t.Fatalf("%s: %v", resp.Status, resp.Header)
	}
	return resp.Cookies()[0]
}

func as(c *http.Cookie) string { return c.Name + "=" + c.Value }
