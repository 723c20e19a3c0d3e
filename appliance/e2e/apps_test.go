package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// program puts a script where sessions of the box find it.
func (b *box) programs(scripts map[string]string) {
	b.t.Helper()
	dir := filepath.Join(filepath.Dir(b.dir), "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	b.env = append(slices.Clone(b.env), "PATH="+dir+":"+have.engine+":"+os.Getenv("PATH"))
}

// page asks as a browser does that keeps cookies.
func page(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestApps: programs of a session behind the appliance's log-in, and on a port of one's own box; the daemon is killed
// meanwhile.
func TestApps(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.programs(map[string]string{
		"tensorboard": `mkdir -p "/tmp/www$PALISADE_APP_BASE"; echo "it is up at $PALISADE_APP_BASE" >"/tmp/www${PALISADE_APP_BASE}index.html"
exec busybox httpd -f -p "127.0.0.1:$PALISADE_APP_PORT" -h /tmp/www`,
		"jupyter-lab": "echo starting; echo no kernel here >&2; exit 3",
	})
	b.start()
	b.run("session", "create", "host", "--name", "desk", "--preopen", "8000", "--wait")
	listed := b.run("app", "desk")
	for _, want := range []string{"terminal     ready", "8000         silent", "tensorboard  ready", "jupyterlab   ready"} {
		if !strings.Contains(listed, want) {
			t.Errorf("%q is not in\n%s", want, listed)
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	link := b.run("app", "desk", "tensorboard", "--url", "-q")
	clean, _, _ := strings.Cut(link, "?")
	if status, text := page(t, client, link); status != http.StatusServiceUnavailable || !strings.Contains(text, "Starting TensorBoard") {
		t.Errorf("%d %s", status, text)
	}
	up := func(address string) {
		t.Helper()
		if err := eventually(soon, func() error {
			if status, text := page(t, client, address); status != http.StatusOK || !strings.Contains(text, "it is up at /sessions/") {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	up(clean)
	if status, text := page(t, &http.Client{}, link); status != http.StatusUnauthorized || !strings.Contains(text, "has been used") {
		t.Errorf("a second time: %d %s", status, text)
	}
	// What runs, and who is in, outlives the daemon.
	b.kill()
	b.start()
	up(clean)
	b.restart()
	up(clean)
	if listed := b.run("app", "desk"); !strings.Contains(listed, "tensorboard  running") {
		t.Errorf("%s", listed)
	}
	t.Run("on a port of one's own", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, have.palisade, "app", "desk", "tensorboard", "-b", "127.0.0.1:0", "-q")
		cmd.Env, cmd.Cancel = b.env, func() error { return cmd.Process.Signal(os.Interrupt) }
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 200)
		n, err := out.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		up(strings.TrimSpace(string(line[:n])))
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Ctrl-C: %v", err)
		}
	})
	t.Run("one that does not start", func(t *testing.T) {
		b.fails(1, []string{"it has ended, and never opened its port 8889", "no kernel here", "cat /tmp/.palisade-app-jupyterlab.log"}, "app", "desk", "jupyterlab")
		b.fails(1, []string{"no program jupyter-notebook"}, "app", "desk", "notebook")
		b.fails(1, []string{"nobody listens there"}, "app", "desk", "8000")
	})
	b.run("session", "rm", "desk")
	b.becomes("desk", "TERMINATED")
	if status, text := page(t, client, clean); status != http.StatusConflict || !strings.Contains(text, "does not run") {
		t.Errorf("%d %s", status, text)
	}
}

// browser is a person at a browser, with what its page complains of.
type browser struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp's handle of a tab

	mu         sync.Mutex
	complaints []string
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1000, 700),
		chromedp.WSURLReadTimeout(2*time.Minute)) // it starts slowly where all others start, too
	// Not the test's own context: that ends before the cleanups do, and what is killed leaves others writing into the directory.
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil { // the browser lives as long as the context of the first run
		t.Fatalf("starting chromium: %v", err)
	}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // it writes into its directory until it has ended
	br := &browser{t: t, ctx: ctx}
	br.listen()
	return br
}

// listen notes what pages complain of.
func (br *browser) listen() {
	chromedp.ListenTarget(br.ctx, func(event any) {
		br.mu.Lock()
		defer br.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level != log.LevelVerbose { // advice
				br.complaints = append(br.complaints, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			br.complaints = append(br.complaints, e.ExceptionDetails.Error())
		}
	})
}

// comes waits until an expression is true of a page that goes to others by itself: what is asked of one that is left is not answered.
func (br *browser) comes(expression string) {
	br.t.Helper()
	var at string
	if err := eventually(90*time.Second, func() error {
		ctx, cancel := context.WithTimeout(br.ctx, 3*time.Second)
		defer cancel()
		var is bool
		err := chromedp.Run(ctx, chromedp.Evaluate(`location.href + " " + document.title + " " + document.body?.innerText.slice(0, 500)`, &at), chromedp.Evaluate("!!("+expression+")", &is))
		if err == nil && !is {
			err = errors.New("it is false")
		}
		return err
	}); err != nil {
		br.t.Fatalf("%s: %v; at %q", expression, err, at)
	}
}

func (br *browser) do(actions ...chromedp.Action) {
	br.t.Helper()
	ctx, cancel := context.WithTimeout(br.ctx, 90*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		br.t.Fatalf("%v; the page complained: %q", err, br.complaints)
	}
}

// shown is all that the terminal shows, and has shown.
func (br *browser) shown() string {
	br.t.Helper()
	var text string
	br.do(chromedp.Evaluate(`(() => { const b = palisadeTerminal.buffer.active; let t = "";
		for (let i = 0; i < b.length; i++) { const l = b.getLine(i); t += (l.isWrapped ? "" : "\n") + l.translateToString(true); }
		return t; })()`, &text))
	return text
}

func (br *browser) sees(words string) {
	br.t.Helper()
	var text string
	if err := eventually(soon, func() error {
		if text = br.shown(); !strings.Contains(text, words) {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		br.t.Fatalf("%q is not shown, but %q", words, text[max(0, len(text)-1000):])
	}
}

// enter is the key. chromedp's own events of keys come a second time where a page takes the first.
func enter() chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		key := input.DispatchKeyEvent(input.KeyDown).WithKey("Enter").WithCode("Enter").WithText("\r").WithWindowsVirtualKeyCode(13)
		if err := key.Do(ctx); err != nil {
			return err
		}
		key.Type, key.Text = input.KeyUp, ""
		return key.Do(ctx)
	})
}

// TestTheTerminalInABrowser: a shell in a page, over a resize, a flood, and a daemon that is killed.
func TestTheTerminalInABrowser(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	b.run("session", "create", "host", "--name", "desk", "--wait")
	br := newBrowser(t)
	open := chromedp.WaitVisible(`body[data-state="open"]`, chromedp.ByQuery)
	br.do(chromedp.EmulateViewport(1000, 700), chromedp.Navigate(b.run("app", "desk", "terminal", "--url", "-q")), open)
	var address, title string
	br.do(chromedp.Location(&address), chromedp.Title(&title))
	if strings.Contains(address, "ticket") || title != "desk · Terminal" {
		t.Errorf("%s, %q", address, title)
	}
	types := func(line string) { t.Helper(); br.do(input.InsertText(line), enter()) }
	types("PS1='$ '; echo answer=$((6*7))")
	br.sees("answer=42")

	// The shell's window is the page's.
	sizes := func() (rows, columns int) {
		t.Helper()
		br.do(chromedp.Evaluate("palisadeTerminal.rows", &rows), chromedp.Evaluate("palisadeTerminal.cols", &columns))
		return rows, columns
	}
	_, before := sizes()
	br.do(chromedp.EmulateViewport(700, 500))
	if err := eventually(soon, func() error {
		if _, now := sizes(); now >= before {
			return errors.New("it is as wide as before")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows, columns := sizes()
	if err := eventually(soon, func() error {
		types("stty size")
		if want := fmt.Sprintf("\n%d %d", rows, columns); !strings.Contains(br.shown(), want) {
			return fmt.Errorf("%q is not shown", want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}

	// A flood is held up and does not choke the page; what was shown before the daemon went is shown again.
	types("seq 200000 | tail -n +1; echo flood is over")
	br.sees("\nflood is over")
	types("kept=of-before; echo mark-before-the-end")
	br.sees("\nmark-before-the-end")
	b.kill()
	br.do(chromedp.WaitVisible(`body[data-state="waiting"]`, chromedp.ByQuery))
	b.start()
	br.do(open)
	br.sees("\nmark-before-the-end")
	types("echo after: $kept")
	br.sees("\nafter: of-before") // the shell is the same
	types("exit 3")
	br.sees("The shell has ended")
	br.do(enter(), open)
	types("echo again=$((40+2))")
	br.sees("again=42")

	b.run("session", "rm", "desk")
	var notice string
	if err := eventually(soon, func() error {
		br.do(chromedp.Evaluate(`document.getElementById("notice").textContent`, &notice))
		if !strings.Contains(notice, "does not run") {
			return fmt.Errorf("the page says %q", notice)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	br.mu.Lock()
	defer br.mu.Unlock()
	for _, text := range br.complaints {
		if strings.Contains(text, "Content Security Policy") || strings.Contains(text, "Uncaught") {
			t.Errorf("the page complained: %s", text)
		}
	}
}
