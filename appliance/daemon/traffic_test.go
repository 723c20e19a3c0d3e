package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// noTokens is a store without any.
type noTokens struct{ router.TokenStore }

func (noTokens) Tokens(context.Context) ([]router.Token, error) { return nil, nil }

// life is the part of a daemon that answers requests.
type life struct {
	*traffic
	url string
}

func newLife(t *testing.T, e *elders) life {
	t.Helper()
	tokens, err := router.NewTokens(t.Context(), noTokens{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(router.Config{}, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	one := life{traffic: newTraffic(r, e)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	one.url = server.URL
	return one
}

// ask sends a request in the background and returns what it is told.
func (l life) ask(t *testing.T) <-chan string {
	t.Helper()
	out := make(chan string, 1)
	go func() {
		res, err := http.Post(l.url+"/services/chat/v1/x", "text/plain", strings.NewReader("hello"))
		if err != nil {
			out <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		out <- res.Status + " " + string(b)
	}()
	return out
}

// Requests that wait at zero in a process that gives over are known to the one that decides now, and answered by the
// route that it starts, or told why there is none.
func TestHeldOverARestart(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "warm") }))
	t.Cleanup(engine.Close)
	row := sessions.ServiceRoutes{ID: "svc", Name: "chat", Public: true, Status: sessions.ServiceIdle, Routing: sessions.DefaultRouting()}
	up, starting, failing := row, row, row
	starting.Status = sessions.ServiceProvisioning
	up.Status = sessions.ServiceHealthy
	up.Routes = []sessions.RouteTarget{{ID: "r", Addr: strings.TrimPrefix(engine.URL, "http://"), Weight: 1}}
	failing.Status, failing.Broken, failing.RetryAt = sessions.ServiceUnhealthy, "no such file: model.gguf", time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		end  sessions.ServiceRoutes
		want string
	}{"a route comes": {up, "200 OK warm"}, "it does not start": {failing, "no such file: model.gguf"}} {
		t.Run(name, func(t *testing.T) {
			before := newLife(t, &elders{})
			before.wakes = func(string, string, time.Time) bool { return true }
			before.Apply([]*sessions.ServiceRoutes{&row})
			answer := before.ask(t)
			within(t, func() bool { return before.held()["svc"] == 1 })

			older, newer := pair(t)
			var after elders
			after.join(newer)
			now := newLife(t, &after)
			_ = older.line.say(message{Say: sayFlying, Waiting: before.held()})
			within(t, func() bool { return now.held()["svc"] == 1 })
			d := &daemon{traffic: before.traffic}
			go d.obey(older, func() {})
			now.Apply([]*sessions.ServiceRoutes{&starting})
			now.Apply([]*sessions.ServiceRoutes{&c.end})
			if got := <-answer; !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What is said of services at zero goes by who wakes them.
func TestWakes(t *testing.T) {
	l := newLife(t, &elders{})
	row := sessions.ServiceRoutes{ID: "svc", Name: "chat", Public: true, Status: sessions.ServiceIdle, Routing: sessions.DefaultRouting()}
	l.Apply([]*sessions.ServiceRoutes{&row})
	if got := <-l.ask(t); !strings.Contains(got, "scaled_to_zero") {
		t.Errorf("nobody wakes it: %s", got)
	}
	l.wakes = func(string, string, time.Time) bool { return true }
	l.again()
	answer := l.ask(t)
	within(t, func() bool { return l.held()["svc"] == 1 })
	row.Broken, row.RetryAt = "out of memory", time.Now().Add(time.Hour)
	l.Apply([]*sessions.ServiceRoutes{&row})
	if got := <-answer; !strings.Contains(got, "503") || !strings.Contains(got, "out of memory") {
		t.Errorf("it does not start: %s", got)
	}
}
