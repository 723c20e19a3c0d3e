package apps_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

// board is a world whose image has an app, which answers once its line was started.
func board(t *testing.T, start func(w *world, cmd sessions.ExecSpec) (sessions.Exit, error)) *world {
	t.Helper()
	w := newWorld(t, func(d *apps.Deps) {
		d.Labels = func(context.Context, sessions.Session) map[string]string {
			return map[string]string{apps.LabelPorts: "board:http:7000", apps.LabelLine + "board": "exec board $PALISADE_APP_BASE"}
		}
	})
	w.exec = func(cmd sessions.ExecSpec) (sessions.Exit, error) { return start(w, cmd) }
	return w
}

func isStart(cmd sessions.ExecSpec) bool {
	return len(cmd.Argv) > 4 && cmd.Argv[4] == "exec board $PALISADE_APP_BASE"
}

func TestAnAppIsStartedOnceByWhoComesFirst(t *testing.T) {
	starting := make(chan struct{})
	w := board(t, func(w *world, cmd sessions.ExecSpec) (sessions.Exit, error) {
		if isStart(cmd) {
			<-starting
			w.listen(7000, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "the board") }))
		}
		return sessions.Exit{Reason: sessions.ExitCompleted}, nil
	})
	at := "/sessions/" + id + "/apps/board/"
	// A browser is shown that it starts; a program is told to come again.
	resp := w.request("GET", at, "Authorization", key, "Accept", "text/html,*/*")
	if text := body(t, resp); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, `http-equiv="refresh"`) || !strings.Contains(text, "Starting board") {
		t.Errorf("%s %s", resp.Status, text)
	}
	resp = w.request("POST", at, "Authorization", key)
	if text := body(t, resp); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, `"urn:palisade:problem:unavailable"`) {
		t.Errorf("%s %s", resp.Status, text)
	}
	views, err := w.apps.List(t.Context(), "default", id)
	if err != nil || views[1].Name != "board" || views[1].Status != apps.Starting {
		t.Errorf("%+v, %v", views, err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			conn, app, err := w.apps.Open(t.Context(), "default", id, "board")
			if err != nil || app.Port != 7000 {
				t.Errorf("%+v, %v", app, err)
				return
			}
			conn.Close()
		})
	}
	close(starting)
	all.Wait()
	if n := w.started("exec board"); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	if got := body(t, w.request("GET", at, "Authorization", key)); got != "the board" {
		t.Errorf("%q", got)
	}
	env := w.scripts[slices.IndexFunc(w.scripts, isStart)].Env
	if env["PALISADE_APP_PORT"] != "7000" || env["PALISADE_APP_BASE"] != at || env["PALISADE_APP"] != "board" {
		t.Errorf("it was told %v", env)
	}
}

// TestAnAppThatDoesNotStart: what it wrote last is shown, safe for anybody's eyes, with what to do; and it is tried again a
// while later, not at once.
func TestAnAppThatDoesNotStart(t *testing.T) {
	for what, c := range map[string]struct {
		start  func(cmd sessions.ExecSpec) (sessions.Exit, error)
		status int
		want   []string
		again  bool // a browser comes back by itself
	}{
		"it ends at once": {func(cmd sessions.ExecSpec) (sessions.Exit, error) {
			switch {
			case isStart(cmd):
				return sessions.Exit{Reason: sessions.ExitCompleted}, nil
			case strings.Contains(cmd.Argv[2], "tail"):
				_, _ = io.WriteString(cmd.Stdout, "reading settings\n\x1b[31mno <b>board</b> here\x1b[0m\n\n")
				return sessions.Exit{Reason: sessions.ExitCompleted}, nil
			}
			return sessions.Exit{Reason: sessions.ExitFailed, Code: 1}, nil // it is not alive
		}, 503, []string{"has ended, and never opened its port 7000", "reading settings\nno &lt;b&gt;board&lt;/b&gt; here", "starts it again"}, false},
		"it never opens its port": {func(sessions.ExecSpec) (sessions.Exit, error) {
			return sessions.Exit{Reason: sessions.ExitCompleted}, nil
		}, 503, []string{"did not open its port 7000 within 30s", "cat /tmp/.palisade-app-board.log", "waits for it again"}, true},
		"no shell": {func(sessions.ExecSpec) (sessions.Exit, error) {
			return sessions.Exit{Reason: sessions.ExitStartFailed, Code: 127, Message: "Command /bin/sh: not found in the session."}, nil
		}, 502, []string{"Command /bin/sh: not found", "take an image that has one"}, false},
		"the session goes": {func(sessions.ExecSpec) (sessions.Exit, error) {
			return sessions.Exit{}, fmt.Errorf("session work does not run: %w", sessions.ErrForbidden)
		}, 409, []string{"does not run"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := board(t, func(_ *world, cmd sessions.ExecSpec) (sessions.Exit, error) { return c.start(cmd) })
				w.apps.Now = time.Now
				if _, _, err := w.apps.Open(t.Context(), "default", id, "board"); err == nil {
					t.Fatal("it is open")
				}
				at := "/sessions/" + id + "/apps/board/"
				resp := w.request("GET", at, "Authorization", key, "Accept", "text/html")
				text := body(t, resp)
				for _, want := range c.want {
					if !strings.Contains(text, want) {
						t.Errorf("%q is not in %s", want, text)
					}
				}
				if strings.Contains(text, "\x1b") || strings.Contains(text, "refresh") != c.again || resp.Header.Get("Retry-After") != "" != c.again || resp.StatusCode != c.status {
					t.Errorf("%s %q", resp.Status, text)
				}
				before := w.started("exec board")
				time.Sleep(4 * time.Second) // in a synctest bubble: no time passes outside
				if resp := w.request("GET", at, "Authorization", key); resp.StatusCode != http.StatusServiceUnavailable || w.started("exec board") > before+1 {
					t.Errorf("later: %s, started %d times", resp.Status, w.started("exec board"))
				}
			})
		})
	}
}

// TestWhereTheNetworkIsTheBoxes: an app without a password would be open to every user of the box.
func TestWhereTheNetworkIsTheBoxes(t *testing.T) {
	w := board(t, func(*world, sessions.ExecSpec) (sessions.Exit, error) {
		return sessions.Exit{Reason: sessions.ExitCompleted}, nil
	})
	w.shared = true
	_, _, err := w.apps.Open(t.Context(), "default", id, "board")
	hint, ok := errors.AsType[*apps.Error](err)
	if !errors.Is(err, sessions.ErrRefused) || !ok || !strings.Contains(hint.Hint(), "with a password") {
		t.Errorf("%v", err)
	}
	if n := w.started("exec board"); n != 0 {
		t.Errorf("it was started %d times", n)
	}
}

func TestWhatIsNotOpened(t *testing.T) {
	w := newWorld(t)
	for what, c := range map[string]struct {
		app  string
		want error
	}{
		"nobody listens": {"8000", sessions.ErrRefused}, "no such app": {"none", sessions.ErrNotFound}, "the terminal has no port": {"terminal", sessions.ErrInvalid},
	} {
		if _, _, err := w.apps.Open(t.Context(), "default", id, c.app); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.set(func(s *sessions.Session) { s.Status, s.Reason = sessions.StatusTerminated, "ended by ada" })
	for _, err := range []error{
		second(w.apps.List(t.Context(), "default", id)), second(w.apps.Port(t.Context(), "default", id, 8000)),
		second(w.apps.Link(t.Context(), "default", id, "terminal", apps.Actor{Name: "ada"})),
	} {
		if !errors.Is(err, sessions.ErrForbidden) || !strings.Contains(err.Error(), "ended by ada") {
			t.Errorf("of one that has ended: %v", err)
		}
	}
	resp := w.request("GET", "/sessions/"+id+"/apps/terminal/status", "Authorization", key)
	if text := body(t, resp); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "ended by ada") {
		t.Errorf("%s %s", resp.Status, text)
	}
}

func second[T any](_ T, err error) error { return err }

// TestWellKnownProgramsAreFound: the session is asked which of them it has.
func TestWellKnownProgramsAreFound(t *testing.T) {
	w := newWorld(t)
	w.exec = func(cmd sessions.ExecSpec) (sessions.Exit, error) {
		_, _ = io.WriteString(cmd.Stdout, "jupyter-lab\nsomething\n")
		return sessions.Exit{Reason: sessions.ExitCompleted}, nil
	}
	w.listen(6006, http.NotFoundHandler())
	views, err := w.apps.List(t.Context(), "default", id)
	var got []string
	for _, v := range views {
		got = append(got, v.Name+" "+string(v.Status))
	}
	if want := "terminal ready, 8000 silent, jupyterlab ready, tensorboard running"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("%q, %v", got, err)
	}
	w.set(func(s *sessions.Session) { s.Type = sessions.TypeInference })
	if views, err = w.apps.List(t.Context(), "default", other); err != nil || len(views) != 4 {
		t.Errorf("%v %v", views, err)
	}
}

func TestTheTerminalsPage(t *testing.T) {
	w := newWorld(t)
	cookie := as(w.logIn("terminal"))
	at := "/sessions/" + id + "/apps/terminal/"
	resp := w.request("GET", at, "Cookie", cookie)
	text, policy := body(t, resp), resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != http.StatusOK || !strings.Contains(text, `data-session="`+id+`"`) || !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("%s %q %s", resp.Status, policy, text)
	}
	for name, kind := range map[string]string{"xterm.js": "text/javascript", "xterm.css": "text/css", "addon-fit.js": "text/javascript", "terminal.js": "text/javascript", "terminal.css": "text/css"} {
		if !strings.Contains(text, `"`+name+`"`) {
			t.Errorf("%s is not on the page", name)
		}
		resp := w.request("GET", at+name, "Cookie", cookie)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, kind) || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %s", name, resp.Status, got)
		}
		if again := w.request("GET", at+name, "Cookie", cookie, "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", name, again.Status)
		}
	}
	for name, want := range map[string]int{"terminal.html": 404, "VENDORED.md": 404, "static/xterm.js": 404, "..%2Fdoor.go": 404} {
		if resp := w.request("GET", at+name, "Cookie", cookie); resp.StatusCode != want {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	if resp := w.request("POST", at, "Cookie", cookie); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
	if got := body(t, w.request("GET", at+"ws?name=main&rows=24", "Cookie", cookie)); got != "terminal of "+id+" for ada: name=main&rows=24" {
		t.Errorf("%q", got)
	}
}

// TestFilesOfOthers holds what is not ours against the list of it.
func TestFilesOfOthers(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("static", "VENDORED.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(list)) {
		f := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(f) != 5 || !strings.Contains(f[1], "@") {
			continue
		}
		content, err := os.ReadFile(filepath.Join("static", f[0]))
		if err != nil {
			t.Error(err)
			continue
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != f[4] {
			t.Errorf("%s is %s, not %s", f[0], got, f[4])
		}
		seen++
	}
	if seen != 3 {
		t.Errorf("%d files are listed", seen)
	}
}
