package admin_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestListDirectory(t *testing.T) {
	b := newBox(t)
	var folder api.Folder
	b.do("POST", "/folders", `{"name":"data"}`, 201, &folder)
	for i := range 25 {
		if err := os.WriteFile(filepath.Join(folder.Path, fmt.Sprint("part-", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(folder.Path, "runs/7"), 0o700), os.WriteFile(filepath.Join(folder.Path, "runs/log"), []byte("12345"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var d api.Directory
	b.do("GET", "/folders/data/directory?limit=3&offset=9", "", 200, &d)
	if d.Directories != 1 || d.Files != 25 || len(d.Items) != 3 || d.Items[0].Path != "part-8" || d.Items[2].Path != "part-10" {
		t.Errorf("%+v", d)
	}
	b.do("GET", "/folders/data/directory?path=/runs/&sort=size&reverse=true", "", 200, &d)
	if d.Path != "runs" || len(d.Items) != 2 || d.Items[0].Path != "runs/7" || d.Items[1].Size != 5 || d.Items[1].ETag == "" || d.Items[0].Type != "directory" {
		t.Errorf("%+v", d)
	}
	for _, bad := range []string{"sort=kind", "offset=-1", "limit=5000", "reverse=perhaps", "path=../x", "path=part-1"} {
		b.do("GET", "/folders/data/directory?"+bad, "", 400, nil)
	}
	b.do("GET", "/folders/data/directory?path=nothing", "", 404, nil)
	b.do("GET", "/folders/other/directory", "", 404, nil)
}

// What a folder holds may look like a page: no browser runs it as one of ours.
func TestFilesForBrowsers(t *testing.T) {
	b := newBox(t)
	var folder api.Folder
	b.do("POST", "/folders", `{"name":"data"}`, 201, &folder)
	get := func(path string) *httptest.ResponseRecorder {
		return b.serve(b.request("GET", "/folders/data/files?"+path, ""))
	}
	for name, content := range map[string]string{
		"a.png": "\x89PNG\r\n\x1a\n<script>", "b.jpg": "\xff\xd8\xff", "c.gif": "GIF89a", "d.webp": "RIFF1234WEBP", "e.svg": "<svg onload='x'/>", "f.html": "<script>", "g.png": "<html>", "empty.png": "",
		"h\"\r\n'%;.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(folder.Path, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		w := get("path=" + url.QueryEscape(name))
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename*=UTF-8''") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" || strings.ContainsAny(h.Get("Content-Disposition"), "\"\r\n") {
			t.Errorf("%s: %d %v", name, w.Code, h)
		}
	}
	for name, want := range map[string]string{"a.png": "image/png", "b.jpg": "image/jpeg", "c.gif": "image/gif", "d.webp": "image/webp", "e.svg": "", "f.html": "", "g.png": "", "empty.png": ""} {
		w := get("show=true&path=" + name)
		if want == "" {
			if p := problem(t, w); p.Kind() != api.KindMediaType || w.Header().Get("Content-Disposition") != "" {
				t.Errorf("%s: %+v %v", name, p, w.Header())
			}
			continue
		}
		if h := w.Header(); w.Code != 200 || h.Get("Content-Type") != want || h.Get("Content-Disposition") != "inline" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'; sandbox") {
			t.Errorf("%s: %d %v", name, w.Code, h)
		}
	}
}

// Who saves what somebody else has changed meanwhile is told so, and nothing is lost.
func TestReplaceOnlyWhatWasSeen(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"data"}`, 201, nil)
	put := func(header, value, body string) *httptest.ResponseRecorder {
		r := b.request("PUT", "/folders/data/files?path=x", body)
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(header, value)
		return b.serve(r)
	}
	if w := put("If-None-Match", "*", "one"); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if p := problem(t, put("If-None-Match", "*", "two")); p.Kind() != api.KindPrecondition || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	etag := b.serve(b.request("GET", "/folders/data/files?path=x", "")).Header().Get("ETag")
	if w := put("If-Match", etag, "three"); w.Code != 200 {
		t.Error(w.Body)
	}
	if p := problem(t, put("If-Match", etag, "four")); p.Kind() != api.KindPrecondition || !strings.Contains(p.Detail, "changed meanwhile") {
		t.Errorf("%+v", p)
	}
	if p := problem(t, put("If-Match", "three", "five")); p.Kind() != api.KindInvalid {
		t.Errorf("%+v", p)
	}
	if got := b.serve(b.request("GET", "/folders/data/files?path=x", "")).Body.String(); got != "three" {
		t.Error(got)
	}
}

func TestValidate(t *testing.T) {
	b := newBox(t)
	for _, c := range []struct {
		name, text, kind string
		good             bool
		line             int
	}{
		{"model-definition.yaml", "models:\n  - name: a\n    model_path: /models\n", "model-definition", true, 0},
		{"sub/model-definition.yml", "models:\n  - model_path: 7\n", "model-definition", false, 2},
		{"recipe.yaml", "name: [", "recipe", false, 1},
		{"my-pipeline.yaml", "version: 2\n", "pipeline", false, 1},
		{"x.yaml", "a: 1\nb: [\n", "yaml", false, 2},
		{"x.yaml", "", "yaml", true, 0},
		{"x.json", "{\"a\": 1}", "json", true, 0},
		{"service-definition.toml", "[a]\nb = = 1\n", "toml", false, 2},
		{"service-definition.toml", "[a]\nb = 1\n", "toml", true, 0},
		{"x.txt", "[[[", "", true, 0},
	} {
		body := fmt.Sprintf(`{"file":%q,"text":%q}`, c.name, c.text)
		if !c.good {
			if p := problem(t, b.serve(b.request("POST", "/validate", body))); p.Kind() != api.KindInvalid || len(p.Errors) == 0 || p.Errors[0].Line < c.line {
				t.Errorf("%s %q: %+v", c.name, c.text, p)
			}
			continue
		}
		var got api.Validation
		b.do("POST", "/validate", body, 200, &got)
		if got.Kind != c.kind {
			t.Errorf("%s %q: %+v", c.name, c.text, got)
		}
	}
	b.do("POST", "/validate", `{"text":"x"}`, 400, nil)
}
