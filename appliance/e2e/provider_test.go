package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/people/oidc/dextest"
)

// returning is a person's browser, of which every answer is looked at: it follows nothing by itself.
func returning(t *testing.T) (*http.Client, func(address string) (*http.Response, string)) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// Connections are not kept: one that is would go on with the daemon that hands over.
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, func(address string) (*http.Response, string) {
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
		return resp, string(text)
	}
}

// overSocket asks the API as who may do everything.
func (b *box) overSocket(method, path, body string) string {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(b.dir, "palisade.sock"))
	}}}
	r, err := http.NewRequestWithContext(b.t.Context(), method, "http://box/api/v1"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, text, err)
	}
	return string(text)
}

// TestLogInByAProvider: dex proves people; the daemon starts without it and goes on without it; roles follow groups; nobody becomes
// somebody else; who is disabled stays out.
func TestLogInByAProvider(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	b := newBox(t)
	b.url = "http://" + at
	p := dextest.New(t, b.url+"/api/v1/login/oidc/corp/callback")
	settings := filepath.Join(filepath.Dir(b.dir), "settings.yaml")
	write := func(groups string) {
		t.Helper()
		text := fmt.Sprintf("people:\n  oidc:\n  - name: corp\n    title: The Corporation\n    issuer: %s\n    client_id: palisade\n    client_secret_ref: DEX_SECRET\n    scopes: [profile, email, groups]\n%s", p.Issuer, groups)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("    project_roles:\n    - {group: gpu-owners, project: gpu, role: owner}\n    - {group: staff, project: gpu, role: viewer}\n    - {group: staff, project: nowhere, role: owner}\n")
	b.settings = []string{"--runtime", "process", "--config", settings}
	b.start() // the provider is not there yet
	b.overSocket(http.MethodPost, "/projects", `{"name":"gpu"}`)
	b.overSocket(http.MethodPut, "/secrets/DEX_SECRET", `{"value":"shared-secret"}`)
	client, get := returning(t)
	page := b.url + "/console/login?next=%2Fconsole%2Fservices"
	if _, text := get(page); !strings.Contains(text, `id="provider-corp" href="/api/v1/login/oidc/corp/start?next=%2fconsole%2fservices"`) || !strings.Contains(text, "The Corporation") {
		t.Errorf("the log-in has no button for the provider: %s", text)
	}
	start := b.url + "/api/v1/login/oidc/corp/start?" + url.Values{"next": {"//evil.example/console/"}}.Encode()
	says := func(to *http.Response, words string) { // where somebody is sent who was turned away
		t.Helper()
		if _, text := get(b.url + to.Header.Get("Location")); !strings.Contains(text, words) || !strings.Contains(text, `id="provider-corp"`) {
			t.Errorf("it does not say %q: %s", words, text)
		}
	}
	if resp, _ := get(start); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/console/login?problem=away&provider=corp" {
		t.Errorf("while it is away: %s %s", resp.Status, resp.Header.Get("Location"))
	} else {
		says(resp, "The provider does not answer")
	}
	p.Start()
	me := func() (out struct {
		Name, Source string
		Admin        bool
		Projects     []struct{ Name, Role string }
	}) {
		resp, text := get(b.url + "/api/v1/me")
		for resp.StatusCode == http.StatusServiceUnavailable { // the one before hands over, and says to come again
			resp, text = get(b.url + "/api/v1/me")
		}
		if resp.StatusCode == http.StatusOK {
			if err := json.Unmarshal([]byte(text), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	logIn := func(email string) *http.Response {
		t.Helper()
		resp, text := get(start)
		to := resp.Header.Get("Location")
		if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, p.Issuer+"/") {
			t.Fatalf("%s %s %s", resp.Status, to, text)
		}
		q, err := p.LogIn(to, email, dextest.Password)
		if err != nil {
			t.Fatal(err)
		}
		resp, _ = get(b.url + "/api/v1/login/oidc/corp/callback?" + q.Encode())
		return resp
	}
	resp := logIn("ada@example.org")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/console/" {
		t.Fatalf("%s %s", resp.Status, resp.Header.Get("Location"))
	}
	for _, k := range resp.Cookies() {
		if k.Name == "palisade_session" && (!k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "") || k.Name == "palisade_oidc" && k.MaxAge >= 0 {
			t.Errorf("%+v", k)
		}
	}
	if who := me(); who.Name != "ada" || who.Source != "oidc" || who.Admin || len(who.Projects) != 1 || who.Projects[0].Name != "gpu" || who.Projects[0].Role != "owner" {
		t.Errorf("%+v", who)
	}
	// What is said of it holds no code.
	said := b.overSocket(http.MethodGet, "/audit", "")
	if !strings.Contains(said, "enterByProvider") || strings.Contains(said, "code=") && !strings.Contains(said, "code=(hidden)") {
		t.Errorf("%s", said)
	}
	// An address that was used is none any more, and one that somebody else has made up neither.
	if resp, _ := get(b.url + "/api/v1/login/oidc/corp/callback?code=x&state=y"); resp.Header.Get("Location") != "/console/login?problem=stale&provider=corp" {
		t.Errorf("%s", resp.Header.Get("Location"))
	}
	// Who comes by a provider is not the local user of the same name.
	b.run("user", "create", "eve")
	if resp := logIn("eve@evil.example"); resp.Header.Get("Location") != "/console/login?problem=exists&provider=corp" {
		t.Errorf("a local user is taken over: %s", resp.Header.Get("Location"))
	}
	b.fails(2, []string{"who is eve at the provider"}, "user", "link", "eve")
	b.run("user", "link", "eve", "--subject", "another", "-q") // the only provider is meant
	if shown := b.run("user", "show", "eve"); !strings.Contains(shown, p.Issuer) {
		t.Errorf("%s", shown)
	}
	b.run("user", "unlink", "eve")
	b.restart() // and what a browser keeps on its way outlives the daemon
	if who := me(); who.Name != "ada" {
		t.Errorf("after a restart: %+v", who)
	}
	write("    admin_groups: [staff]\n    project_roles:\n    - {group: others, project: gpu, role: owner}\n")
	b.restart()
	if logIn("ada@example.org"); !me().Admin {
		t.Errorf("groups make an administrator: %+v", me())
	}
	if members := b.overSocket(http.MethodGet, "/projects/gpu/members", ""); strings.Contains(members, "ada") {
		t.Errorf("a part that no group gives any more: %s", members)
	}
	b.run("user", "disable", "ada")
	if who := me(); who.Name != "" {
		t.Errorf("who is disabled is in: %+v", who)
	}
	if resp := logIn("ada@example.org"); resp.Header.Get("Location") != "/console/login?problem=disabled&provider=corp" {
		t.Errorf("%s", resp.Header.Get("Location"))
	}
	client.CloseIdleConnections()
}
