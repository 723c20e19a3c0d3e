package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

func (b *box) worksInTheEditor() {
	image := b.shipped("code")
	b.run("session", "create", image, "--name", "editor", "-r", "mem=2g", "--wait")
	// What the editor's own terminal is, and its search.
	out := b.run("session", "exec", "editor", "--", "/opt/code-server/node/bin/node", "-e", `
		const modules = "/opt/code-server/app/lib/vscode/node_modules/";
		const { spawn } = require(modules + "node-pty");
		for (const native of ["@vscode/spdlog", "@vscode/native-watchdog", "@parcel/watcher"]) require(modules + native);
		const shell = spawn("/bin/sh", ["-c", "test -t 0 && stty size"], { cols: 91, rows: 13 });
		shell.onData((said) => process.stdout.write(said));`)
	if !strings.Contains(out, "13 91") {
		b.t.Errorf("a terminal of the editor says %q", out)
	}
	door := b.door("editor", "code-server")
	if page := door.get(""); !strings.Contains(page, "vscode-workbench-web-configuration") {
		b.t.Errorf("the editor's page:\n%.2000s", page)
	}
	if health := door.get("healthz"); !strings.Contains(health, "status") {
		b.t.Errorf("its health: %s", health)
	}
	b.seesTheEditor()
	b.run("session", "rm", "editor")
}

// seesTheEditor opens it in a browser. Its page is there once it speaks with its server: until then there is none of the
// home's files.
func (b *box) seesTheEditor() {
	b.run("session", "exec", "editor", "--", "touch", "/home/work/seen-in-the-editor.txt")
	rd := b.newReader()
	rd.logIn("admin", b.run("user", "reset", "admin", "-q"))
	rd.open("/sessions/editor")
	br, shut := rd.tab("#app-code-server")
	defer shut()
	var mu sync.Mutex
	var missing []string
	lines := 0
	chromedp.ListenTarget(br.ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventResponseReceived:
			// vsda is no free software, and not in code-server.
			if e.Response.Status >= 400 && !strings.Contains(e.Response.URL, "/vsda/") {
				missing = append(missing, fmt.Sprint(e.Response.Status, " ", e.Response.URL))
			}
		case *network.EventWebSocketHandshakeResponseReceived:
			if e.Response.Status == http.StatusSwitchingProtocols {
				lines++
			}
		}
	})
	const there = `.explorer-folders-view [aria-label^="seen-in-the-editor.txt"]`
	br.comes(fmt.Sprintf("!!document.querySelector(%q)", there))
	br.do(network.Enable(), chromedp.Evaluate(`window.before = true; setTimeout(() => location.reload()); 0`, nil))
	br.comes(fmt.Sprintf("!window.before && !!document.querySelector(%q)", there))
	rd.content("the page of its session")
	mu.Lock()
	defer mu.Unlock()
	br.mu.Lock()
	defer br.mu.Unlock()
	if len(missing) > 0 || lines == 0 {
		b.t.Errorf("%d lines; not loaded: %q", lines, missing)
	}
	for _, text := range br.complaints {
		if strings.Contains(text, "Service Worker") || strings.Contains(text, "Content Security Policy") {
			b.t.Errorf("the page complained: %s", text)
		}
	}
}

func (b *box) worksInTheNotebook(image string) {
	b.run("session", "create", image, "--name", "ranks", "-r", "cpu=2", "-r", "mem=1g", "--wait", "-c", `set -eu
		mpirun -np 2 --oversubscribe python3 -c 'from mpi4py import MPI; c = MPI.COMM_WORLD; print("mpi", c.allreduce(c.rank + 1))'
		cat > ranks.py <<-'END'
			import torch, torch.distributed as d
			d.init_process_group("gloo")
			x = torch.ones(3) * (d.get_rank() + 1)
			d.all_reduce(x)
			print("torch %d: %s" % (d.get_world_size(), x.tolist()))
		END
		torchrun --nproc_per_node=2 --master_port=29511 ranks.py`)
	log := b.run("session", "logs", "ranks")
	if strings.Count(log, "mpi 3") != 2 || strings.Count(log, "torch 2: [3.0, 3.0, 3.0]") != 2 {
		b.t.Errorf("what the ranks say:\n%s", log)
	}
	b.run("session", "create", image, "--name", "desk", "-r", "mem=1g", "--wait")
	door := b.door("desk", "jupyter")
	if status := door.get("api/status"); !strings.Contains(status, `"kernels"`) {
		b.t.Fatalf("the notebook's state: %s", status)
	}
	rd := b.newReader()
	rd.logIn("admin", b.run("user", "reset", "admin", "-q"))
	rd.open("/sessions/desk")
	tab, shut := rd.tab("#app-jupyter")
	defer shut()
	tab.comes(`/jupyter|notebook/i.test(document.title) && !!document.querySelector("#notebook_list, #main-panel, .jp-DirListing, .lm-Widget")`)
	rd.content("the page of its session")
	if said := door.compute("import torch\nprint('sum', int(torch.arange(4).sum()))"); !strings.Contains(said, "sum 6") {
		b.t.Errorf("a cell of a notebook says %q", said)
	}
	b.run("session", "rm", "desk")
}

// door is the way to an app of a session, for somebody with a key.
type door struct {
	b      *box
	client *http.Client
	base   string
	key    string
}

func (b *box) door(session, app string) *door {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &door{
		b: b, client: &http.Client{Jar: jar, Timeout: time.Minute}, key: b.run("key", "create", session+"-"+app, "--scope", "admin"),
		base: b.url + "/sessions/" + b.person(session).ID + "/apps/" + app + "/",
	}
}

func (d *door) get(path string) string {
	d.b.t.Helper()
	_, body := d.do("GET", path, "")
	return body
}

// do asks until the app is up: until then the door says when to come again.
func (d *door) do(method, path, body string) (*http.Response, string) {
	d.b.t.Helper()
	var resp *http.Response
	var answer []byte
	if err := eventually(90*time.Second, func() error {
		req, err := http.NewRequestWithContext(d.b.t.Context(), method, d.base+path, strings.NewReader(body))
		if err != nil {
			return stop{err}
		}
		req.Header.Set("Authorization", "Bearer "+d.key)
		at, _ := url.Parse(d.base)
		for _, c := range d.client.Jar.Cookies(at) {
			if c.Name == "_xsrf" {
				req.Header.Set("X-XSRFToken", c.Value)
			}
		}
		if resp, err = d.client.Do(req); err != nil {
			return stop{err}
		}
		defer resp.Body.Close()
		answer, err = io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return stop{err}
		case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			return fmt.Errorf("%s: %s", resp.Status, answer)
		case resp.StatusCode >= 300:
			return stop{fmt.Errorf("%s %s: %s: %.500s", method, path, resp.Status, answer)}
		}
		return nil
	}); err != nil {
		d.b.t.Fatal(err)
	}
	return resp, string(answer)
}

// compute has a notebook's kernel run code, over its websocket as a browser does, and returns what it prints.
func (d *door) compute(code string) (printed string) {
	d.b.t.Helper()
	d.get("tree") // gives the cookie that a kernel is asked for with
	_, answer := d.do("POST", "api/kernels", "{}")
	var kernel struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &kernel); err != nil {
		d.b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.b.t.Context(), time.Minute)
	defer cancel()
	line, _, err := websocket.Dial(ctx, d.base+"api/kernels/"+kernel.ID+"/channels", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + d.key}},
	})
	if err != nil {
		d.b.t.Fatal(err)
	}
	defer line.CloseNow()
	line.SetReadLimit(1 << 20)
	ask := map[string]any{
		"channel": "shell", "header": map[string]any{"msg_id": "ask", "msg_type": "execute_request", "username": "", "session": "test", "version": "5.3"},
		"parent_header": map[string]any{}, "metadata": map[string]any{}, "content": map[string]any{"code": code, "silent": false},
	}
	if err := wsjson.Write(ctx, line, ask); err != nil {
		d.b.t.Fatal(err)
	}
	for {
		var said struct {
			MsgType      string `json:"msg_type"`
			ParentHeader struct {
				MsgID string `json:"msg_id"`
			} `json:"parent_header"`
			Content struct{ Text, Evalue, Status string }
		}
		if err := wsjson.Read(ctx, line, &said); err != nil {
			d.b.t.Fatalf("%v; so far: %s", err, printed)
		}
		if said.ParentHeader.MsgID != "ask" {
			continue
		}
		printed += said.Content.Text + said.Content.Evalue
		if said.MsgType == "execute_reply" {
			return printed
		}
	}
}
