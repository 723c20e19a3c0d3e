package router

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a page of another origin may do, by what a browser would be told, on both paths that clients come by.
func TestPagesOfOtherOrigins(t *testing.T) {
	at := engine(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://engine.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/bad") {
			w.WriteHeader(http.StatusBadRequest)
		}
		if r.Method == http.MethodOptions {
			w.Header().Set("X-Engine", "preflight")
		}
		_, _ = w.Write([]byte(`{}`))
	})
	guarded := hello(at)
	guarded.Traffic.Repeat.Window = time.Minute
	public := hello(at)
	public.ID, public.Name, public.Public = "pub", "open", true
	public.Traffic.Repeat.Window = time.Minute
	public.Routes[0].ID = "r9"
	foreign, broken := hello(at), Service{ID: "bro", Name: "broken", Project: "p", Public: true, Broken: "its last words"}
	foreign.ID, foreign.Name, foreign.Project, foreign.Public = "for", "foreign", "q", true
	foreign.Routes[0].ID = "r8"
	g := newRig(t, Config{Domain: "models.example"}, guarded, public, foreign, broken)
	const body = `{"model":"hello","messages":[]}`
	for name, c := range map[string]struct {
		method, path, host, token, body string
		preflight                       bool
		status                          int
		origin, engine, credentials     string
	}{
		"a preflight by model":             {method: "OPTIONS", path: "/v1/chat/completions", preflight: true, status: 200, origin: "*"},
		"a preflight by name":              {method: "OPTIONS", path: "/services/hello/v1/x", preflight: true, status: 200, origin: "*"},
		"a preflight by host":              {method: "OPTIONS", path: "/v1/x", host: "hello.models.example", preflight: true, status: 200, origin: "*"},
		"a preflight of no service":        {method: "OPTIONS", path: "/services/nobody/x", preflight: true, status: 200, origin: "*"}, // as of one that is another's
		"a preflight that is open to all":  {method: "OPTIONS", path: "/services/open/x", preflight: true, status: 200, origin: "https://engine.example", engine: "preflight", credentials: "true"},
		"OPTIONS that is no preflight":     {method: "OPTIONS", path: "/services/hello/x", status: 401, origin: "*"},
		"with a token":                     {method: "POST", path: "/v1/chat/completions", token: g.secret, body: body, status: 200, origin: "*"},
		"the same once more":               {method: "POST", path: "/v1/chat/completions", token: g.secret, body: body, status: 200, origin: "*"},
		"the list of models":               {method: "GET", path: "/v1/models", token: g.secret, status: 200, origin: "*"},
		"the list, without a token":        {method: "GET", path: "/v1/models", status: 200},
		"a token that does not count":      {method: "POST", path: "/services/hello/x", token: "pal-none", body: "{}", status: 401, origin: "*"},
		"open to all, without a token":     {method: "POST", path: "/services/open/x", body: "{}", status: 200, origin: "https://engine.example", credentials: "true"},
		"open to all, by a page's token":   {method: "POST", path: "/services/open/x", token: g.secret, body: "{}", status: 200, origin: "*"},
		"open to all, of another project":  {method: "POST", path: "/services/foreign/x", token: g.secret, body: "{}", status: 200, origin: "https://engine.example", credentials: "true"},
		"open to all, refused by engine":   {method: "POST", path: "/services/open/bad", body: "{}", status: 400, origin: "https://engine.example", credentials: "true"},
		"and refused once more":            {method: "POST", path: "/services/open/bad", body: "{}", status: 400, origin: "https://engine.example", credentials: "true"},
		"open to all, does not start":      {method: "POST", path: "/services/broken/x", body: "{}", status: 503},
		"the same, by a page's token":      {method: "POST", path: "/services/broken/x", token: g.secret, body: "{}", status: 503, origin: "*"},
		"a large body, which is read late": {method: "POST", path: "/v1/chat/completions", token: g.secret, body: `{"model":"hello","x":"` + strings.Repeat("x", 3<<20) + `"}`, status: 200, origin: "*"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, g.server.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			req.Header.Set("Origin", "https://app.example")
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			if c.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			if c.preflight {
				req.Header.Set("Access-Control-Request-Method", "POST")
				req.Header.Set("Access-Control-Request-Headers", "authorization, content-type, x-stainless-os")
			}
			res := g.send(req)
			h := res.Header
			if got := strings.Join(h.Values("Access-Control-Allow-Origin"), " and "); res.StatusCode != c.status || got != c.origin {
				t.Errorf("%d, for pages of %q; want %d, %q", res.StatusCode, got, c.status, c.origin)
			}
			if got := h.Get("Access-Control-Allow-Credentials"); got != c.credentials {
				t.Errorf("credentials %q, want %q", got, c.credentials)
			}
			if got := h.Get("X-Engine"); got != c.engine {
				t.Errorf("the engine says %q, want %q", got, c.engine)
			}
			if got := h.Get("Access-Control-Allow-Headers"); c.preflight && c.engine == "" && got != "authorization, content-type, x-stainless-os" {
				t.Errorf("headers that may be sent: %q", got)
			}
			if got := h.Get("Access-Control-Expose-Headers"); c.origin == "*" && !c.preflight && got != "*" {
				t.Errorf("headers that may be read: %q", got)
			}
		})
	}
}
