package goods_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

func model() map[string][]byte {
	return map[string][]byte{
		"config.json": []byte(`{"layers": 2}`), "model.safetensors": noise(3<<20+17, 1), "again/model.safetensors": noise(3<<20+17, 1),
		"empty": {}, "sub/dir/tokenizer.model": noise(70_000, 2), "start.sh": []byte("#!/bin/sh\n"), "a name with spaces & ünïcode+100%": []byte("x"),
	}
}

func hinted(t *testing.T, err, kind error) {
	t.Helper()
	var h interface{ Hint() string }
	if !errors.Is(err, kind) || !errors.As(err, &h) || h.Hint() == "" {
		t.Errorf("%v; it should be %v, with a hint", err, kind)
	}
}

// What is in a folder of one box is on another one, once, whoever asks how often.
func TestAFolderComes(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	want := w.make("a", "fld-1", true, model())
	if err := os.Symlink("sub/dir", filepath.Join(w.rows["fld-1"].Path, "link")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(w.rows["fld-1"].Path, "nothing", "in", "it"), nil)
	b := w.boxes["b"]
	var said []string
	dir := must[string](t)(b.Folder(t.Context(), want, func(p sessions.Progress) { said = append(said, p.Message) }))
	holds(t, dir, model())
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "sub/dir" {
		t.Errorf("the link leads to %q: %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "nothing/in/it")); err != nil || !info.IsDir() {
		t.Error(err)
	}
	if len(said) == 0 || !strings.Contains(strings.Join(said, "\n"), "model-of-a") {
		t.Errorf("what was said of it: %q", said)
	}
	came := w.boxes["a"].given.Load()
	if again := must[string](t)(b.Folder(t.Context(), want, nil)); again != dir {
		t.Errorf("it is at %s and at %s", dir, again)
	}
	b.again()
	if again := must[string](t)(b.Folder(t.Context(), want, nil)); again != dir {
		t.Errorf("after a restart it is at %s", again)
	}
	// Another folder with the same weights.
	other := w.make("c", "fld-2", true, map[string][]byte{"w": model()["model.safetensors"], "new": []byte("new")})
	holds(t, must[string](t)(b.Folder(t.Context(), other, nil)), map[string][]byte{"w": model()["model.safetensors"], "new": []byte("new")})
	if n := w.boxes["a"].given.Load(); n != came {
		t.Errorf("%d bytes came again", n-came)
	}
	if n := w.boxes["c"].given.Load(); n != 3 {
		t.Errorf("%d bytes came of the other folder; 3 were missing", n)
	}
	// Who has it gives it on, though its home is gone.
	w.boxes["a"].shut()
	holds(t, must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil)), model())
}

func TestTwoWhoWantTheSame(t *testing.T) {
	w := newWorld(t, "a", "b")
	files := map[string][]byte{"w": noise(6<<20, 3)}
	want := w.make("a", "fld-1", true, files)
	b := w.boxes["b"]
	b.SetRate(8 << 20)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			dir, err := b.Folder(t.Context(), want, nil)
			if err != nil {
				t.Error(err)
				return
			}
			holds(t, dir, files)
		})
	}
	// One who does not wait to the end keeps nobody from it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Folder(ctx, want, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	group.Wait()
	if n := w.boxes["a"].given.Load(); n != 6<<20 {
		t.Errorf("%d bytes came of %d", n, 6<<20)
	}
}

// The nearest box gives it, and when it vanishes another one does.
func TestASourceThatVanishes(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	files := map[string][]byte{"w": noise(12<<20, 4)}
	want := w.make("a", "fld-1", true, files)
	must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil))
	far := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/have") {
				select {
				case <-time.After(300 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
			h.ServeHTTP(rw, r)
		})
	}
	w.boxes["a"].spoil.Store(&far)
	given := w.boxes["a"].given.Load()
	b := w.boxes["b"]
	b.SetRate(8 << 20)
	var once sync.Once
	dir := must[string](t)(b.Folder(t.Context(), want, func(p sessions.Progress) {
		if p.Done > 2<<20 {
			once.Do(func() {
				if n := w.boxes["a"].given.Load(); n != given {
					t.Errorf("the box that is farther away gave %d bytes", n-given)
				}
				w.boxes["c"].shut()
				b.SetRate(0)
			})
		}
	}))
	holds(t, dir, files)
	if n := w.boxes["a"].given.Load() - given; n == 0 || n > 11<<20 {
		t.Errorf("the box that was left gave %d bytes of %d", n, 12<<20)
	}
}

// A box that says nothing any more is left for another one.
func TestASourceThatFallsSilent(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	files := map[string][]byte{"w": noise(2<<20, 5)}
	want := w.make("a", "fld-1", true, files)
	must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil))
	silent := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/file") {
				rw.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", 2<<20-1, 2<<20))
				rw.WriteHeader(http.StatusPartialContent)
				_, _ = rw.Write(files["w"][:1000])
				_ = http.NewResponseController(rw).Flush()
				<-r.Context().Done()
				return
			}
			h.ServeHTTP(rw, r)
		})
	}
	w.boxes["a"].spoil.Store(&silent)
	w.boxes["c"].spoil.Store(&silent)
	var once sync.Once
	holds(t, must[string](t)(w.boxes["b"].Folder(t.Context(), want, func(p sessions.Progress) {
		if p.Done > 0 {
			once.Do(func() { w.boxes["c"].spoil.Store(nil) })
		}
	})), files)
}

// What is altered on the way is used by nobody, and comes from another box where one has it.
func TestAlteredBytes(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	files := map[string][]byte{"w": noise(2<<20, 6), "config.json": []byte("{}")}
	want := w.make("a", "fld-1", true, files)
	altered := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/file") {
				rw = &alters{ResponseWriter: rw}
			}
			h.ServeHTTP(rw, r)
		})
	}
	w.boxes["a"].spoil.Store(&altered)
	_, err := w.boxes["b"].Folder(t.Context(), want, nil)
	hinted(t, err, fetch.ErrChecksum)
	if has := w.boxes["b"].Has(); len(has) > 0 {
		t.Errorf("it has %q nevertheless", has)
	}
	w.boxes["a"].spoil.Store(nil)
	must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil))
	w.boxes["a"].spoil.Store(&altered)
	holds(t, must[string](t)(w.boxes["b"].Folder(t.Context(), want, nil)), files)
}

type alters struct {
	http.ResponseWriter
	done bool
}

func (a *alters) Write(p []byte) (int, error) {
	if !a.done && len(p) > 0 {
		p = append([]byte{p[0] ^ 1}, p[1:]...)
		a.done = true
	}
	return a.ResponseWriter.Write(p)
}

func (a *alters) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func TestADiskWithoutRoom(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", true, model())
	b := w.boxes["b"]
	b.open(0, 1<<60)
	_, err := b.Folder(t.Context(), want, nil)
	hinted(t, err, fetch.ErrNoSpace)
	if n := w.boxes["a"].asked.Load(); n > 0 {
		t.Errorf("%d files were asked for all the same", n)
	}
}

// Nobody who has it can be asked: that passes, and is said so.
func TestNobodyHasIt(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	want := w.make("a", "fld-1", true, model())
	w.boxes["a"].shut()
	_, err := w.boxes["b"].Folder(t.Context(), want, nil)
	hinted(t, err, sessions.ErrRuntimeDown)
	if !errors.Is(err, goods.ErrAway) || !strings.Contains(err.Error(), "box a") {
		t.Error(err)
	}
}

// A folder that people write to comes as it is; what has changed, and no more.
func TestAFolderThatChanges(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	files := model()
	want := w.make("a", "fld-1", false, files)
	a, b := w.boxes["a"], w.boxes["b"]
	first := must[string](t)(b.Folder(t.Context(), want, nil))
	given := a.given.Load()
	files["config.json"] = []byte(`{"layers": 3}`)
	put(t, w.rows["fld-1"].Path, map[string][]byte{"config.json": files["config.json"]})
	second := must[string](t)(b.Folder(t.Context(), want, nil))
	holds(t, second, files)
	if n := a.given.Load() - given; second == first || n != int64(len(files["config.json"])) {
		t.Errorf("at %s and %s; %d bytes came", first, second, n)
	}
	// It changes while it comes: what was listed is there no more, and what is there comes.
	var once sync.Once
	changing := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/file") {
				once.Do(func() {
					files["model.safetensors"], files["again/model.safetensors"] = noise(1<<20, 9), noise(1<<20, 9)
					put(t, w.rows["fld-1"].Path, map[string][]byte{"model.safetensors": files["model.safetensors"], "again/model.safetensors": files["again/model.safetensors"]})
				})
			}
			h.ServeHTTP(rw, r)
		})
	}
	a.spoil.Store(&changing)
	b.shut() // it has what was listed
	holds(t, must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil)), files)
	b.serve()
	// Its home is gone: it is as it was.
	a.shut()
	w.boxes["c"].shut()
	if dir := must[string](t)(b.Folder(t.Context(), want, nil)); dir != second {
		t.Errorf("while its home is gone it is at %s, not %s", dir, second)
	}
}

// What a power failure, or somebody, has done to what came is seen by the next program.
func TestATreeThatIsDamaged(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", true, model())
	b := w.boxes["b"]
	for name, harm := range map[string]func(dir string) error{
		"a file is gone": func(dir string) error { return os.Remove(filepath.Join(dir, "config.json")) },
		"a file is cut": func(dir string) error {
			if err := os.Chmod(filepath.Join(dir, "start.sh"), 0o755); err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, "start.sh"), 3)
		},
		"all is gone": os.RemoveAll,
	} {
		dir := must[string](t)(b.Folder(t.Context(), want, nil))
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		b.again()
		if dir, err := b.Folder(t.Context(), want, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			holds(t, dir, model())
		}
	}
}

func mount(w goods.Want, sub string, readOnly bool) sessions.Mount {
	return sessions.Mount{Source: "/elsewhere/" + sub, Target: "/models", ReadOnly: readOnly, Folder: sessions.MountedFolder{ID: w.ID, Name: w.Name, Home: w.Home, Sealed: w.Sealed, Sub: sub}}
}

// What is to be started is started with the folders where this box has them.
func TestPrepare(t *testing.T) {
	w := newWorld(t, "a", "b")
	model, general := w.make("a", "fld-1", true, model()), w.make("a", "fld-2", false, map[string][]byte{"sub/x": []byte("1")})
	a, b := w.boxes["a"], w.boxes["b"]
	plain := sessions.Mount{Source: "/dev/shm", Target: "/shm"}
	spec := sessions.Spec{ID: "ses-1", Mounts: []sessions.Mount{plain, mount(model, "", true), mount(general, "sub", true)}}
	if at := must[sessions.Spec](t)(a.Prepare(t.Context(), spec)); at.Mounts[1] != spec.Mounts[1] {
		t.Errorf("at its home a folder is elsewhere: %+v", at.Mounts[1])
	}
	at := must[sessions.Spec](t)(b.Prepare(t.Context(), spec))
	if at.Mounts[0] != plain || spec.Mounts[1].Source != "/elsewhere/" {
		t.Errorf("%+v; %+v", at.Mounts[0], spec.Mounts[1])
	}
	holds(t, at.Mounts[2].Source, map[string][]byte{"x": []byte("1")})
	if at.Mounts[2].Within+"/sub" != at.Mounts[2].Source || !at.Mounts[2].ReadOnly {
		t.Errorf("%+v", at.Mounts[2])
	}
	for what, m := range map[string]sessions.Mount{"written to elsewhere": mount(general, "", false), "of a directory that is not there": mount(general, "none", true)} {
		if _, err := b.Prepare(t.Context(), sessions.Spec{ID: "ses-2", Mounts: []sessions.Mount{m}}); err == nil {
			t.Errorf("a mount %s is prepared", what)
		}
	}
	old := at.Mounts[2].Within
	put(t, w.rows["fld-2"].Path, map[string][]byte{"sub/x": []byte("2")})
	newer := must[sessions.Spec](t)(b.Prepare(t.Context(), sessions.Spec{ID: "ses-3", Mounts: []sessions.Mount{mount(general, "", true)}})).Mounts[0].Source
	sweep := func(there, gone []string, lives ...string) {
		t.Helper()
		past := time.Now().Add(-time.Hour)
		for _, name := range []string{"ses-1", "ses-3"} {
			_ = os.Chtimes(filepath.Join(b.dir, "goods", "uses", name), past, past)
		}
		if err := b.Sweep(t.Context(), func(id string) bool { return strings.Contains(strings.Join(lives, " "), id) }); err != nil {
			t.Fatal(err)
		}
		for _, dir := range there {
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
		}
		for _, dir := range gone {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is there still", dir)
			}
		}
	}
	sweep([]string{old, newer, at.Mounts[1].Source}, nil, "ses-1", "ses-3")
	sweep([]string{newer, at.Mounts[1].Source}, []string{old}, "ses-3")
	delete(w.rows, "fld-1")
	delete(w.rows, "fld-2")
	sweep([]string{newer}, []string{at.Mounts[1].Source}, "ses-3")
	sweep(nil, []string{newer})
}

// Who leads has a box bring what a session needs, and hears how far it is.
func TestBringTo(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	want := w.make("a", "fld-1", true, map[string][]byte{"w": noise(4<<20, 7)})
	b := w.boxes["b"]
	b.SetRate(2 << 20)
	var said []string
	if err := w.boxes["c"].BringTo(t.Context(), "b", []sessions.Mount{mount(want, "", true)}, func(p sessions.Progress) { said = append(said, p.Message) }); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "bringing model-of-a from a: ") || !strings.Contains(all, " of 4 MiB, ") || !strings.Contains(all, " s left") {
		t.Errorf("it said %q", all)
	}
	if has := b.Has(); len(has) != 1 || !strings.HasPrefix(has[0], "fld-1@") {
		t.Errorf("%q", has)
	}
	w.boxes["a"].shut()
	err := w.boxes["c"].BringTo(t.Context(), "b", []sessions.Mount{mount(w.make("a", "fld-2", true, nil), "", true)}, nil)
	hinted(t, err, sessions.ErrRuntimeDown)
	b.shut()
	if err := w.boxes["c"].BringTo(t.Context(), "b", nil, nil); !errors.Is(err, sessions.ErrRuntimeDown) {
		t.Error(err)
	}
}

// Boxes that have an image are known, and give it no faster than all may come.
func TestImages(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	has := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/goods/1/v2/library/busybox/manifests/1" || r.FormValue("ns") != "docker.io" {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(make([]byte, 1<<20))
	})
	w.boxes["a"].registry = has
	w.boxes["a"].open(0, 0)
	b := w.boxes["b"]
	b.SetRate(2 << 20)
	found := b.Images(t.Context(), "busybox:1")
	if len(found) != 1 || found[0].Box != "a" || found[0].Path != "/goods/1/v2" {
		t.Fatalf("%+v", found)
	}
	if others := b.Images(t.Context(), "busybox:2"); len(others) > 0 {
		t.Errorf("%+v", others)
	}
	answer := must[*http.Response](t)((&http.Client{Transport: found[0].Transport}).Get("https://a/goods/1/v2/library/busybox/manifests/1?ns=docker.io"))
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A home that answers, and says that it does not give a folder as it is now, is no home that is away: what came before is not
// taken for it.
func TestAHomeThatSaysNo(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", false, map[string][]byte{"x": []byte("1")})
	a, b := w.boxes["a"], w.boxes["b"]
	old := must[string](t)(b.Folder(t.Context(), want, nil))
	says := func(path, text string) *func(http.Handler) http.Handler {
		spoil := func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, path) {
					rw.WriteHeader(http.StatusConflict)
					_, _ = io.WriteString(rw, text)
					return
				}
				h.ServeHTTP(rw, r)
			})
		}
		return &spoil
	}
	for _, path := range []string{"/have", "/manifest"} {
		a.spoil.Store(says(path, `{"text": "its disk does not answer"}`))
		dir, err := b.Folder(t.Context(), want, nil)
		hinted(t, err, sessions.ErrRuntimeDown)
		if errors.Is(err, goods.ErrAway) || dir != "" || !strings.Contains(err.Error(), "its disk does not answer") {
			t.Errorf("%s: %q, %v", path, dir, err)
		}
		a.spoil.Store(says(path, `{"kind": "invalid", "text": "it is too large", "hint": "make it smaller"}`))
		dir, err = b.Folder(t.Context(), want, nil)
		hinted(t, err, folders.ErrInvalid)
		if errors.Is(err, sessions.ErrRuntimeDown) || dir != "" || !strings.Contains(err.Error(), "it is too large") {
			t.Errorf("%s: %q, %v", path, dir, err)
		}
	}
	a.spoil.Store(says("", "something else"))
	if dir := must[string](t)(b.Folder(t.Context(), want, nil)); dir != old {
		t.Errorf("while its home is out of its mind it is at %s", dir)
	}
}

// What has no files is brought, too.
func TestAFolderWithoutFiles(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", false, nil)
	b := w.boxes["b"]
	must[string](t)(b.Folder(t.Context(), want, nil))
	if err := os.Mkdir(filepath.Join(w.rows["fld-1"].Path, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("out", filepath.Join(w.rows["fld-1"].Path, "link")); err != nil {
		t.Fatal(err)
	}
	dir := must[string](t)(b.Folder(t.Context(), want, nil))
	if info, err := os.Stat(filepath.Join(dir, "link")); err != nil || !info.IsDir() {
		t.Error(err)
	}
}

// Names that JSON cannot hold are said to whoever can change them.
func TestNamesThatAreNoText(t *testing.T) {
	for what, harm := range map[string]func(dir string) error{
		"a file":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "bad\xff"), nil, 0o600) },
		"a directory": func(dir string) error { return os.Mkdir(filepath.Join(dir, "bad\xff"), 0o700) },
		"a link":      func(dir string) error { return os.Symlink("bad\xff", filepath.Join(dir, "link")) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			want := w.make("a", "fld-1", false, map[string][]byte{"x": []byte("1")})
			if err := harm(w.rows["fld-1"].Path); err != nil {
				t.Fatal(err)
			}
			_, err := w.boxes["b"].Folder(t.Context(), want, nil)
			hinted(t, err, folders.ErrInvalid)
			if err == nil || !strings.Contains(err.Error(), `bad\xff`) {
				t.Errorf("it does not say which: %v", err)
			}
		})
	}
}

// What is no id leads nowhere.
func TestIDsThatAreNone(t *testing.T) {
	w := newWorld(t, "a", "b")
	for _, id := range []string{"", ".", "../../x", "a@b", "a b", strings.Repeat("a", 65)} {
		_, err := w.boxes["b"].Folder(t.Context(), w.make("a", id, false, map[string][]byte{"x": []byte("1")}), nil)
		hinted(t, err, folders.ErrInvalid)
		_, err = w.boxes["b"].Glimpse(t.Context(), folders.Folder{ID: id, Home: "a"})
		hinted(t, err, folders.ErrInvalid)
		for _, path := range []string{"have", "manifest"} {
			answer := must[*http.Response](t)((&http.Client{Transport: w.boxes["b"].Transport("a")}).Get("https://a/goods/1/" + path + "?folder=" + url.QueryEscape(id)))
			answer.Body.Close()
			if answer.StatusCode != http.StatusConflict {
				t.Errorf("%s of %q: %s", path, id, answer.Status)
			}
		}
	}
}

// A session may put a pipe in the place of a file that is being given out: nobody waits for it.
func TestAPipeInAFilesPlace(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", false, map[string][]byte{"x": []byte("what it was")})
	must[string](t)(w.boxes["b"].Folder(t.Context(), want, nil))
	path := filepath.Join(w.rows["fld-1"].Path, "x")
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	asked, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	query := url.Values{"folder": {"fld-1"}, "name": {"x"}, "sum": {sumOf([]byte("what it was"))}}
	r := must[*http.Request](t)(http.NewRequestWithContext(asked, http.MethodGet, "https://a/goods/1/file?"+query.Encode(), nil))
	answer, err := w.boxes["b"].transport("a").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusConflict {
		t.Error(answer.Status)
	}
}

// Who asks for a folder while an older state of it is on its way has it as it was when it asked.
func TestALateComer(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", false, map[string][]byte{"x": []byte("first")})
	a, b := w.boxes["a"], w.boxes["b"]
	began, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	spoil := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/file") {
				once.Do(func() { close(began); <-goOn })
			}
			h.ServeHTTP(w, r)
		})
	}
	a.spoil.Store(&spoil)
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := b.Folder(t.Context(), want, nil); err != nil {
			t.Error(err)
		}
	})
	<-began
	put(t, w.rows["fld-1"].Path, map[string][]byte{"y": []byte("what the job needs")})
	joined := sync.OnceFunc(func() { close(goOn) })
	both.Go(func() {
		dir, err := b.Folder(t.Context(), want, func(sessions.Progress) { joined() })
		if err != nil {
			t.Error(err)
			return
		}
		holds(t, dir, map[string][]byte{"x": []byte("first"), "y": []byte("what the job needs")})
	})
	both.Wait()
}
