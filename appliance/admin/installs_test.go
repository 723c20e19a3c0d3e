package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/api"
)

// installed installs a model and returns how that ended.
func (b *box) installed(body string) (out api.Install) {
	b.t.Helper()
	b.do("POST", "/installs", body, 202, &out)
	if _, err := b.Await(b.t.Context(), out.Project, out.Model, ""); err != nil {
		b.t.Fatal(err)
	}
	b.do("GET", "/installs/"+out.ID, "", 200, &out)
	return out
}

func TestInstall(t *testing.T) {
	b := newBox(t)
	in := b.installed(`{"source":"small"}`)
	if in.Status != "DONE" || in.Model != "small" || in.Revision != 1 || in.Service != "small" || in.Endpoint != "http://127.0.0.1:8080/v1" || in.Variant != "fp8" || in.Task != "chat" {
		t.Errorf("%+v", in)
	}
	for _, words := range []string{"/v1/chat/completions", `"model":"small"`, "Bearer $TOKEN"} {
		if !strings.Contains(in.Example, words) {
			t.Errorf("%q is not in %s", words, in.Example)
		}
	}
	var p api.Page[api.Install]
	if b.do("GET", "/installs", "", 200, &p); len(p.Items) != 1 || p.Items[0].ID != in.ID {
		t.Errorf("%+v", p)
	}
	var byName api.Install
	if b.do("GET", "/installs/small", "", 200, &byName); byName.ID != in.ID {
		t.Errorf("%+v", byName)
	}
	again := b.installed(`{"source":"small"}`)
	if again.Status != "DONE" || again.Revision != 1 || again.ID == in.ID {
		t.Errorf("%+v", again)
	}
	var s api.Service
	if b.do("GET", "/services/small", "", 200, &s); s.Revision != 1 {
		t.Errorf("nothing has changed, and the service has revision %d", s.Revision)
	}
}

func TestInstallRefused(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"taken","image":"host"}`, 201, nil)
	b.do("POST", "/installs", `{"source":"hf:a/slow","no_service":true}`, 202, nil)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind                     string
		words                    []string
	}{
		{"nothing named", "POST", "/installs", `{}`, 400, api.KindInvalid, []string{"no recipe is named", "palisade catalog list"}},
		{"unknown", "POST", "/installs", `{"source":"smal"}`, 404, api.KindNotFound, []string{"smal", "small"}},
		{"unknown field", "POST", "/installs", `{"sorce":"small"}`, 400, api.KindInvalid, []string{`did you mean "source"`}},
		{"unknown variant", "POST", "/installs", `{"source":"small","variant":"awq"}`, 400, api.KindInvalid, []string{"awq", "fp8"}},
		{"no place", "POST", "/installs", `{"source":"hf:"}`, 400, api.KindInvalid, []string{"hf"}},
		{"bad name", "POST", "/installs", `{"source":"small","name":"../x"}`, 400, api.KindInvalid, []string{"--name"}},
		{"negative", "POST", "/installs", `{"source":"small","context":-1}`, 400, api.KindInvalid, []string{"context"}},
		{"two projects", "POST", "/installs?project=red", `{"source":"small","project":"blue"}`, 400, api.KindInvalid, []string{"red", "blue"}},
		{"licence", "POST", "/installs", `{"source":"large"}`, 409, api.KindLicense, []string{"llama3.1", "https://example.org/licence", "--accept-license"}},
		{"somebody's service", "POST", "/installs", `{"source":"small","name":"taken"}`, 409, api.KindExists, []string{"taken", "--no-service"}},
		{"another wish", "POST", "/installs", `{"source":"hf:a/slow","no_service":true,"context":8192}`, 409, api.KindConflict, []string{"slow", "palisade model cancel slow"}},
		{"no such install", "GET", "/installs/slo", "", 404, api.KindNotFound, []string{`did you mean "slow"`}},
		{"no events", "GET", "/installs/none/events", "", 404, api.KindNotFound, []string{"none"}},
		{"not cancelled", "DELETE", "/installs/none", "", 404, api.KindNotFound, []string{"none"}},
		{"of another project", "GET", "/installs/slow?project=red", "", 404, api.KindNotFound, nil},
		{"no such model", "GET", "/models/none", "", 404, api.KindNotFound, []string{"palisade model list"}},
		{"no update", "POST", "/models/none/update", `{}`, 404, api.KindNotFound, []string{"none"}},
		{"no rollback", "POST", "/models/none/rollback", `{}`, 404, api.KindNotFound, []string{"none"}},
		{"no pin", "PATCH", "/models/none", `{"pinned":true}`, 404, api.KindNotFound, []string{"none"}},
		{"no removal", "DELETE", "/models/none", "", 404, api.KindNotFound, []string{"none"}},
		{"no README", "GET", "/models/none/readme", "", 404, api.KindNotFound, []string{"none"}},
		{"nothing to verify", "POST", "/models/verify", `{"model":"none"}`, 404, api.KindNotFound, []string{"none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := b.serve(b.request(c.method, c.path, c.body))
			p := problem(t, w)
			if w.Code != c.status || p.Kind() != c.kind {
				t.Errorf("%d %s, want %d %s: %s", w.Code, p.Kind(), c.status, c.kind, w.Body)
			}
			var text map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &text); err != nil {
				t.Fatal(err)
			}
			plain, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range c.words {
				if !strings.Contains(strings.ReplaceAll(string(plain), `\"`, `"`), word) {
					t.Errorf("%q is not in %s", word, plain)
				}
			}
		})
	}
}

// What goes wrong later is in the install, with what to do.
func TestInstallFails(t *testing.T) {
	b := newBox(t)
	for source, words := range map[string]string{"hf:a/gone": "there is no a/gone", "hf:a/words": "neither *.gguf nor *.safetensors"} {
		in := b.installed(`{"source":"` + source + `"}`)
		if in.Status != "FAILED" || in.Step != "resolve" || !strings.Contains(in.Error, words) || in.Hint == "" || in.EndedAt == nil {
			t.Errorf("%s: %+v", source, in)
		}
	}
	in := b.installed(`{"source":"large","accept_license":true}`)
	if in.Status != "FAILED" || in.Step != "plan" || in.Error == "" {
		t.Errorf("%+v", in)
	}
}

func TestInstallJoinedAndCancelled(t *testing.T) {
	b := newBox(t)
	var first, second api.Install
	b.do("POST", "/installs", `{"source":"hf:a/slow","no_service":true}`, 202, &first)
	if _, err := b.Await(t.Context(), first.Project, "slow", "download"); err != nil {
		t.Fatal(err)
	}
	b.do("POST", "/installs", `{"source":"hf:a/slow","no_service":true}`, 202, &second)
	if first.Joined || !second.Joined || second.ID != first.ID || second.Step != "download" {
		t.Errorf("%+v, %+v", first, second)
	}
	if b.do("DELETE", "/installs/slow", "", 200, &second); second.Status != "CANCELLED" || second.Error != "cancelled by me" {
		t.Errorf("%+v", second)
	}
	if p := problem(t, b.serve(b.request("DELETE", "/installs/slow", ""))); p.Kind() != api.KindState {
		t.Errorf("%+v", p)
	}
}

// The events of an install are one after every change, the last of them its end; a watcher who goes away ends nothing.
func TestInstallEvents(t *testing.T) {
	b := newBox(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.Handler.ServeHTTP(w, r.WithContext(admin.LocalPeer(r.Context(), "me")))
	}))
	defer srv.Close()
	events := func(ref string, until func(api.Install) bool) (last api.Install) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+api.Prefix+"/installs/"+ref+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
			t.Fatalf("%d %s", resp.StatusCode, got)
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			data, is := strings.CutPrefix(lines.Text(), "data: ")
			if !is {
				continue
			}
			last = api.Install{}
			if err := json.Unmarshal([]byte(data), &last); err != nil {
				t.Fatal(err)
			}
			if until(last) {
				return last
			}
		}
		t.Fatalf("the events ended: %v, %+v", lines.Err(), last)
		return last
	}
	b.do("POST", "/installs", `{"source":"hf:a/slow","no_service":true}`, 202, nil)
	at := events("slow", func(in api.Install) bool { return in.Step == "download" && in.Transfer != nil })
	if at.Status != "RUNNING" || at.Transfer.Files != 1 {
		t.Errorf("%+v", at)
	}
	var still api.Install
	if b.do("GET", "/installs/slow", "", 200, &still); still.Status != "RUNNING" {
		t.Errorf("nobody watches it any more, and it is %s", still.Status)
	}
	b.do("POST", "/installs", `{"source":"small"}`, 202, nil)
	done := events("small", func(in api.Install) bool { return in.Status != "RUNNING" })
	if done.Status != "DONE" || done.Endpoint == "" || done.Transfer != nil || len(done.Steps) != 10 {
		t.Errorf("%+v", done)
	}
}

func TestModels(t *testing.T) {
	b := newBox(t)
	b.installed(`{"source":"small"}`)
	var m api.Model
	b.do("GET", "/models/small", "", 200, &m)
	if m.Status != "ready" || m.Current != 1 || m.Service != "small" || m.License != "MIT" || len(m.Revisions) != 1 || m.Revisions[0].Folder != "small-r1" ||
		len(m.Revisions[0].Files) != 2 || len(m.UsedBy) != 1 || m.UsedBy[0] != "service small" || m.Bytes != 22 {
		t.Errorf("%+v", m)
	}
	var p api.Page[api.Model]
	if b.do("GET", "/models", "", 200, &p); len(p.Items) != 1 || p.Items[0].Revisions[0].Files != nil {
		t.Errorf("%+v", p)
	}
	if w := b.serve(b.request("GET", "/models/small/readme", "")); w.Code != 200 || !strings.Contains(w.Body.String(), "It says one sentence") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	refused := func(method, path, body, kind, words string) {
		t.Helper()
		p := problem(t, b.serve(b.request(method, path, body)))
		if p.Kind() != kind || !strings.Contains(p.Detail+" "+p.Hint, words) {
			t.Errorf("%s %s: %+v", method, path, p)
		}
	}
	refused("POST", "/models/small/rollback", `{}`, api.KindState, "no earlier revision")
	if b.do("PATCH", "/models/small", `{"pinned":true}`, 200, &m); !m.Pinned {
		t.Errorf("%+v", m)
	}
	refused("POST", "/models/small/update", `{}`, api.KindState, "palisade model unpin small")
	b.do("PATCH", "/models/small", `{"pinned":false}`, 200, nil)

	b.Places.Put("a/small", "model.safetensors", "better weights of small")
	var in api.Install
	change := func(path, body string) {
		t.Helper()
		b.do("POST", path, body, 202, &in)
		if _, err := b.Await(t.Context(), in.Project, in.Model, ""); err != nil {
			t.Fatal(err)
		}
		b.do("GET", "/installs/"+in.ID, "", 200, &in)
	}
	if change("/models/small/update", `{}`); in.Status != "DONE" || in.Kind != "update" || in.Revision != 2 {
		t.Errorf("%+v", in)
	}
	if b.do("GET", "/models/small", "", 200, &m); m.Current != 2 || len(m.Revisions) != 2 {
		t.Errorf("%+v", m)
	}
	refused("POST", "/models/small/rollback", `{"revision":7}`, api.KindNotFound, "no revision 7")
	if change("/models/small/rollback", `{}`); in.Status != "DONE" || in.Kind != "rollback" {
		t.Errorf("%+v", in)
	}
	if b.do("GET", "/models/small", "", 200, &m); m.Current != 1 || m.Service != "small" {
		t.Errorf("%+v", m)
	}

	refused("DELETE", "/models/small", "", api.KindInUse, "service small")
	var gone api.ModelRemoved
	if b.do("DELETE", "/models/small?force=true", "", 200, &gone); gone.Freed == 0 {
		t.Errorf("%+v", gone)
	}
	refused("GET", "/models/small", "", api.KindNotFound, "small")
	refused("GET", "/services/small", "", api.KindNotFound, "small")
}

func TestModelBytes(t *testing.T) {
	b := newBox(t)
	b.installed(`{"source":"small","no_service":true}`)
	verify := func() (last api.VerifyProgress) {
		t.Helper()
		w := b.serve(b.request("POST", "/models/verify", `{}`))
		for lines := json.NewDecoder(w.Body); ; {
			if err := lines.Decode(&last); err == io.EOF {
				return last
			} else if err != nil {
				t.Fatalf("%d %v", w.Code, err)
			}
		}
	}
	if got := verify(); !got.Done || got.Models != 1 || got.Files < 2 || len(got.Damaged) != 0 {
		t.Errorf("%+v", got)
	}
	var swept api.ModelsSwept
	if b.do("POST", "/models/gc", "", 200, &swept); swept.Freed != 0 {
		t.Errorf("%+v", swept)
	}
}

// A plan can be had of a place of files too, before anything of it is fetched.
func TestPlanOfAPlace(t *testing.T) {
	b := newBox(t)
	var p api.Plan
	b.do("POST", "/catalog/plan", `{"recipe":"hf:a/small"}`, 200, &p)
	if p.Recipe != "hf:a/small" || p.Runtime != "vllm" || p.Disk.Bytes != 22 || p.Image == "" {
		t.Errorf("%+v", p)
	}
	b.do("POST", "/catalog/plan", `{"recipe":"/srv/q4"}`, 200, &p)
	if p.Recipe != "/srv/q4" || p.Runtime != "llama-cpp" {
		t.Errorf("%+v", p)
	}
	for source, kind := range map[string]string{"hf:a/gone": api.KindNotFound, "hf:a/words": api.KindInvalid, "hf:": api.KindInvalid} {
		if p := problem(t, b.serve(b.request("POST", "/catalog/plan", `{"recipe":"`+source+`"}`))); p.Kind() != kind {
			t.Errorf("%s: %+v", source, p)
		}
	}
}

// An appliance that installs nothing says so.
func TestNoInstalls(t *testing.T) {
	full, err := admintest.New(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Appliance: full, t: t}
	b.Handler = admin.New(admin.Deps{Keys: full.Keys, Users: full.Users, Projects: full.Project, Services: full.Manager, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	for _, r := range [][3]string{
		{"GET", "/installs", ""}, {"POST", "/installs", `{"source":"small"}`}, {"GET", "/installs/x", ""}, {"DELETE", "/installs/x", ""}, {"GET", "/installs/x/events", ""},
		{"GET", "/models", ""}, {"GET", "/models/x", ""}, {"PATCH", "/models/x", `{}`}, {"DELETE", "/models/x", ""}, {"GET", "/models/x/readme", ""},
		{"POST", "/models/x/update", `{}`}, {"POST", "/models/x/rollback", `{}`}, {"POST", "/models/verify", `{}`}, {"POST", "/models/gc", ""},
		{"GET", "/models/x/bundle", ""}, {"POST", "/catalog/plan", `{"recipe":"hf:a/small"}`},
	} {
		w := b.serve(b.request(r[0], r[1], r[2]))
		if p := problem(t, w); w.Code != 501 || p.Kind() != api.KindNotSupported {
			t.Errorf("%s %s: %+v", r[0], r[1], p)
		}
	}
}
