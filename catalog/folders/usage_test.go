package folders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/folders/foldertest"
)

func bound(t *testing.T, fo *Keeper, name string, quota int64) Folder {
	t.Helper()
	f, err := fo.Create(t.Context(), Spec{Name: name, Project: "p", Quota: quota})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t *testing.T, fo *Keeper, f Folder, path string, size int) error {
	t.Helper()
	_, err := fo.Write(t.Context(), f, path, Content{Reader: strings.NewReader(strings.Repeat("x", size)), Size: int64(size)})
	return err
}

func held(t *testing.T, fo *Keeper, f Folder) int64 {
	t.Helper()
	n, err := fo.held(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestQuotaIsExact(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := bound(t, fo, "small", 100)
	if err := errors.Join(put(t, fo, f, "a", 60), put(t, fo, f, "b", 40)); err != nil {
		t.Fatal(err)
	}
	wantError(t, put(t, fo, f, "c", 1), ErrQuota, "folder small may hold 100 B and holds 100 B: 1 B more do not fit (remove what is no longer needed, or raise its bound: palisade folder quota small SIZE)")
	_, err := fo.Write(t.Context(), f, "c", Content{Reader: strings.NewReader("1")}) // nobody knows how much
	wantError(t, err, ErrQuota, "do not fit")
	// What is replaced makes room, and what is removed.
	if err := errors.Join(put(t, fo, f, "a", 50), fo.RemoveEntry(f, "b"), put(t, fo, f, "b", 50)); err != nil {
		t.Fatal(err)
	}
	if err := put(t, fo, f, "c", 0); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	_, err = fo.BeginUpload(t.Context(), f, UploadSpec{Path: "d", Size: 1})
	wantError(t, err, ErrQuota, "1 B more do not fit")
	// An upload that was to replace a file which goes meanwhile, and something else comes.
	u := begin(t, fo, f, "a", 50)
	mustSend(t, fo, f, u.ID, 0, make([]byte, 50))
	if err := errors.Join(fo.RemoveEntry(f, "a"), put(t, fo, f, "e", 20)); err != nil {
		t.Fatal(err)
	}
	_, err = fo.FinishUpload(t.Context(), f, u.ID, "")
	wantError(t, err, ErrQuota, "do not fit")
	if err := fo.RemoveEntry(f, "e"); err != nil {
		t.Fatal(err)
	}
	if _, err := fo.FinishUpload(t.Context(), f, u.ID, ""); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if n := held(t, fo, f); n != 100 {
		t.Errorf("holds %d", n)
	}
	wantNoParts(t, fo, f)
}

func TestQuotaUnderManyUploads(t *testing.T) {
	fo, _, _ := newFolders(t)
	fo.Settings.Quotas = map[string]int64{"*": 150}
	f, g := bound(t, fo, "f", 100), bound(t, fo, "g", 0)
	var group sync.WaitGroup
	var let atomic.Int64
	for i := range 40 {
		group.Go(func() {
			into := f
			if i%2 == 0 {
				into = g
			}
			path := fmt.Sprint("x", i)
			var err error
			if i%4 < 2 {
				err = put(t, fo, into, path, 10)
			} else {
				var u Upload
				if u, err = fo.BeginUpload(t.Context(), into, UploadSpec{Path: path, Size: 10}); err == nil {
					mustSend(t, fo, into, u.ID, 0, make([]byte, 10))
					_, err = fo.FinishUpload(t.Context(), into, u.ID, "")
				}
			}
			if err == nil {
				let.Add(10)
			} else if !errors.Is(err, ErrQuota) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	inF, inG := held(t, fo, f), held(t, fo, g)
	if let.Load() != 150 || inF+inG != 150 || inF > 100 {
		t.Errorf("%d bytes were let in, %d and %d are there", let.Load(), inF, inG)
	}
}

// What an earlier daemon let in counts, and an upload that had begun before there was a bound.
func TestQuotaCountsWhatIsComing(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := bound(t, fo, "f", 0)
	u := begin(t, fo, f, "a", 90)
	quota := int64(100)
	f, err := fo.Update(t.Context(), "p", "f", Change{Quota: &quota})
	if err != nil {
		t.Fatal(err)
	}
	for _, daemon := range []*Keeper{fo, again(fo)} {
		wantError(t, put(t, daemon, f, "b", 11), ErrQuota, "may hold 100 B and holds 90 B")
	}
	next := again(fo)
	mustSend(t, next, f, u.ID, 0, make([]byte, 90))
	if _, err := next.FinishUpload(t.Context(), f, u.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := put(t, next, f, "b", 10); err != nil {
		t.Error(err)
	}
	if n := held(t, next, f); n != 100 {
		t.Errorf("holds %d", n)
	}
	// Refused when it is taken over, it stays what it is.
	less := int64(10)
	u = begin(t, next, f, "a", 90)
	if f, err = next.Update(t.Context(), "p", "f", Change{Quota: &less}); err != nil {
		t.Fatal(err)
	}
	if err := next.RemoveEntry(f, "a"); err != nil {
		t.Fatal(err)
	}
	mustSend(t, next, f, u.ID, 0, make([]byte, 5))
	_, err = next.BeginUpload(t.Context(), f, UploadSpec{Path: "a", Size: 90, By: "me"})
	wantError(t, err, ErrQuota, "do not fit")
	if all, err := next.Uploads(t.Context(), f); err != nil || len(all) != 1 || all[0].Offset != 5 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Who asks and goes away leaves no count of what was seen until then.
func TestCountInterrupted(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := bound(t, fo, "f", 100)
	if err := os.WriteFile(f.Path+"/x", make([]byte, 100), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fo.Use(ctx, f, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wantError(t, put(t, fo, f, "y", 1), ErrQuota, "holds 100 B")
}

func TestCount(t *testing.T) {
	fo, _, used := newFolders(t)
	f := bound(t, fo, "f", 1<<20)
	outsideDir := foldertest.Tree(t, map[string]string{"big": strings.Repeat("x", 5000)})
	deep := f.Path + strings.Repeat("/d", 30)
	if err := errors.Join(
		os.MkdirAll(deep, 0o755),
		os.WriteFile(deep+"/a\nb\x1b[2J", make([]byte, 1000), 0o644),
		os.Link(deep+"/a\nb\x1b[2J", f.Path+"/same"),
		os.Symlink(outsideDir, f.Path+"/out"), os.Symlink(".", f.Path+"/round"), os.Symlink(outsideDir+"/big", f.Path+"/big"),
		syscall.Mkfifo(f.Path+"/pipe", 0o666),
		os.Mkdir(filepath.Join(f.Path, partsDir), 0o777),
		os.WriteFile(filepath.Join(f.Path, partsDir, "hidden"), make([]byte, 500), 0o644),
		os.Mkdir(filepath.Join(f.Path, "d", partsDir), 0o777),
		os.WriteFile(filepath.Join(f.Path, "d", partsDir, "hidden"), make([]byte, 70), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(f.Path + "/sparse")
	if err == nil {
		err = errors.Join(sparse.Truncate(7), sparse.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	begin(t, fo, f, "coming", 3) // is counted by itself
	use, err := fo.Use(t.Context(), f, 0)
	if err != nil || use.Bytes != 1577 || use.Files != 9 || use.Directories != 31 || use.Incomplete {
		t.Errorf("%+v, %v", use, err)
	}
	if n := held(t, fo, f); n != 1580 {
		t.Errorf("holds %d", n)
	}
	// What a session writes is seen while it has the folder, and said.
	used[f.ID] = "session s"
	if err := os.WriteFile(f.Path+"/more", make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	fo.accountOf(f.ID).use.At = time.Now().Add(-freshInUse - time.Second)
	over, err := fo.OverQuota(t.Context(), f)
	if err != nil || over != "folder f holds 1 MiB, and may hold 1 MiB" || fo.LastOver(f.ID) != over {
		t.Errorf("%q, %v", over, err)
	}
	if err := fo.RemoveEntry(f, "more"); err != nil {
		t.Fatal(err)
	}
	if over, err := fo.OverQuota(t.Context(), f); err != nil || over != "" || fo.LastOver(f.ID) != "" {
		t.Errorf("%q, %v", over, err)
	}
}

func TestCountBounds(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.WriteFile(dir+"/x", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if u, err := count(ctx, dir, time.Now(), func(string) bool { return false }); err != nil || !u.Incomplete {
		t.Errorf("%+v, %v", u, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for range maxNested + 5 {
		if err := root.Mkdir("d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := root.OpenRoot("d")
		if err != nil {
			t.Fatal(err)
		}
		_ = root.Close()
		root = next
	}
	if u, err := count(t.Context(), dir, time.Now(), func(string) bool { return false }); err != nil || !u.Incomplete || u.Directories < maxNested {
		t.Errorf("%+v, %v", u, err)
	}
	fo, _, _ := newFolders(t)
	_, _, err = fo.Clone(t.Context(), Folder{ID: "deep", Name: "deep", Path: dir}, Spec{Name: "copy", Project: "p"}, nil)
	wantError(t, err, ErrInvalid, "more than 256 directories lie in one another")
	if left := places(t, fo); len(left) != 0 {
		t.Errorf("%v", left)
	}
}

// Ten thousand files, and names as nobody should give them, are listed, counted, cloned, and deleted.
func TestManyFiles(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := bound(t, fo, "many", 1<<30)
	for i := range 10_000 {
		name := fmt.Sprintf("%s/%d\n\t\x1b]0;x\a'\"\\ \xff", f.Path, i)
		if err := os.WriteFile(name, []byte{'x'}, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := fo.Entries(f, ""); err != nil || len(entries) != 10_000 {
		t.Errorf("%d, %v", len(entries), err)
	}
	if use, err := fo.Use(t.Context(), f, 0); err != nil || use.Files != 10_000 || use.Bytes != 10_000 {
		t.Errorf("%+v, %v", use, err)
	}
	clone, c, err := fo.Clone(t.Context(), f, Spec{Name: "clone", Project: "p"}, nil)
	if err != nil || c.Files != 10_000 || c.Bytes != 10_000 {
		t.Fatalf("%+v, %v", c, err)
	}
	entries, err := fo.Entries(clone, "")
	if err != nil || len(entries) != 10_000 {
		t.Fatalf("%d, %v", len(entries), err)
	}
	if content, err := os.ReadFile(filepath.Join(clone.Path, entries[77].Name)); err != nil || !bytes.Equal(content, []byte{'x'}) {
		t.Errorf("%q, %v", content, err)
	}
	if err := fo.Discard(t.Context(), "p", "clone"); err != nil {
		t.Error(err)
	}
}

// Pipes, sockets and devices hold nobody up, whatever is done with them.
func TestSpecialFiles(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "f")
	if err := errors.Join(syscall.Mkfifo(f.Path+"/pipe", 0o666), os.Symlink("pipe", f.Path+"/link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", "link"} {
		_, err := fo.Entries(f, name)
		wantError(t, err, ErrInvalid, name+" is not a directory")
		_, err = fo.Open(f, name)
		wantError(t, err, ErrInvalid, name+" is a special file; a plain file is wanted")
		wantError(t, fo.MakeDirectory(f, name), ErrExists, "is no directory")
	}
	_, err := fo.Entries(f, "pipe/x")
	wantError(t, err, ErrNotFound, "not in the folder")
	if err := errors.Join(fo.MoveEntry(f, "pipe", "dir/pipe"), put(t, fo, f, "link", 3), put(t, fo, f, "dir/pipe", 3)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, f, "dir/pipe", []byte("xxx"))
}
