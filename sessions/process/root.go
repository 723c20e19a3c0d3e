package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

const (
	roFlags = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	rwFlags = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

	defaultShm = 64 << 20
	// maxMirror bounds how many entries of a directory are mounted one by one to make room for one more.
	maxMirror = 512
)

// rootBuilder puts a session's root together below at, a fresh tmpfs, from the box's own files. All of
// it happens in the supervisor's mount namespace; the box sees none of it.
type rootBuilder struct {
	dir    string // the session's directory
	at     string
	fd     int // of at
	rec    record
	frozen []string // tmpfs to be made read-only once all mount points are there
	fds    []int    // kept open until then
}

// enterRoot builds the root and makes it this process's. Afterwards no path leads to the box's own
// files that are not meant to be seen; what is open stays open.
func enterRoot(dir string, rec record) error {
	b := &rootBuilder{dir: dir, at: filepath.Join(dir, dirRoot), rec: rec}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leaving the box's mounts: %w", err)
	}
	if err := unix.Mount("palisade", b.at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("making the session's root: %w", err)
	}
	// Else a copy of what holds the session's directory would hold the root itself.
	if err := unix.Mount("", b.at, "", unix.MS_UNBINDABLE, ""); err != nil {
		return fmt.Errorf("making the session's root: %w", err)
	}
	fd, err := unix.Open(b.at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the session's root: %w", err)
	}
	b.fd, b.fds = fd, []int{fd}
	defer func() {
		for _, fd := range b.fds {
			unix.Close(fd)
		}
	}()
	b.frozen = []string{b.at}
	for _, step := range []func() error{b.system, b.own, b.program, b.proc, b.devices, b.hide, b.identity, b.mounts, b.ssh, b.freeze} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := unix.Chdir(b.at); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering the session's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the box's root: %w", err)
	}
	return unix.Chdir("/")
}

// system shows the box's own top-level directories, read-only, but for those that own and proc and
// devices make anew.
func (b *rootBuilder) system() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		target := filepath.Join(b.at, name)
		switch {
		case slices.Contains([]string{"proc", "dev", "tmp", "run"}, name):
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink("/" + name)
			if err != nil {
				return err
			}
			if err := os.Symlink(to, target); err != nil {
				return err
			}
		case e.IsDir():
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			err := bind("/"+name, target, roFlags)
			if err != nil && !errors.Is(err, unix.EACCES) { // a stranger's FUSE mount, say: not ours to show
				return fmt.Errorf("showing /%s: %w", name, err)
			}
		}
	}
	return nil
}

// own makes the directories that are the session's: /tmp and /var/tmp on the disk, /run in memory.
// /run is not the box's, for the sockets in it; what names and devices need is shown.
func (b *rootBuilder) own() error {
	for _, name := range []string{"proc", "dev", "tmp", "run"} {
		if err := os.Mkdir(filepath.Join(b.at, name), 0o755); err != nil {
			return err
		}
	}
	tmp := filepath.Join(b.dir, dirTmp)
	for _, target := range []string{"/tmp", "/var/tmp"} {
		if _, err := os.Stat(b.at + target); err != nil {
			continue
		}
		if err := bind(tmp, b.at+target, rwFlags); err != nil {
			return fmt.Errorf("making %s: %w", target, err)
		}
	}
	if err := tmpfs(filepath.Join(b.at, "run"), "mode=755,size=64m"); err != nil {
		return err
	}
	for _, name := range []string{"systemd/resolve", "resolvconf", "current-system", "opengl-driver",
		"nvidia-persistenced", "nvidia-fabricmanager", "nvidia-topologyd"} {
		if st, err := os.Stat("/run/" + name); err != nil || !st.IsDir() {
			continue
		}
		target := filepath.Join(b.at, "run", name)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := bind("/run/"+name, target, roFlags); err != nil {
			return fmt.Errorf("showing /run/%s: %w", name, err)
		}
	}
	return nil
}

// program shows what sessions need whatever the box has.
func (b *rootBuilder) program() error {
	if b.rec.Init == "" {
		return nil
	}
	target := filepath.Join(b.at, pid1.PathInit)
	if err := os.Mkdir(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(target, nil, 0o755); err != nil {
		return err
	}
	if err := bind(b.rec.Init, target, roFlags); err != nil {
		return fmt.Errorf("showing %s: %w", pid1.PathInit, err)
	}
	return nil
}

// proc mounts a /proc of the session's own PID namespace. What of it is the box's own is read-only or
// covered: a session's root user is the box's, and the kernel asks for no more.
func (b *rootBuilder) proc() error {
	at := filepath.Join(b.at, "proc")
	if err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, name := range []string{"bus", "fs", "irq", "sys", "sysrq-trigger"} {
		p := filepath.Join(at, name)
		if _, err := os.Lstat(p); err != nil {
			continue
		}
		if err := bind(p, p, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOEXEC|rwFlags); err != nil {
			return fmt.Errorf("making /proc/%s read-only: %w", name, err)
		}
	}
	for _, name := range []string{"proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/kmsg", "proc/latency_stats",
		"proc/timer_list", "proc/sched_debug", "proc/scsi", "sys/firmware", "sys/kernel/debug"} {
		if err := cover(filepath.Join(b.at, name)); err != nil {
			return fmt.Errorf("covering /%s: %w", name, err)
		}
	}
	return nil
}

// cover makes a file or directory empty. What is not there is no error.
func cover(p string) error {
	st, err := os.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return unix.Mount("palisade", p, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=755")
	default:
		return bind("/dev/null", p, unix.MOUNT_ATTR_NOSUID)
	}
}

// devices makes a /dev with the harmless nodes, those that the session was given, shared memory and terminals. What it
// was not given it does not see: a variable that says so could be unset.
func (b *rootBuilder) devices() error {
	at := filepath.Join(b.at, "dev")
	if err := tmpfs(at, "mode=755,size=64k"); err != nil {
		return err
	}
	b.frozen = append(b.frozen, at)
	nodes := []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/infiniband"}
	for _, node := range append(nodes, b.rec.Spec.Devices...) {
		to := filepath.Join(b.at, node)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := showNode(node, to); err != nil {
			return fmt.Errorf("showing %s: %w", node, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(at, name)); err != nil {
			return err
		}
	}
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC
	for _, m := range []struct {
		name, kind, options string
		flags               uintptr
	}{
		{"shm", "tmpfs", fmt.Sprintf("mode=1777,size=%d", cmp.Or(b.rec.Spec.Limits.Shm, defaultShm)), flags | unix.MS_NODEV},
		{"pts", "devpts", "newinstance,ptmxmode=0666,mode=620", flags}, // terminals are device nodes
		{"mqueue", "mqueue", "", flags | unix.MS_NODEV},
	} {
		p := filepath.Join(at, m.name)
		if err := os.Mkdir(p, 0o755); err != nil {
			return err
		}
		err := unix.Mount(m.kind, p, m.kind, m.flags, m.options)
		if err != nil && m.name != "mqueue" {
			return fmt.Errorf("making /dev/%s: %w", m.name, err)
		}
	}
	return nil
}

func showNode(from, to string) error {
	st, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	} else if err := os.WriteFile(to, nil, 0o666); err != nil {
		return err
	}
	return bind(from, to, unix.MOUNT_ATTR_NOSUID)
}

// hide covers what sessions must not see, the data of the appliance first of all.
func (b *rootBuilder) hide() error {
	for _, dir := range b.rec.Hide {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || real == "/" {
			continue
		}
		if err := cover(filepath.Join(b.at, real)); err != nil {
			return fmt.Errorf("hiding %s: %w", dir, err)
		}
	}
	return nil
}

// identity gives the session a name that resolves to its address.
func (b *rootBuilder) identity() error {
	name := pid1.HostName(b.rec.Spec.Name, b.rec.Spec.ID)
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("naming the session %s: %w", name, err)
	}
	hosts := pid1.Hosts(name, b.rec.Address)
	if c := b.rec.Spec.Cluster; c != nil {
		hosts = pid1.ClusterHosts(c.Names, b.rec.Peers)
	}
	for file, text := range map[string]string{"hosts": hosts, "hostname": name + "\n"} {
		target := filepath.Join(b.at, "etc", file)
		if st, err := os.Lstat(target); err != nil || !st.Mode().IsRegular() {
			continue
		}
		source := filepath.Join(b.dir, file)
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			return err
		}
		if err := bind(source, target, roFlags); err != nil {
			return fmt.Errorf("making /etc/%s: %w", file, err)
		}
	}
	return nil
}

// ssh has everybody's OpenSSH know the other containers of the session, where the box has one that asks.
func (b *rootBuilder) ssh() error {
	c := b.rec.Spec.Cluster
	if c == nil || c.SSHConfig == "" {
		return nil
	}
	if st, err := os.Stat(filepath.Dir(pid1.SSHConfig)); err != nil || !st.IsDir() {
		return nil //nolint:nilerr // no OpenSSH here that would ask
	}
	if err := b.mount(sessions.Mount{Source: c.SSHConfig, Target: pid1.SSHConfig, ReadOnly: true}, roFlags); err != nil {
		return fmt.Errorf("making %s: %w", pid1.SSHConfig, err)
	}
	return nil
}

// freeze makes what was written only to be mounted upon read-only.
func (b *rootBuilder) freeze() error {
	for _, p := range slices.Backward(b.frozen) {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, p, 0, &attr); err != nil {
			return fmt.Errorf("making %s read-only: %w", p, err)
		}
	}
	return nil
}

// clone returns a copy of the mounts at path, attached nowhere, with attributes added to each.
func clone(dirfd int, path string, flags uint64) (int, error) {
	how := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE)
	if path == "" {
		how |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dirfd, path, how)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: flags}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bind shows from at to, with attributes added to it and to each mount below it.
func bind(from, to string, flags uint64) error {
	tree, err := clone(unix.AT_FDCWD, from, flags)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func tmpfs(at, options string) error {
	if err := unix.Mount("palisade", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return nil
}
