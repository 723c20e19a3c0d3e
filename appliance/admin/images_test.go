package admin_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

// pull pulls an image and returns every line of the answer.
func (b *box) pull(ref string) []api.PullProgress {
	b.t.Helper()
	w := b.serve(b.request("POST", "/images/pull", `{"image":"`+ref+`"}`))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-ndjson" {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	var out []api.PullProgress
	for line := range strings.Lines(w.Body.String()) {
		var p api.PullProgress
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			b.t.Fatalf("%v in %q", err, line)
		}
		out = append(out, p)
	}
	return out
}

func TestPullImage(t *testing.T) {
	b := newBox(t)
	lines := b.pull("busybox")
	last := lines[len(lines)-1]
	if len(lines) != 4 || lines[1].Message != "layer 1 of 2" || lines[1].Done != 1<<20 || lines[1].Image != nil ||
		last.Image == nil || last.Image.Name != "docker.io/library/busybox:latest" || last.Problem != nil {
		t.Errorf("%+v", lines)
	}
	for ref, want := range map[string]struct {
		kind string
		hint string
	}{
		"ghcr.io/a/denied": {api.KindForbidden, "palisade registry login ghcr.io"},
		"missing":          {api.KindNotFound, "check the name"},
		"foreign":          {api.KindState, ""},
		"huge":             {api.KindStorageFull, "free some space"},
		"secret":           {api.KindInternal, "log"},
	} {
		lines := b.pull(ref)
		last := lines[len(lines)-1]
		if p := last.Problem; p == nil || last.Image != nil || p.Kind() != want.kind || !strings.Contains(p.Hint, want.hint) || p.RequestID == "" ||
			strings.Contains(p.Detail, "secret detail") {
			t.Errorf("%s: %+v", ref, last.Problem)
		}
	}
	if !strings.Contains(b.log.String(), "secret detail") {
		t.Error("the log does not say what went wrong")
	}
	for body, want := range map[string]int{`{"image":"Not A Name"}`: 400, `{"image":""}`: 400, `{}`: 400, `{"ref":"a"}`: 400, `[`: 400} {
		w := b.serve(b.request("POST", "/images/pull", body))
		if p := problem(t, w); w.Code != want || p.Detail == "" {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestImagesInUse(t *testing.T) {
	b := newBox(t)
	b.pull("busybox")
	b.pull("ghcr.io/a/b:1")
	b.pull("idle")
	b.do("POST", "/services", `{"name":"chat","image":"busybox"}`, 201, nil)
	b.do("POST", "/services", `{"name":"other","image":"ghcr.io/a/b:1","replicas":0}`, 201, nil)
	var page api.Page[api.Image]
	b.do("GET", "/images", "", 200, &page)
	users := map[string]string{}
	for _, img := range page.Items {
		users[img.Name] = strings.Join(img.UsedBy, " and ")
	}
	if len(page.Items) != 3 || !strings.HasPrefix(users["docker.io/library/busybox:latest"], "service chat and session ses-") ||
		users["ghcr.io/a/b:1"] != "service other" || users["docker.io/library/idle:latest"] != "" {
		t.Errorf("%v", users)
	}
	b.do("GET", "/images?limit=1", "", 200, &page)
	if len(page.Items) != 1 || page.Next == "" {
		t.Errorf("%+v", page)
	}
	w := b.serve(b.request("DELETE", "/images?ref=docker.io/busybox", ""))
	if p := problem(t, w); w.Code != 409 || p.Kind() != api.KindInUse || !strings.Contains(p.Detail, "service chat, session ses-") || p.Hint == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var pruned api.ImagesPruned
	b.do("POST", "/images/prune", `{"older_than":3600}`, 200, &pruned)
	if len(pruned.Removed) != 0 {
		t.Errorf("%+v", pruned)
	}
	b.do("POST", "/images/prune", `{}`, 200, &pruned)
	if len(pruned.Removed) != 1 || pruned.Removed[0].Name != "docker.io/library/idle:latest" {
		t.Errorf("%+v", pruned)
	}
	b.do("POST", "/images/prune", `{"older_than":-1}`, 400, nil)
	b.do("DELETE", "/services/chat", "", 204, nil)
	w = b.serve(b.request("DELETE", "/images?ref=bussybox", ""))
	if p := problem(t, w); w.Code != 404 || !strings.Contains(p.Hint, "mean \"busybox:latest") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.do("DELETE", "/images", "", 400, nil)
}

func TestArchivesOfImages(t *testing.T) {
	b := newBox(t)
	send := func(body string) (int, string) {
		r := b.request("POST", "/images/import", "")
		r.Body = http.NoBody
		if body != "" {
			r = b.request("POST", "/images/import", body)
			r.Header.Set("Content-Type", "application/octet-stream")
		}
		w := b.serve(r)
		return w.Code, w.Body.String()
	}
	if code, body := send("ghcr.io/a/b:1"); code != 200 || !strings.Contains(body, `"name":"ghcr.io/a/b:1"`) {
		t.Errorf("%d %s", code, body)
	}
	for _, bad := range []string{"junk", ""} {
		if code, body := send(bad); code != 400 || !strings.Contains(body, "docker save") {
			t.Errorf("%q: %d %s", bad, code, body)
		}
	}
	w := b.serve(b.request("GET", "/images/export?ref=ghcr.io/a/b:1", ""))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-tar" || w.Body.String() != "ghcr.io/a/b:1\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.do("GET", "/images/export?ref=nothing", "", 404, nil)
	b.do("GET", "/images/export", "", 400, nil)

	// One that breaks off must not look whole.
	b.pull("half")
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // that very value is what net/http looks for
			t.Error("the answer ended as if it were whole")
		}
	}()
	b.serve(b.request("GET", "/images/export?ref=half", ""))
}

func TestRuntimeWithoutImages(t *testing.T) {
	h := admin.New(admin.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	b := &box{t: t, log: &bytes.Buffer{}}
	for _, c := range [][3]string{
		{"GET", "/images"}, {"DELETE", "/images?ref=a"}, {"POST", "/images/pull", `{"image":"a"}`}, {"POST", "/images/import", "x"},
		{"GET", "/images/export?ref=a"}, {"POST", "/images/prune", `{}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, b.request(c[0], c[1], c[2]))
		if p := problem(t, w); w.Code != 501 || !strings.Contains(p.Detail, "plain processes") || !strings.Contains(p.Hint, "--runtime containerd") {
			t.Errorf("%v: %d %s", c, w.Code, w.Body)
		}
	}
}

func TestRegistries(t *testing.T) {
	b := newBox(t)
	var one api.Registry
	b.do("PUT", "/registries/GHCR.io", `{"user":"ann","password":"hunter2"}`, 200, &one)
	if one.Host != "ghcr.io" || one.User != "ann" || one.CreatedAt.IsZero() {
		t.Errorf("%+v", one)
	}
	b.do("PUT", "/registries/localhost:5000", `{"user":"bob","password":"hunter3"}`, 200, nil)
	var page api.Page[api.Registry]
	b.do("GET", "/registries", "", 200, &page)
	if len(page.Items) != 2 || page.Items[0] != one {
		t.Errorf("%+v", page.Items)
	}
	b.do("GET", "/registries/ghcr.io", "", 200, &one)
	for _, c := range [][3]string{
		{"PUT", "/registries/ghcr.io", `{"user":"ann","password":""}`}, {"PUT", "/registries/ghcr.io%2Fteam", `{"user":"ann","password":"x"}`},
		{"PUT", "/registries/ghcr.io", `{"user":"ann","pasword":"hunter4"}`},
	} {
		b.do(c[0], c[1], c[2], 400, nil)
	}
	b.do("GET", "/registries/ghcr.oi", "", 404, nil)
	b.do("DELETE", "/registries/ghcr.io", "", 204, nil)
	b.do("DELETE", "/registries/ghcr.io", "", 404, nil)
	if strings.Contains(b.log.String(), "hunter") {
		t.Errorf("the log has a password:\n%s", b.log)
	}
}
