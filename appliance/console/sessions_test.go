package console

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/api"
)

// api asks the API as an administrator.
func (b *bench) api() *api.Client {
	b.t.Helper()
	c, err := b.console.clientFor(b.request(http.MethodGet, "/", nil), "default")
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// session makes a session that runs.
func (b *bench) session(in api.SessionCreate) api.Session {
	b.t.Helper()
	if in.Image == "" {
		in.Image = "host"
	}
	made, err := b.api().CreateSession(admin.LocalPeer(b.t.Context(), "root"), in)
	if err != nil {
		b.t.Fatal(err)
	}
	return made[0]
}

// showing are words that a page must have, and mustn't.
func showing(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if w, not := strings.CutPrefix(w, "!"); strings.Contains(page, w) == not {
			t.Errorf("%q is there: %v, in %s", w, not, page[max(0, strings.Index(page, w)-80):min(len(page), max(0, strings.Index(page, w))+200)])
		}
	}
}

func TestSessionsList(t *testing.T) {
	b := newConsole(t)
	showing(t, b.get("/sessions", "en", 200), "No session is there", "Start a session")
	showing(t, b.get("/sessions", "ko", 200), "세션이 없습니다")
	b.session(api.SessionCreate{Name: "desk", Image: `"><script>alert(1)</script>`})
	b.session(api.SessionCreate{Name: "sweep", StartupCommand: "true", Array: "0-59"})
	showing(t, b.get("/sessions", "en", 200), "desk", "!sweep-1", "Interactive", "Running", "!<script>alert", "1 to 1 of 1")
	showing(t, b.get("/sessions?state=ended", "en", 200), "sweep-59", "1 to 50 of 60", "page=2", "!desk<")
	showing(t, b.get("/sessions?state=all&type=all&page=2", "ko", 200), "61개 중 51–61", "page=1")
	showing(t, b.get("/sessions?q=nothing+like+it", "en", 200), "No session is like that")
	b.get("/sessions?page=-1&type=%3Cx&state=%22", "en", 200)
	w := b.as(b.user("vera", false), http.MethodGet, "/sessions", nil)
	showing(t, w.Body.String(), "!id=\"session-new\"")
}

func TestSessionPage(t *testing.T) {
	b := newConsole(t)
	desk := b.session(api.SessionCreate{Name: "desk", PreopenPorts: []int{admintest.PortHTTP}})
	for _, language := range []string{"en", "ko"} {
		showing(t, b.get("/sessions/"+desk.ID, language, 200), "desk", `id="session-log"`, `id="live-session-history"`, `class="timeline"`, "64 MiB", `"memory":67108864`, `id="session-end"`, "palisade ssh desk")
	}
	showing(t, b.get("/sessions/"+desk.ID+"/apps", "en", 200), "Terminal", `target="_blank"`, "Port 8000")
	job := b.session(api.SessionCreate{Name: "job", StartupCommand: `exit 3; echo "</pre><script>alert(1)</script>"`})
	showing(t, b.get("/sessions/"+job.ID, "en", 200), "!<script>alert", "Start one like it", "!id=\"open-end\"")
	showing(t, b.get("/sessions/nothing", "en", 404), "nothing")
	b.get("/sessions/nothing/apps", "en", 404)
}

func TestSessionActions(t *testing.T) {
	b := newConsole(t)
	desk := b.session(api.SessionCreate{Name: "desk"})
	at := "/sessions/" + desk.ID
	b.post(at+"/change", url.Values{"name": {"bench"}, "priority": {"70"}}, 204)
	showing(t, b.post(at+"/change", url.Values{"name": {"bench"}, "priority": {"many"}}, 400).Body.String()+"<main", `data-field="priority"`)
	b.post(at+"/change", url.Values{"name": {"a/b"}}, 400)
	b.post(at+"/ends", url.Values{"idle_timeout": {"2 h"}, "max_lifetime": {"1d12h"}}, 204)
	showing(t, b.post(at+"/ends", url.Values{"idle_timeout": {"soon"}}, 400).Body.String()+"<main", `data-field="idle_timeout"`)
	b.post(at+"/restart", nil, 204)
	w := b.serve(b.request(http.MethodPost, at+"/apps/terminal", nil))
	if to := w.Header().Get("Refresh"); w.Code != 200 || !strings.HasPrefix(to, "0;url=http") || !strings.Contains(to, "/sessions/"+desk.ID+"/apps/terminal/") {
		t.Errorf("%d %s", w.Code, to)
	}
	b.post(at+"/apps/nothing", nil, 404)
	b.post(at+"/end", url.Values{"forced": {"1"}}, 204)
	b.post(at+"/end", nil, 409)
	b.post(at+"/restart", nil, 409)
}

func TestLengths(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "90m": 5400, "8h": 28800, "2d": 172800, "1h30m": 5400, "45": 2700, "1.5h": 5400, "30s": 30, "1w": 604800} {
		if got, err := lengthOf(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "5y", "-1h", "h", "1h-", "1..5h", "99999999999999h"} {
		if got, err := lengthOf(text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestSteps(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	all := []api.Transition{{At: at, To: "PENDING"}, {At: at.Add(time.Minute), To: "RUNNING"}, {At: at.Add(time.Hour), To: "TERMINATED"}}
	word := strings.ToLower
	history, spans := steps(all, at.Add(2*time.Hour), true, word)
	if len(history) != 3 || history[0].State != "TERMINATED" || history[0].Now || history[2].For != 60 || len(spans) != 2 {
		t.Errorf("%+v %+v", history, spans)
	}
	history, spans = steps(all[:2], at, false, word) // the clock was set back
	if !history[0].Now || len(spans) != 2 || spans[1].For != 0 {
		t.Errorf("%+v %+v", history, spans)
	}
	if history, spans := steps(nil, at, false, word); history != nil || spans != nil {
		t.Error("something out of nothing")
	}
}

func TestSSHLine(t *testing.T) {
	for _, c := range []struct{ listen, host, want string }{
		{"0.0.0.0:2222", "box.example:8080", "ssh -p 2222 desk@box.example"}, {":22", "box", "ssh desk@box"}, {"[::]:2222", "[fe80::1]:8080", "ssh -p 2222 desk@fe80::1"},
		{"127.0.0.1:2222", "box:8080", "ssh -p 2222 desk@127.0.0.1"}, {"nonsense", "box", ""},
	} {
		if got := sshLine(c.listen, c.host, "desk"); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func TestSessionStart(t *testing.T) {
	b := newConsole(t)
	if _, err := b.api().CreateFolder(admin.LocalPeer(t.Context(), "root"), api.FolderCreate{Name: "data"}); err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"en", "ko"} {
		showing(t, b.get("/sessions/new", language, 200), `id="session-form"`, `name="mounts[0].folder"`, ">data<", `id="session-forecast"`)
	}
	good := url.Values{
		"type": {"interactive"}, "image": {"other"}, "other_image": {"host"}, "name": {"desk"}, "cpu": {"2"}, "mem": {"4g"}, "slot:cuda.device": {"1"}, "slot:A B": {"1"},
		"mounts[0].folder": {"data"}, "mounts[0].mode": {"ro"}, "environ": {"A=b=c\r\n# no\nexport D=e"}, "preopen_ports": {"8000, 9000"}, "priority": {"40"},
		"idle_timeout": {"2h"}, "bootstrap": {"echo hello"}, "starts_at": {""},
	}
	showing(t, b.post("/sessions/check", good, 200).Body.String()+"<main", "Starts at once", "on box")
	many := maps.Clone(good)
	many.Set("slot:cuda.device", "8")
	showing(t, b.post("/sessions/check", many, 200).Body.String()+"<main", "Would wait", "4 of 8 free", "would fit with 4")
	w := b.post("/sessions/new", good, 204)
	to := w.Header().Get("HX-Redirect")
	s, err := b.api().Session(admin.LocalPeer(t.Context(), "root"), strings.TrimPrefix(to, "/console/sessions/"))
	if err != nil || s.Name != "desk" || s.Type != "interactive" || len(s.Mounts) != 1 || !s.Mounts[0].ReadOnly || s.Priority != 40 || len(s.PreopenPorts) != 2 || !strings.HasPrefix(s.StartupCommand, "echo hello\ntrap") {
		t.Errorf("%s: %+v %v", to, s, err)
	}
	showing(t, b.get("/sessions/new?from="+s.ID, "en", 200), `data-from`, `value="40"`, `value="8000, 9000"`)
	b.get("/sessions/new?from=nobody", "en", 404)
	for field, value := range map[string]string{
		"priority": "high", "idle_timeout": "soon", "preopen_ports": "99999", "environ": "nothing", "cluster_size": "x", "starts_at": "<b>", "mounts[0].folder": "nowhere", "name": "-",
	} {
		bad := maps.Clone(good)
		bad.Set("name", "other")
		bad.Set(field, value)
		showing(t, b.post("/sessions/new", bad, 400).Body.String()+"<main", `data-field="`+field+`"`)
		b.post("/sessions/check", bad, 200)
	}
	bad := maps.Clone(good)
	bad.Set("name", "other")
	bad.Set("environ", "A B=<script>")
	showing(t, b.post("/sessions/new", bad, 400).Body.String()+"<main", `data-field="environ"`, "!<script>")
	b.post("/sessions/new", url.Values{"type": {"batch"}, "image": {"host"}}, 400)
	w = b.post("/sessions/new", url.Values{"type": {"batch"}, "image": {"host"}, "startup_command": {"true"}, "array": {"1-3"}, "name": {"sweep"}}, 204)
	if to := w.Header().Get("HX-Redirect"); !strings.HasPrefix(to, "/console/sessions?") {
		t.Error(to)
	}
}
