package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

// attacks is what a page that somebody else wrote tries with the cookie of whoever looks at it: to read, to change, to send a
// form, to listen, and to look into a frame. It tells what came of each try.
const attacks = `(async () => {
	const base = %q, told = [];
	const attempt = async (what, how) => { try { told.push(what + ": " + await how()); } catch (e) { told.push(what + ": " + e.name); } };
	const body = JSON.stringify({name: "stolen", scope: "admin"}), json = {"Content-Type": "application/json"};
	await attempt("read", async () => (await (await fetch(base + "/api/v1/me", {credentials: "include"})).text()).slice(0, 40));
	await attempt("read blindly", async () => (await fetch(base + "/api/v1/me", {credentials: "include", mode: "no-cors"})).type);
	await attempt("change", async () => (await fetch(base + "/api/v1/keys", {method: "POST", credentials: "include", headers: json, body})).status);
	await attempt("change blindly", async () => (await fetch(base + "/api/v1/keys", {method: "POST", credentials: "include", mode: "no-cors", body})).type);
	await attempt("console", async () => (await fetch(base + "/console/keys", {method: "POST", credentials: "include", mode: "no-cors", body: new URLSearchParams({name: "stolen", scope: "admin"})})).type);
	await attempt("events", () => new Promise((done) => { const s = new EventSource(base + "/api/v1/events", {withCredentials: true}); s.onopen = () => done("open"); s.onerror = () => { s.close(); done("Error"); }; }));
	await attempt("socket", () => new Promise((done) => { const s = new WebSocket(base.replace("http", "ws") + "/api/v1/sessions/desk/terminal"); s.onopen = () => done("open"); s.onerror = () => done("Error"); }));
	await attempt("cookie", async () => document.cookie.includes("palisade_session"));
	await attempt("frame", () => new Promise((done) => { const f = document.createElement("iframe"); f.onload = () => { let seen = "Error"; try { seen = f.contentDocument.title || "Error"; } catch { /* as it has to be */ } done(seen); }; f.src = base + "/console/tokens"; document.body.append(f); }));
	await new Promise((done) => { const f = document.createElement("form"), i = document.createElement("iframe"); i.name = "sink"; f.target = "sink"; f.method = "POST"; f.action = base + "/console/keys";
		for (const [n, v] of [["name", "stolen"], ["scope", "admin"]]) { const x = document.createElement("input"); x.name = n; x.value = v; f.append(x); }
		document.body.append(i, f); i.onload = () => setTimeout(done, 100); f.submit(); });
	return told;
})()`

// strangers are pages of a session's app and of an engine, opened by somebody who is logged in.
func (rd *reader) strangers() {
	rd.box.run("session", "create", "host", "--name", "stage", "--wait")
	dir := filepath.Join(rd.box.models, "evil")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		rd.t.Fatal(err)
	}
	for name, text := range map[string]string{"index.html": "<!doctype html><title>evil</title><h1>evil</h1>", "model-definition.yaml": evilEngine} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			rd.t.Fatal(err)
		}
	}
	rd.box.run("folder", "import", dir, "--name", "evil")
	rd.box.run("service", "create", "host", "evil", "1", "--name", "evil", "--public", "--wait")
	for where, address := range map[string]string{"an app": rd.box.run("app", "stage", "tensorboard", "--url", "-q"), "an engine": rd.box.url + "/services/evil/index.html"} {
		rd.foreign(where, address)
	}
	if keys := rd.box.run("key", "list"); strings.Contains(keys, "stolen") {
		rd.t.Errorf("a page of somebody else made a key:\n%s", keys)
	}
	rd.forgive()
	rd.open("/tokens") // who looked is logged in still
	rd.at("/tokens")
}

const evilEngine = `models:
  - name: evil
    model_path: /models
    service:
      start_command: [busybox, httpd, -f, -p, "{ports[0]}", -h, "{model_path}"]
      port: 8000
      health_check: {path: /index.html}
`

// foreign opens a page that is not the appliance's, and lets it try what it can.
func (rd *reader) foreign(where, address string) {
	rd.t.Helper()
	rd.do(chromedp.Navigate(address))
	rd.reads("h1", "evil")
	var told []string
	rd.await(fmt.Sprintf(attacks, rd.box.url), &told)
	rd.t.Logf("%s: %q", where, told)
	harmless := []string{"read: TypeError", "read blindly: opaque", "read blindly: TypeError", "change: TypeError", "change blindly: opaque", "change blindly: TypeError",
		"console: opaque", "console: TypeError", "events: Error", "socket: Error", "cookie: false", "cookie: SecurityError", "frame: Error"}
	for _, one := range told {
		if !slices.Contains(harmless, one) {
			rd.t.Errorf("%s could %s", where, one)
		}
	}
	if len(told) != 9 {
		rd.t.Errorf("%s tried %q", where, told)
	}
	rd.mu.Lock()
	rd.away = nil
	rd.mu.Unlock()
}
