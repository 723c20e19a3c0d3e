package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

const birds = "seven birds on a wire"

// browser is somebody without a key.
func browser(method, path, body string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(method, "http://box:8080"+api.Prefix+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

func withUser(t *testing.T, b *box, name string) {
	t.Helper()
	if _, _, err := b.Users.Create(t.Context(), people.Wish{Name: name, Admin: true, Password: birds, Keep: true}); err != nil {
		t.Fatal(err)
	}
}

func TestLogIn(t *testing.T) {
	b := newBox(t)
	withUser(t, b, "ada")
	w := b.serve(browser("POST", "/login", `{"name":"Ada","password":"`+birds+`"}`))
	if w.Code != 200 || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	c := w.Result().Cookies()[0]
	if c.Name != "palisade_session" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || strings.Contains(w.Body.String(), c.Value) {
		t.Errorf("%+v", c)
	}
	if w := b.serve(browser("GET", "/me", "", c)); w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"ada"`) || !strings.Contains(w.Body.String(), `"via":"console"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Pages of other origins may not use what the browser sends along: other ports of the host are others too.
	for name, change := range map[string]func(*http.Request){
		"of another site":           func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"of another port":           func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"that says its origin only": func(r *http.Request) { r.Header.Set("Origin", "http://box:8081") },
		"sandboxed":                 func(r *http.Request) { r.Header.Set("Origin", "null") },
	} {
		r := browser("GET", "/services", "", c)
		change(r)
		if w := b.serve(r); w.Code != 403 {
			t.Errorf("a page %s: %d", name, w.Code)
		}
	}
	if w := b.serve(browser("POST", "/logout", "", c)); w.Code != 204 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", w.Code, w.Result().Cookies())
	}
	w = b.serve(browser("GET", "/services", "", c))
	if p := problem(t, w); w.Code != 401 || !strings.Contains(p.Detail, "expired") || p.Hint != "log in again" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestCookieOverTLS: by TLS, here or at a proxy, the cookie is one that only this host can set, and that never goes out plain.
func TestCookieOverTLS(t *testing.T) {
	b := newBox(t)
	withUser(t, b, "ada")
	body := `{"name":"ada","password":"` + birds + `"}`
	proxied := browser("POST", "/login", body)
	proxied.Host = "box.example.org"
	proxied.Header.Set("Origin", "https://box.example.org")
	for _, r := range []*http.Request{proxied, httptest.NewRequest(http.MethodPost, "https://box"+api.Prefix+"/login", strings.NewReader(body))} {
		r.Header.Set("Content-Type", "application/json")
		w := b.serve(r)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		c := w.Result().Cookies()[0]
		if c.Name != "__Host-palisade_session" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%+v", c)
		}
		again := httptest.NewRequest(http.MethodGet, "https://box"+api.Prefix+"/me", nil)
		again.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		if w := b.serve(again); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		planted := httptest.NewRequest(http.MethodGet, "https://box"+api.Prefix+"/me", nil)
		planted.AddCookie(&http.Cookie{Name: "palisade_session", Value: c.Value})
		if w := b.serve(planted); w.Code != 401 {
			t.Errorf("a cookie that anybody on the way can have set is taken: %d", w.Code)
		}
	}
}

// TestBehindAProxy: what a proxy of the owner's says counts, and what a client says of itself does not.
func TestBehindAProxy(t *testing.T) {
	for _, c := range []struct {
		name         string
		trust        bool
		forwarded    []string
		proto, host  string
		from, cookie string
	}{
		{"nothing is set", false, nil, "", "box:8080", "192.0.2.1", "palisade_session"},
		{"a client's word", false, []string{"10.1.1.1"}, "https", "box:8080", "192.0.2.1", "palisade_session"},
		{"the owner's proxy", true, []string{"6.6.6.6", "6.6.6.7, 198.51.100.4"}, "https", "box:8080", "198.51.100.4", "__Host-palisade_session"},
		{"that came plain", true, []string{"2001:db8::5"}, "http", "box:8080", "2001:db8::5", "palisade_session"},
		{"that says nonsense", true, []string{"unknown"}, "", "box:8080", "192.0.2.1", "palisade_session"},
		{"called as we are advertised", false, nil, "", "palisade.example.org", "192.0.2.1", "__Host-palisade_session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			withUser(t, b, "ada")
			b.Rebuild(func(d *admin.Deps) { d.TrustForwarded, d.PublicURL = c.trust, "https://palisade.example.org" })
			r := browser("POST", "/login", `{"name":"ada","password":"`+birds+`"}`)
			r.Host = c.host
			for _, v := range c.forwarded {
				r.Header.Add("X-Forwarded-For", v)
			}
			if c.proto != "" {
				r.Header.Set("X-Forwarded-Proto", c.proto)
			}
			w := b.serve(r)
			if w.Code != 200 || w.Result().Cookies()[0].Name != c.cookie {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			if at := b.Users.Sessions("ada")[0].Address; at != c.from {
				t.Errorf("from %s, want %s", at, c.from)
			}
		})
	}
}
