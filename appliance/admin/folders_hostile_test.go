package admin_test

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// hostileNames are what nobody means who means well, and whether a file may be called so all the same.
func hostileNames() map[string]bool {
	return map[string]bool{
		"../x": false, "a/../../x": false, "..": false, "/": false, "": false, ".": false, "./..": false, "a/..": false, "\x00": false, "a\x00b": false, "a/\x00": false, "..\\..\\x\x00": false,
		".palisade-uploads": false, ".palisade-uploads/x": false, "a/../.palisade-uploads/x": false, "./.palisade-uploads/x": false, strings.Repeat("x", 256): false, strings.Repeat("x/", 3000) + "x": false,
		"/etc/passwd": true, "..\\..\\x": true, "a\nb": true, "-rf": true, " x" + "\t": true, "...": true, "CON": true, `"><script>alert(1)</script>`: true, "\u202egnp.exe": true, "%2e%2e%2fx": true, "x\x7f": true,
	}
}

// outside are files that are not where a folder's are, below a directory.
func outside(t *testing.T, dir, inside string) (out []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case path == inside:
			return fs.SkipDir
		case err == nil && !e.IsDir() && e.Name() == "x":
			out = append(out, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostileUploads: whatever a file is called, it is put into the folder or refused; what is said of sizes is not believed.
func TestHostileUploads(t *testing.T) {
	b := newBox(t)
	var folder api.Folder
	b.do("POST", "/folders", `{"name":"data"}`, 201, &folder)
	around := filepath.Dir(filepath.Dir(folder.Path))
	for name, good := range hostileNames() {
		text, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		wants := func(what string, code int, body string) {
			t.Helper()
			if good != (code < 300) || code >= 500 {
				t.Errorf("%s of %.60q: %d %.300s", what, name, code, body)
			}
		}
		w := b.serve(b.request("PUT", "/folders/data/files?path="+url.QueryEscape(name), "bytes"))
		wants("a file", w.Code, w.Body.String())
		w = b.serve(b.request("POST", "/folders/data/uploads", `{"path":`+string(text)+`,"size":5}`))
		wants("an upload", w.Code, w.Body.String())
		var begun api.FolderUpload
		if w.Code == http.StatusCreated && json.Unmarshal(w.Body.Bytes(), &begun) == nil {
			b.do("DELETE", "/folders/data/uploads/"+begun.ID, "", 204, nil)
		}
		if good {
			w = b.serve(b.request("GET", "/folders/data/files?path="+url.QueryEscape(name), ""))
			h := w.Header()
			if w.Code != 200 || w.Body.String() != "bytes" || h.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename*=UTF-8''") || strings.ContainsAny(h.Get("Content-Disposition"), "\r\n\"<>") {
				t.Errorf("%q: %d %s %v", name, w.Code, w.Body, h)
			}
			b.do("POST", "/folders/data/move", `{"from":`+string(text)+`,"to":"again"}`, 204, nil)
			b.do("DELETE", "/folders/data/entries?path=again", "", 204, nil)
			continue
		}
		if code := b.serve(b.request("PUT", "/folders/data/files?path=plain", "bytes")).Code; code != 200 {
			t.Fatal(code)
		}
		if w = b.serve(b.request("POST", "/folders/data/move", `{"from":"plain","to":`+string(text)+`}`)); w.Code < 400 || w.Code >= 500 {
			t.Errorf("moved to %.60q: %d %.300s", name, w.Code, w.Body)
		}
	}
	if found := outside(t, around, folder.Path); len(found) > 0 {
		t.Errorf("outside of the folder: %q", found)
	}

	for _, size := range []string{"-1", "9223372036854775807", "92233720368547758080", "1e30", "1.5", `"5"`, "null", "[]", strconv.Itoa(1 << 60)} {
		if w := b.serve(b.request("POST", "/folders/data/uploads", `{"path":"x","size":`+size+`}`)); w.Code < 400 || w.Code == 500 {
			if size != "null" { // nothing is said: it is empty
				t.Errorf("of size %s: %d %s", size, w.Code, w.Body)
			}
		}
	}
	var u api.FolderUpload
	b.do("POST", "/folders/data/uploads", `{"path":"x","size":4}`, 201, &u)
	if w := b.part(u.ID, 0, "01234567"); w.Code < 400 || w.Code >= 500 {
		t.Errorf("more than was said: %d %s", w.Code, w.Body)
	}
	for _, offset := range []string{"-1", "99999999999999999999", "x", "5"} {
		r := b.request("PATCH", "/folders/data/uploads/"+u.ID, "01")
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(api.HeaderOffset, offset)
		if w := b.serve(r); w.Code < 400 || w.Code >= 500 {
			t.Errorf("at %s: %d %s", offset, w.Code, w.Body)
		}
	}
	for _, id := range []string{"..%2f..%2fx", "%2e%2e", u.ID + "%00", "x"} {
		if w := b.serve(b.request("POST", "/folders/data/uploads/"+id+"/finish", `{}`)); w.Code < 400 || w.Code >= 500 {
			t.Errorf("upload %s: %d %s", id, w.Code, w.Body)
		}
	}
	endless := b.request("POST", "/folders/data/uploads", "")
	endless.Body, endless.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"path":"`), endlessly('x'))), -1
	endless.Header.Set("Content-Type", "application/json")
	if w := b.serve(endless); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a document without an end: %d %s", w.Code, w.Body)
	}
}

// endlessly is a reader of one byte, again and again.
type endlessly byte

func (e endlessly) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}
