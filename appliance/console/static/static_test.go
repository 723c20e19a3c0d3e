package static

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Files of others are as their packages have them, and each is listed with its package, version, licence and sum.
func TestVendoredFilesAreTheirs(t *testing.T) {
	raw, err := os.ReadFile("VENDORED.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{} // sum by name
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == 5 && len(strings.TrimSpace(cells[4])) == 64 {
			listed[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[4])
		}
	}
	var found []string
	for _, dir := range []string{"vendor", "icons"} {
		entries, err := fs.ReadDir(embedded, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := dir + "/" + e.Name()
			content, err := embedded.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(content)
			if got := hex.EncodeToString(sum[:]); listed[name] != got {
				t.Errorf("%s has the sum %s; VENDORED.md says %q", name, got, listed[name])
			}
			found = append(found, name)
		}
	}
	for name := range listed {
		if !slices.Contains(found, name) {
			t.Errorf("VENDORED.md lists %s, which is not there", name)
		}
	}
}

func TestServe(t *testing.T) {
	f, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	path, err := f.Path("js/console.js")
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, encoding string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/"+path, nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		return w
	}
	if w := get(path, "gzip, br"); w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := get(path, ""); w.Header().Get("Content-Encoding") != "" || !strings.Contains(w.Body.String(), "use strict") {
		t.Errorf("plain: %v", w.Header())
	}
	if w := get("0000/js/console.js", ""); w.Code != 200 || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("another version: %d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"0000/../static.go", "0000/", "", "0000/VENDORED.md", "0000/icons/home.svg"} {
		if w := get(bad, ""); w.Code != http.StatusNotFound {
			t.Errorf("%q: %d", bad, w.Code)
		}
	}
	if _, err := f.Path("js/none.js"); err == nil {
		t.Error("a file that is not there has a path")
	}
	if _, err := f.Icon("none"); err == nil {
		t.Error("an icon that is not there is drawn")
	}
}

// A colour of a name that Tabler does not have (its names begin with --tblr-) is no colour, and nothing says so.
func TestColoursAreThere(t *testing.T) {
	read := func(dir, end string) map[string]string {
		out := map[string]string{}
		entries, err := fs.ReadDir(embedded, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), end) {
				raw, err := embedded.ReadFile(dir + "/" + e.Name())
				if err != nil {
					t.Fatal(err)
				}
				out[dir+"/"+e.Name()] = string(raw)
			}
		}
		return out
	}
	own, scripts, known := read("css", ".css"), read("js", ".js"), ""
	for _, texts := range []map[string]string{own, scripts, read("vendor", ".css")} {
		for _, text := range texts {
			known += text
		}
	}
	used := regexp.MustCompile(`var\((--[\w-]+)\)|colour\('(--[\w-]*\w)'\)`)
	for _, texts := range []map[string]string{own, scripts} {
		for name, text := range texts {
			for _, m := range used.FindAllStringSubmatch(text, -1) {
				word := m[1] + m[2]
				if !strings.Contains(known, word+":") && !strings.Contains(known, "'"+word+"',") && !strings.Contains(known, `"`+word+`",`) {
					t.Errorf("%s uses %s, which no style sheet has", name, word)
				}
			}
		}
	}
}
