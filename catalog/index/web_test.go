package index_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/signature"
)

func TestHTTPIndex(t *testing.T) {
	for name, archive := range map[string]bool{"files": false, "archive": true} {
		t.Run(name, func(t *testing.T) {
			b, m := newBox(t), newMaker(t, "one", "two")
			pack := func(w *index.Making) { w.Archive = archive }
			m.sign(pack)
			s := m.serve()
			refused(t, "a key that nobody trusts", b.add(index.Request{Name: "web", URL: s.URL}), signature.ErrUntrusted)
			b.trust(m.key)
			if v := b.mustAdd(index.Request{Name: "web", URL: s.URL}); v.Kind != index.HTTP || v.SignedBy == "" {
				t.Errorf("added: %+v", v)
			}
			b.expect("added", "web/one@1 web/two@1")
			m.write("two", "2")
			m.sign(pack)
			b.mustUpdate("web")
			b.expect("updated", "web/one@1 web/two@2")
			s.Close()
			_, err := b.Update(t.Context(), "web", index.Trust{})
			refused(t, "the server is gone", err, index.ErrUnreachable)
			b.restart()
			b.expect("the server is gone", "web/one@1 web/two@2")
		})
	}
}

func TestOnlyNewFilesAreFetched(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one", "two", "three")
	m.sign()
	b.trust(m.key)
	var fetched atomic.Int64
	files := http.FileServer(http.Dir(m.dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/recipe.yaml") {
			fetched.Add(1)
		}
		files.ServeHTTP(w, r)
	}))
	defer s.Close()
	b.mustAdd(index.Request{Name: "web", URL: s.URL})
	m.write("two", "2")
	m.sign()
	b.mustUpdate("web")
	if n := fetched.Load(); n != 4 {
		t.Errorf("%d recipes were fetched, not 3 and then 1", n)
	}
}

func TestServersThatMisbehave(t *testing.T) {
	m := newMaker(t, "one")
	m.sign()
	files := http.FileServer(http.Dir(m.dir))
	answer := func(path string, h http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				h(w, r)
				return
			}
			files.ServeHTTP(w, r)
		})
	}
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	tests := []struct {
		name string
		h    http.Handler
		want error
	}{
		{"no index", answer("/index.yaml", status(404)), index.ErrUnreachable},
		{"not allowed", answer("/index.yaml", status(403)), index.ErrUnreachable},
		{"a page", answer("/index.yaml", text("<html>")), index.ErrBroken},
		{"no signature", answer("/index.yaml.minisig", status(404)), signature.ErrUnsigned},
		{"a signature that cannot be had", answer("/index.yaml.minisig", status(500)), index.ErrUnreachable},
		{"a file that is missing", answer("/one/recipe.yaml", status(404)), index.ErrUnreachable},
		{"another file", answer("/one/recipe.yaml", text(source("one", "9"))), index.ErrChecksum},
		{"a file that never ends", answer("/one/recipe.yaml", text(strings.Repeat("x", 3<<20))), index.ErrUnreachable},
		{"a file that is cut off", answer("/one/recipe.yaml", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte("schema"))
			if r.Method == http.MethodGet {
				panic(http.ErrAbortHandler)
			}
		}), index.ErrUnreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			b.trust(m.key)
			s := httptest.NewServer(tt.h)
			defer s.Close()
			refused(t, tt.name, b.add(index.Request{Name: "web", URL: s.URL}), tt.want)
			b.expect("nothing was taken", "")
			if left, _ := os.ReadDir(filepath.Join(b.dir, "catalogs", "web")); len(left) != 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// entry of an archive.
type entry struct {
	name, text string
	kind       byte
}

func packed(t *testing.T, zip bool, entries ...entry) []byte {
	t.Helper()
	var b, z bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.text))}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			h.Linkname, h.Size, e.text = e.text, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !zip {
		return b.Bytes()
	}
	g := gzip.NewWriter(&z)
	if _, err := g.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func TestArchive(t *testing.T) {
	one := entry{"repo-main/one/recipe.yaml", source("one", "1"), tar.TypeReg}
	readme := entry{"repo-main/README.md", "# A catalog", tar.TypeReg}
	plain := entry{"./one/recipe.yaml", source("one", "1"), tar.TypeReg}
	tests := []struct {
		name, dir string
		body      []byte
		want      string
		err       error
	}{
		{"as forges make it", "", packed(t, true, entry{"repo-main/", "", tar.TypeDir}, readme, one), "a/one@1", nil},
		{"plain", "", packed(t, false, plain), "a/one@1", nil},
		{"a part", "recipes", packed(t, true, readme, entry{"repo-main/recipes/one/recipe.yaml", source("one", "1"), tar.TypeReg}), "a/one@1", nil},
		{"names that lead out", "", packed(t, true, plain, entry{"../two/recipe.yaml", source("two", "1"), tar.TypeReg},
			entry{"/etc/recipe.yaml", source("etc", "1"), tar.TypeReg}, entry{"one/../../recipe.yaml", "x", tar.TypeReg}), "a/one@1", nil},
		{"links", "", packed(t, true, plain, entry{"two", "/etc", tar.TypeSymlink}, entry{"two/recipe.yaml", "/etc/passwd", tar.TypeSymlink},
			entry{"three/recipe.yaml", "one/recipe.yaml", tar.TypeLink}), "a/one@1", nil},
		{"one file twice", "", packed(t, true, plain, plain), "", index.ErrBroken},
		{"cut off", "", packed(t, true, plain)[:100], "", index.ErrBroken},
		{"no tar", "", []byte("hello"), "", index.ErrBroken},
		{"nothing in it", "", packed(t, true, readme), "", index.ErrBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tt.body) }))
			defer s.Close()
			err := b.add(index.Request{Name: "a", URL: s.URL + "/main.tar.gz", Dir: tt.dir, Trust: index.Trust{Unsigned: true}})
			if tt.err != nil {
				refused(t, tt.name, err, tt.err)
			} else if err != nil {
				t.Fatal(err)
			}
			b.expect("added", tt.want)
		})
	}
}

func TestAnArchiveThatGrowsWhenUnpacked(t *testing.T) {
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 2 << 30}); err != nil {
		t.Fatal(err)
	}
	zip := func(src []byte) []byte {
		var z bytes.Buffer
		g := gzip.NewWriter(&z)
		if _, err := g.Write(src); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		return z.Bytes()
	}
	// One piece after another is one file to gzip.
	bomb := append(zip(head.Bytes()), bytes.Repeat(zip(make([]byte, 16<<20)), 40)...)
	b := newBox(t)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(bomb) }))
	defer s.Close()
	refused(t, "a bomb", b.add(index.Request{Name: "a", URL: s.URL + "/x.tgz", Trust: index.Trust{Unsigned: true}}), index.ErrBroken)
}

func TestPinnedArchive(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.file("c.tar", string(packed(t, false, entry{"one/recipe.yaml", source("one", "1"), tar.TypeReg})))
	s := m.serve()
	refused(t, "pinned to something else", b.add(index.Request{Name: "a", URL: s.URL + "/c.tar", Pin: "sha256:" + strings.Repeat("0", 64), Trust: index.Trust{Unsigned: true}}), index.ErrPinned)
	v := b.mustAdd(index.Request{Name: "a", URL: s.URL + "/c.tar", Trust: index.Trust{Unsigned: true}})
	if err := b.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if again := b.mustAdd(index.Request{Name: "a", URL: s.URL + "/c.tar", Pin: v.Revision, Trust: index.Trust{Unsigned: true}}); again.Pin != v.Revision {
		t.Errorf("pinned to %q", again.Pin)
	}
}
