package folders

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoSpace says that the disk, or somebody's share of it, is full.
var ErrNoSpace = errors.New("no space left")

// Entry is one file or directory in a folder.
type Entry struct {
	Name     string // without its path
	Dir      bool
	Link     bool // a symbolic link; Size and Dir are those of what it leads to, if that is in the folder
	Size     int64
	Modified time.Time

	Executable bool // a file that its owner may run
}

// maxListed is the most entries of one directory that are listed: somebody may put millions into one.
const maxListed = 1_000_000

// openDir opens a directory. What has become something else since somebody looked, a pipe for example, is not waited for.
func openDir(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

// Entries lists a directory of a folder, "" for its root, by name. ErrNotFound, ErrInvalid.
func (fo *Keeper) Entries(f Folder, dir string) (entries []Entry, err error) {
	if is, err := fo.shortly(f, Operation{Do: doEntries, Path: dir}, &entries); is {
		return entries, err
	}
	root, name, err := enter(f, dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	found, err := readNames(root, name)
	if err != nil {
		return nil, err
	}
	entries = make([]Entry, 0, len(found))
	for _, e := range found {
		if name == "." && e.Name() == partsDir {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", name, err)
		}
		entry := Entry{Name: e.Name(), Link: info.Mode()&fs.ModeSymlink != 0}
		if entry.Link {
			if target, err := root.Stat(filepath.Join(name, e.Name())); err == nil {
				info = target
			}
		}
		entry.Dir, entry.Size, entry.Modified = info.IsDir(), info.Size(), info.ModTime()
		entry.Executable = info.Mode().IsRegular() && info.Mode()&0o100 != 0
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Open opens a plain file for reading from any offset; its Stat has the size. The caller closes it.
func (fo *Keeper) Open(f Folder, path string) (File, error) {
	if fo.Away(f) && fo.Settings.Elsewhere != nil {
		return fo.Settings.Elsewhere.Open(context.Background(), f.Home, f.ID, path)
	}
	root, name, err := enter(f, path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, _, err := OpenPlain(root, name)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Content is what is written into a file.
type Content struct {
	io.Reader
	Size       int64     // how much it is; 0 or less: nobody knows
	Digest     string    // "sha256:HEX", as its sender has it; "": nobody has said
	Executable *bool     // whether it is a program; nil keeps what the file of that name was
	Modified   time.Time // what the file is to have; zero: now
	Replaces   *Version  // what is to be there before, else ErrChanged; nil: whatever is
}

// Written is a file that was written.
type Written struct {
	Path   string // in the folder
	Size   int64
	Digest string // sha256:HEX, or what the upload was begun for
}

// Write puts all of a content into a file, making the directories above it. Readers see the old file or the new one, never a
// part: after an error the old one is still there. ErrNoSpace when the disk is full, ErrQuota, ErrChecksum.
func (fo *Keeper) Write(ctx context.Context, f Folder, path string, c Content) (w Written, err error) {
	op := Operation{Do: doWrite, Path: path, Size: c.Size, Digest: c.Digest, Executable: c.Executable, Modified: c.Modified, Replaces: c.Replaces}
	if is, err := fo.elsewhere(ctx, f, op, c.Reader, &w); is {
		return w, err
	}
	root, name, err := enter(f, path)
	if err != nil {
		return w, err
	}
	defer root.Close()
	if _, err := writable(root, name); err != nil {
		return w, err
	}
	if err := c.Replaces.same(root, name); err != nil {
		return w, err
	}
	rec := uploadRecord{Upload: Upload{ID: "put-" + strings.ToLower(rand.Text()), Path: name, Size: c.Size, Executable: c.Executable, Modified: c.Modified}}
	replaced := sizeOf(root, name)
	room := fo.charge(f, rec.ID)
	added := int64(0)
	defer func() { room.settle(added) }()
	if err := room.set(ctx, max(0, c.Size-replaced)); err != nil {
		return w, err
	}
	defer func() {
		if err != nil {
			fo.removePart(root, rec.ID)
		} else {
			_ = root.Remove(partsDir) // where it was the last
		}
	}()
	file, err := newPart(root, rec.ID)
	if err != nil {
		return w, writeFault(name, err)
	}
	defer file.Close()
	sum := SHA256.begin()
	unforeseen := growing{room: room, replaced: replaced, asked: max(0, c.Size-replaced)}
	rec.Size, err = fo.pour(func(p []byte) error {
		if err := unforeseen.more(ctx, len(p)); err != nil {
			return err
		}
		_, err := file.Write(p)
		return err
	}, c.Reader, sum)
	if err != nil {
		return w, uploadFault(name, err)
	}
	rec.Digest, _ = SHA256.digestOf(sum)
	if err := compare(c.Digest, rec.Digest); err != nil {
		return w, err
	}
	replaced = sizeOf(root, name) // by now
	if err := room.set(ctx, max(0, rec.Size-replaced)); err != nil {
		return w, err
	}
	if c.Replaces != nil { // of two who have seen the same, one is refused
		fo.replacing.Lock()
		defer fo.replacing.Unlock()
	}
	if err := c.Replaces.same(root, name); err != nil {
		return w, err
	}
	if err := settleAt(root, rec, file); err != nil {
		return w, uploadFault(name, err)
	}
	added = rec.Size - replaced
	return Written{Path: name, Size: rec.Size, Digest: rec.Digest}, nil
}

// growing asks for room bit by bit where nobody knows how much will come.
type growing struct {
	room     *charge
	replaced int64
	came     int64
	asked    int64
}

func (g *growing) more(ctx context.Context, n int) error {
	const step = 16 << 20
	g.came += int64(n)
	if g.came-g.replaced <= g.asked {
		return nil
	}
	// To the byte where not a whole step is left.
	whole := g.came - g.replaced + step
	if err := g.room.set(ctx, whole); err == nil {
		g.asked = whole
		return nil
	} else if !errors.Is(err, ErrQuota) {
		return err
	}
	g.asked = g.came - g.replaced
	return g.room.set(ctx, g.asked)
}

// writable returns the mode that a file of that name has, or is to have.
func writable(root *os.Root, name string) (fs.FileMode, error) {
	if name == "." {
		return 0, &fault{kind: ErrInvalid, message: fmt.Sprintf("%q cannot be the name of a file", name), hint: "give the file's path in the folder"}
	}
	switch info, err := root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return openFile, nil
	case err != nil:
		return 0, writeFault(name, err)
	case info.IsDir():
		return 0, &fault{kind: ErrInvalid, message: name + " is a directory", hint: "give the path with the file's name"}
	case info.Mode().IsRegular():
		return info.Mode().Perm(), nil
	default:
		return openFile, nil // a link is replaced, not followed
	}
}

// withExecutable lets those run a file that may read it, or nobody.
func withExecutable(mode fs.FileMode, executable bool) fs.FileMode {
	if executable {
		return mode | mode&0o444>>2
	}
	return mode &^ 0o111
}

// MakeDirectory makes a directory of a folder, and those above it. One that is there already is left as it is.
func (fo *Keeper) MakeDirectory(f Folder, path string) error {
	if is, err := fo.shortly(f, Operation{Do: doMake, Path: path}, nil); is {
		return err
	}
	root, name, err := enter(f, path)
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Stat(name); err == nil && !info.IsDir() {
		return &fault{kind: ErrExists, message: name + " is there already, and is no directory", hint: "choose another name, or remove it first"}
	}
	if err := makeAll(root, name); err != nil {
		return writeFault(name, err)
	}
	return nil
}

// RemoveEntry deletes a file, or a directory with all that is in it. ErrNotFound when there is none.
func (fo *Keeper) RemoveEntry(f Folder, path string) error {
	if is, err := fo.shortly(f, Operation{Do: doDelete, Path: path}, nil); is {
		return err
	}
	root, name, err := enter(f, path)
	if err != nil {
		return err
	}
	defer root.Close()
	if name == "." {
		return &fault{kind: ErrInvalid, message: "the folder itself is not deleted this way", hint: "palisade folder rm " + f.Name}
	}
	if _, err := root.Lstat(name); err != nil {
		return explainPath(name, err)
	}
	defer fo.changed(f.ID) // not before: a count meanwhile sees what is just going
	if err := root.RemoveAll(name); err != nil {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return nil
}

// MoveEntry gives a file or directory of a folder another path in it; directories on the way are made. What is at the new one
// stays: ErrExists.
func (fo *Keeper) MoveEntry(f Folder, from, to string) error {
	if is, err := fo.shortly(f, Operation{Do: doMove, Path: from, To: to}, nil); is {
		return err
	}
	root, name, err := enter(f, from)
	if err != nil {
		return err
	}
	defer root.Close()
	target, err := nameOf(to)
	if err != nil {
		return err
	}
	if name == "." || target == "." {
		return &fault{kind: ErrInvalid, message: "the folder itself is not renamed this way", hint: "palisade folder rename " + f.Name + " NAME"}
	}
	if target == name || strings.HasPrefix(target, name+"/") {
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s cannot be moved to %s, which is itself or in it", name, target)}
	}
	if _, err := root.Lstat(name); err != nil {
		return explainPath(name, err)
	}
	if _, err = root.Lstat(target); err == nil {
		err = fs.ErrExist
	} else if err = makeAll(root, filepath.Dir(target)); err == nil {
		err = renameNew(root, name, target)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return &fault{kind: ErrExists, message: target + " is there already", hint: "remove it first, or choose another name"}
	case errors.Is(err, fs.ErrNotExist):
		return explainPath(name, err)
	case err != nil:
		return writeFault(target, err)
	}
	return nil
}

// renameNew renames, and replaces nothing: of two who choose one name, one is refused.
func renameNew(root *os.Root, from, to string) error {
	source, err := openDir(root, filepath.Dir(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openDir(root, filepath.Dir(to))
	if err != nil {
		return err
	}
	defer target.Close()
	err = unix.Renameat2(int(source.Fd()), filepath.Base(from), int(target.Fd()), filepath.Base(to), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return root.Rename(from, to) // not every file system can
	}
	return err
}

// enter opens f and returns path as a name in it. A leading / means the folder's root.
func enter(f Folder, path string) (*os.Root, string, error) {
	name, err := nameOf(path)
	if err != nil {
		return nil, "", err
	}
	root, err := f.OpenRoot()
	return root, name, err
}

// nameOf is path as a name in a folder. Where uploads are on their way is nobody's.
func nameOf(path string) (string, error) {
	name := filepath.Clean(strings.TrimLeft(path, "/"))
	if err := CheckPath(name); err != nil {
		return "", err
	}
	if name == partsDir || strings.HasPrefix(name, partsDir+"/") {
		return "", &fault{kind: ErrInvalid, message: partsDir + " is where uploads are on their way", hint: "choose another name"}
	}
	return name, nil
}

// writeFault says why a file was not written. What the reader of the upload said is passed on as it is.
func writeFault(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return explainFull("writing "+name, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s cannot be written: the folder is read-only here", name), cause: err}
	case errors.Is(err, syscall.ENOTDIR):
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s cannot be written: a file is in the way", name), hint: "remove the file that has the directory's name first"}
	case strings.Contains(err.Error(), "escapes from parent"):
		return outside(name)
	default:
		return fmt.Errorf("writing %s: %w", name, err)
	}
}

// explainFull makes a full disk recognisable, and says what could not be done for any other reason.
func explainFull(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &fault{
			kind: ErrNoSpace, message: doing + ": the disk is full",
			hint: "remove what is no longer needed, or import the folder from a larger disk",
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
