package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := NewClient(Options{Host: srv.URL, Key: "pal_x", Project: "red"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientTellsKindsOfErrors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer pal_x" || r.URL.Query().Get("project") != "red" {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		switch r.URL.Path {
		case Prefix + "/services/gone":
			p := NewProblem(KindNotFound, 404, "service %q not found", "gone")
			p.Hint = "look again"
			w.Header().Set("Content-Type", ProblemType)
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(p)
		case Prefix + "/services/early":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"the appliance is starting; try again in a second","type":"server_error","param":null,"code":"starting"}}`)
		case Prefix + "/services/proxy":
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		case Prefix + "/services/moved":
			http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusFound)
		case Prefix + "/services/page":
			fmt.Fprint(w, "<html>hello</html>")
		case Prefix + "/services/a%2Fb", Prefix + "/services/a/b":
			if r.URL.EscapedPath() != Prefix+"/services/a%2Fb" {
				t.Errorf("path %s", r.URL.EscapedPath())
			}
			fmt.Fprint(w, `{"name":"a/b"}`)
		}
	})
	_, err := c.Service(t.Context(), "gone")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Hint != "look again" || !errors.Is(err, KindError(KindNotFound)) || errors.Is(err, KindError(KindExists)) {
		t.Errorf("%#v", err)
	}
	_, err = c.Service(t.Context(), "early")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Kind() != KindUnavailable || p.Detail != "the appliance is starting" || p.Hint == "" {
		t.Errorf("%#v", err)
	}
	for _, ref := range []string{"proxy", "moved"} {
		_, err := c.Service(t.Context(), ref)
		if p, ok := errors.AsType[*Problem](err); !ok || p.Hint == "" || !strings.Contains(p.Detail, "no answer of a Palisade API") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := c.Service(t.Context(), "page"); err == nil {
		t.Error("a page was read as a service")
	}
	if s, err := c.Service(t.Context(), "a/b"); err != nil || s.Name != "a/b" {
		t.Errorf("%+v, %v", s, err)
	}
	c, err = NewClient(Options{Host: "unix:///nowhere/at/all.sock"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Service(t.Context(), "x")
	if _, ok := errors.AsType[*ConnectError](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestClientRefusesHosts(t *testing.T) {
	for _, host := range []string{"", "box:8080", "ftp://box", "http://", "unix://", "unix://relative", "http://box/api/v1", "http://me:pw@box"} {
		if _, err := NewClient(Options{Host: host}); err == nil {
			t.Errorf("%q is a host", host)
		}
	}
	for _, host := range []string{"/run/x.sock", "unix:///run/x.sock", "http://box:8080", "https://box", "https://box/"} {
		if _, err := NewClient(Options{Host: host}); err != nil {
			t.Error(err)
		}
	}
}

// TestWatchOutlivesARestart: the stream breaks, the daemon says that it is starting, comes back, and what is watched goes at last.
func TestWatchOutlivesARestart(t *testing.T) {
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch calls.Add(1) {
		case 1:
			fmt.Fprint(w, "event: service\ndata: {\"name\":\"one\"}\n\n: ping\n\nevent: service\ndata: {\"name\":\"cut")
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"the appliance is starting; try again in a second","type":"server_error","param":null,"code":"starting"}}`)
		case 3:
			fmt.Fprint(w, "event: service\ndata: {\"name\":\"two\"}\n\nevent: unknown\ndata: x\n\n")
		default:
			fmt.Fprint(w, "event: gone\ndata: {\"type\":\"urn:palisade:problem:not-found\",\"detail\":\"gone\"}\n\n")
		}
	})
	var names []string
	err := c.WatchService(t.Context(), "demo", func(s Service) error {
		names = append(names, s.Name)
		return nil
	})
	if !errors.Is(err, KindError(KindNotFound)) || strings.Join(names, " ") != "one two" {
		t.Errorf("%v, %v", names, err)
	}
	calls.Store(0)
	if err := c.WatchService(t.Context(), "demo", func(Service) error { return ErrStopWatch }); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("had enough")
	calls.Store(0)
	err = c.WatchService(ctx, "demo", func(Service) error { cancel(why); return nil })
	if !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
}

// TestClientOfScaling: what is asked of the daemon, word by word.
func TestClientOfScaling(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, strings.TrimPrefix(r.URL.Path, Prefix), r.Header.Get("If-Match"), body)))
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/rules/") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		fmt.Fprint(w, `{"items":[]}`)
	})
	ctx, policy := t.Context(), Autoscaling{MaxReplicas: new(4), IdleAfter: new(0.0), Rules: &[]Rule{}}
	for _, ask := range []func() error{
		func() error { _, err := c.Autoscaling(ctx, "a"); return err },
		func() error { _, err := c.SetAutoscaling(ctx, "a", policy, ETag(3)); return err },
		func() error {
			_, err := c.UpdateAutoscaling(ctx, "a", Autoscaling{MinReplicas: new(0)}, "")
			return err
		},
		func() error { _, err := c.ClearAutoscaling(ctx, "a", "*"); return err },
		func() error { _, err := c.ResumeAutoscaling(ctx, "a"); return err },
		func() error { _, err := c.Rules(ctx, "a"); return err },
		func() error { _, err := c.Rule(ctx, "a", "r"); return err },
		func() error {
			_, err := c.CreateRule(ctx, "a", Rule{Target: new(8.0), MetricSource: new("router")})
			return err
		},
		func() error {
			_, err := c.UpdateRule(ctx, "a", "r", Rule{Threshold: new(2.5)}, "comparator")
			return err
		},
		func() error { return c.RemoveRule(ctx, "a", "r") },
		func() error { _, err := c.Decisions(ctx, "a", 5); return err },
		func() error { _, err := c.Metrics(ctx); return err },
	} {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`GET /services/a/autoscaling`,
		`PUT /services/a/autoscaling "3" {"max_replicas":4,"idle_after":0,"rules":[]}`,
		`PATCH /services/a/autoscaling  {"min_replicas":0}`,
		`DELETE /services/a/autoscaling *`,
		`POST /services/a/autoscaling/resume`,
		`GET /services/a/rules`,
		`GET /services/a/rules/r`,
		`POST /services/a/rules  {"metric_source":"router","target":8}`,
		`PATCH /services/a/rules/r  {"comparator":null,"threshold":2.5}`,
		`DELETE /services/a/rules/r`,
		`GET /services/a/decisions`,
		`GET /autoscaling/metrics`,
	}
	if got := strings.Join(asked, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}
