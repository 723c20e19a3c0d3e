package folders

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// again is what the next daemon has of the same folders.
func again(fo *Keeper) *Keeper {
	next := New(fo.store, fo.root, fo.inUse)
	next.Settings = fo.Settings
	return next
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func begin(t *testing.T, fo *Keeper, f Folder, path string, size int) Upload {
	t.Helper()
	u, err := fo.BeginUpload(t.Context(), f, UploadSpec{Path: path, Size: int64(size), By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// send appends content from at on, with its checksum.
func send(t *testing.T, fo *Keeper, f Folder, id string, at int, content []byte) (Upload, error) {
	t.Helper()
	crc := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	return fo.Append(t.Context(), f, id, Chunk{Offset: int64(at), Body: bytes.NewReader(content), CRC32C: &crc})
}

func mustSend(t *testing.T, fo *Keeper, f Folder, id string, at int, content []byte) {
	t.Helper()
	if u, err := send(t, fo, f, id, at, content); err != nil || u.Offset != int64(at+len(content)) {
		t.Fatalf("%+v, %v", u, err)
	}
}

// wantFile holds a file against its content, and sees that nothing else is on its way.
func wantFile(t *testing.T, f Folder, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(f.Path, path))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%s: %d bytes, which are those of %d: %v, %v", path, len(got), len(content), bytes.Equal(got, content), err)
	}
}

func wantNoParts(t *testing.T, fo *Keeper, f Folder) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Join(f.Path, partsDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("parts: %v, %v", left, err)
	}
	if records, _ := filepath.Glob(filepath.Join(fo.root, recordsDir, "*")); len(records) > 0 {
		t.Errorf("records: %v", records)
	}
}

func TestUploadWhole(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	content := random(t, 700_000)
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	u, err := fo.BeginUpload(t.Context(), f, UploadSpec{Path: "/deep/er/a\nb", Size: int64(len(content)), By: "me", Modified: at, Executable: new(true)})
	if err != nil || u.Offset != 0 || u.Path != "deep/er/a\nb" || u.Digest != hexOf(nil) {
		t.Fatalf("%+v, %v", u, err)
	}
	if _, err := os.Stat(f.Path + "/deep"); err == nil {
		t.Error("something of the file can be seen")
	}
	if entries, err := fo.Entries(f, ""); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	mustSend(t, fo, f, u.ID, 0, content[:300_000])
	_, err = fo.FinishUpload(t.Context(), f, u.ID, "")
	wantError(t, err, ErrInvalid, "300000 of 700000 bytes are here")
	broken := uint32(1)
	now, err := fo.Append(t.Context(), f, u.ID, Chunk{300_000, bytes.NewReader(content[300_000:]), &broken})
	wantError(t, err, ErrChecksum, "400000 bytes from 300000 on are not what was sent (send them again")
	if now.Offset != 300_000 || now.Digest != hexOf(content[:300_000]) {
		t.Errorf("bytes that are wrong count: %+v", now)
	}
	now, err = send(t, fo, f, u.ID, 299_999, content[299_999:])
	wantError(t, err, ErrOffset, "bytes from 299999 on came, and the upload goes on at 300000")
	if now.Offset != 300_000 {
		t.Errorf("%+v", now)
	}
	_, err = send(t, fo, f, u.ID, 300_000, append(bytes.Clone(content[300_000:]), 'x'))
	wantError(t, err, ErrInvalid, "the file has 700000 bytes, and more came")
	cut := errors.New("the line was cut")
	_, err = fo.Append(t.Context(), f, u.ID, Chunk{Offset: 300_000, Body: io.MultiReader(bytes.NewReader(content[300_000:400_000]), iotest.ErrReader(cut))})
	wantError(t, err, cut, "")
	if now, err = fo.Upload(t.Context(), f, u.ID); err != nil || now.Offset != 400_000 || now.Digest != hexOf(content[:400_000]) {
		t.Errorf("what came before a cut counts where there is no checksum: %+v, %v", now, err)
	}
	mustSend(t, fo, f, u.ID, 400_000, content[400_000:])
	w, err := fo.FinishUpload(t.Context(), f, u.ID, strings.ToUpper(hexOf(content)))
	if err != nil || w != (Written{"deep/er/a\nb", 700_000, hexOf(content)}) {
		t.Fatalf("%+v, %v", w, err)
	}
	wantFile(t, f, "deep/er/a\nb", content)
	wantNoParts(t, fo, f)
	info, err := os.Stat(f.Path + "/deep/er/a\nb")
	if err != nil || info.Mode().Perm() != 0o777 || !info.ModTime().Equal(at) {
		t.Errorf("%v, %v", info, err)
	}
	_, err = fo.FinishUpload(t.Context(), f, u.ID, "")
	wantError(t, err, ErrNotFound, "there is no upload")
	wantError(t, fo.DropUpload(t.Context(), f, u.ID), ErrNotFound, "begin again, which goes on where it was")
}

func TestUploadRefused(t *testing.T) {
	fo, _, _ := newFolders(t)
	f, other := create(t, fo, "files"), create(t, fo, "other")
	if err := os.Mkdir(f.Path+"/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for words, spec := range map[string]UploadSpec{
		"a file cannot have -1 bytes":    {Path: "x", Size: -1},
		"a file cannot have":             {Path: "x", Size: maxSize + 1},
		"leaves the folder":              {Path: "../x"},
		"dir is a directory":             {Path: "dir"},
		"cannot be the name of a file":   {Path: "/"},
		"where uploads are on their way": {Path: partsDir + "/upl-x"},
	} {
		_, err := fo.BeginUpload(t.Context(), f, spec)
		wantError(t, err, ErrInvalid, words)
	}
	wantNoParts(t, fo, f)
	u := begin(t, fo, f, "x", 3)
	_, err := fo.Upload(t.Context(), other, u.ID)
	wantError(t, err, ErrNotFound, "there is no upload") // in another folder
	mustSend(t, fo, f, u.ID, 0, []byte("abc"))
	_, err = fo.FinishUpload(t.Context(), f, u.ID, hexOf([]byte("abd")))
	wantError(t, err, ErrChecksum, "the file changed while it was sent: send it again")
	wantNoParts(t, fo, f)
	u = begin(t, fo, f, "x", 3)
	if err := fo.DropUpload(t.Context(), f, u.ID); err != nil {
		t.Fatal(err)
	}
	wantNoParts(t, fo, f)
	empty := begin(t, fo, f, "empty", 0)
	if _, err := fo.FinishUpload(t.Context(), f, empty.ID, hexOf(nil)); err != nil {
		t.Error(err)
	}
	wantFile(t, f, "empty", nil)
}

// A daemon that is killed at any time loses no more than what nobody was told is here.
func TestUploadAfterAKill(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	content := random(t, 1_000_000)
	u := begin(t, fo, f, "x", len(content))
	mustSend(t, fo, f, u.ID, 0, content[:600_000])
	// Killed in the middle of a part: more is in the file than is written down.
	part, err := os.OpenFile(filepath.Join(f.Path, partsDir, u.ID), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.WriteAt(bytes.Repeat([]byte("half"), 50_000), 600_000); err != nil {
		t.Fatal(err)
	}
	_ = part.Close()

	next := again(fo)
	got, err := next.Upload(t.Context(), f, u.ID)
	if err != nil || got.Offset != 600_000 || got.Digest != hexOf(content[:600_000]) {
		t.Fatalf("%+v, %v", got, err)
	}
	// Both with its id, and begun again.
	mustSend(t, next, f, u.ID, 600_000, content[600_000:700_000])
	next = again(fo)
	taken := begin(t, next, f, "x", len(content))
	if taken.Offset != 700_000 || taken.ID == u.ID || !taken.CreatedAt.Equal(u.CreatedAt) {
		t.Errorf("%+v", taken)
	}
	next = again(fo)
	mustSend(t, next, f, taken.ID, 700_000, content[700_000:])
	if _, err := again(fo).FinishUpload(t.Context(), f, taken.ID, hexOf(content)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, f, "x", content)
	wantNoParts(t, fo, f)
}

// TestUploadOfAnEarlierVersion: it knew one checksum, and wrote down none.
func TestUploadOfAnEarlierVersion(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	content := random(t, 500_000)
	u := begin(t, fo, f, "x", len(content))
	mustSend(t, fo, f, u.ID, 0, content[:300_000])
	name := filepath.Join(fo.root, recordsDir, u.ID+".json")
	text, err := os.ReadFile(name)
	without := bytes.Replace(text, []byte(`"checksum":"sha256",`), nil, 1)
	if err != nil || len(without) == len(text) {
		t.Fatalf("%v in %s", err, text)
	}
	if err := os.WriteFile(name, without, 0o600); err != nil {
		t.Fatal(err)
	}
	next := again(fo)
	mustSend(t, next, f, u.ID, 300_000, content[300_000:])
	if _, err := next.FinishUpload(t.Context(), f, u.ID, hexOf(content)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, f, "x", content)
}

// After a failure of the box what was written last may never have come to the disk, whoever goes on and how.
func TestUploadAfterAReboot(t *testing.T) {
	content := random(t, 900_000)
	for name, c := range map[string]struct {
		harm func(part string) error
		want int64
	}{
		"all here":       {func(string) error { return nil }, 900_000},
		"zeros at last":  {func(p string) error { return overwrite(p, 800_000, make([]byte, 100_000)) }, 600_000},
		"short":          {func(p string) error { return os.Truncate(p, 700_000) }, 600_000},
		"zeros at first": {func(p string) error { return overwrite(p, 0, make([]byte, 10)) }, 0},
		"gone":           {os.Remove, 0},
	} {
		for _, goesOn := range []string{"asks", "appends", "finishes", "begins"} {
			t.Run(name+" "+goesOn, func(t *testing.T) {
				fo, _, _ := newFolders(t)
				f := create(t, fo, "files")
				u := begin(t, fo, f, "x", len(content))
				mustSend(t, fo, f, u.ID, 0, content[:300_000])
				setMark(t, fo, u.ID)
				mustSend(t, fo, f, u.ID, 300_000, content[300_000:600_000])
				setMark(t, fo, u.ID)
				mustSend(t, fo, f, u.ID, 600_000, content[600_000:])
				fo.uploads[u.ID].rec.Boot = "another"
				if err := fo.writeRecord(fo.uploads[u.ID].rec); err != nil {
					t.Fatal(err)
				}
				if err := c.harm(filepath.Join(f.Path, partsDir, u.ID)); err != nil {
					t.Fatal(err)
				}
				next := again(fo)
				id, offset := u.ID, int64(-1)
				switch goesOn {
				case "asks":
					got, err := next.Upload(t.Context(), f, id)
					if offset = got.Offset; err != nil {
						t.Fatal(err)
					}
				case "appends":
					got, err := next.Append(t.Context(), f, id, Chunk{Offset: 900_000, Body: strings.NewReader("")})
					if offset = got.Offset; (err == nil) != (offset == 900_000) {
						t.Fatal(err)
					}
				case "finishes":
					_, err := next.FinishUpload(t.Context(), f, id, hexOf(content))
					if (err == nil) != (c.want == 900_000) {
						t.Fatal(err)
					}
					if err == nil {
						wantFile(t, f, "x", content)
						return
					}
					offset = next.uploads[id].rec.Offset
				case "begins":
					got := begin(t, next, f, "x", len(content))
					id, offset = got.ID, got.Offset
				}
				if offset != c.want {
					t.Fatalf("goes on at %d, want %d", offset, c.want)
				}
				if offset < 900_000 {
					mustSend(t, next, f, id, int(offset), content[offset:])
				}
				if _, err := next.FinishUpload(t.Context(), f, id, hexOf(content)); err != nil {
					t.Fatal(err)
				}
				wantFile(t, f, "x", content)
				wantNoParts(t, next, f)
			})
		}
	}
}

func overwrite(path string, at int64, p []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(p, at)
	return errors.Join(err, file.Close())
}

// setMark is what happens once in markEvery bytes.
func setMark(t *testing.T, fo *Keeper, id string) {
	t.Helper()
	u := fo.uploads[id]
	u.rec.Marks = append(u.rec.Marks, mark{u.rec.Offset, u.rec.Digest, u.rec.State})
}

// Whoever goes away while parts are read again loses nothing by that.
func TestUploadCheckInterrupted(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	content := random(t, 2*pieceSize)
	u := begin(t, fo, f, "x", len(content)+1)
	mustSend(t, fo, f, u.ID, 0, content)
	fo.uploads[u.ID].rec.Boot = "another"
	if err := fo.writeRecord(fo.uploads[u.ID].rec); err != nil {
		t.Fatal(err)
	}
	next := again(fo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := next.BeginUpload(ctx, f, UploadSpec{Path: "x", Size: int64(len(content)) + 1, By: "me"}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := begin(t, next, f, "x", len(content)+1); got.Offset != int64(len(content)) {
		t.Errorf("goes on at %d", got.Offset)
	}
}

// The latest who goes on with an upload has it alone, and no byte of the others gets in.
func TestUploadTakenOver(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	content := random(t, 4*pieceSize)
	first := begin(t, fo, f, "x", len(content))
	reader, writer := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := fo.Append(t.Context(), f, first.ID, Chunk{Offset: 0, Body: reader})
		_ = reader.Close()
		failed <- err
	}()
	if _, err := writer.Write(bytes.Repeat([]byte{'-'}, pieceSize)); err != nil {
		t.Fatal(err)
	}
	second := begin(t, fo, f, "x", len(content))
	if second.ID == first.ID {
		t.Error("the id is the same")
	}
	mustSend(t, fo, f, second.ID, 0, content[:2*pieceSize])
	_, _ = writer.Write(bytes.Repeat([]byte{'-'}, 2*pieceSize))
	_ = writer.Close()
	wantError(t, <-failed, ErrOffset, "the upload goes on at")
	_, err := send(t, fo, f, first.ID, 0, content)
	wantError(t, err, ErrNotFound, "another client has taken it over")
	for _, spec := range []UploadSpec{ // these are other uploads
		{Path: "x", Size: int64(len(content)), By: "somebody"}, {Path: "x", Size: 1, By: "me"}, {Path: "y", Size: int64(len(content)), By: "me"},
	} {
		if u, err := fo.BeginUpload(t.Context(), f, spec); err != nil || u.Offset != 0 {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if all, err := fo.Uploads(t.Context(), f); err != nil || len(all) != 4 {
		t.Errorf("%+v, %v", all, err)
	}
	mustSend(t, fo, f, second.ID, 2*pieceSize, content[2*pieceSize:])
	if _, err := fo.FinishUpload(t.Context(), f, second.ID, hexOf(content)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, f, "x", content)
}

// Whatever a session does to the part of an upload, nothing else than what was sent gets its name.
func TestUploadTamperedWith(t *testing.T) {
	content := random(t, 100_000)
	for name, harm := range map[string]func(part string) error{
		"removed":       os.Remove,
		"all moved":     func(p string) error { return os.Rename(filepath.Dir(p), filepath.Dir(p)+"-away") },
		"shortened":     func(p string) error { return os.Truncate(p, 10) },
		"a pipe":        func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o666)) },
		"a directory":   func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o777)) },
		"a link out":    func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
		"a link around": func(p string) error { return errors.Join(os.Remove(p), os.Symlink(filepath.Base(p), p)) },
	} {
		for _, complete := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, complete %v", name, complete), func(t *testing.T) {
				fo, _, _ := newFolders(t)
				f := create(t, fo, "files")
				u := begin(t, fo, f, "x", len(content))
				mustSend(t, fo, f, u.ID, 0, content[:50_000])
				if complete {
					mustSend(t, fo, f, u.ID, 50_000, content[50_000:])
				}
				if err := harm(filepath.Join(f.Path, partsDir, u.ID)); err != nil {
					t.Fatal(err)
				}
				if !complete {
					_, err := send(t, fo, f, u.ID, 50_000, content[50_000:])
					if err == nil {
						t.Error("it goes on after what is not there")
					}
				}
				if _, err := fo.FinishUpload(t.Context(), f, u.ID, hexOf(content)); err == nil {
					t.Error("a file that is not there is finished")
				}
				if _, err := os.Lstat(f.Path + "/x"); err == nil {
					t.Error("there is a file")
				}
			})
		}
	}
}

// Many files at once, of which each comes whole.
func TestUploadsConcurrently(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, pieceSize+i)
			path := fmt.Sprintf("dir%d/file%d", i%3, i)
			u, err := fo.BeginUpload(t.Context(), f, UploadSpec{Path: path, Size: int64(len(content)), By: "me"})
			for at := 0; at < len(content) && err == nil; at += 100_000 {
				_, err = send(t, fo, f, u.ID, at, content[at:min(len(content), at+100_000)])
			}
			if err == nil {
				_, err = fo.FinishUpload(t.Context(), f, u.ID, hexOf(content))
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return
			}
			wantFile(t, f, path, content)
		})
		group.Go(func() {
			if err := fo.Sweep(t.Context(), time.Now()); err != nil {
				t.Error(err)
			}
			if _, err := fo.Uploads(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantNoParts(t, fo, f)
}

func TestUploadsSwept(t *testing.T) {
	fo, store, _ := newFolders(t)
	f, gone := create(t, fo, "files"), create(t, fo, "gone")
	old := begin(t, fo, f, "old", 10)
	mustSend(t, fo, f, old.ID, 0, []byte("12345"))
	lost := begin(t, fo, gone, "x", 10)
	stray := filepath.Join(f.Path, partsDir, "put-x")
	if err := os.WriteFile(stray, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	later := func(d time.Duration) {
		t.Helper()
		if err := again(fo).Sweep(t.Context(), now.Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	later(30 * time.Minute)
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("somebody may still be writing it: %v", err)
	}
	store.folders = store.folders[:1] // the row of the other is gone
	later(2 * time.Hour)
	if _, err := os.Stat(stray); err == nil {
		t.Error("what a killed daemon left stays")
	}
	if got, err := again(fo).Upload(t.Context(), f, old.ID); err != nil || got.Offset != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(fo.recordPath(lost.ID)); err == nil {
		t.Error("an upload into a folder that is no more stays")
	}
	later(25 * time.Hour)
	wantNoParts(t, fo, f)
	// One that the daemon before has finished after this one had read it.
	next := again(fo)
	u := begin(t, fo, f, "y", 1)
	if _, err := next.Upload(t.Context(), f, u.ID); err != nil {
		t.Fatal(err)
	}
	mustSend(t, fo, f, u.ID, 0, []byte("y"))
	if _, err := fo.FinishUpload(t.Context(), f, u.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := next.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if all, err := next.Uploads(t.Context(), f); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	wantFile(t, f, "y", []byte("y"))
}

// What comes in the place of a file is whose that was.
func TestUploadKeepsTheOwner(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	if err := os.WriteFile(f.Path+"/x", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(f.Path+"/x", 1000, 1001); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(f.Path + "/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fo.Write(t.Context(), f, "x", Content{Reader: strings.NewReader("new")}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(f.Path + "/x")
	if err != nil || after.Mode() != before.Mode() {
		t.Fatalf("%v, %v", after, err)
	}
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if was.Uid != is.Uid || was.Gid != is.Gid {
		t.Errorf("it was %d:%d's, and is %d:%d's", was.Uid, was.Gid, is.Uid, is.Gid)
	}
}

// TestUploadThatNoDiskHolds is refused before it takes the room that others have.
func TestUploadThatNoDiskHolds(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "files")
	if _, err := fo.BeginUpload(t.Context(), f, UploadSpec{Path: "big", Size: maxSize, By: "me"}); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	wantNoParts(t, fo, f)
}
