package folders

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/palisade-run/palisade/catalog/folders/foldertest"
)

// rows is a Store in memory.
type rows struct {
	mu      sync.Mutex
	folders []Folder
	grants  []Grant
	fail    error // of the next SaveFolder or DeleteFolder
}

func (r *rows) Folders(context.Context) ([]Folder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.folders), nil
}

func (r *rows) SaveFolder(_ context.Context, f Folder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	if slices.ContainsFunc(r.folders, func(o Folder) bool {
		return o.Project == f.Project && o.Name == f.Name && o.TrashedAt.IsZero() && f.TrashedAt.IsZero()
	}) {
		return ErrExists
	}
	r.folders = append(r.folders, f)
	return nil
}

func (r *rows) DeleteFolder(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.folders = slices.DeleteFunc(r.folders, func(f Folder) bool { return f.ID == id })
	return nil
}

func (r *rows) UpdateFolder(_ context.Context, f Folder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	taken := func(o Folder) bool {
		return o.ID != f.ID && o.Project == f.Project && o.Name == f.Name && o.TrashedAt.IsZero() && f.TrashedAt.IsZero()
	}
	i := slices.IndexFunc(r.folders, func(o Folder) bool { return o.ID == f.ID })
	switch {
	case i < 0:
		return ErrNotFound
	case slices.ContainsFunc(r.folders, taken):
		return ErrExists
	}
	r.folders[i] = f
	return nil
}

func (r *rows) Grants(context.Context) ([]Grant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.grants), nil
}

func (r *rows) SaveGrant(_ context.Context, g Grant) error {
	_ = r.DeleteGrant(context.Background(), g.FolderID, g.Person, g.Project)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grants = append(r.grants, g)
	return nil
}

func (r *rows) DeleteGrant(_ context.Context, id, person, project string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.grants)
	r.grants = slices.DeleteFunc(r.grants, func(g Grant) bool { return g.FolderID == id && g.Person == person && g.Project == project })
	if len(r.grants) == before {
		return ErrNotFound
	}
	return nil
}

// places are the directories below the folders' own place that hold something.
func places(t *testing.T, fo *Keeper) (names []string) {
	t.Helper()
	found, err := os.ReadDir(fo.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		inside, err := os.ReadDir(filepath.Join(fo.root, d.Name()))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case d.Name() == trashDir:
			for _, aside := range inside {
				names = append(names, trashDir+"/"+aside.Name())
			}
		case d.Name() != recordsDir || len(inside) > 0:
			names = append(names, d.Name())
		}
	}
	return names
}

func newFolders(t *testing.T) (fo *Keeper, store *rows, used map[string]string) {
	t.Helper()
	store, used = new(rows), make(map[string]string)
	inUse := func(id string) (string, bool) { by, ok := used[id]; return by, ok }
	return New(store, filepath.Join(t.TempDir(), "folders"), inUse), store, used
}

func create(t *testing.T, fo *Keeper, name string) Folder {
	t.Helper()
	f, err := fo.Create(t.Context(), Spec{Name: name, Project: "p", CreatedBy: "me"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantError holds err against a kind and words of its message and hint.
func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	if err == nil || !errors.Is(err, kind) || !strings.Contains(err.Error()+" ("+foldertest.HintOf(err)+")", words) {
		t.Errorf("got %v (%s), want %v with %q", err, foldertest.HintOf(err), kind, words)
	}
}

func TestFoldersLife(t *testing.T) {
	fo, _, used := newFolders(t)
	f := create(t, fo, "llama")
	if !folderID.MatchString(f.ID) || f.Usage != UsageModel || f.CreatedBy != "me" || f.CreatedAt.IsZero() || f.Imported {
		t.Errorf("%+v", f)
	}
	if info, err := os.Stat(f.Path); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	_, err := fo.Create(t.Context(), Spec{Name: "llama", Project: "p"})
	wantError(t, err, ErrExists, "there is a folder llama already (choose another name")
	if dirs := places(t, fo); len(dirs) != 1 {
		t.Errorf("a refused folder left %v", dirs)
	}
	other, err := fo.Create(t.Context(), Spec{Name: "llama", Project: "q", Usage: UsageData})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{f.ID, f.Name} {
		if got, err := fo.Find(t.Context(), "p", ref); err != nil || got != f {
			t.Errorf("find %s: %+v, %v", ref, got, err)
		}
	}
	if got, err := fo.Find(t.Context(), "", other.ID); err != nil || got != other {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = fo.Find(t.Context(), "", "llama")
	wantError(t, err, ErrInvalid, "several projects have a folder llama (name it by its id: fld-")
	_, err = fo.Find(t.Context(), "p", other.ID)
	wantError(t, err, ErrNotFound, "there is no folder")
	_, err = fo.Find(t.Context(), "p", "lama")
	wantError(t, err, ErrNotFound, `there is no folder "lama" (did you mean llama?)`)
	create(t, fo, "a")
	if list, err := fo.List(t.Context(), "p"); err != nil || len(list) != 2 || list[0].Name != "a" {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := fo.List(t.Context(), ""); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	used[f.ID] = "service chat"
	wantError(t, fo.Remove(t.Context(), "p", "llama", "me"), ErrInUse, "folder llama is in use by service chat")
	delete(used, f.ID)
	if _, err := fo.Write(t.Context(), f, "x/y", Content{Reader: strings.NewReader("z")}); err != nil {
		t.Fatal(err)
	}
	if err := fo.Remove(t.Context(), "p", "llama", "me"); err != nil {
		t.Fatal(err)
	}
	wantError(t, fo.Remove(t.Context(), "p", "llama", "me"), ErrNotFound, "there is no folder")
	if dirs := places(t, fo); len(dirs) != 3 || dirs[0] != trashDir+"/"+f.ID {
		t.Errorf("left: %v", dirs)
	}
	wantError(t, fo.Purge(t.Context(), "q", "llama"), ErrNotFound, `there is no folder "llama" in the trash`)
	if err := fo.Purge(t.Context(), "p", "llama"); err != nil {
		t.Fatal(err)
	}
	if dirs := places(t, fo); len(dirs) != 2 {
		t.Errorf("left: %v", dirs)
	}
}

// Whatever the store says, a folder is there as a whole or not at all.
func TestFoldersStoreFails(t *testing.T) {
	fo, store, _ := newFolders(t)
	f := create(t, fo, "kept")
	if _, err := fo.Write(t.Context(), f, "x", Content{Reader: strings.NewReader("z")}); err != nil {
		t.Fatal(err)
	}
	store.fail = errors.New("disk on fire")
	if _, err := fo.Create(t.Context(), Spec{Name: "new", Project: "p"}); !errors.Is(err, store.fail) {
		t.Errorf("%v", err)
	}
	if err := fo.Remove(t.Context(), "p", "kept", "me"); !errors.Is(err, store.fail) {
		t.Errorf("%v", err)
	}
	if dirs := places(t, fo); len(dirs) != 1 || dirs[0] != f.ID {
		t.Errorf("left: %v", dirs)
	}
	store.fail = nil
	// A removal that was interrupted half-way is finished by the next one.
	if err := os.Mkdir(filepath.Join(fo.root, removedPrefix+"old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.Path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fo.Remove(t.Context(), "p", "kept", "me"), fo.Purge(t.Context(), "p", f.ID)); err != nil {
		t.Errorf("a folder whose directory is gone is not removed: %v", err)
	}
	if dirs := places(t, fo); len(dirs) != 0 {
		t.Errorf("left: %v", dirs)
	}
}

func TestFolderVanished(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "gone")
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	const words = "is gone (mount the disk that holds it again, or remove the folder: palisade folder rm gone)"
	_, err := fo.Entries(f, "")
	wantError(t, err, ErrNotFound, words)
	_, err = fo.Open(f, "x")
	wantError(t, err, ErrNotFound, words)
	_, err = fo.Write(t.Context(), f, "x", Content{Reader: strings.NewReader("")})
	wantError(t, err, ErrNotFound, words)
	wantError(t, fo.RemoveEntry(f, "x"), ErrNotFound, words)
}

func TestImport(t *testing.T) {
	dir := foldertest.Tree(t, map[string]string{"models/llama/x.gguf": "x", "file": "", "link": "-> models/llama", "etc": "-> /etc"})
	fo, _, _ := newFolders(t)
	if err := os.MkdirAll(fo.root, 0o755); err != nil {
		t.Fatal(err)
	}
	data := foldertest.Tree(t, map[string]string{"logs/": ""})
	fo.protect = append(fo.protect, data)
	f, err := fo.Import(t.Context(), Spec{Name: "llama", Project: "p"}, dir+"/link")
	if err != nil {
		t.Fatal(err)
	}
	if f.Path != dir+"/models/llama" || !f.Imported {
		t.Errorf("%+v", f)
	}
	if entries, err := fo.Entries(f, "/"); err != nil || len(entries) != 1 || entries[0].Name != "x.gguf" {
		t.Errorf("%v, %v", entries, err)
	}
	if err := fo.Remove(t.Context(), "p", "llama", "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/models/llama/x.gguf"); err != nil {
		t.Errorf("removing an imported folder deleted it: %v", err)
	}
	for path, words := range map[string]string{
		"models":                "is not an absolute path",
		"":                      "is not an absolute path",
		dir + "/file":           "is not a directory",
		"/":                     "/ is a directory of the system (put the model into a directory of its own",
		"/etc":                  "is a directory of the system",
		"/etc/../etc/ssl":       "is a directory of the system",
		"/proc/self":            "is a directory of the system",
		"/sys":                  "is a directory of the system",
		"/dev/shm":              "is a directory of the system",
		"/usr/bin":              "is a directory of the system",
		"/tmp/":                 "is a directory of the system",
		dir + "/etc":            "/etc is a directory of the system",
		fo.root:                 "holds Palisade's own data",
		filepath.Dir(fo.root):   "holds Palisade's own data",
		data + "/logs":          "holds Palisade's own data",
		filepath.Dir(data) + "": "holds Palisade's own data",
	} {
		_, err := fo.Import(t.Context(), Spec{Name: "bad", Project: "p"}, path)
		wantError(t, err, ErrInvalid, words)
	}
	_, err = fo.Import(t.Context(), Spec{Name: "bad", Project: "p"}, dir+"/nowhere")
	wantError(t, err, ErrNotFound, "there is no directory "+dir+"/nowhere on this box")
	_, err = fo.Import(t.Context(), Spec{Name: "a/b", Project: "p"}, dir)
	wantError(t, err, ErrInvalid, "cannot be the name of a folder")
	_, err = fo.Import(t.Context(), Spec{Name: "a", Project: "p", Usage: "fun"}, dir)
	wantError(t, err, ErrInvalid, `unknown usage "fun" (model, general or data)`)
}

func TestFolderNames(t *testing.T) {
	for _, name := range []string{"a", "llama-3.1-8B", "my_model", "모델", ".cache", "1", strings.Repeat("x", 64), strings.Repeat("é", 64), "archive"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, words := range map[string]string{
		"":                      "a folder needs a name",
		strings.Repeat("x", 65): "a folder's name has at most 64 characters, this one 65",
		".":                     "cannot be the name",
		"..":                    "cannot be the name",
		"a/b":                   "cannot be the name",
		"../x":                  "cannot be the name",
		"a b":                   "cannot be the name",
		"a\nb":                  "cannot be the name",
		"a\x00":                 "cannot be the name",
		"-rf":                   "cannot be the name",
		"\xff":                  "cannot be the name",
		"etc":                   "the name of a system directory",
		"/etc":                  "the name of a system directory",
		"/usr/lib/x":            "the name of a system directory",
		"Proc":                  "the name of a system directory",
		".bashrc":               "a file that programs read when they start",
		".zshrc":                "a file that programs read when they start",
		".anythingrc":           "a file that programs read when they start",
		".ssh":                  "a file that programs read when they start",
		".bash_profile":         "a file that programs read when they start",
		"fld-abcdefgh2345":      "looks like the id of a folder",
	} {
		wantError(t, CheckName(name), ErrInvalid, words)
	}
}

func TestFolderFiles(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	for path, content := range map[string]string{"a.txt": "one", "/deep/er/b": "two", "deep/c": ""} {
		if w, err := fo.Write(t.Context(), f, path, Content{Reader: strings.NewReader(content)}); err != nil || w.Size != int64(len(content)) {
			t.Fatalf("%s: %+v, %v", path, w, err)
		}
	}
	if err := os.Chmod(f.Path+"/a.txt", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := fo.Write(t.Context(), f, "a.txt", Content{Reader: strings.NewReader("eleven")}); err != nil {
		t.Fatal(err)
	}
	file, err := fo.Open(f, "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(file); string(rest) != "en" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if info, _ := file.Stat(); info.Mode().Perm() != 0o755 || info.Size() != 6 {
		t.Errorf("mode %v, size %d", info.Mode(), info.Size())
	}
	for _, executable := range []bool{false, true} {
		if _, err := fo.Write(t.Context(), f, "a.txt", Content{Reader: strings.NewReader("eleven"), Executable: &executable}); err != nil {
			t.Fatal(err)
		}
		entries, err := fo.Entries(f, "")
		if err != nil || entries[0].Name != "a.txt" || entries[0].Executable != executable {
			t.Errorf("executable %v: %+v, %v", executable, entries[0], err)
		}
	}
	if err := os.Symlink("deep/er", f.Path+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", f.Path+"/lost"); err != nil {
		t.Fatal(err)
	}
	entries, err := fo.Entries(f, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		switch {
		case e.Link && e.Dir:
			got = append(got, e.Name+"@/")
		case e.Link:
			got = append(got, e.Name+"@")
		case e.Dir:
			got = append(got, e.Name+"/")
		default:
			got = append(got, e.Name)
		}
	}
	if want := []string{"a.txt", "deep/", "link@/", "lost@"}; !slices.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
	_, err = fo.Entries(f, "a.txt")
	wantError(t, err, ErrInvalid, "a.txt is not a directory")
	_, err = fo.Entries(f, "none")
	wantError(t, err, ErrNotFound, "none is not in the folder")
	_, err = fo.Open(f, "deep")
	wantError(t, err, ErrInvalid, "deep is a directory; a plain file is wanted")
	_, err = fo.Write(t.Context(), f, "deep", Content{Reader: strings.NewReader("")})
	wantError(t, err, ErrInvalid, "deep is a directory (give the path with the file's name)")
	_, err = fo.Write(t.Context(), f, "a.txt/b", Content{Reader: strings.NewReader("")})
	wantError(t, err, ErrInvalid, "a.txt/b cannot be written: a file is in the way")
	_, err = fo.Write(t.Context(), f, "/", Content{Reader: strings.NewReader("")})
	wantError(t, err, ErrInvalid, "cannot be the name of a file")
	wantError(t, fo.RemoveEntry(f, "/"), ErrInvalid, "the folder itself is not deleted this way")
	wantError(t, fo.RemoveEntry(f, "none"), ErrNotFound, "none is not in the folder")
	for _, path := range []string{"deep", "a.txt", "link", "lost"} {
		if err := fo.RemoveEntry(f, path); err != nil {
			t.Error(err)
		}
	}
	if entries, err := fo.Entries(f, ""); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A write that fails leaves the old file, and nothing beside it.
func TestFolderWriteFails(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "full")
	if _, err := fo.Write(t.Context(), f, "model.gguf", Content{Reader: strings.NewReader("old")}); err != nil {
		t.Fatal(err)
	}
	broken := func(err error) io.Reader {
		return io.MultiReader(strings.NewReader("half"), iotest.ErrReader(err))
	}
	_, err := fo.Write(t.Context(), f, "model.gguf", Content{Reader: broken(&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})})
	wantError(t, err, ErrNoSpace, "the disk is full")
	cut := errors.New("client went away")
	_, err = fo.Write(t.Context(), f, "model.gguf", Content{Reader: broken(cut)})
	wantError(t, err, cut, "writing model.gguf: client went away")
	left, err := os.ReadDir(f.Path)
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if content, _ := os.ReadFile(f.Path + "/model.gguf"); string(content) != "old" {
		t.Errorf("the old file is now %q", content)
	}
}

// No path and no link leads out of a folder, whatever is asked of it.
func TestFolderEscapes(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "jail")
	outsideDir := foldertest.Tree(t, map[string]string{"secret": "s"})
	for link, target := range map[string]string{"dir": outsideDir, "file": outsideDir + "/secret", "up": "../..", "inner": "up/x"} {
		if err := os.Symlink(target, filepath.Join(f.Path, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"../x", "a/../../x", "/../x", "dir/secret", "up/x", "a\x00b"} {
		_, err := fo.Open(f, path)
		wantError(t, err, ErrInvalid, "leaves the folder")
		_, err = fo.Entries(f, path)
		wantError(t, err, ErrInvalid, "leaves the folder")
		_, err = fo.Write(t.Context(), f, path, Content{Reader: strings.NewReader("pwned")})
		wantError(t, err, ErrInvalid, "leaves the folder")
		wantError(t, fo.RemoveEntry(f, path), ErrInvalid, "leaves the folder")
	}
	_, err := fo.Open(f, "file")
	wantError(t, err, ErrInvalid, "leaves the folder")
	// Writing to a link, or removing it, is about the link itself.
	if _, err := fo.Write(t.Context(), f, "file", Content{Reader: strings.NewReader("mine")}); err != nil {
		t.Error(err)
	}
	if err := fo.RemoveEntry(f, "dir"); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(outsideDir + "/secret"); err != nil || string(content) != "s" {
		t.Errorf("outside: %q, %v", content, err)
	}
}

func TestFoldersConcurrently(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "busy")
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), 10_000)
			if _, err := fo.Write(t.Context(), f, "dir/file", Content{Reader: strings.NewReader(content)}); err != nil {
				t.Error(err)
			}
			file, err := fo.Open(f, "dir/file")
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			got, err := io.ReadAll(file)
			if err != nil || len(got) != 10_000 || strings.Trim(string(got), string(got[0])) != "" {
				t.Errorf("a mixture of %d bytes was read: %v", len(got), err)
			}
			if _, err := fo.Create(t.Context(), Spec{Name: "same", Project: "p"}); err != nil && !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if list, err := fo.List(t.Context(), "p"); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}
