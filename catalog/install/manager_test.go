package install_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
)

const through = "DONE resolve license plan download folder -image service start test -calibrate"

func begin(t *testing.T, m *install.Manager, w install.Wish) install.View {
	t.Helper()
	if w.Kind == "" {
		w.Kind = install.KindInstall
	}
	v, _, err := m.Begin(t.Context(), "p", "ada", w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ended waits until nothing happens any more and says how the newest install of a model went.
func ended(t *testing.T, m *install.Manager, model string) string {
	t.Helper()
	time.Sleep(10 * time.Second) // tries of a smoke test are apart
	synctest.Wait()
	v, err := m.Install("p", model)
	if err != nil {
		t.Fatal(err)
	}
	return steps(v)
}

func wantFault(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	var hinted interface{ Hint() string }
	hint := ""
	if errors.As(err, &hinted) {
		hint = hinted.Hint()
	}
	for _, word := range words {
		if err == nil || !errors.Is(err, kind) || !strings.Contains(err.Error()+" ("+hint+")", word) {
			t.Errorf("got %v (%s), want %v with %q", err, hint, kind, word)
		}
	}
}

func in(t *testing.T, run func(t *testing.T, w *world, m *install.Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, stop := w.live()
		defer stop()
		run(t, w, m)
	})
}

func TestInstall(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); got != through {
			t.Fatal(got)
		}
		w.wantFolder(m, "tiny", 1, "weights")
		model, err := m.Model("p", "tiny")
		if err != nil || model.Current != 1 || !model.Revision(1).Good || model.Service != "svc-1" || model.Revision(1).Pin != "c1" {
			t.Errorf("%+v %v", model, err)
		}
		// Again: nothing is fetched, made or changed.
		begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); got != through || w.opened != 2 || len(w.services) != 1 || len(w.rows) != 1 {
			t.Errorf("%s, %d fetched, %d services, %d folders", got, w.opened, len(w.services), len(w.rows))
		}
	})
}

// TestResume: what a daemon that ended in the middle has begun, the next goes on with; the place has changed meanwhile, and what
// was listed before is what comes.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, stop := w.live()
		w.hold, w.began = make(chan struct{}), make(chan struct{}, 1)
		begin(t, m, install.Wish{Source: "tiny"})
		synctest.Wait()
		stop()
		for id, in := range w.installs {
			if in.Status != install.Running || in.Step() != install.StepDownload {
				t.Errorf("%s %s", id, in.Status)
			}
		}
		w.commit, w.hold, w.began = "c2", nil, nil
		m, stop = w.live()
		defer stop()
		if got := ended(t, m, "tiny"); got != through {
			t.Fatal(got)
		}
		if model, _ := m.Model("p", "tiny"); model.Revision(1).Pin != "c1" {
			t.Errorf("revision %s", model.Revision(1).Pin)
		}
	})
}

// TestJoin: the same wish is joined, another one has to wait.
func TestJoin(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		w.hold, w.began = make(chan struct{}), make(chan struct{}, 2)
		first := begin(t, m, install.Wish{Source: "tiny"})
		synctest.Wait()
		v, joined, err := m.Begin(t.Context(), "p", "bob", install.Wish{Kind: install.KindInstall, Source: "tiny"})
		if err != nil || !joined || v.ID != first.ID {
			t.Errorf("%v %v %s", err, joined, v.ID)
		}
		_, _, err = m.Begin(t.Context(), "p", "bob", install.Wish{Kind: install.KindInstall, Source: "tiny", Variant: "q8"})
		wantFault(t, err, install.ErrConflict, "begun by ada, is at download", "palisade model cancel tiny")
		// Somebody else's project is another matter.
		if _, joined, err := m.Begin(t.Context(), "q", "bob", install.Wish{Kind: install.KindInstall, Source: "tiny", NoService: true}); err != nil || joined {
			t.Error(joined, err)
		}
		_, err = m.Remove(t.Context(), "p", "tiny", "ada", true)
		wantFault(t, err, install.ErrNotFound, "tiny")
		close(w.hold)
		if got := ended(t, m, "tiny"); !strings.HasPrefix(got, "DONE") {
			t.Error(got)
		}
	})
}

// TestFailedAndGoesOn: a step that fails says what and why; the same command goes on.
func TestFailedAndGoesOn(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		w.fault = errors.Join(fetch.ErrTruncated)
		first := begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); got != "FAILED resolve license plan !download ?folder ?image ?service ?start ?test ?calibrate" {
			t.Error(got)
		}
		v, _ := m.Install("p", "tiny")
		if !strings.Contains(v.Error, "fetching hf:tiny/tiny: cut off") || v.Hint == "" {
			t.Errorf("%s (%s)", v.Error, v.Hint)
		}
		if here := m.Here()["hf:tiny/tiny"]; here != 4 { // or a disk that the first try has half filled has no room for the second
			t.Errorf("%d bytes are known to be here", here)
		}
		again := begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); got != through || again.ID != first.ID || again.Attempt != 2 {
			t.Error(got, again.Attempt)
		}
	})
}

func TestRefused(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		gated := w.recipes["tiny"]
		gated.Name = "gated"
		gated.License = recipe.License{ID: "llama3.1", URL: "https://example.com/l", Accept: true}
		gated.Sources = []recipe.Source{{Name: "weights", From: "hf:tiny/tiny", Secret: "HF_TOKEN"}}
		w.recipes["gated"] = gated
		w.services["svc-own"] = &install.Service{ID: "svc-own", Name: "own"}
		ask := func(wish install.Wish) error {
			wish.Kind = install.KindInstall
			_, _, err := m.Begin(t.Context(), "p", "ada", wish)
			return err
		}
		wantFault(t, ask(install.Wish{}), install.ErrInvalid, "palisade catalog list")
		wantFault(t, ask(install.Wish{Source: "nix"}), install.ErrNotFound, "nix")
		wantFault(t, ask(install.Wish{Source: "hf:nix"}), fetch.ErrRef, "hf:ORG/NAME")
		wantFault(t, ask(install.Wish{Source: "tiny", Variant: "q9"}), install.ErrInvalid, `no variant "q9" (it has q8)`)
		wantFault(t, ask(install.Wish{Source: "tiny", Name: "../x"}), install.ErrInvalid, "--name")
		wantFault(t, ask(install.Wish{Source: "tiny", Name: "own"}), install.ErrExists, "which no install has made", "--no-service")
		err := ask(install.Wish{Source: "gated"})
		wantFault(t, err, install.ErrLicense, "llama3.1", "https://example.com/l", "--accept-license")
		if len(w.installs) != 0 {
			t.Errorf("%d installs are kept", len(w.installs))
		}
		begin(t, m, install.Wish{Source: "gated", AcceptLicense: true})
		ended(t, m, "gated")
		if v, _ := m.Install("p", "gated"); v.Step() != install.StepPlan || !strings.Contains(v.Hint, "palisade secret set HF_TOKEN") {
			t.Errorf("%s %s (%s)", v.Step(), v.Error, v.Hint)
		}
		w.fault = fmt.Errorf("the disk has no room: %w", fetch.ErrNoSpace)
		begin(t, m, install.Wish{Source: "tiny"})
		ended(t, m, "tiny")
		if v, _ := m.Install("p", "tiny"); v.Step() != install.StepDownload || !strings.Contains(v.Error, "the disk has no room") || w.opened != 0 {
			t.Errorf("%s %s (%s)", v.Step(), v.Error, v.Hint)
		}
	})
}

// TestCancel: what is nobody's goes, what another model has stays.
func TestCancel(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny", Name: "other", NoService: true})
		ended(t, m, "other")
		w.files["model.gguf"], w.comesUp = "others", true
		w.mu.Lock()
		w.comesUp = false
		w.mu.Unlock()
		begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); !strings.HasPrefix(got, "FAILED resolve license plan download folder -image service !start") {
			t.Error(got)
		}
		if v, _ := m.Install("p", "tiny"); !strings.Contains(v.Error, "failed to start 3 times: the engine ended") || !strings.Contains(v.Hint, "palisade service logs tiny") {
			t.Errorf("%s (%s)", v.Error, v.Hint)
		}
		if _, err := m.Cancel(t.Context(), "p", "tiny", "ada"); err != nil {
			t.Fatal(err)
		}
		if len(w.services) != 0 || len(w.rows) != 1 || len(w.blobs) != 2 {
			t.Errorf("left: %d services, %d folders, %d blobs", len(w.services), len(w.rows), len(w.blobs))
		}
		if got := ended(t, m, "tiny"); !strings.HasPrefix(got, "CANCELLED") {
			t.Error(got)
		}
		_, err := m.Cancel(t.Context(), "p", "other", "ada")
		wantFault(t, err, install.ErrState, "palisade model rm other")
	})
}

// TestUpdate: a new revision is rolled out, and gone back from; one that fails its test is not left in place.
func TestUpdate(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		ended(t, m, "tiny")
		_, _, err := m.RollBack(t.Context(), "p", "tiny", "ada", 0)
		wantFault(t, err, install.ErrState, "no earlier revision")

		update := func() string {
			t.Helper()
			if _, _, err := m.Update(t.Context(), "p", "tiny", "ada", install.Wish{}); err != nil {
				t.Fatal(err)
			}
			return ended(t, m, "tiny")
		}
		w.files["model.gguf"], w.commit = "better", "c2"
		if got := update(); got != through {
			t.Fatal(got)
		}
		w.wantFolder(m, "tiny", 2, "better")
		folder := func() string { return w.services["svc-1"].Folder }
		model, _ := m.Model("p", "tiny")
		if model.Current != 2 || folder() != model.Revision(2).Folder {
			t.Errorf("%d, %s", model.Current, folder())
		}

		w.files["model.gguf"], w.commit, w.answer = "broken", "c3", recipe.Answer{Status: 500}
		if got := update(); !strings.Contains(got, "!test") {
			t.Error(got)
		}
		if v, _ := m.Install("p", "tiny"); !strings.Contains(v.Error, "the service runs revision 2 again") {
			t.Error(v.Error)
		}
		if model, _ = m.Model("p", "tiny"); model.Current != 2 || folder() != model.Revision(2).Folder {
			t.Errorf("%d, %s", model.Current, folder())
		}
		w.answer = recipe.Answer{Status: 200, Body: []byte(`{"ok": true}`)}

		if _, _, err := m.RollBack(t.Context(), "p", "tiny", "ada", 0); err != nil {
			t.Fatal(err)
		}
		if got := ended(t, m, "tiny"); got != "DONE service start test" {
			t.Error(got)
		}
		if model, _ = m.Model("p", "tiny"); model.Current != 1 || folder() != model.Revision(1).Folder {
			t.Errorf("%d, %s", model.Current, folder())
		}
		if _, err := m.Pin(t.Context(), "p", "tiny", true); err != nil {
			t.Fatal(err)
		}
		_, _, err = m.Update(t.Context(), "p", "tiny", "ada", install.Wish{})
		wantFault(t, err, install.ErrState, "palisade model unpin tiny")
	})
}

// TestAnotherLicence: who has accepted a licence is asked again when an update comes under another one, and only then.
func TestAnotherLicence(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		license := func(id string) {
			entry := w.recipes["tiny"]
			entry.License = recipe.License{ID: id, URL: "https://example.com/" + id, Accept: true}
			w.recipes["tiny"] = entry
		}
		license("one")
		begin(t, m, install.Wish{Source: "tiny", AcceptLicense: true})
		ended(t, m, "tiny")
		update := func(w install.Wish) error {
			_, _, err := m.Update(t.Context(), "p", "tiny", "ada", w)
			if err == nil {
				ended(t, m, "tiny")
			}
			return err
		}
		if err := update(install.Wish{}); err != nil {
			t.Error(err)
		}
		license("two")
		wantFault(t, update(install.Wish{}), install.ErrLicense, "https://example.com/two", "--accept-license")
		if err := update(install.Wish{AcceptLicense: true}); err != nil {
			t.Error(err)
		}
	})
}

// TestFailedUpdateIsForgotten: what an update has brought that failed is not kept when the model is removed.
func TestFailedUpdateIsForgotten(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		ended(t, m, "tiny")
		w.files = map[string]string{"model.gguf": "others", "config.json": "{}"}
		w.commit, w.answer.Body = "c2", []byte("no")
		if _, _, err := m.Update(t.Context(), "p", "tiny", "ada", install.Wish{}); err != nil {
			t.Fatal(err)
		}
		if got := ended(t, m, "tiny"); !strings.HasPrefix(got, "FAILED") {
			t.Error(got)
		}
		if v, _ := m.Install("p", "tiny"); !strings.Contains(v.Error, "runs revision 1 again") {
			t.Error(v.Error)
		}
		if _, err := m.Remove(t.Context(), "p", "tiny", "ada", true); err != nil || len(w.blobs)+len(w.rows) != 0 {
			t.Errorf("%v: left are %v %v", err, w.blobs, w.rows)
		}
	})
}

func TestRemove(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		ended(t, m, "tiny")
		_, err := m.Remove(t.Context(), "p", "tiny", "ada", false)
		wantFault(t, err, install.ErrInUse, "used by service tiny", "--force")
		freed, err := m.Remove(t.Context(), "p", "tiny", "ada", true)
		if err != nil || freed != 9 || len(w.rows)+len(w.blobs)+len(w.services)+len(w.models) != 0 {
			t.Errorf("%v, %d freed, %d folders, %d blobs, %d services, %d models", err, freed, len(w.rows), len(w.blobs), len(w.services), len(w.models))
		}
		if _, err := w.folders.Find(t.Context(), "p", "tiny-r1"); !errors.Is(err, folders.ErrNotFound) {
			t.Error(err)
		}
	})
}

// TestStoreIsDown: what was done is not forgotten because the store does not answer for a while.
func TestStoreIsDown(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		w.hold, w.began = make(chan struct{}), make(chan struct{}, 1)
		begin(t, m, install.Wish{Source: "tiny"})
		synctest.Wait()
		w.mu.Lock()
		w.broken = errors.New("the database is away")
		w.mu.Unlock()
		close(w.hold)
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.broken = nil
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if got := ended(t, m, "tiny"); got != through {
			t.Error(got)
		}
	})
}
