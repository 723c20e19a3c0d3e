package folders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cloned is how far a clone is.
type Cloned struct {
	Files   int64
	Bytes   int64
	Shared  int64 // of Bytes: what takes no room, since the disk keeps it once
	LeftOut int64 // pipes, sockets and devices
	Of      Use   // what is to be cloned
}

// Clone makes a folder with all that is in another. It is there when it is whole, or not at all. progress, which may be nil,
// is told now and then. Files that are written meanwhile may be of any moment of that.
func (fo *Keeper) Clone(ctx context.Context, from Folder, spec Spec, progress func(Cloned)) (f Folder, c Cloned, err error) {
	if spec.Usage == "" {
		spec.Usage = from.Usage
	}
	var made cloned
	if is, err := fo.elsewhere(ctx, from, Operation{Do: doClone, Clone: &spec}, nil, &made); is {
		return made.Folder, made.Cloned, err
	}
	if f, err = newFolder(spec, fo.Settings.Box); err != nil {
		return Folder{}, c, err
	}
	if _, err := fo.Find(ctx, f.Project, f.Name); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = &fault{kind: ErrExists, message: fmt.Sprintf("there is a folder %s already", f.Name), hint: "choose another name"}
		}
		return Folder{}, c, err
	}
	if c.Of, err = fo.Use(ctx, from, freshInUse); err != nil {
		return Folder{}, c, err
	}
	room := fo.charge(f, f.ID)
	id := f.ID
	defer func() {
		room.settle(c.Bytes)
		fo.counts.Lock()
		defer fo.counts.Unlock()
		if err != nil {
			delete(fo.accounts, id)
		} else if a := fo.accounts[id]; a != nil {
			a.apart = nil
		}
	}()
	if err := fo.admit(ctx, room, c.Of.Bytes); err != nil {
		return Folder{}, c, err
	}
	aside := cloningPrefix + f.ID
	fo.setCloning(aside, true)
	defer fo.setCloning(aside, false)
	path := filepath.Join(fo.root, aside)
	if err := fo.makePlace(path); err != nil {
		return Folder{}, c, explainFull("cloning folder "+from.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}()
	job := &cloneJob{ctx: ctx, done: &c, tell: progress, chown: os.Geteuid() == 0, open: from.Sealed, names: map[inode]string{}}
	if err := job.run(from, path); err != nil {
		return Folder{}, c, err
	}
	if err := fo.admit(ctx, room, c.Bytes); err != nil {
		return Folder{}, c, err // more was written into it meanwhile
	}
	f.Path = filepath.Join(fo.root, f.ID)
	fo.changes.Lock()
	defer fo.changes.Unlock()
	// First the row, then the place: a daemon that is killed between the two leaves no directory that nobody knows, and the
	// next brings it home.
	if err := fo.save(ctx, f); err != nil {
		return Folder{}, c, err
	}
	if err := os.Rename(path, f.Path); err != nil {
		return Folder{}, c, errors.Join(fmt.Errorf("cloning folder %s: %w", from.Name, err), fo.store.DeleteFolder(ctx, f.ID))
	}
	return f, c, nil
}

// admit is charge.set for a folder that has no directory yet.
func (fo *Keeper) admit(ctx context.Context, room *charge, bytes int64) error {
	a := fo.accountOf(room.folder.ID)
	fo.counts.Lock()
	a.use.At, a.apart = time.Now(), &room.folder // nothing is in it
	fo.counts.Unlock()
	return room.set(ctx, bytes)
}

func (fo *Keeper) setCloning(name string, on bool) {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	if fo.cloning == nil {
		fo.cloning = map[string]bool{}
	}
	if fo.cloning[name] = on; !on {
		delete(fo.cloning, name)
	}
}

// cloneJob copies one tree.
type cloneJob struct {
	ctx   context.Context
	done  *Cloned
	tell  func(Cloned)
	told  time.Time
	chown bool
	open  bool // the copy may be written, though what it is of may not
	depth int
	names map[inode]string // of files that have several, where the copy is
	from  *os.Root
	to    *os.Root
}

func (j *cloneJob) run(from Folder, path string) (err error) {
	if j.from, err = from.OpenRoot(); err != nil {
		return err
	}
	defer j.from.Close()
	if j.to, err = os.OpenRoot(path); err != nil {
		return err
	}
	defer j.to.Close()
	if err := j.directory("."); err != nil {
		return explainFull("cloning folder "+from.Name, err)
	}
	return nil
}

// directory copies what is in one, and then what the directory itself is: it may be that nobody may write there.
func (j *cloneJob) directory(name string) error {
	if j.depth++; j.depth > maxNested {
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("more than %d directories lie in one another", maxNested), hint: "remove those that nobody needs"}
	}
	defer func() { j.depth-- }()
	dir, err := openDir(j.from, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	for {
		entries, err := dir.ReadDir(1000) // as many as there are: a folder may have millions
		for _, e := range entries {
			if name == "." && e.Name() == partsDir {
				continue
			}
			if err := j.entry(filepath.Join(name, e.Name()), e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if name == "." {
		return nil
	}
	return j.likeness(name, info)
}

func (j *cloneJob) entry(name string, e fs.DirEntry) error {
	if err := j.ctx.Err(); err != nil {
		return context.Cause(j.ctx)
	}
	if j.tell != nil && time.Since(j.told) > 200*time.Millisecond {
		j.told = time.Now()
		j.tell(*j.done)
	}
	var err error
	switch {
	case e.IsDir():
		if err = j.to.Mkdir(name, 0o700); err == nil {
			err = j.directory(name)
		}
	case e.Type()&fs.ModeSymlink != 0:
		var target string
		if target, err = j.from.Readlink(name); err == nil {
			j.done.Files++
			err = j.to.Symlink(target, name)
		}
	case e.Type().IsRegular():
		err = j.file(name)
	default:
		j.done.LeftOut++
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since
	}
	return err
}

// file copies one, sharing its blocks where the disk can.
func (j *cloneJob) file(name string) (err error) {
	source, info, err := OpenPlain(j.from, name)
	if err != nil {
		return err
	}
	defer source.Close()
	if first, id := j.first(name, info); first != name {
		j.done.Files++
		return j.to.Link(first, name)
	} else if id != (inode{}) {
		defer func() {
			if err == nil {
				j.names[id] = name
			}
		}()
	}
	target, err := j.to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n := info.Size()
	if err = unix.IoctlFileClone(int(target.Fd()), int(source.Fd())); err == nil {
		j.done.Shared += n
	} else {
		n, err = io.Copy(target, &interruptible{j.ctx, source})
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return err
	}
	j.done.Files++
	j.done.Bytes += n
	return j.likeness(name, info)
}

// first is the name under which a file that has several was copied, name itself where it was not yet.
func (j *cloneJob) first(name string, info fs.FileInfo) (string, inode) {
	id := inodeOf(info)
	if first, ok := j.names[id]; ok {
		return first, id
	}
	return name, id
}

// likeness gives a copy the owner, mode and time of what it was made of.
func (j *cloneJob) likeness(name string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && j.chown {
		if err := j.to.Lchown(name, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	mode := info.Mode().Perm() // neither set-user-id nor the like: a copy is its maker's
	if j.open {
		mode |= openFile
	}
	if err := j.to.Chmod(name, mode); err != nil {
		return err
	}
	return j.to.Chtimes(name, time.Time{}, info.ModTime())
}

// interruptible ends a copy when ctx does.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(p)
}
