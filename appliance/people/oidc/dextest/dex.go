// Package dextest runs dex, a real provider of OpenID Connect, for tests. It knows nothing of what is tested.
package dextest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Dex is a real provider, built once: see .ci/dex/build. It knows the client palisade with the secret shared-secret, and ada@example.org,
// of the groups staff and gpu-owners, and eve@evil.example; the password of both is Password.
type Dex struct {
	t       testing.TB
	Issuer  string
	back    string
	dir     string
	program string
	running *exec.Cmd
}

// Password is that of all its users.
const Password = "three birds"

// New makes one that sends browsers to back. It does not answer before Start.
func New(t testing.TB, back string) *Dex {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(root(t), ".ci/dex/build")).Output()
	if err != nil {
		t.Fatalf("building dex: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	d := &Dex{t: t, back: back, Issuer: "http://" + at + "/dex", dir: t.TempDir(), program: filepath.Join(strings.TrimSpace(string(out)), "dex")}
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.DefaultCost) // dex takes no less
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`issuer: %s
storage: {type: memory}
web: {http: %q}
oauth2: {skipApprovalScreen: true}
enablePasswordDB: true
staticClients:
- {id: palisade, secret: shared-secret, name: Palisade, redirectURIs: [%q]}
staticPasswords:
- {email: ada@example.org, hash: %q, username: Ada Lovelace, preferredUsername: ada, userID: "u-1", emailVerified: true, groups: [staff, gpu-owners]}
- {email: eve@evil.example, hash: %q, username: eve, userID: "u-2"}
`, d.Issuer, at, back, hash, hash)
	if err := os.WriteFile(filepath.Join(d.dir, "dex.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

// Start returns when it answers.
func (d *Dex) Start() {
	d.t.Helper()
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.running = exec.Command(d.program, "serve", filepath.Join(d.dir, "dex.yaml"))
	d.running.Stdout, d.running.Stderr = log, log
	if err := d.running.Start(); err != nil {
		d.t.Fatal(err)
	}
	_ = log.Close()
	for until := time.Now().Add(20 * time.Second); ; {
		resp, err := http.Get(d.Issuer + "/.well-known/openid-configuration")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(until) {
			text, _ := os.ReadFile(log.Name())
			d.t.Fatalf("dex does not answer: %v\n%s", err, text)
		}
	}
}

// Stop ends it. All that it knew of log-ins, and its keys, are gone then.
func (d *Dex) Stop() {
	if d.running == nil {
		return
	}
	_ = d.running.Process.Kill()
	_ = d.running.Wait()
	d.running = nil
	if d.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		d.t.Logf("dex said:\n%s", text)
	}
}

var action = regexp.MustCompile(`<form[^>]*action="([^"]+)"`)

// LogIn fills in the form of dex as a person does, and returns what the browser brings back.
func (d *Dex) LogIn(to, email, password string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	var home *url.URL
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), d.back) {
			home = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := browser.Get(to)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || home != nil {
		return nil, errors.Join(err, errors.New("there is no form"))
	}
	form := action.FindSubmatch(text)
	if form == nil {
		return nil, fmt.Errorf("there is no form in %.300s", text)
	}
	at, err := resp.Request.URL.Parse(strings.ReplaceAll(string(form[1]), "&amp;", "&"))
	if err != nil {
		return nil, err
	}
	resp, err = browser.PostForm(at.String(), url.Values{"login": {email}, "password": {password}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if home == nil {
		text, _ = io.ReadAll(resp.Body)
		return nil, fmt.Errorf("it stays at %s: %s", resp.Request.URL.Path, regexp.MustCompile(`(?s)<head>.*</head>|<[^>]*>|\s+`).ReplaceAll(text, []byte(" ")))
	}
	return home.Query(), nil
}

// root is where the source lies.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, gone := os.Stat(filepath.Join(dir, "go.mod")); gone == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("the test does not run in the source")
	return ""
}
