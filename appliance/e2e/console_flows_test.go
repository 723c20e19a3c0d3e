package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// holds waits until an expression of the page is true.
func (rd *reader) holds(expression string) {
	rd.t.Helper()
	if err := eventually(soon, func() error {
		var is bool
		if rd.truth("!!("+expression+")", &is); !is {
			return errors.New("it is false")
		}
		return nil
	}); err != nil {
		var text string
		rd.truth(`document.querySelector("main").innerText`, &text)
		rd.t.Fatalf("%s: %v; the page complained: %q; it says %.1500q", expression, err, rd.forgive(), text)
	}
}

// installs takes the model hello out of the catalog, and follows how far it is.
func (rd *reader) installs() {
	rd.open("/catalog/hello")
	rd.reads("#plan", "")
	rd.stay()
	rd.click("#install-button")
	rd.leaves()
	rd.stay()
	rd.truth(`window.told = new Set(); document.addEventListener("palisade:part", () => told.add(document.querySelectorAll(".install-step.finished").length))`, nil)
	if err := eventually(90*time.Second, func() error {
		var status string
		if rd.truth(`document.querySelector("#live-install").dataset.status`, &status); status != "DONE" {
			return errors.New(status)
		}
		return nil
	}); err != nil {
		rd.t.Fatal(err)
	}
	rd.stayed()
	rd.holds("told.size > 0")
	rd.content("install")
}

// chats with the model in the playground.
func (rd *reader) chats() {
	rd.stay()
	rd.click("#install-chat")
	rd.leaves()
	rd.truth(`window.pieces = new Set(); new MutationObserver(() => { const e = document.querySelector(".turn.model"); if (e) pieces.add(e.innerText); }).observe(document.querySelector("#pg-columns"), {subtree: true, childList: true, characterData: true})`, nil)
	rd.do(chromedp.SendKeys("#pg-text", "Who are <b>you</b>?", chromedp.ByQuery), enter())
	rd.reads(".turn.user", "<b>you</b>?")
	rd.holds(`document.querySelector(".turn.model .turn-markdown") && !document.querySelector("#pg-send").hidden`)
	rd.reads(".turn.model .turn-markdown", "Hello")
	rd.holds(`/\d/.test(document.querySelector(".turn-figures").innerText)`)
	var pieces int
	if rd.truth("pieces.size", &pieces); pieces < 3 {
		rd.t.Errorf("the answer came in %d pieces", pieces)
	}
	rd.fits("a chat", looks[0])
	if *screenshots != "" {
		for _, l := range looks {
			rd.as(l)
			rd.picture("chat-" + l.name)
		}
		rd.as(looks[0])
	}
	rd.content("chat")
}

// token makes one, which works with the official client, and returns it.
func (rd *reader) token() (secret string) {
	rd.open("/tokens")
	rd.click("#new-token")
	rd.see("#create-token")
	rd.write("#token-name", "laptop")
	rd.click("#create-token [type=submit]")
	rd.holds(`document.querySelector("#token-made [data-token]") && !document.querySelector("#create-token").open`)
	rd.reads("#live-tokens", "laptop")
	rd.truth(`document.querySelector("#token-made [data-token]").textContent`, &secret)
	text, err := say(rd.t.Context(), rd.box.client(secret), "hello", 50, nil)
	if err != nil || !strings.Contains(text, "Hello") {
		rd.t.Errorf("%q, %v", text, err)
	}
	rd.content("token")
	return secret
}

// keepsSecrets fails where a secret that the browser had is in an address, in the log, or in the audit record.
func (rd *reader) keepsSecrets(secrets ...string) {
	rd.t.Helper()
	var cookies []*network.Cookie
	rd.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		cookies, err = network.GetCookies().Do(ctx)
		return err
	}))
	for _, c := range cookies {
		if strings.HasSuffix(c.Name, "palisade_session") {
			secrets = append(secrets, c.Value)
			if !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" {
				rd.t.Errorf("the cookie %s: %+v", c.Name, c)
			}
		}
	}
	if len(secrets) < 4 {
		rd.t.Errorf("%d secrets are looked for", len(secrets))
	}
	rd.mu.Lock()
	defer rd.mu.Unlock()
	kept := map[string]string{"an address": strings.Join(rd.asked, "\n"), "the log": strings.Join(logLines(rd.box.log.String()), "\n"), "the record": rd.box.run("audit", "export", "--all")}
	for where, text := range kept {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				rd.t.Errorf("%.6s... is in %s", secret, where)
			}
		}
	}
}

// scales a service, and sees it without loading the page anew.
func (rd *reader) scales() {
	rd.open("/services/hello")
	rd.reads("#live-service-figures", "1 / 1")
	rd.holds(`document.querySelector("#chart-replicas tbody td")`)
	rd.stay()
	rd.click("#service-scale")
	rd.see("#scale-dialog")
	rd.write("#scale-to", "-1")
	rd.click("#scale-dialog [type=submit]")
	rd.holds(`document.querySelector("#scale-to:invalid")`)
	rd.write("#scale-to", "2")
	rd.click("#scale-dialog [type=submit]")
	rd.reads("#live-service-figures", "2 / 2")
	rd.holds(`document.querySelectorAll("#live-service-routes tbody tr").length === 2`)
	rd.holds(`document.querySelector("#chart-replicas tbody td").textContent === "2"`)
	rd.stayed()
	rd.content("scale")
	rd.picture("scaled-light")
}

// uploads a file in several parts, while the appliance goes away and comes back.
func (rd *reader) uploads() {
	big := filepath.Join(rd.t.TempDir(), "weights.bin")
	bytesOf := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	if err := os.WriteFile(big, bytesOf, 0o600); err != nil {
		rd.t.Fatal(err)
	}
	rd.open("/folders/papers/files/")
	slow := network.EmulateNetworkConditions(false, 0, -1, 8<<20)
	rd.do(slow, chromedp.SetUploadFiles("#pick-files", []string{big}, chromedp.ByQuery))
	rd.holds(`document.querySelector("#upload-bar").value > 0.45`)
	rd.box.kill()
	rd.box.start()
	rd.holds(`document.querySelector("#upload-card").dataset.state === "done"`)
	rd.reads("#browse-list", "weights.bin")
	rd.do(network.EmulateNetworkConditions(false, 0, -1, -1))
	rd.forgive() // of what was asked meanwhile
	back := filepath.Join(rd.t.TempDir(), "back.bin")
	rd.box.run("folder", "cp", "papers:/weights.bin", back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, bytesOf) {
		rd.t.Errorf("%d bytes came of %d: %v", len(got), len(bytesOf), err)
	}
}

// edits a model's definition: what is wrong is marked where it is.
func (rd *reader) edits() {
	rd.open("/folders/papers/edit/model-definition.yaml")
	rd.reads(".editor-state", "")
	wrong := "models:\n  - name: hello\n    model_path: /models\n    port: 8000\n    service:\n      start_command: [llama-server]\n      port: 8000\n"
	rd.types("#text", wrong)
	rd.holds(`document.querySelector(".editor-flag.editor-error")`)
	rd.reads(".editor-marks", "4")
	rd.types("#text", strings.Replace(wrong, "    port: 8000\n    service", "    service", 1))
	rd.holds(`!document.querySelector(".editor-flag.editor-error")`)
	rd.forgive() // the browser notes the status 400 of the check
	rd.fits("the editor", looks[0])
	rd.do(chromedp.Click(`#edit-file [type=submit]`, chromedp.ByQuery))
	rd.see("#file-version .text-success")
	if text := rd.box.run("folder", "cat", "papers:/model-definition.yaml"); strings.Contains(text, "    port: 8000\n    service") || !strings.Contains(text, "llama-server") {
		rd.t.Errorf("%s", text)
	}
}

// types puts a whole text into a field as if pasted there.
func (rd *reader) types(selector, text string) {
	rd.t.Helper()
	rd.do(chromedp.Focus(selector, chromedp.ByQuery), chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).select()`, selector), nil), input.InsertText(text))
}

const twoTasks = `version: 1
name: drawn
defaults: {image: host}
tasks:
  - name: first
    command: echo one
  - name: second
    depends_on: [first]
    command: echo two; exit 3
`

// pipes writes a pipeline, runs it, and sees its graph change its colours.
func (rd *reader) pipes() {
	rd.open("/pipelines/new")
	rd.types("#definition", twoTasks)
	rd.stay()
	rd.click("#pipeline-save")
	rd.leaves()
	rd.at("/pipelines/drawn")
	rd.click("#open-run")
	rd.see("#pipeline-run")
	rd.stay()
	rd.click("#pipeline-run-yes")
	rd.leaves()
	rd.stay()
	rd.holds(`document.querySelector(".graph-node.tone-success") && document.querySelector(".graph-node.tone-danger")`)
	rd.reads("#live-job-head", "second")
	rd.stayed()
	rd.fits("a job", looks[0])
	if *screenshots != "" {
		for _, l := range looks {
			rd.as(l)
			rd.picture("job-" + l.name)
		}
		rd.as(looks[0])
	}
	rd.content("pipeline")
}

// looksOn is somebody who may look and nothing more.
func (rd *reader) looksOn(password string) {
	rd.logIn("vera", password)
	rd.open("/services/hello")
	for _, button := range []string{"#service-scale", "#service-destroy", `a[href="/console/users"]`, `a[href="/console/settings"]`} {
		var there bool
		if rd.truth(fmt.Sprintf("!!document.querySelector(%q)", button), &there); there {
			rd.t.Errorf("a viewer is shown %s", button)
		}
	}
	rd.fits("what a viewer sees", looks[0])
	for path, body := range map[string]string{"/console/services/hello/scale": "to=5", "/console/services/hello/destroy": "", "/console/tokens": "name=mine"} {
		var status int
		rd.await(fmt.Sprintf(`fetch(%q, {method: "POST", body: new URLSearchParams(%q), headers: {"HX-Request": "true"}}).then((r) => r.status)`, path, body), &status)
		if status != 403 {
			rd.t.Errorf("%s of a viewer: %d", path, status)
		}
	}
	rd.forgive()
	if n := len(rd.box.routes("hello")); n != 2 {
		rd.t.Errorf("%d routes", n)
	}
}

// leavesForGood logs out: what the browser had is of no use then.
func (rd *reader) leavesForGood() {
	rd.open("/services")
	rd.truth(`document.querySelector('form[action$="/logout"]').closest("details").open = true`, nil)
	rd.stay()
	rd.click(`form[action$="/logout"] button`)
	rd.leaves()
	var status int
	rd.await(`fetch("/api/v1/me").then((r) => r.status)`, &status)
	if status != 401 {
		rd.t.Errorf("after the log-out: %d", status)
	}
	rd.do(chromedp.NavigateBack())
	rd.holds(`document.querySelector("#password") || location.pathname === "/console/login"`)
	rd.forgive()
}

// await evaluates what comes later.
func (rd *reader) await(expression string, into any) {
	rd.t.Helper()
	ctx, cancel := context.WithTimeout(rd.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Evaluate(expression, into, awaited)); err != nil {
		rd.t.Fatalf("%s: %v", expression, err)
	}
}
