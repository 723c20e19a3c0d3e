package daemon

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

// No page of an app is ever shown on the origin of the API.
func TestAppsAreNotOnTheMainOrigin(t *testing.T) {
	const path = "/sessions/ses-1/apps/jupyter/tree?a=b"
	open := func(at string) *front {
		f := openFront(nil)
		rs := *f.rooms.Load()
		rs.apps, rs.appsAt = sign("app"), func(host string) string { return at }
		f.rooms.Store(&rs)
		return f
	}
	local := func(r *http.Request) *http.Request {
		return r.WithContext(admin.LocalPeer(context.Background(), "root"))
	}
	plain := func(r *http.Request) *http.Request { return r }
	program := func(r *http.Request) *http.Request { r.Header.Set("Authorization", "Bearer pal_x"); return r }
	basic := func(r *http.Request) *http.Request { r.Header.Set("Authorization", "Basic eDp5"); return r }
	named := open("https://apps.example.com")
	named.appHost = "apps.example.com"
	for _, tt := range []struct {
		name, host string
		front      *front
		by         func(*http.Request) *http.Request
		status     int
		want       string
	}{
		{"a browser is sent away", "box:8080", open("http://box:8081"), plain, http.StatusTemporaryRedirect, "http://box:8081" + path},
		{"one that browsers remember a password for, too", "box:8080", open("http://box:8081"), basic, http.StatusTemporaryRedirect, "http://box:8081" + path},
		{"a program is served", "box:8080", open("http://box:8081"), program, http.StatusOK, "app"},
		{"the socket is", "box", open(""), local, http.StatusOK, "app"},
		{"there is no such origin", "box:8080", open(""), plain, http.StatusNotFound, ""},
		{"a name of their own", "apps.example.com", named, plain, http.StatusOK, "app"},
		{"in any case", "APPS.example.com", named, plain, http.StatusOK, "app"},
		{"not by the other name", "box:8080", named, plain, http.StatusTemporaryRedirect, "https://apps.example.com" + path},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+tt.host+path, nil)
		w := httptest.NewRecorder()
		tt.front.ServeHTTP(w, tt.by(r))
		got := w.Header().Get("Location")
		if w.Code == http.StatusOK {
			got = w.Body.String()
		}
		if w.Code != tt.status || got != tt.want {
			t.Errorf("%s: %d %q", tt.name, w.Code, got)
		}
	}
	// By the name of apps there is nothing else.
	for _, path := range []string{api.Prefix + "/services", "/v1/models", "/metrics", "/console/", "/", "/services/x/"} {
		if got := ask(named, "http://apps.example.com"+path); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d %q", path, got.Code, got.Body)
		}
	}
}

// Pages that are open find their port again, and a port that is taken is no reason not to start.
func TestThePortOfAppsIsKept(t *testing.T) {
	main, err := listenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer main.Close()
	next := func(at string, main net.Listener) net.Listener {
		t.Helper()
		d := &daemon{house: &house{appListen: at, doors: []*doorway{{Listener: main}}}}
		d.Config.Data, d.Log = t.TempDir(), quiet()
		return nextOf(t, d)
	}
	first := next("127.0.0.1:0", main)
	taken := next(first.Addr().String(), main) // somebody has it
	if taken.Addr().String() == first.Addr().String() {
		t.Error("one port twice")
	}
	_ = first.Close()
	_ = taken.Close()
	d := &daemon{house: &house{appListen: "127.0.0.1:0", doors: []*doorway{{Listener: main}}}}
	d.Config.Data, d.Log = t.TempDir(), quiet()
	before := nextOf(t, d)
	at := before.Addr().String()
	_ = before.Close()
	again := nextOf(t, d)
	defer again.Close()
	if again.Addr().String() != at {
		t.Errorf("it was at %s, and is at %s", at, again.Addr())
	}
}

func nextOf(t *testing.T, d *daemon) net.Listener {
	t.Helper()
	l, err := d.listenNext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}
