package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hostility makes texts that would be markup, and scripts, wherever one is not written as text. Each is known by its number.
type hostility struct {
	what []string // where each was put
	less []int    // those of which only the beginning is shown: markup that is not let through is left out there
	more []int    // those that are nowhere shown at all
}

// text is the next one, to be put somewhere.
func (h *hostility) text(where string) string {
	return h.short(where) + `<svg onload=owned() data-owned>{{.}}`
}

// short is one for where there is not much room.
func (h *hostility) short(where string) string {
	h.what = append(h.what, where)
	return fmt.Sprintf(`w%dq"'><img src=x onerror=owned() data-owned>`, len(h.what)-1)
}

// marked is one in a text with marks.
func (h *hostility) marked(where string) string {
	h.less = append(h.less, len(h.what))
	return h.text(where)
}

// unseen is one that is kept, and on no page.
func (h *hostility) unseen(where string) string {
	h.more = append(h.more, len(h.what))
	return h.text(where)
}

// looked is what a page shows of hostile texts, and what came of them.
type looked struct {
	Owned []string `json:"owned"` // elements that a text became, and addresses that run something
	Seen  []int    `json:"seen"`  // texts that are shown as they are
	Begun []int    `json:"begun"` // texts whose beginning is shown
}

const lookForHostility = `(() => {
	const owned = [...document.querySelectorAll("[data-owned]")].map((e) => e.outerHTML.slice(0, 300));
	if (window.wasOwned) owned.push("a script has run");
	const seen = new Set(), begun = new Set(), read = (text) => { for (const m of String(text).matchAll(/w(\d+)q/g)) begun.add(Number(m[1])); for (const m of String(text).matchAll(/w(\d+)q\\?"'?><img src=x/g)) seen.add(Number(m[1])); };
	read(document.documentElement.textContent);
	for (const e of document.querySelectorAll("*")) {
		if ("value" in e) read(e.value);
		for (const a of e.attributes) {
			read(a.value);
			if (/^on/i.test(a.name) || /^(href|src|action|formaction|hx-.*|xlink:href|srcdoc)$/i.test(a.name) && /^\s*(javascript|vbscript|data:text)/i.test(a.value)) owned.push(e.outerHTML.slice(0, 300));
		}
	}
	return {owned, seen: [...seen], begun: [...begun]};
})()`

// looksFor opens a page and looks at what became of hostile texts. seen are those that are there, and by -n-1 those that begin there.
func (rd *reader) looksFor(seen map[int]bool, path string) {
	rd.t.Helper()
	rd.open(path)
	if path == "/sessions/talks" || strings.HasSuffix(path, "/logs") { // it comes a moment later
		rd.holds(`/w\d+q/.test([...document.querySelectorAll("[id*=log], [class*=log]")].map((e) => e.textContent).join(" "))`)
	}
	rd.owned(seen, path)
}

// owned looks at the page that is open.
func (rd *reader) owned(seen map[int]bool, where string) {
	rd.t.Helper()
	var l looked
	rd.truth(lookForHostility, &l)
	for _, what := range l.Owned {
		rd.t.Errorf("%s: a text became %s", where, what)
	}
	for _, n := range l.Seen {
		seen[n] = true
	}
	for _, n := range l.Begun {
		seen[-n-1] = true
	}
	rd.content(where)
}

// TestHostileTexts puts texts that want to be scripts into every name, description, file, log line, error and answer that takes
// them, and looks at every page in a browser: nothing runs, nothing is kept from running by the policy alone, and all is shown as it is.
func TestHostileTexts(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process", "--simulate", "dgxh100"}
	b.start()
	h := &hostility{}
	b.isHostile(h)
	rd := b.newReader()
	agent := h.text("the name of a browser")
	w := b.visitor()
	w.client.Transport = &calledSo{agent}
	w.wants(401, "POST", "/login", object{"name": h.short("a name at the log-in"), "password": "x"})
	password := b.firstPassword()
	rd.logIn("admin", password)
	w.wants(200, "POST", "/login", object{"name": "admin", "password": chosenPassword})

	seen := map[int]bool{}
	for _, path := range hostilePages() {
		t.Run(path, func(t *testing.T) {
			rd.t = t
			rd.looksFor(seen, path)
		})
	}
	for _, path := range []string{"/audit", "/profile", "/users/admin", "/pipelines/rude", "/", "/accelerators", "/projects"} {
		t.Run("live"+path, func(t *testing.T) { // and what comes while it is open
			rd.t = t
			rd.open(path)
			rd.truth(`window.parts = 0; document.addEventListener("palisade:part", () => parts++)`, nil)
			b.run("user", "update", "eve", "--title", "Eve")
			rd.owned(seen, path)
		})
	}
	t.Run("a chat", func(t *testing.T) { rd.t = t; rd.isSpokenTo(seen) })
	t.Run("names of nothing", func(t *testing.T) { rd.t = t; rd.asksForNothing(h, seen) })
	t.Run("an editor", func(t *testing.T) {
		rd.t = t
		rd.open("/folders/odd/edit/model-definition.yaml")
		rd.reads(".editor-marks", "unknown key")
		rd.owned(seen, "the editor")
	})
	for n, what := range h.what {
		if !seen[n] && !slices.Contains(h.more, n) && !(slices.Contains(h.less, n) && seen[-n-1]) {
			t.Errorf("%s (%d) is on no page: nothing was shown by it", what, n)
		}
	}
}

// calledSo is a browser that calls itself so.
type calledSo struct{ agent string }

func (c *calledSo) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", c.agent)
	return http.DefaultTransport.RoundTrip(r)
}

// hostilePages are all pages, with those of what isHostile makes.
func hostilePages() []string {
	pages := []string{
		"/users/eve", "/projects/odd", "/services/rude", "/services/rude/logs", "/services/rude/events", "/services/rude/settings", "/services/rude/captures", "/services/rude/captures/1", "/services/rude/revisions",
		"/services/rude/connect", "/services/rude/autoscaling", "/services/failing", "/services/failing/events", "/sessions/talks", "/sessions?state=all", "/pipelines/rude", "/pipelines/rude/edit",
		"/jobs/rude.1", "/jobs/rude.1?task=first", "/folders/odd/files/", "/folders/odd/files/README.md", "/folders/odd/files/README.md?view=text", "/folders/odd/files/notes.ipynb", "/folders/odd/files/table.csv",
		"/folders/odd/files/weights.safetensors", "/folders/odd/files/picture.svg", "/folders/odd/files/page.html", "/catalog/odd/rude", "/catalog?q=rude", "/usage?by=model", "/usage?by=user", "/usage/sessions?by=session",
	}
	for _, p := range consolePages {
		if !strings.Contains(p.path, "hello") && !strings.Contains(p.path, "/desk") && !strings.Contains(p.path, "/papers") && !strings.Contains(p.path, "vera") && !strings.Contains(p.path, "/drawn") {
			pages = append(pages, p.path)
		}
	}
	return pages
}
