package apps

import (
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// refusal is what is answered in place of an app.
type refusal struct {
	status      int
	title, text string
	hint        string
	log         []string // what the app wrote last
	again       bool     // it is worth coming back in a second
}

// page is shown to people. It has no script, and its style is allowed by the page's own nonce.
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{{if .Again}}<meta http-equiv="refresh" content="1">
{{end}}<title>{{.Title}} · Palisade</title>
<style nonce="{{.Nonce}}">
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 18vh auto 0; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; font-weight: 600; margin: 0 0 .5rem; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.hint { opacity: .75; }
pre { padding: .75rem 1rem; border-radius: .4rem; background: #8882; overflow-x: auto; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Log}}<p>It wrote last:</p>
<pre>{{range .Log}}{{.}}
{{end}}</pre>
{{end}}{{if .Hint}}<p class="hint">{{.Hint}}</p>
{{end}}</body>
</html>
`

// refuse answers: a page to who reads pages, a problem (RFC 9457) to all others.
func (a *Apps) refuse(w http.ResponseWriter, r *http.Request, no refusal) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if no.again {
		h.Set("Retry-After", "1")
	}
	if !readsPages(r) {
		writeProblem(w, r, no)
		return
	}
	once := nonce()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+once+"'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'")
	w.WriteHeader(no.status)
	if r.Method == http.MethodHead {
		return
	}
	t := template.Must(template.New("page").Parse(page))
	_ = t.Execute(w, struct { // the client may have gone; that is its own affair
		Again                    bool
		Title, Text, Hint, Nonce string
		Log                      []string
	}{no.again, no.title, no.text, no.hint, once, no.log})
}

// readsPages tells a person's browser that opens an address from its scripts and from programs.
func readsPages(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	return slices.ContainsFunc(r.Header.Values("Accept"), func(v string) bool { return strings.Contains(v, "text/html") })
}

func writeProblem(w http.ResponseWriter, r *http.Request, no refusal) {
	kinds := map[int]string{
		http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden", http.StatusNotFound: "not-found", http.StatusConflict: "state",
		http.StatusServiceUnavailable: "unavailable", http.StatusNotImplemented: "not-supported",
	}
	kind := kinds[no.status]
	if kind == "" {
		kind = "unavailable"
	}
	text, err := json.Marshal(struct {
		Type   string   `json:"type"`
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		Hint   string   `json:"hint,omitempty"`
		Log    []string `json:"log,omitempty"`
	}{"urn:palisade:problem:" + kind, no.title, no.status, no.text, no.hint, no.log})
	if err != nil { // texts and a number
		text = nil
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(no.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // as above
	}
}
