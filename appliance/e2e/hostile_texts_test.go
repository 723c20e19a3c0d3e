package e2e_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// socket sends a document to the API as who may do everything.
func (b *box) socket(method, path string, in any) {
	b.t.Helper()
	b.overSocket(method, path, string(b.json(in)))
}

func (b *box) json(in any) []byte {
	b.t.Helper()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(in); err != nil {
		b.t.Fatal(err)
	}
	return bytes.TrimSpace(text.Bytes())
}

// isHostile makes one of everything.
func (b *box) isHostile(h *hostility) {
	b.t.Helper()
	b.socket("POST", "/users", object{"name": "eve", "display_name": h.text("a display name"), "email": "eve@example.org"})
	b.socket("POST", "/projects", object{"name": "odd", "title": h.text("a project's title"), "owner": "eve"})
	b.run("device", "fence", "cuda:3", "--reason", h.text("the reason of a fence"))
	line := h.text("a line of a session's log")
	b.socket("POST", "/sessions", object{"name": "talks", "image": "host", "startup_command": "printf '%s\\n' \"$LINE\"; : '" + strings.ReplaceAll(h.text("a command"), "'", "") + "'; sleep 3600", "environ": object{"LINE": line}})
	b.hostileServices(h)
	b.hostileFolder(h)
	b.hostilePipeline(h)
	b.hostileCatalog(h)
}

// hostileServices are one whose every word is, and one that never gets to its feet.
func (b *box) hostileServices(h *hostility) {
	b.t.Helper()
	b.badFolder("rude")
	says := func(name string, environ object) {
		environ["RUDE_LOG"] = h.text("a line of the log of service " + name)
		b.socket("POST", "/services", object{"name": name, "image": "host", "folder": "rude", "replicas": 1, "environ": environ, "open_to_public": true, "routing": object{"capture": 10}})
	}
	says("rude", object{"RUDE_TEXT": h.text("what a model says") + " **[x](javascript:owned())** <script data-owned>owned()</script>", "RUDE_ERROR": h.text("what an engine refuses with")})
	says("failing", object{"RUDE_END": h.text("the last words of an engine")})
	if err := eventually(60*time.Second, func() error {
		if rude, failing := b.service("rude"), b.service("failing"); rude.Status != "HEALTHY" || failing.Failures == 0 {
			return fmt.Errorf("%+v, %+v", rude, failing)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	b.socket("POST", "/services/rude/scale", object{"to": 1, "reason": h.text("the reason of a scaling")})
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+"/services/rude/v1/chat/completions?x="+url.QueryEscape(`"'><img src=x onerror=owned() data-owned>`),
		strings.NewReader(string(b.json(object{"model": h.text("the model of a request"), "messages": []object{{"role": "user", "content": h.text("a prompt that is kept")}}, "stream": true}))))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
}

// hostileFolder has a file of each kind that is shown.
func (b *box) hostileFolder(h *hostility) {
	b.t.Helper()
	dir := b.t.(interface{ TempDir() string }).TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	write(h.text("a file's name"), "x")
	write(filepath.Join(h.text("a directory's name"), "x"), "x")
	const markup = "\n<script data-owned>owned()</script>\n\n[x](javascript:owned())\n\n![x](javascript:owned())\n\n<iframe srcdoc='<script>owned()</script>' data-owned></iframe>\n\n<javascript:owned()>\n"
	write("README.md", h.marked("a text with marks")+"\n\n# "+h.marked("its heading")+"\n\n`"+h.text("its code")+"`\n"+markup)
	write("page.html", h.text("a page")+markup)
	write("picture.svg", `<svg xmlns="http://www.w3.org/2000/svg" onload="owned()"><text>`+h.text("a picture")+`</text></svg>`)
	write("table.csv", "name,value\n\""+strings.ReplaceAll(h.text("a cell"), `"`, `""`)+"\",=1+1\n")
	write("notes.ipynb", string(b.json(object{
		"nbformat": 4, "nbformat_minor": 5, "metadata": object{"kernelspec": object{"name": "python3", "display_name": "x"}, "language_info": object{"name": h.unseen("the language of a notebook")}},
		"cells": []object{
			{"cell_type": "markdown", "metadata": object{}, "source": []string{h.marked("a notebook's text"), markup}},
			{"cell_type": "code", "metadata": object{}, "execution_count": 1, "source": []string{h.text("a notebook's code")}, "outputs": []object{
				{"output_type": "stream", "name": "stdout", "text": []string{h.text("a notebook's output")}},
				{"output_type": "display_data", "metadata": object{}, "data": object{"text/html": []string{markup}, "image/svg+xml": markup, "application/javascript": "owned()", "text/plain": h.text("a notebook's figure")}},
				{"output_type": "error", "ename": h.unseen("a notebook's error"), "evalue": h.unseen("what it says"), "traceback": []string{h.text("where it was")}},
			}},
		},
	})))
	header := b.json(object{h.unseen("the name of a tensor"): object{"dtype": "F32", "shape": []int{1}, "data_offsets": []int{0, 4}}, "__metadata__": object{"note": h.text("what weights say of themselves")}})
	write("weights.safetensors", string(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))+string(header)+"\x00\x00\x00\x00")
	write("model-definition.yaml", "models:\n- name: x\n  "+string(b.json(h.text("a key of a definition")))+": "+string(b.json(h.text("its value")))+"\n")
	b.run("folder", "create", "odd")
	b.run("folder", "cp", dir+"/.", "odd:")
}

func (b *box) hostilePipeline(h *hostility) {
	b.t.Helper()
	file := b.json(object{
		"version": 1, "name": "rude", "description": h.text("what a pipeline is for"), "defaults": object{"image": "host"},
		"parameters": object{"which": object{"default": h.text("the default of a parameter"), "description": h.text("what a parameter is for")}},
		"tasks":      []object{{"name": "first", "command": "printf '%s\\n' \"$LINE\"; exit 3", "environ": object{"LINE": h.text("a line of a task's log")}}},
	})
	b.socket("POST", "/pipelines", object{"definition": string(file)})
	b.socket("POST", "/jobs", object{"pipeline": "rude", "parameters": object{"which": h.text("a parameter of a job")}})
	b.jobBecomes("rude.1", "FAILED")
}

func (b *box) hostileCatalog(h *hostility) {
	b.t.Helper()
	dir := filepath.Join(b.models, "catalog", "rude")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	text := strings.NewReplacer("NAME", "rude", "VERSION", "1", "title: Tiny", "title: "+string(b.json(h.text("a title of the catalog"))), "description: A model of a test.", "description: "+string(b.json(h.text("a description of the catalog"))),
		"publisher: Example", "publisher: "+string(b.json(h.text("a publisher")))).Replace(catalogRecipe)
	for name, text := range map[string]string{"recipe.yaml": text, "README.md": h.marked("a model's card") + "\n\n[x](javascript:owned()) <script data-owned>owned()</script>\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	b.run("catalog", "add", "odd", filepath.Dir(dir), "--allow-unsigned")
}

// isSpokenTo chats with a model whose every word wants to be a page, and has it refuse.
func (rd *reader) isSpokenTo(seen map[int]bool) {
	rd.t.Helper()
	rd.open("/playground?service=rude")
	rd.do(chromedp.SendKeys("#pg-text", `Who are <img src=x onerror=owned() data-owned>?`, chromedp.ByQuery), enter())
	rd.holds(`document.querySelector(".turn.model .turn-markdown") && !document.querySelector("#pg-send").hidden`)
	rd.owned(seen, "an answer")
	rd.do(chromedp.SendKeys("#pg-text", `refuse`, chromedp.ByQuery), enter())
	rd.holds(`document.querySelectorAll(".turn.model").length === 2 && !document.querySelector("#pg-send").hidden`)
	rd.forgive() // the browser notes the status 400
	rd.owned(seen, "a refusal")
}

// asksForNothing opens pages of things that are not there, by names that want to be pages.
func (rd *reader) asksForNothing(h *hostility, seen map[int]bool) {
	rd.t.Helper()
	for _, at := range []string{
		"/services/", "/sessions/", "/folders/", "/pipelines/", "/jobs/", "/projects/", "/users/", "/models/", "/installs/", "/catalog/", "/accelerators/", "/folders/odd/files/", "/services/rude/captures/",
		"/services?search=", "/sessions?q=", "/users?q=", "/catalog?q=", "/folders?match=", "/folders/odd/files/?match=", "/audit?actor=", "/audit?target=", "/audit?action=",
	} {
		text := h.text(at)
		to := url.PathEscape(text)
		if strings.Contains(at, "?") {
			to = url.QueryEscape(text)
		}
		rd.do(chromedp.Navigate(rd.box.url + "/console" + at + to))
		rd.see("main")
		for _, complaint := range rd.forgive() {
			if !strings.Contains(complaint, "status of 4") {
				rd.t.Errorf("%s: %s", at, complaint)
			}
		}
		rd.owned(seen, at)
	}
	for _, at := range []string{"/services?sort=", "/usage?by=", "/usage?from=", "/usage?zone=", "/login?next=", "/choose?next=", "/choose?language=", "/audit?from=", "/audit?cursor=", "/sessions?state=", "/playground?service=", "/nowhere/"} {
		rd.do(chromedp.Navigate(rd.box.url + "/console" + at + url.QueryEscape(`"'><img src=x onerror=owned() data-owned>`)))
		rd.see("main")
		rd.forgive()
		rd.owned(seen, at)
	}
}
