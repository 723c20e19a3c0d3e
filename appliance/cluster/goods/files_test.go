package goods_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/catalog/folders"
)

// rows is a store of folders that all boxes of a world share.
type rows struct{ *world }

func (s rows) Folders(context.Context) (out []folders.Folder, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.rows {
		out = append(out, f)
	}
	return out, nil
}

func (s rows) SaveFolder(_ context.Context, f folders.Folder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[f.ID] = f
	return nil
}

func (s rows) UpdateFolder(ctx context.Context, f folders.Folder) error { return s.SaveFolder(ctx, f) }

func (s rows) DeleteFolder(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
	return nil
}

func (s rows) Grants(context.Context) ([]folders.Grant, error)           { return nil, nil }
func (s rows) SaveGrant(context.Context, folders.Grant) error            { return nil }
func (s rows) DeleteGrant(context.Context, string, string, string) error { return nil }

// folders is the room of folders of a box.
func (b *box) folders(used string) *folders.Keeper {
	b.w.t.Helper()
	fo := folders.New(rows{b.w}, filepath.Join(b.dir, "folders"), func(id string) (string, bool) { return "service chat", id == used })
	fo.Settings.Box, fo.Settings.Elsewhere = b.name, b.Goods
	b.Serve(fo)
	return fo
}

// What is done with a folder on one box is done where it has its home.
func TestFilesOfAnotherBox(t *testing.T) {
	w := newWorld(t, "a", "b")
	a, b := w.boxes["a"].folders(""), w.boxes["b"].folders("")
	ctx := t.Context()
	f := must[folders.Folder](t)(a.Create(ctx, folders.Spec{Name: "data", Project: "default"}))
	if f.Home != "a" {
		t.Fatalf("its home is %q", f.Home)
	}
	data := noise(3<<20, 1)
	at := time.Date(2026, 3, 1, 22, 0, 0, 123456789, time.UTC)
	if w, err := b.Write(ctx, f, "sub/x", folders.Content{Reader: bytes.NewReader(data), Size: int64(len(data)), Digest: "sha256:" + sumOf(data), Modified: at}); err != nil || w.Size != int64(len(data)) {
		t.Fatal(w, err)
	}
	holds(t, f.Path, map[string][]byte{"sub/x": data})
	entries := must[[]folders.Entry](t)(b.Entries(f, "sub"))
	if want := must[[]folders.Entry](t)(a.Entries(f, "sub")); len(entries) != 1 || !entries[0].Modified.Equal(at) || entries[0].Size != want[0].Size {
		t.Errorf("%+v", entries)
	}
	if l := must[folders.Listing](t)(b.Directory(f, "", folders.ListQuery{Limit: 10})); l.Directories != 1 {
		t.Errorf("%+v", l)
	}
	file := must[folders.File](t)(b.Open(f, "sub/x"))
	info, err := file.Stat()
	if err != nil || info.Size() != int64(len(data)) || !info.ModTime().Equal(at) || info.Name() != "x" {
		t.Errorf("%+v, %v", info, err)
	}
	part := make([]byte, 1000)
	if _, err := file.ReadAt(part, 2<<20); err != nil || !bytes.Equal(part, data[2<<20:2<<20+1000]) {
		t.Error("other bytes", err)
	}
	if _, err := file.Seek(-5, io.SeekEnd); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(file); err != nil || !bytes.Equal(rest, data[len(data)-5:]) {
		t.Error("other bytes", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if all, err := io.ReadAll(file); err != nil || !bytes.Equal(all, data) {
		t.Error("other bytes", err)
	}
	// What is another file by now is not read on.
	if _, err := b.Write(ctx, f, "sub/x", folders.Content{Reader: strings.NewReader("new")}); err != nil {
		t.Fatal(err)
	}
	if _, err := file.ReadAt(part, 0); !errors.Is(err, folders.ErrChanged) {
		t.Errorf("a file that is another one now: %v", err)
	}
	file.Close()
	u := must[folders.Upload](t)(b.BeginUpload(ctx, f, folders.UploadSpec{Path: "up", Size: 6, By: "ann"}))
	if u = must[folders.Upload](t)(b.Append(ctx, f, u.ID, folders.Chunk{Body: strings.NewReader("abc")})); u.Offset != 3 {
		t.Errorf("%+v", u)
	}
	if u, err := b.Append(ctx, f, u.ID, folders.Chunk{Offset: 5, Body: strings.NewReader("f")}); !errors.Is(err, folders.ErrOffset) || u.Offset != 3 {
		t.Errorf("%+v, %v", u, err)
	}
	if all := must[[]folders.Upload](t)(b.Uploads(ctx, f)); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	must[folders.Upload](t)(b.Append(ctx, f, u.ID, folders.Chunk{Offset: 3, Body: strings.NewReader("def")}))
	must[folders.Written](t)(b.FinishUpload(ctx, f, u.ID, ""))
	for what, err := range map[string]error{"make": b.MakeDirectory(f, "d"), "move": b.MoveEntry(f, "up", "d/up"), "delete": b.RemoveEntry(f, "sub")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	holds(t, f.Path, map[string][]byte{"d/up": []byte("abcdef")})
	if use := must[folders.Use](t)(b.Use(ctx, f, 0)); use.Bytes != 6 {
		t.Errorf("%+v", use)
	}
	if _, err = b.Open(f, "none"); !errors.Is(err, folders.ErrNotFound) {
		t.Error(err)
	}
	if _, err := b.Open(f, "../../etc/passwd"); err == nil {
		t.Error("a name leads out")
	}
	clone, _, err := b.Clone(ctx, f, folders.Spec{Name: "copy", Project: "default"}, nil)
	if err != nil || clone.Home != "a" {
		t.Fatalf("%+v, %v", clone, err)
	}
	if err := b.Remove(ctx, "default", "copy", "ann"); err != nil {
		t.Fatal(err)
	}
	back := must[folders.Folder](t)(b.Restore(ctx, "default", "copy", "again"))
	holds(t, back.Path, map[string][]byte{"d/up": []byte("abcdef")})
	if err := b.Discard(ctx, "default", "again"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(back.Path); !os.IsNotExist(err) {
		t.Errorf("%s: %v", back.Path, err)
	}
	// What another box has is let be by this one's sweep.
	if err := b.Remove(ctx, "default", "data", "ann"); err != nil {
		t.Fatal(err)
	}
	if err := b.Sweep(ctx, time.Now().Add(1000*time.Hour)); err != nil || len(must[[]folders.Folder](t)(b.Trash(ctx, ""))) != 1 {
		t.Error(err)
	}
	if err := a.Sweep(ctx, time.Now().Add(1000*time.Hour)); err != nil || len(must[[]folders.Folder](t)(b.Trash(ctx, ""))) != 0 {
		t.Error(err)
	}
	// Nothing can be done while its home is away.
	f = must[folders.Folder](t)(a.Create(ctx, folders.Spec{Name: "data", Project: "default"}))
	w.boxes["a"].shut()
	_, err = b.Entries(f, "")
	hinted(t, err, goods.ErrAway)
	_, err = b.Open(f, "x")
	hinted(t, err, goods.ErrAway)
}

// Folders of a box that was alone have it for their home from when it is not.
func TestAdopt(t *testing.T) {
	w := newWorld(t, "a")
	fo := w.boxes["a"].folders("")
	fo.Settings.Box = ""
	f := must[folders.Folder](t)(fo.Create(t.Context(), folders.Spec{Name: "old", Project: "default"}))
	fo.Settings.Box = "a"
	if err := fo.Adopt(t.Context()); err != nil || f.Home != "" || w.rows[f.ID].Home != "a" {
		t.Errorf("%q, then %q: %v", f.Home, w.rows[f.ID].Home, err)
	}
}

// What is to be known of a folder is here without its weights.
func TestGlimpse(t *testing.T) {
	w := newWorld(t, "a", "b")
	head := []byte(fmt.Sprintf(`{"w": {"dtype": "U8", "shape": [%d], "data_offsets": [0, %d]}}`, 4<<20, 4<<20))
	weights := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head, noise(4<<20, 2))
	files := map[string][]byte{"config.json": []byte(`{"layers": 2}`), "model.safetensors": weights, "sub/pytorch.bin": noise(2<<20, 3)}
	w.make("a", "fld-1", true, files)
	b := w.boxes["b"]
	dir := must[string](t)(b.Glimpse(t.Context(), w.rows["fld-1"]))
	holds(t, dir, map[string][]byte{"config.json": files["config.json"]})
	got, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil || len(got) != len(weights) || !bytes.Equal(got[:8+len(head)], weights[:8+len(head)]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "sub/pytorch.bin")); err != nil || info.Size() != 2<<20 {
		t.Errorf("%+v, %v", info, err)
	}
	if n := w.boxes["a"].given.Load(); n > 1000 {
		t.Errorf("%d bytes came", n)
	}
	given := w.boxes["a"].given.Load()
	if again := must[string](t)(b.Glimpse(t.Context(), w.rows["fld-1"])); again != dir || w.boxes["a"].given.Load() != given {
		t.Errorf("again it is at %s", again)
	}
}

// Many who look at a folder at once, as it changes: each has it as it is, and it comes once.
func TestGlimpsesOfManyAtOnce(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.make("a", "fld-1", false, map[string][]byte{"config.json": []byte(`{"layers": 1}`), "x": noise(100_000, 1)})
	for _, text := range []string{`{"layers": 1}`, `{"layers": 22}`} {
		put(t, w.rows["fld-1"].Path, map[string][]byte{"config.json": []byte(text)})
		before := w.boxes["a"].asked.Load()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				dir, err := w.boxes["b"].Glimpse(t.Context(), w.rows["fld-1"])
				if err != nil {
					t.Error(err)
					return
				}
				holds(t, dir, map[string][]byte{"config.json": []byte(text)})
			})
		}
		all.Wait()
		if n := w.boxes["a"].asked.Load() - before; n != 2 {
			t.Errorf("%d files were asked for, of two", n)
		}
	}
}
