package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"testing"
	"time"
)

// visitor is somebody at the appliance's port, with the cookies that they were given.
type visitor struct {
	*box
	client *http.Client
}

func (b *box) visitor() *visitor {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &visitor{box: b, client: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// ask sends a request and returns its status and answer.
func (w *visitor) ask(method, path string, in any) (int, map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if in == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&out) // not every answer is a document
	return resp.StatusCode, out
}

func (w *visitor) wants(status int, method, path string, in any) map[string]any {
	w.t.Helper()
	got, out := w.ask(method, path, in)
	if got != status {
		w.t.Fatalf("%s %s: %d %v, want %d", method, path, got, out, status)
	}
	return out
}

type object = map[string]any

var printedPassword = regexp.MustCompile(`(?m)^    password  (\S+)$`)

// TestLogIn is the first hour of an owner: the password of the first start, a log-in that outlives a crash and a hand-over of
// the daemon, a password that is lost.
func TestLogIn(t *testing.T) {
	b := newBox(t)
	b.start()
	var password string
	if err := eventually(soon, func() error {
		found := printedPassword.FindStringSubmatch(b.log.String())
		if found == nil {
			return fmt.Errorf("nothing is said of the first log-in")
		}
		password = found[1]
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, "level=") && strings.Contains(line, password) {
			t.Errorf("the log has the password: %s", line)
		}
	}
	w := b.visitor()
	w.wants(401, "GET", "/services", nil)
	w.wants(401, "POST", "/login", object{"name": "admin", "password": "not this one"})
	if me := w.wants(200, "POST", "/login", object{"name": "admin", "password": password}); me["must_change_password"] != true || me["admin"] != true {
		t.Errorf("%v", me)
	}
	w.wants(204, "PUT", "/me/password", object{"password": password, "new_password": "seven birds on a wire"})
	other := b.visitor()
	other.wants(401, "POST", "/login", object{"name": "admin", "password": password})
	other.wants(200, "POST", "/login", object{"name": "admin", "password": "seven birds on a wire"})

	b.kill()
	b.start()
	w.wants(200, "GET", "/services", nil)
	b.restart()
	w.client.CloseIdleConnections() // those to the process before
	w.wants(200, "GET", "/services", nil)
	if printedPassword.MatchString(b.log.String()) {
		t.Error("a start that is not the first tells of a password")
	}

	b.fails(1, []string{"the last administrator"}, "user", "rm", "admin")
	again := strings.TrimSpace(b.run("user", "reset", "admin", "-q"))
	for _, gone := range []*visitor{w, other} {
		if out := gone.wants(401, "GET", "/services", nil); out["hint"] != "log in again" {
			t.Errorf("%v", out)
		}
	}
	w.wants(200, "POST", "/login", object{"name": "admin", "password": again})
	b.run("user", "create", "ada", "-q")
	b.run("user", "disable", "ada")
	tries, locked := 0, false
	for ; tries < 20 && !locked; tries++ {
		status, _ := b.visitor().ask("POST", "/login", object{"name": "ada", "password": "a guess"})
		locked = status == http.StatusTooManyRequests
	}
	if !locked || tries < 5 {
		t.Errorf("locked %v after %d tries", locked, tries)
	}
	w.wants(200, "GET", "/me", nil)
	record := b.run("audit", "export", "--all")
	for _, secret := range []string{password, again, "seven birds", "a guess"} {
		if strings.Contains(record, secret) || strings.Contains(strings.Join(logLines(b.log.String()), "\n"), secret) {
			t.Errorf("%q is recorded", secret)
		}
	}
	b.run("audit", "verify")
}

// logLines are what the daemon logs, without what it says to who starts it.
func logLines(all string) (lines []string) {
	for line := range strings.Lines(all) {
		if strings.Contains(line, "level=") {
			lines = append(lines, line)
		}
	}
	return lines
}
