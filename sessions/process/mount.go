package process

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// mounts shows the session's own directories: Spec.Mounts from the box, Spec.Scratch from the session's
// directory. Sources are paths of the box, where nothing is covered: all of this goes on before the
// session's root is entered.
func (b *rootBuilder) mounts() error {
	type mount struct {
		sessions.Mount
		flags uint64
	}
	var all []mount
	for _, m := range b.rec.Spec.Mounts {
		flags := uint64(rwFlags)
		if m.ReadOnly {
			flags = roFlags
		}
		all = append(all, mount{m, flags})
	}
	for i, target := range b.rec.Spec.Scratch {
		all = append(all, mount{sessions.Mount{Source: filepath.Join(b.dir, dirScratch, fmt.Sprint(i)), Target: target}, rwFlags})
	}
	// A mount inside another comes after it.
	slices.SortStableFunc(all, func(x, y mount) int {
		return cmp.Compare(strings.Count(filepath.Clean(x.Target), "/"), strings.Count(filepath.Clean(y.Target), "/"))
	})
	for _, m := range all {
		if err := b.mount(m.Mount, m.flags); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", m.Source, m.Target, err)
		}
	}
	return nil
}

func (b *rootBuilder) mount(m sessions.Mount, flags uint64) error {
	source, err := m.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	st, err := source.Stat()
	if err != nil {
		return err
	}
	tree, err := clone(int(source.Fd()), "", flags)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if filepath.Clean("/"+m.Target) == "/" {
		return errors.New("the root itself is no place for a mount")
	}
	at, err := b.mountPoint(m.Target, st.IsDir())
	if err != nil {
		return fmt.Errorf("making a place for it: %w", err)
	}
	defer unix.Close(at)
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// mountPoint returns the directory (or file) target of the session's root, made where it is missing.
func (b *rootBuilder) mountPoint(target string, dir bool) (int, error) {
	target = filepath.Clean("/" + target)
	if fd, err := b.open(target); !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parent, err := b.mountPoint(filepath.Dir(target), true)
	if err != nil {
		return -1, err
	}
	defer func() { unix.Close(parent) }()
	name := filepath.Base(target)
	err = makeEntry(parent, name, dir)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		if err = b.mirror(parent, filepath.Dir(target)); err != nil {
			return -1, err
		}
		unix.Close(parent)
		if parent, err = b.open(filepath.Dir(target)); err == nil {
			err = makeEntry(parent, name, dir)
		}
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return b.open(target)
}

// open opens a path as the session will see it: its links lead nowhere but into the session's root.
func (b *rootBuilder) open(path string) (int, error) {
	return unix.Openat2(b.fd, cmp.Or(strings.TrimPrefix(path, "/"), "."), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func makeEntry(parent int, name string, dir bool) error {
	if dir {
		return unix.Mkdirat(parent, name, 0o755)
	}
	fd, err := unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// mirror covers a directory of the box, which is read-only, with a tmpfs that shows the same entries:
// one more can be made in it. fd is the directory, at its path in the session.
func (b *rootBuilder) mirror(fd int, at string) error {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	if len(entries) > maxMirror {
		return fmt.Errorf("%s has %d entries, too many to show beside a new one: mount elsewhere", at, len(entries))
	}
	over := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := unix.Mount("palisade", over, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return err
	}
	fresh, err := b.open(at)
	if err != nil {
		return err
	}
	b.fds = append(b.fds, fresh)
	b.frozen = append(b.frozen, fmt.Sprintf("/proc/self/fd/%d", fresh))
	for _, e := range entries {
		if err := mirrorEntry(fd, fresh, e); err != nil {
			return fmt.Errorf("showing %s/%s: %w", at, e.Name(), err)
		}
	}
	return nil
}

// mirrorEntry shows one entry of the covered directory from in its cover to.
func mirrorEntry(from, to int, e os.DirEntry) error {
	name := e.Name()
	switch {
	case e.Type()&os.ModeSymlink != 0:
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d/%s", from, name))
		if err != nil {
			return err
		}
		return unix.Symlinkat(link, to, name)
	case !e.IsDir() && !e.Type().IsRegular():
		return nil // sockets, pipes and devices stay with the box
	}
	if err := makeEntry(to, name, e.IsDir()); err != nil {
		return err
	}
	tree, err := clone(from, name, roFlags)
	if errors.Is(err, unix.EACCES) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", to, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
