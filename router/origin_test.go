package router

import (
	"net/http"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/router/http1"
)

func TestOurCookiesStayHere(t *testing.T) {
	for in, want := range map[string]string{
		"a=1":                       "a=1",
		"a=1;  b=2; c":              "a=1;  b=2; c", // as it was written
		"palisade_session=x":        "",
		"__Host-palisade_session=x": "",
		"__host-PALISADE_session=x": "__host-PALISADE_session=x", // names of cookies have a case
		"__HOST-palisade_session=x; __Secure-palisade_a": "",
		"a=1; palisade_session=x; b=palisade_y":          "a=1; b=palisade_y",
		"a=1;palisade_session=x;;b=2":                    "a=1; b=2",
		" palisade_session =x; a=1":                      "a=1",
		"notpalisade_session=x":                          "notpalisade_session=x",
	} {
		got := string(appendCookies(nil, &http1.Field{Name: []byte("Cookie"), Value: []byte(in), Known: http1.Cookie}))
		if want != "" {
			want = "Cookie: " + want + "\r\n"
		}
		if got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzOurCookies(f *testing.F) {
	f.Add("a=1; palisade_session=x; __Host-palisade_session=y")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") {
			return
		}
		out := string(appendCookies(nil, &http1.Field{Name: []byte("Cookie"), Value: []byte(line)}))
		req := &http.Request{Header: http.Header{}}
		req.Header.Set("Cookie", strings.TrimSuffix(strings.TrimPrefix(out, "Cookie: "), "\r\n"))
		for _, c := range req.Cookies() {
			if strings.HasPrefix(c.Name, "palisade_") || strings.HasPrefix(c.Name, "__Host-palisade_") {
				t.Errorf("%q let %s through", line, c.Name)
			}
		}
	})
}

func TestWhatBrowsersRun(t *testing.T) {
	for content, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "text/event-stream": true, "text/plain; charset=utf-8": true,
		"image/png": true, "audio/mpeg": true, "video/mp4": true, "application/octet-stream": true, "APPLICATION/JSON": true,
		"": false, "text/html": false, "text/html; charset=utf-8": false, "image/svg+xml": false, "IMAGE/SVG+XML": false, "text/xml": false,
		"application/xml": false, "application/xhtml+xml": false, "text": false, "application/json, text/html": false, "text/plain;,text/html": false,
		"multipart/x-mixed-replace": false, "application/atom+xml": false, "application/javascript": false, "text/plainx": false, "image/": true,
		"*/*": false, "unknown/unknown": false, "text/plain ": true, "message/rfc822": false,
	} {
		if got := inert(content); got != want {
			t.Errorf("%q: %v", content, got)
		}
	}
}

// What an engine says on the appliance's own origin is no page of it; below its own host name it speaks for itself.
func TestAnEngineIsNotTheAppliance(t *testing.T) {
	got := make(chan string, 1)
	svc := hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		got <- strings.Join(r.Header.Values("Cookie"), " | ")
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'")
		for _, c := range []string{"palisade_session=evil; Path=/", "=palisade_session=evil", "palisade_session", "__Host-palisade_session=evil; Secure; Path=/", "own=1"} {
			h.Add("Set-Cookie", c)
		}
		for _, name := range []string{"Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints"} {
			h.Set(name, "all")
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/page"):
			h.Set("Content-Type", "text/html")
		case strings.HasSuffix(r.URL.Path, "/both"):
			h["Content-Type"] = []string{"application/json", "text/html"}
		case strings.HasSuffix(r.URL.Path, "/none"):
			h["Content-Type"] = nil
		default:
			h.Set("Content-Type", "application/json")
		}
		_, _ = w.Write([]byte("<script>steal()</script>"))
	}))
	g := newRig(t, Config{Domain: "models.test"}, svc)
	for _, c := range []struct {
		host, path string
		sandboxed  bool
		speaks     bool
	}{
		{"", "/services/hello/page", true, false},
		{"", "/services/hello/both", true, false},
		{"", "/services/hello/none", true, false},
		{"", "/services/hello/json", false, false},
		{"hello.models.test", "/page", false, true},
	} {
		for _, small := range []bool{true, false} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.server.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			req.Header.Set("Authorization", "Bearer "+g.secret)
			req.Header.Set("Cookie", "a=1; palisade_session=secret; b=2")
			if !small { // what asks for an upgrade is left to net/http
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "other")
			}
			res, err := g.server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if cookies := <-got; cookies != "a=1; b=2" {
				t.Errorf("%s: the engine saw %q", c.path, cookies)
			}
			h := res.Header
			if cookies := h.Values("Set-Cookie"); len(cookies) != 1 || cookies[0] != "own=1" {
				t.Errorf("%s: cookies %q", c.path, cookies)
			}
			policies := h.Values("Content-Security-Policy")
			if policies[0] != "default-src 'self'" || (len(policies) == 2 && policies[1] == sandbox) != c.sandboxed || (h.Get("X-Content-Type-Options") == "nosniff") != c.sandboxed {
				t.Errorf("%s at %q: %v", c.path, c.host, h)
			}
			if (h.Get("Clear-Site-Data") != "") != c.speaks || (h.Get("Nel") != "") != c.speaks || (h.Get("Service-Worker-Allowed") != "") != c.speaks ||
				(h.Get("Strict-Transport-Security") != "") != c.speaks || (h.Get("Reporting-Endpoints") != "") != c.speaks || (h.Get("Alt-Svc") != "") != c.speaks {
				t.Errorf("%s at %q: %v", c.path, c.host, h)
			}
		}
	}
}
