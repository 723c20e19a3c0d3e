package apps_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

const key = "Bearer pal_good"

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOnlyWhoIsKnownGetsIn walks all the ways in, and what is none.
func TestOnlyWhoIsKnownGetsIn(t *testing.T) {
	w := newWorld(t)
	w.listen(8000, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "the app") }))
	cookie := w.logIn("8000")
	if cookie.Path != "/sessions/"+id+"/apps/8000/" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 12*3600 {
		t.Errorf("%+v", cookie)
	}
	at := "/sessions/" + id + "/apps/8000/"
	for what, c := range map[string]struct {
		path   string
		header []string
		want   int
	}{
		"an API key":               {at, []string{"Authorization", key}, 200},
		"a cookie":                 {at, []string{"Cookie", as(cookie)}, 200},
		"a cookie among others":    {at, []string{"Cookie", "a=b; " + as(cookie) + "; c=d"}, 200},
		"nothing":                  {at, nil, 401},
		"a wrong key":              {at, []string{"Authorization", "Bearer pal_bad"}, 401},
		"a made up cookie":         {at, []string{"Cookie", "palisade_app=e30.e30"}, 401},
		"a cookie that was cut":    {at, []string{"Cookie", as(cookie)[:60]}, 401},
		"for another app":          {"/sessions/" + id + "/apps/terminal/", []string{"Cookie", as(cookie)}, 401},
		"for another session":      {"/sessions/" + other + "/apps/8000/", []string{"Cookie", as(cookie)}, 401},
		"for one that is not":      {"/sessions/ses-none/apps/8000/", nil, 401},
		"a made up ticket":         {at + "?palisade_ticket=e30.e30", nil, 401},
		"no app of that name":      {"/sessions/" + id + "/apps/none/", []string{"Authorization", key}, 404},
		"no session of that id":    {"/sessions/ses-none/apps/8000/", []string{"Authorization", key}, 404},
		"not a path of the door":   {"/sessions/" + id + "/app", []string{"Authorization", key}, 404},
		"a path that hides its id": {"/sessions/%73es-4k2m9x7qwd3n/apps/8000/", []string{"Authorization", key}, 404},
		"a page of elsewhere":      {at, []string{"Cookie", as(cookie), "Upgrade", "websocket", "Origin", "https://evil.example"}, 403},
		"a page of nowhere":        {at, []string{"Cookie", as(cookie), "Upgrade", "websocket", "Origin", "null"}, 403},
	} {
		resp := w.request("GET", c.path, c.header...)
		if text := body(t, resp); resp.StatusCode != c.want {
			t.Errorf("%s: %s %s", what, resp.Status, text)
		}
	}
	for site, want := range map[string]int{"same-origin": 200, "cross-site": 403, "same-site": 403} {
		resp := w.request("POST", at, "Cookie", as(cookie), "Sec-Fetch-Site", site)
		if text := body(t, resp); resp.StatusCode != want {
			t.Errorf("a POST from %s: %s %s", site, resp.Status, text)
		}
	}
	w.later(12*time.Hour + time.Second)
	if resp := w.request("GET", at, "Cookie", as(cookie)); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after 12 h: %s", resp.Status)
	}
	fresh := w.logIn("8000")
	w.mu.Lock()
	w.revoked = true
	w.mu.Unlock()
	if resp := w.request("GET", at, "Cookie", as(fresh)); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the key was revoked: %s", resp.Status)
	}
	if w.used != 0 {
		t.Errorf("%d are still counted", w.used)
	}
}

func TestATicketIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	link := func() string {
		l, err := w.apps.Link(t.Context(), "default", id, "terminal", apps.Actor{Name: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		return l.Path
	}
	first := link()
	if resp := w.request("GET", first, "Sec-Purpose", "prefetch;prerender"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("looking ahead: %s", resp.Status)
	}
	if resp := w.request("HEAD", first); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("HEAD: %s", resp.Status)
	}
	resp := w.request("GET", first+"&name=main")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/sessions/"+id+"/apps/terminal/?name=main" || len(resp.Cookies()) != 1 {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	cookie := resp.Cookies()[0]
	resp = w.request("GET", first, "Accept", "text/html")
	if text := body(t, resp); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(text, "has been used") {
		t.Errorf("a second time: %s %s", resp.Status, text)
	}
	if resp := w.request("GET", first, "Cookie", as(cookie)); resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 0 {
		t.Errorf("a second time, by who is in: %s", resp.Status)
	}
	late := link()
	w.later(2*time.Minute + time.Second)
	if resp := w.request("GET", late); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("too late: %s", resp.Status)
	}
	// One for another app is none, and a cookie is no ticket.
	if resp := w.request("GET", strings.Replace(link(), "/terminal/", "/8000/", 1)); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("for another app: %s", resp.Status)
	}
	if resp := w.request("GET", "/sessions/"+id+"/apps/terminal/?palisade_ticket="+cookie.Value); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a cookie as a ticket: %s", resp.Status)
	}
}

// TestWhatAnAppSees: all that its client sends but what is ours.
func TestWhatAnAppSees(t *testing.T) {
	w := newWorld(t, func(d *apps.Deps) {
		d.Labels = func(context.Context, sessions.Session) map[string]string {
			return map[string]string{apps.LabelPorts: "told:http:7000", apps.LabelLine + "told": "exec told $PALISADE_APP_BASE"}
		}
	})
	var seen *http.Request
	see := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen = r.Clone(context.Background())
		h := rw.Header()
		h.Add("Set-Cookie", "a=1; Path=/; HttpOnly")
		h.Add("Set-Cookie", "b=2; Domain=box.example; Path=/below")
		h.Add("Set-Cookie", "c=3; Path=/sessions/"+other+"/apps/8000/")
		h.Add("Set-Cookie", "palisade_app=stolen; Path=/")
		h.Add("Set-Cookie", "__Host-x=1; Secure; Path=/")
		h.Set("Service-Worker-Allowed", "/sessions/"+id+"/apps/8000/../../")
		h.Set("Clear-Site-Data", `"cookies"`)
		h.Set("Location", "/log-in")
		h.Set("X-Of-The-App", "yes")
	})
	w.listen(8000, see)
	w.listen(7000, see)
	cookie := w.logIn("8000")
	root := "/sessions/" + id + "/apps/8000/"
	resp := w.request("PUT", root+"a%2Fb/c?q=1&palisade_ticket=x&r=%20", "Cookie", "own=1; "+as(cookie)+"; palisade_console=secret; two=2",
		"Authorization", "token of-the-app", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil", "Origin", "http://box.example:8080")
	_ = body(t, resp)
	if seen == nil {
		t.Fatal(resp.Status)
	}
	for what, c := range map[string][2]string{
		"path":    {seen.RequestURI, "/a%2Fb/c?q=1&r=%20"},
		"host":    {seen.Host, "box.example:8080"},
		"cookies": {seen.Header.Get("Cookie"), "own=1; two=2"},
		"key":     {seen.Header.Get("Authorization"), "token of-the-app"},
		"for":     {seen.Header.Get("X-Forwarded-For"), "192.0.2.1"},
		"by":      {seen.Header.Get("X-Forwarded-Host"), "box.example:8080"},
		"prefix":  {seen.Header.Get("X-Forwarded-Prefix"), strings.TrimSuffix(root, "/")},
		"origin":  {seen.Header.Get("Origin"), "http://box.example:8080"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %q, want %q", what, c[0], c[1])
		}
	}
	want := []string{"a=1; HttpOnly; Path=" + root, "b=2; Path=" + root + "below", "c=3; Path=" + root}
	if got := resp.Header.Values("Set-Cookie"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("its cookies: %q", got)
	}
	for name, want := range map[string]string{"Service-Worker-Allowed": root, "Clear-Site-Data": "", "Location": root + "log-in", "X-Of-The-App": "yes"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// One that is told where it is gets its path as it is; and our own key is not for it.
	_ = body(t, w.request("GET", "/sessions/"+id+"/apps/told/x", "Authorization", key))
	if seen.RequestURI != "/sessions/"+id+"/apps/told/x" || seen.Header.Get("Authorization") != "" {
		t.Errorf("%s %q", seen.RequestURI, seen.Header.Get("Authorization"))
	}
	// Without its slash, and by another name, it is found all the same.
	for from, to := range map[string]string{
		"/sessions/" + id + "/apps/8000?x=1":      root + "?x=1",
		"/sessions/" + id + "/apps/notebook/tree": "/sessions/" + id + "/apps/jupyter/tree",
	} {
		if resp := w.request("GET", from, "Authorization", key); resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != to {
			t.Errorf("%s: %s %s", from, resp.Status, resp.Header.Get("Location"))
		}
	}
}

// TestStreams: what is long, in both directions, and what goes both ways at once.
func TestStreams(t *testing.T) {
	w := newWorld(t)
	more := make(chan string)
	w.listen(8000, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			ws, err := websocket.Accept(rw, r, nil)
			if err != nil {
				return
			}
			defer ws.CloseNow()
			for {
				kind, message, err := ws.Read(r.Context())
				if err != nil {
					return
				}
				_ = ws.Write(r.Context(), kind, bytes.ToUpper(message))
			}
		case "/events":
			rw.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(rw).Flush()
			for text := range more {
				fmt.Fprintf(rw, "data: %s\n\n", text)
				_ = http.NewResponseController(rw).Flush()
			}
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = io.CopyN(rw, zeros{}, n)
		}
	}))
	front := httptest.NewServer(w.apps)
	defer front.Close()
	at := "/sessions/" + id + "/apps/8000"
	ask := func(method, path string, send io.Reader) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, front.URL+at+path, send)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	const size = 20 << 20
	if got := body(t, ask("POST", "/", io.LimitReader(zeros{}, size))); len(got) != size {
		t.Errorf("%d bytes came back", len(got))
	}
	events := ask("GET", "/events", nil)
	defer events.Body.Close()
	lines := bufio.NewScanner(events.Body)
	for _, text := range []string{"one", "two"} {
		more <- text
		if lines.Scan(); lines.Text() != "data: "+text {
			t.Fatalf("%q", lines.Text())
		}
		lines.Scan()
	}
	close(more)
	ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(front.URL, "http")+at+"/ws",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {key}, "Origin": {front.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for range 3 {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.Read(t.Context()); err != nil || string(got) != "HELLO" {
			t.Fatalf("%q %v", got, err)
		}
	}
	// The appliance stops: nobody waits for a browser.
	w.apps.Close()
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the line goes on")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOpenKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.key")
	made, err := apps.OpenKey(file)
	if err != nil || len(made) != 32 {
		t.Fatal(made, err)
	}
	again, err := apps.OpenKey(file)
	if err != nil || !bytes.Equal(made, again) {
		t.Errorf("%x, then %x, %v", made, again, err)
	}
	if at, err := os.Stat(file); err != nil || at.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", at, err)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apps.OpenKey(file); err == nil {
		t.Error("a broken key is taken")
	}
}
