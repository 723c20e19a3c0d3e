package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// step is one of those that a start, or an end, is made of.
type step struct {
	name string
	do   func(context.Context) error
}

// Start implements sessions.Runtime. While pre-start actions run, the instance's PID is that of the
// container's first process.
func (r *Runtime) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	in, err := r.start(ctx, spec)
	if err != nil {
		return sessions.Instance{}, fmt.Errorf("starting %s: %w", spec.ID, down(err))
	}
	return in, nil
}

func (r *Runtime) start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	if err := check(spec); err != nil {
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
	if _, err := os.Stat(r.dir(spec.ID)); err == nil {
		return sessions.Instance{}, sessions.ErrInstanceExists
	}
	m := &making{r: r, spec: spec, dir: r.dir(spec.ID)}
	release, err := m.holdImage(ctx)
	if err != nil {
		return sessions.Instance{}, err
	}
	defer release()
	for _, s := range m.steps() {
		err := s.do(r.in(ctx))
		if err == nil {
			continue
		}
		if !errors.Is(err, sessions.ErrInstanceExists) {
			m.undo(ctx)
		}
		return sessions.Instance{}, err
	}
	in, err := r.instance(spec.ID)
	in.Running, in.Exit = true, nil // it did start; that it has ended since, Wait tells
	return in, err
}

// holdImage keeps the session's image from being removed until the session has made of it what it needs.
func (m *making) holdImage(ctx context.Context) (release func(), err error) {
	named, err := imageName(m.spec.Image)
	if err != nil {
		return nil, err
	}
	return m.r.uses.take(ctx, named.String())
}

// check refuses what can be seen to fail.
func check(spec sessions.Spec) error {
	if !validID(spec.ID) {
		return fmt.Errorf("%q is no id that a container can have", spec.ID)
	}
	if len(spec.Processes) == 0 {
		return errors.New("there is no process to start")
	}
	for _, m := range spec.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) {
			return fmt.Errorf("mount of %s at %s: both must be absolute", m.Source, m.Target)
		}
		if err := free(m.Target); err != nil {
			return fmt.Errorf("mount of %s at %s: %w", m.Source, m.Target, err)
		}
		source, err := m.Open()
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mount of %s at %s: it does not exist on this box", m.Source, m.Target)
		} else if err != nil {
			return fmt.Errorf("mount of %s at %s: %w", m.Source, m.Target, err)
		}
		_ = source.Close()
	}
	for _, s := range spec.Scratch {
		if !filepath.IsAbs(s) {
			return fmt.Errorf("scratch directory %s: it must be absolute", s)
		}
		if err := free(s); err != nil {
			return fmt.Errorf("scratch directory %s: %w", s, err)
		}
	}
	return nil
}

// free refuses places that a mount must not cover.
func free(target string) error {
	target = filepath.Clean(target)
	own := filepath.Dir(pid1.PathInit)
	switch {
	case target == "/":
		return errors.New("the root itself is no place for a mount")
	case target == own, strings.HasPrefix(target, own+"/"):
		return fmt.Errorf("%s is the appliance's own place in a session", own)
	}
	return nil
}

// making is a start under way. Its fields are set by its steps.
type making struct {
	r    *Runtime
	spec sessions.Spec
	dir  string

	image     client.Image
	facts     imageFacts
	oci       *oci.Spec
	deviceEnv map[string]string // what devices add
	rec       record
	at        network.Attachment // Path "" without a network of its own
	container client.Container
	task      client.Task
	first     task
}

// steps are what a start is made of. A daemon that is killed between any two of them leaves a directory,
// and with it the id by which everything else is found: until fileTask is there, sweep takes all of it
// away; from then on the session runs and is taken over. That directory comes first and goes last.
func (m *making) steps() []step {
	return []step{
		{"image", m.findImage},
		{"directory", m.makeDirectory},
		{"network", m.makeNetwork},
		{"files", m.makeFiles},
		{"snapshot", m.makeSnapshot},
		{"container", m.makeContainer},
		{"create", m.create},
		{"mounts", m.checkMounts},
		{"run", m.run},
		{"keep", m.keep},
		{"ready", m.awaitReady},
	}
}

func (m *making) findImage(ctx context.Context) (err error) {
	if m.image, err = m.r.image(ctx, m.spec.Image); err == nil {
		m.facts, err = m.r.factsOf(ctx, m.image)
	}
	return err
}

func (m *making) makeDirectory(context.Context) error {
	err := os.Mkdir(m.dir, m.r.passage())
	if errors.Is(err, fs.ErrExist) {
		return sessions.ErrInstanceExists
	}
	return err
}

func (m *making) makeNetwork(ctx context.Context) (err error) {
	m.rec.Address = "127.0.0.1"
	switch {
	case m.spec.Cluster.OnHost():
		return m.r.checkPorts(ctx, m.spec)
	case m.r.cfg.Network == nil && m.spec.Cluster != nil:
		return m.r.CheckCluster(m.spec.Image)
	case m.r.cfg.Network == nil:
		return nil
	}
	if m.at, err = m.attach(); err == nil {
		m.rec.Address = m.at.Addr.String()
	}
	return err
}

// attach makes a network of the session's own, or one with the other containers of its session.
func (m *making) attach() (network.Attachment, error) {
	c := m.spec.Cluster
	if c == nil {
		return m.r.cfg.Network.Create(m.spec.ID)
	}
	groups, ok := m.r.cfg.Network.(GroupNetwork)
	if !ok {
		return network.Attachment{}, m.r.CheckCluster(m.spec.Image)
	}
	return groups.CreateIn(m.spec.ID, groupOf(c))
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

// peers are the addresses of all containers of the session, by rank.
func (m *making) peers() []netip.Addr {
	if c := m.spec.Cluster; c.OnHost() {
		return c.HostAddresses()
	}
	return m.at.Peers(len(m.spec.Cluster.Names))
}

// CheckCluster implements sessions.ClusterChecker.
func (r *Runtime) CheckCluster(string) error {
	if _, ok := r.cfg.Network.(GroupNetwork); ok {
		return nil
	}
	return &Error{
		Err:  fmt.Errorf("the containers of one session would not reach each other here: %w", sessions.ErrNotSupported),
		What: "Sessions' networks must be the appliance's own: run it as root, and without containerd.cni in the settings.",
	}
}

// makeFiles writes what the session will see of the box, and what the daemon will want to know again.
func (m *making) makeFiles(ctx context.Context) (err error) {
	if m.oci, err = m.ociSpec(ctx); err != nil {
		return err
	}
	plan, err := m.plan()
	if err != nil {
		return err
	}
	m.rec.Spec, m.rec.CreatedAt, m.rec.Image = m.spec, time.Now(), m.image.Target()
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := pid1.Reserve(root, fileSpare); err != nil {
		return err
	}
	if err := errors.Join(writeJSON(m.dir, filePlan, plan), root.Mkdir(dirOut, 0o700), root.Mkdir(dirScratch, m.r.passage())); err != nil {
		return err
	}
	given := []string{filePlan, dirOut}
	for i := range m.spec.Scratch {
		given = append(given, filepath.Join(dirScratch, fmt.Sprint(i)))
		if err := root.Mkdir(given[len(given)-1], 0o755); err != nil {
			return err
		}
	}
	if owner := m.r.sessionRoot(); owner != 0 {
		for _, name := range given {
			if err := root.Lchown(name, owner, owner); err != nil {
				return err
			}
		}
	}
	return errors.Join(m.writeNames(root), writeJSON(m.dir, fileRecord, m.rec))
}

// makeSnapshot makes the container's own layer. It is a root for containerd's garbage collector until it
// is removed: its container comes later.
//
// Where the image's files have to become those of the session's users, or to be unpacked first, other snapshots
// are made on the way: they are held on to, or a collection that somebody's removal of an image sets off would
// take them away; and one start at a time makes them, for they are the same ones for all.
func (m *making) makeSnapshot(ctx context.Context) error {
	err := error(errdefs.ErrNotFound)
	if !m.r.cfg.UserNamespace {
		err = m.prepare(ctx)
	}
	if errdefs.IsNotFound(err) {
		err = m.prepareHeld(ctx)
	}
	if err != nil {
		return snapshotError(err, m.r.cfg.Snapshotter)
	}
	return nil
}

func (m *making) prepareHeld(ctx context.Context) error {
	select {
	case m.r.unpacking <- struct{}{}:
		defer func() { <-m.r.unpacking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	held, release, err := m.r.hold(ctx)
	if err != nil {
		return err
	}
	defer release(nil)
	err = m.prepare(held)
	if errdefs.IsNotFound(err) { // its layers are there, but not unpacked for this snapshotter
		if err = m.image.Unpack(held, m.r.cfg.Snapshotter); err == nil {
			err = m.prepare(held)
		}
	}
	return err
}

func (m *making) prepare(ctx context.Context) error {
	labels := map[string]string{labelOwner: m.r.owner, labelSession: m.spec.ID, "containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)}
	c := m.bare()
	return client.WithNewSnapshot(m.spec.ID, m.image, append(m.r.remapped(), snapshots.WithLabels(labels))...)(ctx, m.r.client, &c)
}

func (m *making) makeContainer(ctx context.Context) (err error) {
	m.container, err = m.r.client.NewContainer(ctx, m.spec.ID,
		client.WithSnapshotter(m.r.cfg.Snapshotter), client.WithSnapshot(m.spec.ID), client.WithImageName(m.image.Name()),
		client.WithContainerLabels(m.labels()), client.WithSpec(m.oci),
		client.WithRuntime(runcShim, &options.Options{Root: m.r.runcRoot(), IoUid: uint32(m.r.sessionRoot()), IoGid: uint32(m.r.sessionRoot())}))
	if err != nil {
		return fmt.Errorf("making the container: %w", err)
	}
	return nil
}

func (m *making) create(ctx context.Context) error {
	t, err := m.container.NewTask(ctx, cio.LogFile(filepath.Join(m.dir, fileSaid)))
	if err != nil {
		return createError(err)
	}
	m.task = t
	// From here on it is the same process, which may have ended before anybody can look again.
	m.first, err = taskOf(int(t.Pid()))
	return err
}

// checkMounts looks, before anything of the session runs, whether it is shown what was meant: its folders are mounted by
// their paths, and somebody who may write in one of them could have put a link there.
func (m *making) checkMounts(context.Context) error {
	for _, w := range m.spec.Mounts {
		if w.Within == "" {
			continue
		}
		meant, err := w.Open()
		if err != nil {
			return fmt.Errorf("mount of %s at %s: %w", w.Source, w.Target, err)
		}
		same, err := m.shows(w.Target, meant)
		if err = errors.Join(err, meant.Close()); err != nil {
			return fmt.Errorf("mount of %s at %s: looking what it shows: %w", w.Source, w.Target, err)
		}
		if !same {
			return fmt.Errorf("mount of %s at %s: it was exchanged while the session started", w.Source, w.Target)
		}
	}
	return nil
}

// shows reports whether a directory of the box is what the session has at a path.
func (m *making) shows(target string, meant *os.File) (bool, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", m.task.Pid()), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(root)
	at, err := unix.Openat2(root, strings.TrimPrefix(filepath.Clean(target), "/"), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false, err
	}
	shown := os.NewFile(uintptr(at), target)
	defer shown.Close()
	is, err := shown.Stat()
	if err != nil {
		return false, err
	}
	want, err := meant.Stat()
	return err == nil && os.SameFile(is, want), err
}

func (m *making) run(ctx context.Context) error {
	if err := m.task.Start(ctx); err != nil {
		return createError(err)
	}
	return nil
}

func (m *making) keep(context.Context) error { return writeJSON(m.dir, fileTask, m.first) }

// awaitReady waits until something of the session runs, or it has ended without. The first process owes
// that within a minute: an image on a slow disk takes a second.
func (m *making) awaitReady(ctx context.Context) error {
	w := newWatch(filepath.Join(m.dir, dirOut))
	defer w.Close()
	bound, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer w.Close()
		if m.first.await(bound) == nil {
			close(gone)
		}
	}()
	for {
		if _, begun := readState(m.dir, m.rec); begun {
			return nil
		}
		if _, err := w.Read(nil); err == nil {
			continue
		}
		select {
		case <-gone:
		default:
			return fmt.Errorf("waiting for the session's first process: %w", context.Cause(bound))
		}
		if _, begun := readState(m.dir, m.rec); begun {
			return nil
		}
		return m.failure()
	}
}

// failure is why nothing of the session ever ran.
func (m *making) failure() error {
	if rep, found := readLeft[pid1.Report](m.dir, pid1.FileEnding); found && rep.Failed != "" {
		return errors.New(rep.Failed)
	}
	said, _ := os.ReadFile(filepath.Join(m.dir, fileSaid))
	return fmt.Errorf("the session's first process ended before the session had started: %s", strings.TrimSpace(string(said[:min(len(said), 1<<10)])))
}
