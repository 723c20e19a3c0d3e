package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPlayground(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/playground", language, 200), `class="empty"`)
	}
	b.service("demo", "host")
	b.service("other", "host")
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/playground?service=demo&compare=other", language, 200), `id="pg-composer"`, `data-first="demo" data-second="other"`, `"name":"demo"`, `"too_long":`)
	}
	holds(t, b.get("/playground?model=other", "en", 200), `data-first="other" data-second=""`)
	b.get("/playground?service=nobody", "en", 404)
	b.get("/playground?compare=%3Cscript%3E", "en", 404)
	cookie := b.user("vera", false)
	b.join("vera", "viewer")
	if page := b.as(cookie, http.MethodGet, "/playground", nil).Body.String(); strings.Contains(page, "pg-composer") {
		t.Error("a viewer may ask no service, and is shown a form to do so")
	}
}

func TestWhatAModelSaysIsHarmless(t *testing.T) {
	b := newConsole(t)
	page := b.post("/playground/markdown", url.Values{"text": {"**a** <script>alert(1)</script> [x](javascript:alert(1)) ![y](https://example.com/y.png)"}}, 200).Body.String()
	holds(t, page, "<strong>a</strong>", "&lt;script&gt;")
	if strings.Contains(page, "<script") || strings.Contains(page, "javascript:") || strings.Contains(page, "<img") {
		t.Error(page)
	}
	if w := b.as(nil, http.MethodPost, "/playground/markdown", url.Values{"text": {"a"}}); strings.Contains(w.Body.String(), "<p>a") {
		t.Errorf("nobody has it rendered: %d %s", w.Code, w.Body)
	}
}

func TestARequestAsCode(t *testing.T) {
	b := newConsole(t)
	page := b.post("/playground/code", url.Values{"base": {"http://box/v1"}, "request": {`{"model":"</code><script>","stream":true}`}}, 200).Body.String()
	holds(t, page, `id="code-python"`, `role="tablist"`, "&lt;script&gt;")
	if strings.Contains(page, "<script") {
		t.Error(page)
	}
	b.post("/playground/code", url.Values{"request": {`{`}}, 400)
}
