package console

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// bench is a console over a real API with nothing real behind it.
type bench struct {
	*admintest.Appliance
	t       testing.TB
	console *Console
}

func newConsole(t testing.TB) *bench {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a, err := admintest.New(t.Context(), t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup // what a request did is written down after its answer
	t.Cleanup(running.Wait)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		a.Handler.ServeHTTP(w, r)
	})
	c, err := New(Deps{API: handler, Changed: a.Manager.Changed, Version: api.Version{Version: "0.0.0-test"}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{a, t, c}
}

// request is one of an administrator: of who sits at the box.
func (b *bench) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(admin.LocalPeer(b.t.Context(), "root"), method, Prefix+path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("HX-Request", "true")
	}
	return r
}

func (b *bench) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.console.ServeHTTP(w, r)
	return w
}

// get returns a page in a language, which must be one of status.
func (b *bench) get(path, language string, status int) string {
	b.t.Helper()
	r := b.request(http.MethodGet, path, nil)
	r.Header.Set("Accept-Language", language)
	w := b.serve(r)
	if w.Code != status {
		b.t.Fatalf("GET %s = %d, want %d: %s", path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// post sends a form as our script does, and wants a status.
func (b *bench) post(path string, form url.Values, status int) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.serve(b.request(http.MethodPost, path, form))
	if w.Code != status {
		b.t.Fatalf("POST %s %v = %d, want %d: %s", path, form, w.Code, status, w.Body)
	}
	return w
}

// user makes somebody who may log in, and returns their cookie.
func (b *bench) user(name string, admin bool) *http.Cookie {
	b.t.Helper()
	const password = "a horse that nobody knows"
	if _, _, err := b.Users.Create(b.t.Context(), people.Wish{Name: name, Admin: admin, Password: password, Keep: true}); err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, Prefix+"/login", strings.NewReader(url.Values{"name": {name}, "password": {password}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := b.serve(r)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		b.t.Fatalf("logging in: %d %v %s", w.Code, w.Header(), w.Body)
	}
	return w.Result().Cookies()[0]
}

// as sends a request with a cookie, as a browser does.
func (b *bench) as(cookie *http.Cookie, method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://example.com")
		r.Header.Set("HX-Request", "true")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	return b.serve(r)
}

func TestWhoIsNobodyLogsIn(t *testing.T) {
	b := newConsole(t)
	w := b.as(nil, http.MethodGet, "/?x=1", nil)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/console/login?next=%2Fconsole%2F%3Fx%3D1" {
		t.Fatalf("%d %s", w.Code, to)
	}
	cookie := b.user("ada", true)
	if w := b.as(cookie, http.MethodGet, "/", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "ada") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	out := b.as(cookie, http.MethodPost, "/logout", nil)
	if out.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", out.Code, out.Body)
	}
	if w := b.as(cookie, http.MethodGet, "/", nil); w.Code != http.StatusSeeOther {
		t.Errorf("the cookie of somebody who has logged out is good: %d", w.Code)
	}
}

func TestWrongPasswordSaysSo(t *testing.T) {
	b := newConsole(t)
	b.user("ada", true)
	for _, c := range []struct {
		name, password string
	}{{"ada", "wrong"}, {"nobody", "wrong"}, {"", ""}, {`"><script>alert(1)</script>`, "x"}} {
		w := b.as(nil, http.MethodPost, "/login", url.Values{"name": {c.name}, "password": {c.password}, "next": {"//evil.example/"}})
		if w.Code < 400 || w.Code >= 500 || strings.Contains(w.Body.String(), "<script>alert") || strings.Contains(w.Body.String(), "evil.example") || len(w.Result().Cookies()) > 0 {
			t.Errorf("%q: %d %v\n%s", c.name, w.Code, w.Header(), w.Body)
		}
	}
}

func TestAnotherOriginChangesNothing(t *testing.T) {
	b := newConsole(t)
	cookie := b.user("ada", true)
	for _, headers := range []map[string]string{{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}} {
		r := httptest.NewRequest(http.MethodPost, Prefix+"/logout", nil)
		r.AddCookie(cookie)
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		if w := b.serve(r); w.Code != http.StatusForbidden {
			t.Errorf("%v: %d", headers, w.Code)
		}
	}
	if w := b.as(cookie, http.MethodGet, "/", nil); w.Code != http.StatusOK {
		t.Errorf("logged out by another origin: %d", w.Code)
	}
}

func TestLocalPath(t *testing.T) {
	for next, want := range map[string]string{
		"/console/services?a=b": "/console/services?a=b", "/console/": "/console/",
		"": "/console/", "/": "/console/", "//evil.example/console/": "/console/", "http://evil.example/console/": "/console/",
		`/\evil.example/console/`: "/console/", "/console/\r\nSet-Cookie: a=b": "/console/", "javascript:alert(1)": "/console/", "/console/../api/v1/logout": "/console/",
		"/consoles/": "/console/", "///evil.example": "/console/", "/console//evil.example": "/console//evil.example", "https:/console/": "/console/", "user@/console/": "/console/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("localPath(%q) = %q, want %q", next, got, want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/console/x", "//a", `\\a`, "/console/%2f%2fa", "/console/\t/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := localPath(next)
		if !strings.HasPrefix(got, Prefix+"/") || strings.ContainsAny(got, "\r\n\\") {
			t.Fatalf("localPath(%q) = %q", next, got)
		}
	})
}

func TestEveryAnswerHasThePolicy(t *testing.T) {
	b := newConsole(t)
	for _, path := range []string{"/", "/login", "/nowhere", "/live/", "/choose?theme=dark&next=/console/"} {
		h := b.as(nil, http.MethodGet, path, nil).Header()
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} {
			if !strings.Contains(h.Get("Content-Security-Policy"), want) {
				t.Errorf("%s: %v", path, h)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// What the API's handler does reaches the client as it does over a connection.
func TestInProcess(t *testing.T) {
	ask := func(h http.HandlerFunc) (*http.Response, error) {
		by := httptest.NewRequest(http.MethodGet, "/console/", nil)
		by.Header.Set("Cookie", "a=b")
		by.Header.Set("Authorization", "Bearer x")
		by.Header.Set("Origin", "http://elsewhere")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://palisade/api/v1/x?y=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		return inProcess{h, by}.RoundTrip(r)
	}
	resp, err := ask(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "a=b" || r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("Origin") != "" || r.RequestURI != "/api/v1/x?y=1" || r.RemoteAddr == "" {
			t.Errorf("%+v", r)
		}
		w.Header().Set("X-A", "1")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-A", "2") // too late
		fmt.Fprint(w, "one")
	})
	if err != nil || resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-A") != "1" {
		t.Fatalf("%+v %v", resp, err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "one" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	if resp, err = ask(func(http.ResponseWriter, *http.Request) {}); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("nothing written: %+v %v", resp, err)
	}
	if _, err = ask(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }); err == nil {
		t.Error("an answer broken off before it began is one")
	}
	resp, err = ask(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		panic(http.ErrAbortHandler)
	})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "half" || err == nil {
		t.Errorf("broken off: %q %v", body, err)
	}
}

// Templates are read when a page is first asked for: here are all asked for, so that a mistake in one is found before.
func TestEveryPageIsWritten(t *testing.T) {
	b := newConsole(t)
	names := slices.Clone(unlisted)
	for _, p := range pages() {
		names = append(names, p.Name)
	}
	for _, language := range b.console.texts.Languages() {
		for _, name := range names {
			sheet, err := b.console.sheets.page(name, language)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, want := range []string{"title", "content"} {
				if sheet.Lookup(want) == nil {
					t.Errorf("page %s does not say its %s", name, want)
				}
			}
		}
	}
}

// A daemon that takes over makes a console before it lets requests in.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Deps{API: http.NotFoundHandler(), Changed: func() <-chan struct{} { return nil }}); err != nil {
			b.Fatal(err)
		}
	}
}
