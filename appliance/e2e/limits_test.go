package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// limited are limits with what is used of them, as the command line shows them.
func (b *box) limited(kind, name string) (bounds map[string]struct{ Used, Limit, From string }) {
	b.t.Helper()
	var l struct {
		Bounds []struct{ Name, Used, Limit, From string }
	}
	b.into(&l, kind, "limits", name)
	bounds = map[string]struct{ Used, Limit, From string }{}
	for _, one := range l.Bounds {
		bounds[one.Name] = struct{ Used, Limit, From string }{one.Used, one.Limit, one.From}
	}
	return bounds
}

// TestLimits sets each bound of a project and of a person, runs into it as a member, and lifts it again: it holds at once, says
// what it is, and outlives the daemon.
func TestLimits(t *testing.T) {
	b := newBox(t)
	settings := filepath.Join(filepath.Dir(b.dir), "palisade.yaml")
	if err := os.WriteFile(settings, []byte("people: {host_sessions: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.settings = []string{"--runtime", "process", "--config", settings}
	b.start()
	c := &crowd{box: b, local: b.env, keys: map[string]string{}, homes: t.TempDir()}
	b.run("project", "create", "eyes")
	for _, who := range []string{"ada", "cyn"} {
		b.run("user", "create", who, "-q")
		b.run("project", "member", "add", "eyes", who, "--role", "member")
		c.keys[who] = b.run("key", "create", who+"-key", "--owner", who, "-q")
	}
	step := func(kind, name, bound string, limits []string, do func()) {
		t.Run(kind+" "+bound, func(t *testing.T) {
			b.t = t
			c.as("")
			b.run(append([]string{kind, "limits", name}, limits...)...)
			c.as("ada")
			do()
			c.as("")
			if l := b.limited(kind, name)[bound]; l.Limit == "" || l.From == "" {
				t.Errorf("%+v", l)
			}
			b.run(kind, "limits", name, "--clear")
		})
	}
	for _, kind := range []string{"project", "user"} {
		name := map[string]string{"project": "eyes", "user": "ada"}[kind]
		step(kind, name, "storage", []string{"--storage", "1m"}, func() { c.limitedStorage(kind, name) })
	}
	dir := filepath.Join(b.models, "voices")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, from := range map[string]string{"mkhello": have.mkhello, "model-definition.yaml": b.file("model-definition.yaml", strings.Replace(voices, "MODE", "recite", 1))} {
		if err := copyFile(filepath.Join(dir, file), from); err != nil {
			t.Fatal(err)
		}
	}
	b.run("--project", "eyes", "folder", "import", dir, "--name", "voices")
	for _, kind := range []string{"project", "user"} {
		name := map[string]string{"project": "eyes", "user": "ada"}[kind]
		step(kind, name, "services", []string{"--services", "1"}, func() { c.limitedServices(kind, name) })
		step(kind, name, "routes", []string{"--routes", "1"}, func() { c.limitedRoutes(kind, name) })
		step(kind, name, "sessions", []string{"--sessions", "1"}, func() { c.limitedSessions("sessions") })
		step(kind, name, "cpu", []string{"--set", "cpu=1"}, func() { c.limitedSessions("cpu") })
	}
	b.t = t
	c.limitedRequests(t)
}

// limitedServices may have one, and have it.
func (c *crowd) limitedServices(kind, name string) {
	c.t.Helper()
	c.run("service", "create", "host", "voices", "0", "--name", "one")
	c.fails(1, []string{kind + " " + name + " may have 1 service and has 1", "--services 2"}, "service", "create", "host", "voices", "0", "--name", "two")
	c.as("")
	c.run(kind, "limits", name, "--services", "2")
	c.as("ada")
	c.run("service", "create", "host", "voices", "0", "--name", "two")
	c.run("service", "rm", "one")
	c.run("service", "rm", "two")
	c.gone("service")
}

// gone waits until nothing of a kind is left.
func (c *crowd) gone(kind string) {
	c.t.Helper()
	if err := eventually(60*time.Second, func() error {
		if left := c.run(kind, "list", "-q"); left != "" {
			return errors.New(left)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
}

// limitedRoutes may have one. A service at zero whose requests wait for one says why none comes, and starts when there is room.
func (c *crowd) limitedRoutes(kind, name string) {
	c.t.Helper()
	c.run("service", "create", "host", "voices", "0", "--name", "sleeps", "--autoscale", "0..1", "--idle-after", "1h", "--hold-timeout", "3s")
	c.run("service", "create", "host", "voices", "1", "--name", "holds", "--wait")
	c.fails(1, []string{kind + " " + name + " may have 1 route and has 1"}, "service", "scale", "holds", "2")
	token := c.run("service", "generate-token", "sleeps", "--duration", "1h", "-q")
	ask := func() (int, http.Header, string) {
		c.t.Helper()
		status, head, answer, err := c.complete(c.t.Context(), token, "/v1/chat/completions", `{"model":"sleeps","messages":[{"role":"user","content":"Who are you?"}]}`)
		if err != nil {
			c.t.Fatal(err)
		}
		return status, head, answer
	}
	status, head, answer := ask()
	whose := map[string]string{"project": "project", "user": "owner"}[kind] // a client need not know who that is, nor how much there is
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "a limit of its "+whose+" keeps it from starting") || strings.Contains(answer, name) {
		c.t.Errorf("at zero, where there may be no more: %d %s", status, answer)
	}
	if after, err := strconv.Atoi(head.Get("Retry-After")); err != nil || after < 1 {
		c.t.Errorf("Retry-After: %q", head.Get("Retry-After"))
	}
	c.run("service", "rm", "holds")
	if err := eventually(60*time.Second, func() error {
		if status, _, answer := ask(); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	}); err != nil {
		c.t.Errorf("with room: %v", err)
	}
	c.run("service", "rm", "sleeps")
	c.gone("service")
}

// limitedSessions may have one that runs; the second waits and says for which limit, and runs when the first has ended. What holds
// one up outlives the daemon.
func (c *crowd) limitedSessions(words string) {
	c.t.Helper()
	first := c.run("session", "create", "host", "--name", "first", "-r", "cpu=1", "--wait", "-q")
	c.run("session", "create", "host", "--name", "second", "-r", "cpu=1")
	waits := func() {
		c.t.Helper()
		if err := eventually(soon, func() error {
			if out := c.run("session", "info", "second"); !strings.Contains(out, "PENDING") || !strings.Contains(out, "for the limit of") || !strings.Contains(out, words) {
				return errors.New(out)
			}
			return nil
		}); err != nil {
			c.t.Error(err)
		}
	}
	waits()
	c.kill()
	c.start()
	waits()
	c.run("session", "rm", "--forced", first)
	c.becomes("second", "RUNNING")
	c.run("session", "rm", "--forced", "second")
	c.gone("session")
}

// limitedStorage may have a MiB; more is refused before it is sent.
func (c *crowd) limitedStorage(kind, name string) {
	c.t.Helper()
	c.run("folder", "create", "store")
	half := c.file("half.bin", strings.Repeat("x", 600<<10))
	c.run("folder", "cp", half, "store:/one.bin")
	c.fails(1, []string{name, "1 MiB"}, "folder", "cp", half, "store:/two.bin")
	c.as("cyn") // what others have in the project counts for it, and not for who did not make it
	c.run("folder", "create", "other")
	_, said, code := c.cli("folder", "cp", half, "other:/two.bin")
	if full := kind == "project"; full != (code != 0) {
		c.t.Errorf("somebody else: exit %d: %s", code, said)
	}
	c.run("folder", "rm", "other")
	c.as("ada")
	c.run("folder", "rm", "store")
	c.as("")
	c.run("--project", "eyes", "folder", "trash", "--purge", "--yes")
	c.as("ada")
}

// limitedRequests are those of a project's services, and those with tokens that a person has issued.
func (c *crowd) limitedRequests(t *testing.T) {
	c.as("ada")
	c.run("service", "create", "host", "voices", "1", "--name", "asked", "--wait")
	token := c.run("service", "generate-token", "asked", "--duration", "1h", "-q")
	c.as("cyn")
	others := c.run("service", "generate-token", "asked", "--duration", "1h", "-q")
	ask := func(token string) (int, string) {
		t.Helper()
		status, _, answer, err := c.complete(t.Context(), token, "/v1/chat/completions", `{"model":"asked","max_tokens":8,"messages":[{"role":"user","content":"Who are you?"}]}`)
		if err != nil {
			t.Fatal(err)
		}
		return status, answer
	}
	for _, one := range []struct {
		kind, name, bound, value, words string
		other                           int
	}{
		{"project", "eyes", "--requests-per-minute", "1", "requests", 429}, {"user", "ada", "--requests-per-minute", "1", "requests", 200},
		{"project", "eyes", "--tokens-per-minute", "1", "tokens", 429}, {"user", "ada", "--tokens-per-minute", "1", "tokens", 200},
	} {
		t.Run(one.kind+" "+one.bound, func(t *testing.T) {
			c.t = t
			c.as("")
			c.run(one.kind, "limits", one.name, one.bound, one.value)
			if status, answer := ask(token); status != 200 { // what is larger than a whole limit has it to itself
				t.Errorf("the first: %d %s", status, answer)
			}
			if status, answer := ask(token); status != 429 || !strings.Contains(answer, one.words) {
				t.Errorf("the second: %d %s", status, answer)
			}
			if status, answer := ask(others); status != one.other {
				t.Errorf("with a token of somebody else: %d %s", status, answer)
			}
			c.run(one.kind, "limits", one.name, "--clear")
			if status, answer := ask(token); status != 200 {
				t.Errorf("lifted: %d %s", status, answer)
			}
		})
	}
	c.t = t
	c.as("ada")
	c.run("service", "rm", "asked")
	c.as("")
}
