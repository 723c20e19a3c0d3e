package daemon

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/install"
)

// Parts of a backup: files of the data directory itself, and directories in it, by their names.
const (
	partData     = "data"
	partSettings = "settings"
	partBlobs    = "blobs"
	partFolders  = "folders" // with models alone: their folders, whose files are those of partBlobs
)

// keptFiles are files of the data directory itself that are in each backup.
func keptFiles() []string { return []string{"apps.key", auditHead, vaultKey} }

// vaultKey is the file with what opens the secrets in the rows.
const vaultKey = "vault.key"

// keptDirs are directories that are always in a backup: they are small, and nobody else has them. With folders, and with models, there
// are more.
func keptDirs(h backup.Head) []string {
	dirs := []string{"tls", "ssh", "catalogs"}
	if h.Folders || h.Models {
		dirs = append(dirs, partFolders)
	}
	if h.Folders {
		dirs = append(dirs, "checkpoints")
	}
	if h.Models {
		dirs = append(dirs, "bundles", partBlobs)
	}
	return dirs
}

// fleeting are below such directories what a restored appliance has no use for: what is half there, and what is being removed.
func fleeting(dir, name string) bool {
	first, rest, _ := strings.Cut(name, "/")
	switch dir {
	case partFolders:
		second, _, _ := strings.Cut(rest, "/")
		return first == ".uploads" || strings.HasPrefix(first, ".removed-") || strings.HasPrefix(first, ".cloning-") || second == ".palisade-uploads"
	case partBlobs:
		return first != "sha256"
	}
	return false
}

// inBackup is what goes into one backup: the rows as they were at one moment, and what of the files belongs to them.
type inBackup struct {
	run    *backupRun
	rows   *store.Snapshot
	likely int64 // about how many bytes the backup will have, and rather more
	data   string
	files  map[string][]byte // of the data directory itself, as they were when the rows were
	blobs  map[blobID]string // the files of models, by what the disk calls them
	models []backup.Model
	only   map[string]bool // folders that are in it; nil: all
	listed map[string]bool // checksums of the files of models, which are to be fetched again
	bytes  int64           // of files that are in it
}

// blobID is a file, whatever names it has.
type blobID struct{ dev, ino uint64 }

// look fixes the moment of a backup, and counts what there is.
//  1. What is counted in memory goes to the database first.
//  2. The head of the record of changes is read before the rows: the record may go on meanwhile, and must not end before it.
//  3. The key of the vault is the same before and after the rows: one that is changed in between would not open them.
func (b *backups) look(ctx context.Context, run *backupRun) (_ *inBackup, err error) {
	in := &inBackup{run: run, data: b.d.Config.Data, blobs: map[blobID]string{}}
	defer func() {
		if err != nil {
			in.Close()
		}
	}()
	if err := errors.Join(b.d.usage.Flush(ctx), b.d.tokens.Flush(ctx), b.d.accounts.Flush(ctx)); err != nil { // 1
		return nil, err
	}
	for range 5 {
		if in.files, err = readFiles(in.data, keptFiles()...); err != nil { // 2
			return nil, err
		}
		if in.rows, err = store.TakeSnapshot(ctx, b.d.Config.DSN()); err != nil {
			return nil, err
		}
		after, err := readFiles(in.data, vaultKey)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(after[vaultKey], in.files[vaultKey]) { // 3
			break
		}
		in.rows.Close()
		in.rows = nil
	}
	if in.rows == nil {
		return nil, hinted{errors.New("the key of the vault is being changed"), "try again when `palisade secret rotate` is over"}
	}
	run.mu.Lock()
	run.head.Schema, run.head.Database = in.rows.Version(), in.rows.Kind()
	run.mu.Unlock()
	if text, err := os.ReadFile(b.d.File); err == nil && b.d.File != "" {
		in.files[partSettings] = text
	}
	if run.head.Models && !run.head.Folders {
		in.only = b.modelFolders()
	}
	in.models = b.models(run.head)
	in.listed = map[string]bool{}
	for _, m := range in.models {
		for _, sum := range m.Digests {
			in.listed[sum] = true
		}
	}
	if err := in.count(ctx); err != nil {
		return nil, err
	}
	in.likely = in.bytes + in.rows.Bytes()/2 + 1<<20 // rows are packed, files may not be packable
	run.mu.Lock()
	run.total = in.bytes + in.rows.Bytes()
	run.mu.Unlock()
	return in, nil
}

func readFiles(dir string, names ...string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			out[name] = text
		}
	}
	return out, nil
}

// models are those that are installed, to be fetched again where their files are not in the backup: their revisions, the current one of
// each first. Files of one that has no place to fetch it from are in a backup that has folders.
func (b *backups) models(h backup.Head) (out []backup.Model) {
	if h.Models || b.d.installs == nil {
		return nil
	}
	for _, v := range b.d.installs.Models("") {
		v.Revisions = slices.Clone(v.Revisions)
		slices.SortStableFunc(v.Revisions, func(x, y install.Revision) int { return boolOrder(x.Number != v.Current, y.Number != v.Current) })
		seen := map[string]bool{}
		for _, r := range v.Revisions {
			m := backup.Model{Name: v.Name, Project: v.Project, From: origin(r), Bytes: r.Bytes(), Digests: digests(r)}
			if id := m.From + strings.Join(m.Digests, ""); len(m.Digests) > 0 && !seen[id] && (m.From != "" || !h.Folders) {
				seen[id] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// modelFolders are the ids of the folders that revisions of models are in.
func (b *backups) modelFolders() map[string]bool {
	out := map[string]bool{}
	if b.d.installs == nil {
		return out
	}
	for _, v := range b.d.installs.Models("") {
		for _, r := range v.Revisions {
			out[r.Folder] = true
		}
	}
	return out
}

func digests(r install.Revision) (out []string) {
	for _, f := range r.Files {
		out = append(out, f.SHA256)
	}
	return out
}

// Close lets go of the database.
func (in *inBackup) Close() {
	if in.rows != nil {
		_ = in.rows.Close() // it has only read
		in.rows = nil
	}
}

// count finds out how much there is, and which files are those of models.
func (in *inBackup) count(ctx context.Context) error {
	unread := func(string, error) error { return nil } // it is said when it is written
	err := in.walk(ctx, partBlobs, unread, func(one inTree) error {
		if id, ok := blobOf(one.info); ok && one.info.Mode().IsRegular() {
			in.blobs[id] = path.Base(one.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range keptDirs(in.run.head) {
		err := in.walk(ctx, dir, unread, func(one inTree) error {
			if one.info.Mode().IsRegular() && !in.byName(dir, one.info) {
				in.bytes += one.info.Size()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func blobOf(info fs.FileInfo) (blobID, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return blobID{}, false
	}
	return blobID{s.Dev, s.Ino}, true
}

// blob is the checksum of a file that is one of a model's; "" of another one.
func (in *inBackup) blob(info fs.FileInfo) string {
	id, _ := blobOf(info)
	return in.blobs[id]
}

// byName tells whether a file is in the backup by its checksum alone: another file has its bytes, or they are to be fetched again.
func (in *inBackup) byName(dir string, info fs.FileInfo) bool {
	sum := in.blob(info)
	return sum != "" && dir != partBlobs && (in.run.head.Models || in.listed[sum])
}

// leftOut reports whether something is in a folder that is not to be in the backup.
func (in *inBackup) leftOut(dir, name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return dir == partFolders && in.only != nil && !in.only[first]
}

// walk goes over all that is in a directory of the data directory.
func (in *inBackup) walk(ctx context.Context, dir string, lost func(name string, err error) error, fn func(inTree) error) error {
	t := &tree{skip: func(name string) bool { return fleeting(dir, name) || in.leftOut(dir, name) }, lost: lost, fn: fn}
	return t.walk(ctx, filepath.Join(in.data, dir))
}

// write writes it all.
func (in *inBackup) write(ctx context.Context, out io.Writer, seal backup.Seal) (backup.Manifest, error) {
	w, err := backup.NewWriter(out, in.run.head, seal)
	if err != nil {
		return backup.Manifest{}, err
	}
	for _, name := range in.rows.Tables() {
		in.run.tell("rows of "+name, 0)
		if err := in.writeTable(ctx, w, name); err != nil {
			return backup.Manifest{}, err
		}
	}
	in.Close() // the rows are read: nothing is held in the database for as long as files take
	for _, name := range keptFiles() {
		if text, there := in.files[name]; there {
			if err := putText(w, partData, name, text, in.run.head); err != nil {
				return backup.Manifest{}, err
			}
		}
	}
	if text, there := in.files[partSettings]; there {
		if err := putText(w, partSettings, "settings.yaml", text, in.run.head); err != nil {
			return backup.Manifest{}, err
		}
	}
	dirs := keptDirs(in.run.head)
	slices.SortFunc(dirs, func(a, b string) int { // what others name comes first
		return boolOrder(a != partBlobs, b != partBlobs)
	})
	for _, dir := range dirs {
		in.run.tell("files of "+dir, 0)
		if err := in.writeDir(ctx, w, dir); err != nil {
			return backup.Manifest{}, err
		}
	}
	return w.Close(in.models)
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func putText(w *backup.Writer, part, name string, text []byte, h backup.Head) error {
	return w.Put(part, backup.File{Name: name, Mode: 0o600, Time: h.MadeAt, Size: int64(len(text)), Body: bytes.NewReader(text)})
}

func (in *inBackup) writeTable(ctx context.Context, w *backup.Writer, name string) error {
	return w.Table(name, in.rows.Columns(name), func(put func([]any) error) (string, error) {
		said := int64(0)
		sum, err := in.rows.Each(ctx, name, func(row []any) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			for _, v := range row {
				if text, ok := v.(string); ok {
					said += int64(len(text))
				}
			}
			if said += 8 * int64(len(row)); said > 64<<10 {
				in.run.tell("rows of "+name, said)
				said = 0
			}
			return put(row)
		})
		return sum.SHA256, err
	})
}

// peoples are the directories whose files are people's: what of them cannot be read is left out, and said. Everything else is the
// appliance's own, and a backup without it is none.
func peoples(dir string) bool { return dir == partFolders || dir == "checkpoints" }

func (in *inBackup) writeDir(ctx context.Context, w *backup.Writer, dir string) error {
	lost := func(name string, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !peoples(dir) {
			return fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
		w.Leave(dir, name, reason(err))
		return nil
	}
	return in.walk(ctx, dir, lost, func(one inTree) error {
		info := one.info
		f := backup.File{Name: one.name, Mode: info.Mode(), Time: info.ModTime(), Size: info.Size()}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			f.UID, f.GID = int(s.Uid), int(s.Gid)
		}
		switch {
		case info.IsDir():
			return w.Put(dir, f)
		case info.Mode()&fs.ModeSymlink != 0:
			var err error
			if f.Link, err = one.root.Readlink(one.in); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return lost(one.name, err)
			}
			return w.Put(dir, f)
		case !info.Mode().IsRegular():
			return nil // sockets and pipes of programs that ran
		case in.byName(dir, info):
			f.Blob, f.Size = in.blob(info), 0
			return w.Put(dir, f)
		}
		file, size, err := openToRead(one)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return lost(one.name, err)
		}
		defer file.Close()
		body := &counting{r: file, ctx: ctx, tell: func(n int64) { in.run.tell("files of "+dir, n) }}
		f.Size, f.Body = size, body
		if peoples(dir) {
			body.failed = func(err error) { w.Leave(dir, one.name, reason(err)) }
		}
		return w.Put(dir, f)
	})
}

// openToRead opens what was a file. It may be another thing by now.
func openToRead(one inTree) (_ *os.File, size int64, err error) {
	file, err := one.root.OpenFile(one.in, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file any more")
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// reason is an error without the path, which is said beside it.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// counting tells how much was read, and ends when ctx does.
type counting struct {
	r      io.Reader
	ctx    context.Context //nolint:containedctx // it lives as long as one file is read
	tell   func(int64)
	failed func(error) // what cannot be read is said, and the file ends there; nil: it is an error
}

func (c *counting) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	c.tell(int64(n))
	if err != nil && !errors.Is(err, io.EOF) && c.failed != nil {
		c.failed(err)
		err = io.EOF
	}
	return n, err
}

// sumOf reads a blob's name; false where it is none.
func sumOf(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 32
}
