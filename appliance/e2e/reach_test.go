package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// submit sends a form of the console as a browser does, and returns the status and what came.
func (w *visitor) submit(path string, form url.Values) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/console"+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "Origin": w.url, "Sec-Fetch-Site": "same-origin"} {
		r.Header.Set(name, value)
	}
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// loggedIn is somebody who has chosen a password of their own.
func (b *box) loggedIn(name, password string) *visitor {
	b.t.Helper()
	w := b.visitor()
	w.wants(200, "POST", "/login", object{"name": name, "password": password})
	w.wants(204, "PUT", "/me/password", object{"password": password, "new_password": chosenPassword})
	return w
}

// TestTheBoxIsNotAskedForOthers: whatever a form or a document names, by an administrator's log-in or a member's, the appliance asks
// neither itself nor where clouds tell a machine its secrets, unless its settings allow that.
func TestTheBoxIsNotAskedForOthers(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	var hits atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		fmt.Fprintln(w, "what only the box may know")
	}))
	defer inside.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(inside.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	b.run("user", "create", "mia", "-q")
	b.run("project", "member", "add", "default", "mia", "--role", "member")
	people := map[string]*visitor{"admin": b.loggedIn("admin", b.firstPassword()), "mia": b.loggedIn("mia", b.run("user", "reset", "mia", "-q"))}

	const cloud = "169.254.169.254"
	at := []string{"127.0.0.1:" + port, "localhost:" + port, "LOCALHOST:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]:" + port, "[::ffff:7f00:1]:" + port, "[64:ff9b::7f00:1]:" + port, "0.0.0.0:" + port, "127.1.2.3:" + port,
		"x.localhost:" + port, cloud, cloud + ":80", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"}
	for who, w := range people {
		t.Run(who, func(t *testing.T) {
			w.t = t
			for _, host := range at {
				w.namesHosts(host, who == "admin")
			}
		})
	}
	t.Run("a webhook", func(t *testing.T) {
		text := "version: 1\nname: calls\ndefaults: {image: host}\ntasks:\n- {name: one, command: \"true\"}\nnotifications:\n"
		for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, cloud} {
			text += "- {url: \"http://" + host + "/hook\", on: [success, failure]}\n"
		}
		b.run("pipeline", "apply", b.file("calls.yaml", text))
		b.run("pipeline", "run", "calls", "--wait")
		if err := eventually(soon, func() error {
			var job struct{ Notifications []struct{ To, Fault string } }
			b.into(&job, "pipeline", "job", "calls.1")
			for _, n := range job.Notifications {
				if !strings.Contains(n.Fault, "it is not asked for others") {
					return fmt.Errorf("%+v", job.Notifications)
				}
			}
			if len(job.Notifications) != 3 {
				return fmt.Errorf("%+v", job.Notifications)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	if n := hits.Load(); n != 0 {
		t.Fatalf("the box was asked %d times", n)
	}

	settings := filepath.Join(filepath.Dir(b.dir), "palisade.yaml")
	if err := os.WriteFile(settings, []byte("fetch: {allow_private: [127.0.0.1]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.settings = append(b.settings, "--config", settings)
	b.start()
	w := people["admin"]
	w.t = t
	if status, text := w.submit("/catalogs", url.Values{"name": {"inner"}, "url": {inside.URL + "/index.yaml"}, "allow_unsigned": {"true"}}); status < 400 || hits.Load() == 0 || strings.Contains(text, "not asked for others") {
		t.Errorf("where the settings allow it: %d %s; asked %d times", status, text, hits.Load())
	}
	hits.Store(0)
	w.refused("/catalogs", object{"name": "inner", "url": "http://127.1.2.3:" + port + "/index.yaml", "allow_unsigned": true})
	w.refused("/catalogs", object{"name": "inner", "url": "http://" + cloud + "/index.yaml", "allow_unsigned": true})
	if n := hits.Load(); n != 0 {
		t.Errorf("at an address that is not allowed it was asked %d times", n)
	}
}

// namesHosts names a host wherever one can be named.
func (w *visitor) namesHosts(host string, admin bool) {
	w.t.Helper()
	if admin {
		for _, place := range []string{"http://" + host + "/index.yaml", "https://" + host + "/c.tar.gz", "git+http://" + host + "/x.git"} {
			w.refused("/catalogs", object{"name": "inner", "url": place, "allow_unsigned": true})
			w.refusedForm("/catalogs", url.Values{"name": {"inner"}, "url": {place}, "allow_unsigned": {"true"}})
		}
	}
	for _, place := range []string{"http://" + host + "/x.gguf", "git+http://" + host + "/x.git"} {
		w.refused("/catalog/plan", object{"recipe": place})
		w.refused("/installs", object{"source": place, "name": "inner"})
		w.refusedForm("/catalog-install", url.Values{"source": {place}, "name": {"inner"}})
	}
	if image := host + "/x:1"; !strings.ContainsAny(host, "[]") && host != "localhost." { // others are no names of images
		w.refused("/installs", object{"source": "oci:" + image, "name": "inner"})
		w.refused("/services", object{"name": "inner", "image": image})
		w.refused("/sessions", object{"image": image})
		w.refusedForm("/services", url.Values{"name": {"inner"}, "image": {image}, "runtime_variant": {"vllm"}})
	}
}

// notAsked is what is said of it, and how it is allowed where it is meant.
func notAsked(text string) bool {
	return strings.Contains(text, "it is not asked for others") && strings.Contains(text, "allow_private")
}

func (w *visitor) refused(path string, in any) {
	w.t.Helper()
	if status, out := w.ask("POST", path, in); status != http.StatusBadRequest || !notAsked(fmt.Sprint(out)) {
		w.t.Errorf("%s %v: %d %v", path, in, status, out)
	}
}

func (w *visitor) refusedForm(path string, form url.Values) {
	w.t.Helper()
	if status, text := w.submit(path, form); status != http.StatusBadRequest || !notAsked(text) {
		w.t.Errorf("%s %v: %d %s", path, form, status, text)
	}
}
