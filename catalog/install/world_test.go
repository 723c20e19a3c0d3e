package install_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// world is all that is around installs, in memory but for the folders.
type world struct {
	t       *testing.T
	folders *folders.Keeper

	mu       sync.Mutex
	installs map[string]install.Install
	models   map[string]install.Model
	rows     []folders.Folder
	broken   error // of the store

	recipes map[string]recipe.Entry
	files   map[string]string // of the one place
	commit  string
	fault   error         // of the next fetch
	hold    chan struct{} // a fetch waits for it, where it is not nil
	began   chan struct{} // a fetch tells it that it has begun
	opened  int           // how often files were fetched

	blobs map[string]string

	services map[string]*install.Service
	changed  chan struct{}
	comesUp  bool
	secrets  map[string]bool
	answer   recipe.Answer
	asked    int
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, installs: map[string]install.Install{}, models: map[string]install.Model{}, recipes: map[string]recipe.Entry{}, blobs: map[string]string{},
		services: map[string]*install.Service{}, changed: make(chan struct{}), comesUp: true, secrets: map[string]bool{}, commit: "c1",
		files:  map[string]string{"model.gguf": "weights", "config.json": "{}"},
		answer: recipe.Answer{Status: 200, Body: []byte(`{"ok": true}`)},
	}
	w.folders = folders.New(rows{w}, filepath.Join(t.TempDir(), "folders"), func(id string) (string, bool) {
		users := w.Users(id)
		if len(users) == 0 {
			return "", false
		}
		return users[0].Name, true
	})
	w.recipes["tiny"] = recipe.Entry{Catalog: "palisade", Readme: []byte("# Tiny"), Recipe: recipe.Recipe{
		Name: "tiny", Version: "1", License: recipe.License{ID: "MIT"},
		Sources:   []recipe.Source{{Name: "weights", From: "hf:tiny/tiny"}},
		Variants:  []recipe.Variant{{Name: "q8", Runtime: "llama-cpp", Source: "weights"}},
		SmokeTest: &recipe.SmokeTest{Method: "GET", Path: "/v1/models", Status: 200, Holds: []string{"ok = true"}},
	}}
	return w
}

// live is one life of a manager; stop ends it as the daemon's end does.
func (w *world) live() (m *install.Manager, stop func()) {
	w.t.Helper()
	m, err := install.New(w.t.Context(), install.Around{
		Store: w, Recipes: w, Planner: w, Places: w, Blobs: blobs{w}, Folders: w.folders, Services: services{w}, Secrets: w, Probe: w,
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	return m, func() { cancel(); <-ended }
}

func (w *world) lock() func() { w.mu.Lock(); return w.mu.Unlock }

// Store.

func (w *world) Installs(context.Context) ([]install.Install, error) {
	defer w.lock()()
	return slices.Collect(maps.Values(w.installs)), w.broken
}

func (w *world) SaveInstall(_ context.Context, in install.Install) error {
	defer w.lock()()
	if w.broken == nil {
		w.installs[in.ID] = in
	}
	return w.broken
}

func (w *world) DeleteInstall(_ context.Context, id string) error {
	defer w.lock()()
	delete(w.installs, id)
	return w.broken
}

func (w *world) Models(context.Context) ([]install.Model, error) {
	defer w.lock()()
	return slices.Collect(maps.Values(w.models)), w.broken
}

func (w *world) SaveModel(_ context.Context, m install.Model) error {
	defer w.lock()()
	if w.broken == nil {
		w.models[m.ID] = m
	}
	return w.broken
}

func (w *world) DeleteModel(_ context.Context, id string) error {
	defer w.lock()()
	delete(w.models, id)
	return w.broken
}

// rows are folders' rows.
type rows struct{ *world }

func (w *world) keep(all []folders.Folder) { w.rows = all }

func (r rows) Folders(context.Context) ([]folders.Folder, error) {
	defer r.lock()()
	return slices.Clone(r.rows), nil
}

func (r rows) SaveFolder(_ context.Context, f folders.Folder) error {
	defer r.lock()()
	r.keep(append(r.rows, f))
	return nil
}

func (r rows) UpdateFolder(_ context.Context, f folders.Folder) error {
	defer r.lock()()
	for i := range r.rows {
		if r.rows[i].ID == f.ID {
			r.rows[i] = f
			return nil
		}
	}
	return folders.ErrNotFound
}

func (r rows) DeleteFolder(_ context.Context, id string) error {
	defer r.lock()()
	r.keep(slices.DeleteFunc(r.rows, func(f folders.Folder) bool { return f.ID == id }))
	return nil
}

func (r rows) Grants(context.Context) ([]folders.Grant, error)                 { return nil, nil }
func (r rows) SaveGrant(context.Context, folders.Grant) error                  { return nil }
func (r rows) DeleteGrant(_ context.Context, _, _, _ string) error             { return nil }
func (w *world) Has(_ context.Context, name string) (bool, error)              { return w.secrets[name], nil }
func (w *world) Find(_ context.Context, name string) (e recipe.Entry, _ error) { return w.find(name) }

func (w *world) find(name string) (recipe.Entry, error) {
	e, is := w.recipes[name]
	if !is {
		return e, fmt.Errorf("recipe %q: %w", name, install.ErrNotFound)
	}
	return e, nil
}

// Plan implements install.Planner: the first variant, or the one that is asked for.
func (w *world) Plan(_ context.Context, _ string, r recipe.Recipe, wish install.Wish) (install.Choice, error) {
	v := r.Variants[0]
	if wish.Variant != "" {
		v, _ = r.Variant(wish.Variant)
	}
	return install.Choice{Variant: v.Name, Runtime: v.Runtime, Image: "host", Source: v.Source, Secrets: v.Secrets}, nil
}

// Source implements install.Places.
func (w *world) Source(context.Context, fetch.Ref, install.Asker) (fetch.Source, error) {
	return place{w}, nil
}

// place is the one place of files.
type place struct{ w *world }

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func (p place) List(_ context.Context, ref fetch.Ref) (fetch.Listing, error) {
	defer p.w.lock()()
	l := fetch.Listing{Ref: ref, Revision: p.w.commit}
	for _, name := range slices.Sorted(maps.Keys(p.w.files)) {
		l.Files = append(l.Files, fetch.File{Name: name, Bytes: int64(len(p.w.files[name])), SHA256: sum(p.w.files[name])})
	}
	return l, nil
}

func (p place) Open(context.Context, fetch.Listing, fetch.File, int64, int64) (io.ReadCloser, error) {
	return nil, errors.New("nobody opens it")
}

// Fetch implements install.Places.
func (w *world) Fetch(ctx context.Context, _ fetch.Source, l fetch.Listing, tell func(install.Transfer)) ([]install.File, error) {
	w.mu.Lock()
	hold, began, fault := w.hold, w.began, w.fault
	w.fault = nil
	w.mu.Unlock()
	if began != nil {
		began <- struct{}{}
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if fault != nil {
		tell(install.Transfer{Bytes: 9, Here: 4})
		return nil, fault
	}
	defer w.lock()()
	var out []install.File
	var t install.Transfer
	for _, f := range l.Files {
		t.Here += f.Bytes
		if _, is := w.blobs[f.SHA256]; is {
			t.Reused += f.Bytes
		} else {
			for _, text := range w.files {
				if sum(text) == f.SHA256 {
					w.blobs[f.SHA256] = text
					w.opened++
				}
			}
		}
		out = append(out, install.File{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256})
	}
	w.mu.Unlock()
	tell(t)
	w.mu.Lock()
	return out, nil
}

// blobs is install.Blobs.
type blobs struct{ *world }

func (b blobs) Link(sha string, root *os.Root, name string) error {
	defer b.lock()()
	text, is := b.blobs[sha]
	if !is {
		return os.ErrNotExist
	}
	return root.WriteFile(name, []byte(text), 0o444)
}

func (b blobs) Verify(_ context.Context, sha string, _ func(int64)) error {
	defer b.lock()()
	if text, is := b.blobs[sha]; is && sum(text) != sha {
		delete(b.blobs, sha)
	}
	return nil
}
func (b blobs) Release(...string) {}

func (b blobs) Sweep(_ context.Context, used func(string) bool, _ time.Time) (freed int64, _ error) {
	defer b.lock()()
	for s, text := range b.blobs {
		if !used(s) {
			freed += int64(len(text))
			delete(b.blobs, s)
		}
	}
	return freed, nil
}

// services is install.Services.
type services struct{ *world }

func (s services) Service(_, ref string) (install.Service, error) {
	defer s.lock()()
	for _, one := range s.services {
		if one.ID == ref || one.Name == ref {
			return *one, nil
		}
	}
	return install.Service{}, install.ErrNotFound
}

func (s services) Create(_ context.Context, w install.ServiceWish) (install.Service, error) {
	defer s.lock()()
	one := &install.Service{ID: fmt.Sprintf("svc-%d", len(s.services)+1), Name: w.Name, ModelName: w.Name, Folder: w.Folder, Revision: 1, Replicas: max(1, w.Replicas)}
	s.services[one.ID] = one
	s.settle(one)
	return *one, nil
}

func (s services) Update(_ context.Context, id string, w install.ServiceWish) (install.Service, error) {
	defer s.lock()()
	one := s.services[id]
	if one.Folder != w.Folder {
		one.Folder = w.Folder
		one.Revision++
	}
	s.settle(one)
	return *one, nil
}

// settle has a service come up, or fail. The caller holds mu.
func (w *world) settle(one *install.Service) {
	if w.comesUp {
		one.Good, one.Healthy, one.Failures = one.Revision, 1, 0
	} else {
		one.Healthy, one.Failures, one.LastError = 0, 3, "the engine ended with exit code 1"
	}
	w.tell()
}

// tell wakes who waits. The caller holds mu.
func (w *world) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (s services) Destroy(_ context.Context, _, id, _ string) error {
	defer s.lock()()
	delete(s.services, id)
	s.tell()
	return nil
}

// Users says who has a folder.
func (w *world) Users(folder string) (out []install.User) {
	defer w.lock()()
	for _, one := range w.services {
		if one.Folder == folder {
			out = append(out, install.User{Service: one.ID, Name: "service " + one.Name})
		}
	}
	return out
}

// Changed implements install.Services.
func (w *world) Changed() <-chan struct{} { defer w.lock()(); return w.changed }

// Ask implements install.Probe.
func (w *world) Ask(context.Context, string, string, recipe.Request) (recipe.Answer, error) {
	defer w.lock()()
	w.asked++
	return w.answer, nil
}

// steps is how an install went, in one line.
func steps(v install.View) string {
	var out []string
	for _, s := range v.Steps {
		mark := map[string]string{install.Finished: "", install.Skipped: "-", install.Broken: "!", install.Abandoned: "x", install.Waiting: "?", install.Working: "~"}[s.Status]
		out = append(out, mark+string(s.Step))
	}
	return string(v.Status) + " " + strings.Join(out, " ")
}

func (w *world) wantFolder(m *install.Manager, model string, revision int, want string) {
	w.t.Helper()
	one, err := m.Model("p", model)
	if err != nil || one.Revision(revision) == nil {
		w.t.Fatalf("%+v, %v", one, err)
	}
	f, err := w.folders.Find(w.t.Context(), "p", one.Revision(revision).Folder)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(f.Path, "model.gguf"))
	if err != nil || string(text) != want || !f.Sealed {
		w.t.Errorf("%q %v %+v", text, err, f)
	}
}
