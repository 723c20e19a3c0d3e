package process

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/outcome"
)

// Start implements sessions.Runtime. While pre-start actions run, the instance's PID is that of its
// supervisor. What a start goes through, in this order, so that a daemon killed between any two steps
// leaves something that settleAll understands:
//
//  1. the directory, and the lock in it: the id is taken;
//  2. the record: the session exists, and has failed to start until the supervisor says otherwise;
//  3. cgroups, the network: found by the session's id when the directory is discarded;
//  4. the supervisor, which takes over the lock.
func (r *Runtime) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	in, err := r.start(ctx, spec)
	if err != nil {
		return sessions.Instance{}, fmt.Errorf("starting %s: %w", spec.ID, err)
	}
	return in, nil
}

func (r *Runtime) start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	err := r.check(ctx, spec)
	if err != nil {
		return sessions.Instance{}, err
	}
	if spec.Devices, err = deviceFiles(spec.Devices, nil); err != nil {
		return sessions.Instance{}, err
	}
	r.mu.Lock()
	if r.starting[spec.ID] {
		r.mu.Unlock()
		return sessions.Instance{}, sessions.ErrInstanceExists
	}
	r.starting[spec.ID] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.starting, spec.ID)
	}()

	dir := r.dir(spec.ID)
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return sessions.Instance{}, sessions.ErrInstanceExists
	} else if err != nil {
		return sessions.Instance{}, err
	}
	in, err := r.make(ctx, dir, spec)
	if err != nil {
		if undoErr := r.discard(spec.ID); undoErr != nil {
			r.log.Warn("a session that did not start is left half made", "session", spec.ID, "err", undoErr)
		}
		return sessions.Instance{}, err
	}
	return in, nil
}

// check refuses what can be seen to fail.
func (r *Runtime) check(ctx context.Context, spec sessions.Spec) error {
	if !validID(spec.ID) {
		return fmt.Errorf("%q is no id that a directory can have", spec.ID)
	}
	if err := r.Pull(ctx, spec.Image, nil); err != nil {
		return err
	}
	if len(spec.Processes) == 0 {
		return errors.New("there is no process to start")
	}
	for _, m := range spec.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) {
			return fmt.Errorf("mount of %s at %s: both must be absolute", m.Source, m.Target)
		}
		source, err := m.Open()
		if err != nil {
			return fmt.Errorf("mount of %s at %s: %w", m.Source, m.Target, plainMissing(err))
		}
		_ = source.Close()
	}
	for _, s := range spec.Scratch {
		if !filepath.IsAbs(s) {
			return fmt.Errorf("scratch directory %s: it must be absolute", s)
		}
	}
	if r.cfg.Network == nil && spec.Cluster != nil && !spec.Cluster.OnHost() {
		return r.CheckCluster(spec.Image)
	}
	if r.shares(spec) {
		return r.checkPorts(ctx, spec)
	}
	return nil
}

// shares reports whether a session has no network of its own, but the box's.
func (r *Runtime) shares(spec sessions.Spec) bool {
	return r.cfg.Network == nil || spec.Cluster.OnHost()
}

// attach makes the session's network: of its own, or one with the other containers of its session.
func (r *Runtime) attach(spec sessions.Spec) (network.Attachment, error) {
	c := spec.Cluster
	if c == nil {
		return r.cfg.Network.Create(spec.ID)
	}
	return r.cfg.Network.CreateIn(spec.ID, groupOf(c))
}

// groupOf is the group of a container's network.
func groupOf(c *sessions.SpecCluster) network.Group {
	g := network.Group{ID: c.ID, Size: len(c.Names), Rank: c.Rank}
	if n := c.Net; n != nil && n.Kind == sessions.NetVXLAN {
		g.Overlay = &network.Overlay{VNI: n.VNI, Port: n.Port, Range: n.Range, Box: n.At[c.Rank], At: n.At}
		for _, b := range n.Boxes {
			g.Overlay.Boxes = append(g.Overlay.Boxes, b.Address)
		}
	}
	return g
}

func plainMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it does not exist on this box")
	}
	return err
}

func (r *Runtime) make(ctx context.Context, dir string, spec sessions.Spec) (sessions.Instance, error) {
	lock, err := openLock(dir)
	if err != nil {
		return sessions.Instance{}, err
	}
	defer lock.Close()
	if got, err := tryLock(lock, unix.LOCK_EX); err != nil || !got {
		return sessions.Instance{}, fmt.Errorf("locking the session: %w", errors.Join(err, sessions.ErrInstanceExists))
	}
	rec := r.record(spec)
	for i := range spec.Scratch {
		if err := os.MkdirAll(filepath.Join(dir, dirScratch, fmt.Sprint(i)), 0o755); err != nil {
			return sessions.Instance{}, err
		}
	}
	for _, name := range []string{dirLog, dirTmp, dirRoot} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return sessions.Instance{}, err
		}
	}
	if err := os.Chmod(filepath.Join(dir, dirTmp), 0o777|fs.ModeSticky); err != nil {
		return sessions.Instance{}, err
	}
	var at network.Attachment
	if r.shares(spec) {
		if spec.Cluster != nil {
			rec.Peers = spec.Cluster.HostAddresses()
		}
	} else {
		if at, err = r.attach(spec); err != nil {
			return sessions.Instance{}, err
		}
		if rec.Address = at.Addr.String(); spec.Cluster != nil {
			rec.Peers = at.Peers(len(spec.Cluster.Names))
		}
	}
	if rec.Groups, err = r.groups.make(spec.ID, spec.Limits); err != nil {
		return sessions.Instance{}, err
	}
	if err := errors.Join(reserveExit(dir), writeDurable(dir, fileRecord, rec)); err != nil {
		return sessions.Instance{}, err
	}
	st, err := r.supervise(ctx, dir, at.Path, lock)
	if err != nil {
		return sessions.Instance{}, err
	}
	return sessions.Instance{
		ID: spec.ID, Labels: maps.Clone(spec.Labels), Address: rec.Address, PID: st.PID, StartedAt: st.StartedAt, Running: true,
	}, nil
}

func (r *Runtime) record(spec sessions.Spec) record {
	spec.Mounts = append(searched(r.baseEnv["PATH"], r.cfg.Hide), spec.Mounts...)
	rec := record{
		Spec: spec, Address: "127.0.0.1", Shared: r.shares(spec), CreatedAt: time.Now(), BootID: bootID(),
		BaseEnv: r.baseEnv, Hide: r.cfg.Hide, Init: r.cfg.Init, LogFiles: r.cfg.LogFiles, LogSize: r.cfg.LogSize,
		Keepers: r.groups.dirs(keepers),
	}
	if !r.groups.has("memory") {
		rec.RlimitData = spec.Limits.Memory
	}
	if !r.groups.has("pids") {
		rec.RlimitProc = spec.Limits.Pids
	}
	return rec
}

// supervise starts the supervisor and waits until it tells that the session is under way.
func (r *Runtime) supervise(ctx context.Context, dir, netns string, lock *os.File) (state, error) {
	listener, err := listen(dir)
	if err != nil {
		return state{}, err
	}
	defer listener.Close()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return state{}, err
	}
	defer readyR.Close()
	defer readyW.Close()
	said, err := os.OpenFile(filepath.Join(dir, fileSaid), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return state{}, err
	}
	defer said.Close()

	cmd := exec.CommandContext(context.WithoutCancel(ctx), r.cfg.Executable, "supervise", dir) // it outlives the call
	cmd.Env = []string{"GOMAXPROCS=2", "GOGC=50", "GOTRACEBACK=single"}
	cmd.Dir, cmd.Stderr = "/", said
	cmd.ExtraFiles = []*os.File{fdLock - 3: lock, fdListen - 3: listener, fdReady - 3: readyW}
	cmd.SysProcAttr = namespaces(r.userNS)
	start := cmd.Start
	if netns != "" {
		start = func() error { return network.Enter(netns, cmd.Start) }
	}
	if err := start(); err != nil {
		return state{}, namespaceError(err, r.userNS)
	}
	readyW.Close()
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in the directory
		close(gone)
	}()
	st, err := awaitReady(ctx, readyR, dir)
	if err != nil {
		_ = cmd.Process.Kill()
		<-gone
	}
	return st, err
}

// namespaces are those that a session has of its own, its network's apart, which is entered.
func namespaces(user bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	if user {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

func namespaceError(err error, user bool) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("starting the session's supervisor: %w", err)
	}
	e := &Error{Err: fmt.Errorf("starting the session's supervisor: this box does not let it have namespaces of its own: %w", err)}
	e.What = "Run the appliance as root with the capability SYS_ADMIN (in a container: --privileged)."
	if user {
		e.What = "Run the appliance as root, or allow user namespaces: sysctl -w user.max_user_namespaces=15000, and where they exist kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0."
	}
	return e
}

// awaitReady reads the supervisor's one word. It owes it within a minute: a root full of mounts on a
// slow disk takes a second.
func awaitReady(ctx context.Context, ready *os.File, dir string) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	if ctx.Err() != nil {
		return state{}, fmt.Errorf("waiting for the session's supervisor: %w", context.Cause(ctx))
	}
	var rep reply
	if err != nil || json.Unmarshal(line, &rep) != nil {
		b, _ := os.ReadFile(filepath.Join(dir, fileSaid))
		return state{}, fmt.Errorf("the session's supervisor ended before the session had started: %s",
			strings.TrimSpace(string(b[:min(len(b), outcome.MaxMessage)])))
	}
	if rep.Error != "" {
		return state{}, errors.New(rep.Error)
	}
	if rep.State == nil {
		return state{}, errors.New("the session's supervisor told nothing")
	}
	return *rep.State, nil
}

// listen makes the socket of dir. Its path may be longer than a socket's address can be: it is reached
// by way of a descriptor.
func listen(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), fileSocket), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the session's socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	return l.File()
}

func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}
