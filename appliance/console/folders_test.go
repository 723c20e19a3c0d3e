package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/folders"
)

// hostile is a name that a page must escape.
const hostile = `<img src=x onerror=alert(1)>"'&.txt`

// folder makes one with files, and returns its id and its place.
func (b *bench) folder(name string, files map[string]string) (id, place string) {
	b.t.Helper()
	f, err := b.Folders.Create(b.t.Context(), folders.Spec{Name: name, Project: "default", Usage: folders.UsageGeneral, CreatedBy: "root"})
	if err != nil {
		b.t.Fatal(err)
	}
	for at, content := range files {
		full := filepath.Join(f.Path, at)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(content), 0o600)); err != nil {
			b.t.Fatal(err)
		}
	}
	return f.ID, f.Path
}

// has wants texts in a page, and none of others.
func has(t *testing.T, page string, want, not []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("%q is not in the page: %s", w, page)
		}
	}
	for _, n := range not {
		if strings.Contains(page, n) {
			t.Errorf("%q is in the page", n)
		}
	}
}

func TestFolders(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/folders", language, 200), []string{`class="empty-title"`, `id="create-folder"`}, []string{">folders."})
		has(t, b.get("/folders/trash", language, 200), []string{`class="empty-title"`}, nil)
	}
	w := b.post("/folders", url.Values{"name": {"data"}, "usage": {"data"}, "quota": {"1,5"}, "quota_unit": {"GiB"}}, 204)
	to := w.Header().Get("HX-Redirect")
	if !strings.HasPrefix(to, "/console/folders/fld-") || !strings.HasSuffix(to, "/files/") {
		t.Fatal(to)
	}
	id := strings.Split(to, "/")[3]
	has(t, b.post("/folders", url.Values{"name": {"data"}}, 409).Body.String(), []string{"data"}, nil)
	has(t, b.post("/folders", url.Values{"name": {"x"}, "quota": {"much"}}, 400).Body.String(), []string{`data-field="quota"`}, nil)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/folders", language, 200), []string{"data", `hx-get="/console/folders/` + id + `/use"`}, []string{"ZgotmplZ"})
		has(t, b.get("/folders?match=nothing", language, 200), []string{`class="empty-title"`}, []string{id})
		has(t, b.get("/folders/"+id, language, 200), []string{`value="1.5"`, `selected>GiB`, `id="live-shares"`, `data-clone="/api/v1/folders/`}, []string{"ZgotmplZ"})
		has(t, b.get("/folders/"+id+"/use", language, 200), []string{"0 B / 1.5 GiB", "svg"}, nil)
	}
	b.post("/folders/"+id+"/change", url.Values{"was": {"data"}, "name": {"other"}, "quota": {""}}, 204)
	b.post("/folders/"+id+"/share", url.Values{"with": {"person"}, "name": {"ada"}, "permission": {"rw"}}, 204)
	b.post("/folders/"+id+"/share", url.Values{"with": {"project"}, "name": {"a b"}, "permission": {"ro"}}, 400)
	has(t, b.get("/folders/"+id, "en", 200), []string{"other", "ada", "Read and write"}, nil)
	b.post("/folders/"+id+"/unshare", url.Values{"person": {"ada"}}, 204)
	b.post("/folders/"+id+"/remove", nil, 204)
	b.get("/folders/"+id, "en", 404)
	has(t, b.get("/folders/trash", "en", 200), []string{"other", "restore"}, nil)
	b.post("/folders/trash/"+id+"/restore", nil, 204)
	b.post("/folders/"+id+"/remove", nil, 204)
	b.post("/folders/trash/"+id+"/purge", nil, 204)
	b.post("/folders/trash/"+id+"/purge", nil, 404)
}

func TestBrowse(t *testing.T) {
	b := newConsole(t)
	id, place := b.folder("data", map[string]string{hostile: "x", "runs/7/log #1?.txt": "one\ntwo\n", "100%25.md": "# Title\n<script>alert(1)</script>"})
	for i := range 450 {
		if err := os.WriteFile(filepath.Join(place, "runs", fmt.Sprintf("part-%d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/folders/"+id+"/files/", language, 200), []string{"&lt;img src=x", `id="upload-files"`, `href="/console/folders/` + id + `/files/runs/"`}, []string{"<img src=x", "ZgotmplZ"})
	}
	page := b.get("/folders/"+id+"/files/runs/", "en", 200)
	has(t, page, []string{"part-0", "part-198", "1 to 200 of 451", "offset=200"}, []string{"part-200<"})
	has(t, b.get("/folders/"+id+"/files/runs/?offset=400", "en", 200), []string{"part-449", "401 to 451", "offset=200"}, nil)
	has(t, b.get("/folders/"+id+"/files/runs/?match=part-44&sort=size&reverse=true", "en", 200), []string{"part-44<", "part-449", `aria-sort="descending"`}, []string{"part-1<"})
	has(t, b.get("/folders/"+id+"/files/runs/?offset=x&sort=name", "en", 200), []string{"part-0"}, nil)
	b.get("/folders/"+id+"/files/runs/?sort=kind", "en", 400)
	has(t, b.get("/folders/"+id+"/files/runs", "en", 200), []string{"part-0"}, nil) // without its slash
	name := "/files/runs/7/log%20%231%3F.txt"
	has(t, b.get("/folders/"+id+"/files/runs/7/", "en", 200), []string{name}, nil)
	has(t, b.get("/folders/"+id+name, "en", 200), []string{"<li><code>one</code>", "log #1?.txt"}, nil)
	has(t, b.get("/folders/"+id+name+"/", "en", 200), []string{"<li><code>one</code>"}, nil)
	has(t, b.get("/folders/"+id+"/files/100%2525.md", "en", 200), []string{"Title"}, []string{"<script>alert"})
	has(t, b.get("/folders/"+id+"/files/100%2525.md?view=text", "en", 200), []string{"&lt;script&gt;alert"}, []string{"<script>alert"})
	b.get("/folders/"+id+"/files/nothing", "en", 404)
	b.get("/folders/"+id+"/files/%2e%2e%2fx", "en", 400)

	w := b.post("/folders/"+id+"/directory", url.Values{"at": {"runs"}, "name": {"8 /a"}, "what": {"directory"}}, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/folders/"+id+"/files/runs/8%20/a/" {
		t.Error(to)
	}
	b.post("/folders/"+id+"/directory", url.Values{"at": {""}, "name": {" / "}}, 400)
	b.post("/folders/"+id+"/directory", url.Values{"at": {""}, "name": {"runs/part-1"}, "what": {"file"}}, 412)
	b.post("/folders/"+id+"/move", url.Values{"from": {"runs/part-1"}, "to": {"renamed"}}, 204)
	b.post("/folders/"+id+"/move", url.Values{"from": {"runs/part-2"}, "to": {"/top"}}, 204)
	b.post("/folders/"+id+"/move", url.Values{"from": {"runs/part-3"}, "to": {"../../x"}}, 400)
	b.post("/folders/"+id+"/move", url.Values{"from": {"runs/part-3"}, "to": {"renamed"}}, 409)
	b.post("/folders/"+id+"/delete", url.Values{"path": {"top"}}, 204)
	b.post("/folders/"+id+"/delete", url.Values{"path": {"top"}}, 404)
	for _, at := range []string{"runs/renamed", "runs/part-3"} {
		if _, err := os.Stat(filepath.Join(place, at)); err != nil {
			t.Error(err)
		}
	}
}

func TestPreview(t *testing.T) {
	b := newConsole(t)
	id, _ := b.folder("data", map[string]string{
		"p.png": "\x89PNG\r\n\x1a\nxx", "v.svg": "<svg onload=alert(1)>", "t.csv": "a,b\n<b>1</b>,2\n", "e": "", "x.bin": "\x00\x01",
		"n.ipynb":   `{"cells":[{"cell_type":"markdown","source":"# Hi <script>1</script>"},{"cell_type":"code","execution_count":3,"source":["print(1)\n"],"outputs":[{"output_type":"display_data","data":{"text/html":"<script>alert(2)</script>"}},{"output_type":"display_data","data":{"image/png":"iVBORw0KGgo="}}]}]}`,
		"bad.ipynb": `{"cells": 7}`,
		"w.gguf":    "GGUF\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"bad.gguf":  "GGUF\x03",
		"large.txt": strings.Repeat("0123456789\n", 200_000),
		"page.html": "<script>alert(1)</script>",
	})
	for name, c := range map[string]struct{ want, not []string }{
		"p.png":     {[]string{`<img src="/api/v1/folders/` + id + `/files?path=p.png&amp;project=default&amp;show=true"`}, nil},
		"v.svg":     {[]string{"&lt;svg onload"}, []string{"<svg onload", "<img"}},
		"t.csv":     {[]string{"&lt;b&gt;1"}, []string{"<b>1"}},
		"e":         {[]string{"empty-title"}, nil},
		"x.bin":     {[]string{"empty-title"}, nil},
		"n.ipynb":   {[]string{"print(1)", `src="data:image/png;base64,iVBORw0KGgo="`, "[3]", "text/html"}, []string{"<script>1", "alert(2)", "ZgotmplZ"}},
		"bad.ipynb": {[]string{"alert-warning", "text-lines"}, nil},
		"w.gguf":    {[]string{"2 tensors"}, nil},
		"bad.gguf":  {[]string{"alert-warning"}, nil},
		"large.txt": {[]string{"More follows"}, []string{"/edit/large.txt"}},
		"page.html": {[]string{"&lt;script&gt;", "/edit/page.html"}, []string{"<script>alert"}},
	} {
		page := b.get("/folders/"+id+"/files/"+name, "en", 200)
		has(t, page, append(c.want, "download="), c.not)
		b.get("/folders/"+id+"/files/"+name, "ko", 200)
	}
}

func TestEdit(t *testing.T) {
	b := newConsole(t)
	id, place := b.folder("data", map[string]string{"model-definition.yaml": "\nmodels:\r\n- name: <b>\r\n", "x.bin": "\x00", "bad.txt": "\xff"})
	page := b.get("/folders/"+id+"/edit/model-definition.yaml", "en", 200)
	has(t, page, []string{`data-check="/api/v1/validate"`, `name="crlf"`, "&lt;b&gt;", `data-file="model-definition.yaml"`, ">\n\nmodels:\n"}, []string{"<b>\n"})
	b.get("/folders/"+id+"/edit/x.bin", "en", 415)
	b.get("/folders/"+id+"/edit/bad.txt", "ko", 415)
	b.get("/folders/"+id+"/edit/none", "en", 404)
	_, after, _ := strings.Cut(page, `name="etag" value="`)
	etag, _, _ := strings.Cut(after, `">`)
	etag = strings.ReplaceAll(etag, "&#34;", `"`)
	form := url.Values{"path": {"model-definition.yaml"}, "etag": {etag}, "crlf": {"true"}, "text": {"models:\n- name: a\r\n"}}
	w := b.post("/folders/"+id+"/save", form, http.StatusOK)
	has(t, w.Body.String(), []string{`id="file-version"`, `name="etag"`, "Saved"}, nil)
	if got, _ := os.ReadFile(filepath.Join(place, "model-definition.yaml")); string(got) != "models:\r\n- name: a\r\n" {
		t.Errorf("%q", got)
	}
	has(t, b.post("/folders/"+id+"/save", form, http.StatusPreconditionFailed).Body.String(), []string{"changed meanwhile", "Copy what you have written"}, nil)
	has(t, b.get("/folders/"+id+"/files/model-definition.yaml", "en", 200), []string{"/edit/model-definition.yaml"}, nil)
}
