package e2e_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// crowd are people of one appliance, each with an API key and a home of their own.
type crowd struct {
	*box
	local []string
	keys  map[string]string
	homes string
}

// as makes the next commands those of somebody, over the network; "" of the box itself.
func (c *crowd) as(who string) {
	c.env = c.local
	if who != "" {
		home := filepath.Join(c.homes, who)
		c.env = append(slices.Clone(c.local), "PALISADE_HOST="+c.url, "PALISADE_KEY="+c.keys[who], "HOME="+home, "XDG_CONFIG_HOME="+home, "PALISADE_PROJECT=eyes")
	}
}

// asks sends a GET with somebody's key.
func (c *crowd) asks(who, path string) int {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.keys[who])
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestPermissions: a viewer looks, a member enters what is theirs, an owner enters everything, a stranger sees nothing: by the
// API, by tunnels, by the doors of apps and of SSH. What is taken away ends what goes on.
func TestPermissions(t *testing.T) {
	b := newBox(t)
	settings := filepath.Join(filepath.Dir(b.dir), "palisade.yaml")
	if err := os.WriteFile(settings, []byte("people: {host_sessions: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.settings = []string{"--runtime", "process", "--config", settings, "--ssh-listen", "127.0.0.1:0"}
	b.start()
	c := &crowd{box: b, local: b.env, keys: map[string]string{}, homes: t.TempDir()}
	b.fails(1, []string{"no project", "palisade project create eyes"}, "--project", "eyes", "session", "list")
	b.run("project", "create", "eyes")
	for who, role := range map[string]string{"ada": "member", "cyn": "member", "vic": "viewer", "olga": "owner", "eve": ""} {
		b.run("user", "create", who, "-q")
		if role != "" {
			b.run("project", "member", "add", "eyes", who, "--role", role)
		}
		c.keys[who] = b.run("key", "create", who+"-key", "--owner", who, "--scope", "admin", "-q")
		if err := os.MkdirAll(filepath.Join(c.homes, who), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.keys["look"] = b.run("key", "create", "look", "--owner", "olga", "--scope", "read", "-q")

	c.as("vic")
	b.fails(1, []string{"needs the role member in project eyes", "the API key (scope admin) is viewer", "olga"}, "session", "create", "host", "--name", "mine")
	c.as("ada")
	b.run("session", "create", "host", "--name", "desk", "--wait")
	b.fails(1, []string{"secrets of the appliance"}, "session", "create", "host", "-e", "X=secret:NGC_API_KEY")
	b.fails(1, []string{"administrators"}, "folder", "import", "/etc")
	c.as("")
	id := strings.TrimSpace(b.run("--project", "eyes", "session", "list", "-q"))

	for who, enters := range map[string]bool{"ada": true, "olga": true, "cyn": false, "vic": false, "eve": false, "look": false} {
		t.Run(who, func(t *testing.T) { c.entering(t, who, id, enters) })
	}
	c.takenAway(t, id)
}

// entering comes by every door.
func (c *crowd) entering(t *testing.T, who, id string, enters bool) {
	t.Helper()
	c.as(who)
	defer c.as("")
	want := map[string]int{"tunnel?port=1": 426, "terminal?": 426, "exec?command=true": 426}
	there := who != "eve"
	for what, in := range want {
		switch {
		case !there:
			in = 404
		case !enters:
			in = 403
		}
		if got := c.asks(who, "/api/v1/sessions/"+id+"/"+what+"&project=eyes"); got != in {
			t.Errorf("%s: %d, want %d", what, got, in)
		}
	}
	in := 200
	if !enters {
		in = 404
	}
	if got := c.asks(who, "/sessions/"+id+"/apps/terminal/"); got != in && got != 307 {
		t.Errorf("the door of apps: %d, want %d", got, in)
	}
	for _, command := range [][]string{{"session", "exec", "desk", "true"}, {"app", "desk", "terminal", "--url", "-q"}, {"ssh", "desk", "true"}} {
		if out, said, code := c.cli(command...); (code == 0) != enters {
			t.Errorf("%s: %d %s %s", command, code, out, said)
		}
	}
	if there {
		if out := c.run("session", "list", "-q"); !strings.Contains(out, id) {
			t.Errorf("the list: %q", out)
		}
	}
	if !enters {
		if _, said, code := c.cli("session", "rm", "desk"); code == 0 {
			t.Errorf("it is ended: %s", said)
		}
	}
}

// takenAway ends a part while its holder is in, by each door.
func (c *crowd) takenAway(t *testing.T, id string) {
	t.Helper()
	c.as("ada")
	link := c.run("app", "desk", "terminal", "--url", "-q")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if status, text := page(t, browser, link); status != http.StatusOK {
		t.Fatalf("the terminal: %d %s", status, text)
	}
	ended := make(chan string, 2)
	for _, command := range [][]string{{"session", "exec", "desk", "sleep", "300"}, {"ssh", "desk", "sleep 300"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, have.palisade, command...)
		cmd.Env = c.env
		go func() {
			err := cmd.Run()
			if err == nil || ctx.Err() != nil {
				ended <- strings.Join(command, " ") + " was not ended"
				return
			}
			ended <- ""
		}()
	}
	c.as("")
	for eventually(soon, func() error { return c.sleeping(2) }) != nil {
		t.Fatal("the commands do not run")
	}
	c.run("project", "member", "rm", "eyes", "ada")
	for range 2 {
		if wrong := <-ended; wrong != "" {
			t.Error(wrong)
		}
	}
	before, _, _ := strings.Cut(link, "?")
	if status, _ := page(t, browser, before); status != http.StatusNotFound {
		t.Errorf("the app of who has no part any more: %d", status)
	}
	c.as("ada")
	c.fails(1, []string{"no project"}, "session", "list")
	c.fails(1, []string{"no project"}, "ssh", "desk", "true")
	c.as("")
	c.run("project", "member", "add", "eyes", "ada")
	c.as("ada")
	c.run("session", "exec", "desk", "true")
	c.run("ssh", "desk", "true")
	c.as("")
	c.run("user", "rm", "ada")
	if got := c.asks("ada", "/api/v1/me"); got != http.StatusUnauthorized {
		t.Errorf("the key of who was removed: %d", got)
	}
	if status, _ := page(t, browser, before); status == http.StatusOK {
		t.Error("the app of who was removed")
	}
	home := filepath.Join(c.homes, "ada")
	c.env = append(slices.Clone(c.local), "HOME="+home, "XDG_CONFIG_HOME="+home)
	c.run("--project", "eyes", "session", "rm", "--forced", id)
}

// sleeping fails until as many commands sleep in sessions as are to.
func (c *crowd) sleeping(n int) error {
	out, err := exec.CommandContext(c.t.Context(), "pgrep", "-fc", "sleep 300").Output()
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(out)); got < string(rune('0'+n)) {
		return os.ErrNotExist
	}
	return nil
}
