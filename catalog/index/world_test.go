package index_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/git"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// rows is an index.Store in memory.
type rows struct {
	mu       sync.Mutex
	catalogs map[string]index.Catalog
	keys     []index.TrustedKey
	broken   error
	away     error // of reading
}

func (r *rows) Catalogs(context.Context) ([]index.Catalog, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.catalogs), func(a, b index.Catalog) int { return strings.Compare(a.Name, b.Name) }), r.away
}

func (r *rows) SaveCatalog(_ context.Context, c index.Catalog) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		r.catalogs[c.Name] = c
	}
	return r.broken
}

func (r *rows) DeleteCatalog(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.catalogs, name)
	return nil
}

func (r *rows) CatalogKeys(context.Context) ([]index.TrustedKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys), nil
}

func (r *rows) SaveCatalogKey(_ context.Context, k index.TrustedKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(slices.DeleteFunc(r.keys, func(o index.TrustedKey) bool { return o.ID == k.ID }), k)
	return nil
}

func (r *rows) DeleteCatalogKey(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.DeleteFunc(r.keys, func(o index.TrustedKey) bool { return o.ID == id })
	return nil
}

// box is an appliance's index, over the sources that the daemon uses.
type box struct {
	*index.Index
	t    *testing.T
	rows *rows
	dir  string
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), rows: &rows{catalogs: map[string]index.Catalog{}}}
	b.restart()
	return b
}

// restart has the next daemon go on with what the last one left.
func (b *box) restart() {
	client := web.New(web.Options{Header: 5 * time.Second, Stall: 5 * time.Second})
	repositories := git.New(git.Options{Dir: b.t.TempDir(), HTTP: client})
	b.Index = index.New(index.Deps{
		Store: b.rows, Dir: filepath.Join(b.dir, "catalogs"), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Shipped: func() []recipe.Entry {
			return []recipe.Entry{{Catalog: recipe.Shipped, Recipe: recipe.Recipe{Name: "hello"}}}
		},
		Sources: func(scheme string) (fetch.Source, error) {
			switch scheme {
			case "http":
				return web.NewSource(client, nil), nil
			case "git":
				return repositories, nil
			default:
				return nil, fmt.Errorf("no place is called %s", scheme)
			}
		},
	})
}

// names are all recipes that can be found.
func (b *box) names() string {
	var out []string
	for _, e := range b.Collection(b.t.Context()).All() {
		out = append(out, e.ID()+"@"+e.Version)
	}
	return strings.Join(out, " ")
}

// expect compares the recipes of the catalogs that were added.
func (b *box) expect(when, want string) {
	b.t.Helper()
	if got := strings.TrimSpace(strings.TrimPrefix(b.names(), "palisade/hello@")); got != want {
		b.t.Errorf("%s: recipes %q, want %q", when, got, want)
	}
}

func (b *box) add(q index.Request) error {
	b.t.Helper()
	q.By = "ann"
	_, err := b.Add(b.t.Context(), q)
	return err
}

func (b *box) mustAdd(q index.Request) index.View {
	b.t.Helper()
	q.By = "ann"
	v, err := b.Add(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *box) trust(s signature.Signer) {
	b.t.Helper()
	if _, err := b.Trust(b.t.Context(), s.Key().String(), "maker", "ann"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) mustUpdate(name string) index.Update {
	b.t.Helper()
	u, err := b.Update(b.t.Context(), name, index.Trust{})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// refused checks the kind of an error, and that it has a hint.
func refused(t *testing.T, when string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, not %v", when, err, want)
		return
	}
	hinter, is := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !is || hinter.Hint() == "" {
		t.Errorf("%s: %q has no hint", when, err)
	}
}

// maker makes a catalog in a directory.
type maker struct {
	t   *testing.T
	dir string
	key signature.Signer
}

func newMaker(t *testing.T, recipes ...string) *maker {
	t.Helper()
	m := &maker{t: t, dir: t.TempDir(), key: newKey(t)}
	for _, name := range recipes {
		m.write(name, "1")
	}
	return m
}

func newKey(t *testing.T) signature.Signer {
	t.Helper()
	key, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (m *maker) write(name, version string) {
	m.t.Helper()
	m.file(name+"/recipe.yaml", source(name, version))
	m.file(name+"/README.md", "# "+name+"\n")
}

func (m *maker) file(name, text string) {
	m.t.Helper()
	at := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *maker) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.dir, name)); err != nil {
		m.t.Fatal(err)
	}
}

// sign publishes what is there.
func (m *maker) sign(how ...func(*index.Making)) index.Manifest {
	m.t.Helper()
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	defer root.Close()
	making := index.Making{Signer: m.key, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	for _, f := range how {
		f(&making)
	}
	made, problems, err := index.Sign(root, making)
	if err != nil {
		m.t.Fatal(err, problems)
	}
	return made
}

// serve publishes the directory over HTTP.
func (m *maker) serve() *httptest.Server {
	s := httptest.NewServer(http.FileServer(http.Dir(m.dir)))
	m.t.Cleanup(s.Close)
	return s
}

func source(name, version string) string {
	return fmt.Sprintf(`schema: 1
name: %s
version: %s
title: %s
description: A model of a test.
license: {id: MIT, url: "https://example.org/licence"}
publisher: Example
homepage: https://example.org
task: chat
inputs: [text]
outputs: [text]
parameters: 1000
context: 2048
sources:
  - {name: weights, from: "hf:example/%s", bytes: 1MB}
variants:
  - name: gguf
    runtime: llama-cpp
    images: example.org/llama:%s
    accelerators: [cpu]
    source: weights
    model: model.gguf
    context: 2048
    concurrency: 1
    memory: {weights: 1MB, cache: 1MB, overhead: 1MB}
    minimum_needs: {cpu: 1, mem: 256m}
`, name, version, name, name, version)
}
