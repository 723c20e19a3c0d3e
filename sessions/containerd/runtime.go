package containerd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

var (
	_ sessions.Runtime  = (*Runtime)(nil)
	_ sessions.Observer = (*Runtime)(nil)

	_ sessions.ClusterChecker = (*Runtime)(nil)
)

// Config of a Runtime.
type Config struct {
	Address       string            // containerd's socket
	Root          string            // own directory: records, logs, what sessions see of it
	Namespace     string            // containerd's; default "palisade"
	Snapshotter   string            // default "overlayfs"; "native" where containerd has none
	Init          *io.SectionReader // the static executable of sessions/pid1/palisade-init
	Network       Network           // nil: sessions share the box's network, at 127.0.0.1
	LogFiles      int               // of one session; default 4
	LogSize       int64             // bytes of each; default 8 MiB
	UserNamespace bool              // a session's root user is nobody on the box
	// Credentials returns what to log in to the registry host with, "" and "" for nothing. It may be nil.
	Credentials func(ctx context.Context, host string) (user, secret string, err error)
	// Reach bounds where a transport may connect that is to pull from a registry, which may send it anywhere. Nil: it may go anywhere.
	Reach func(t *http.Transport, registry string)
	// Mirrors are other boxes that have an image, the nearest first. They are asked before its registry, for what is not here; nil: there are none.
	Mirrors   func(ctx context.Context, image string) []Mirror
	PlainHTTP []string // registries, HOST or HOST:PORT, that may be spoken to without TLS; those on loopback always may
	Log       *slog.Logger
}

// Network gives each session a network of its own. *network.Network is one. No other runtime may use it.
type Network interface {
	Create(id string) (network.Attachment, error)
	Remove(id string) error
}

// GroupNetwork is a Network that can join several containers of one session.
type GroupNetwork interface {
	CreateIn(id string, g network.Group) (network.Attachment, error)
}

// Runtime runs sessions as containers. All that it knows is in its root and in containerd: it keeps
// nothing in memory but which starts are going on, and what images say of themselves.
type Runtime struct {
	client    *client.Client
	cfg       Config
	log       *slog.Logger
	init      string // path of the first process's executable
	openFiles uint64
	owner     string // the label by which its containers and snapshots are told from another's

	pulls     pulls
	uses      uses
	unpacking chan struct{} // room for one: see makeSnapshot

	self task // this program

	silentUntil atomic.Int64 // unix nanoseconds; containerd did not answer: see killed

	mu         sync.Mutex
	starting   map[string]bool
	pending    map[string]bool       // see later
	images     map[string]imageFacts // by digest; what is in one never changes
	litter     bool                  // something was removed since the last collection began: see collectSoon
	collecting bool
	life       context.Context // ends with Close
	end        context.CancelFunc
	background sync.WaitGroup

	locks [64]sync.Mutex // see alone
}

// New connects to containerd, and settles what a daemon that was cut short left behind. Sessions that run
// go on running.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	r, err := connect(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the containerd runtime: %w", err)
	}
	for _, settle := range []func(context.Context) error{r.settleImages, r.sweep} {
		if err := settle(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("opening the containerd runtime: %w", down(err)), r.Close())
		}
	}
	r.sweepCommands()
	r.collectSoon() // a daemon may have died before it asked
	return r, nil
}

func connect(ctx context.Context, cfg Config) (*Runtime, error) {
	root, err := filepath.Abs(cfg.Root)
	if err != nil || cfg.Root == "" {
		return nil, cmp.Or(err, errors.New("a directory of its own is wanted"))
	}
	cfg.Root = root
	cfg.Namespace = cmp.Or(cfg.Namespace, "palisade")
	cfg.LogFiles, cfg.LogSize = cmp.Or(cfg.LogFiles, 4), cmp.Or(cfg.LogSize, 8<<20)
	sum := sha256.Sum256([]byte(root))
	r := &Runtime{
		cfg: cfg, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), owner: hex.EncodeToString(sum[:6]),
		unpacking: make(chan struct{}, 1), starting: map[string]bool{}, pending: map[string]bool{}, images: map[string]imageFacts{},
	}
	if r.self, err = taskOf(os.Getpid()); err != nil {
		return nil, err
	}
	r.life, r.end = context.WithCancel(context.WithoutCancel(ctx))
	for _, dir := range []string{r.instances(), r.removing()} {
		if err := errors.Join(os.MkdirAll(dir, r.passage()), os.Chmod(dir, r.passage())); err != nil {
			return nil, err
		}
	}
	if err := passable(root, cfg.UserNamespace); err != nil {
		return nil, err
	}
	if r.init, err = placeInit(root, cfg.Init); err != nil {
		return nil, err
	}
	pid, err := greet(cfg.Address)
	if err != nil {
		return nil, err
	}
	r.openFiles = openFilesOf(pid)
	// A containerd that was restarted is found again within the time-out.
	r.client, err = client.New(cfg.Address, client.WithDefaultNamespace(cfg.Namespace), client.WithTimeout(time.Second))
	if err != nil {
		return nil, down(err)
	}
	if err := r.checkVersion(ctx); err != nil {
		r.client.Close()
		return nil, err
	}
	return r, nil
}

// Retire ends all that this Runtime does by itself: another one does it from now on. Commands under way go on.
func (r *Runtime) Retire() {
	r.end()
	r.background.Wait()
}

// Close lets go of the connection. Sessions go on running.
func (r *Runtime) Close() error {
	r.Retire()
	return r.client.Close()
}

// passage is the mode of directories on the way to what sessions are shown. Only sessions' users that are not the
// box's must pass there; others of the box must not: a session's root user may leave there a program that makes
// who runs it root.
func (r *Runtime) passage() os.FileMode {
	if r.cfg.UserNamespace {
		return 0o711
	}
	return 0o700
}

// in is ctx in our namespace of containerd: functions of its client that send nothing look for it there.
func (r *Runtime) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, r.cfg.Namespace)
}

func (r *Runtime) instances() string    { return filepath.Join(r.cfg.Root, "instances") }
func (r *Runtime) removing() string     { return filepath.Join(r.cfg.Root, "removing") }
func (r *Runtime) runcRoot() string     { return filepath.Join(r.cfg.Root, "runc") }
func (r *Runtime) dir(id string) string { return filepath.Join(r.instances(), id) }

// alone waits until nobody else settles or frees id, in this program or in another, and keeps it so until
// done is called. ErrNoInstance if there is none.
func (r *Runtime) alone(id string) (done func(), err error) {
	l := &r.locks[int(sha256.Sum256([]byte(id))[0])%len(r.locks)] // so that of many one waits in the kernel
	l.Lock()
	dir, err := os.Open(r.dir(id))
	if err == nil {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		l.Unlock()
		if errors.Is(err, fs.ErrNotExist) {
			err = sessions.ErrNoInstance
		}
		return nil, err
	}
	return func() {
		dir.Close()
		l.Unlock()
	}, nil
}

// validID reports whether id can be the name of a container, and of a file.
func validID(id string) bool {
	for i, c := range []byte(id) {
		plain := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !plain && (i == 0 || i == len(id)-1 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return id != "" && len(id) <= 76 // containerd's own bound
}

func (r *Runtime) isStarting(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starting[id]
}

// known returns an error where id is none that can be asked about.
func (r *Runtime) known(id string) error {
	if !validID(id) || r.isStarting(id) {
		return sessions.ErrNoInstance
	}
	return nil
}

// List implements sessions.Runtime; sorted by id. What another call is starting is not in it yet. It does
// not need containerd.
func (r *Runtime) List(context.Context) ([]sessions.Instance, error) {
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	var list []sessions.Instance
	for _, e := range entries {
		if r.known(e.Name()) != nil {
			continue
		}
		in, err := r.instance(e.Name())
		if errors.Is(err, sessions.ErrNoInstance) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %s: %w", e.Name(), err)
		}
		list = append(list, in)
	}
	return list, nil
}

// Inspect implements sessions.Observer.
func (r *Runtime) Inspect(_ context.Context, id string) (sessions.Instance, error) {
	err := r.known(id)
	var in sessions.Instance
	if err == nil {
		in, err = r.instance(id)
	}
	if err != nil {
		return sessions.Instance{}, fmt.Errorf("looking at %s: %w", id, err)
	}
	return in, nil
}

// instance reads what there is of id.
func (r *Runtime) instance(id string) (sessions.Instance, error) {
	rec, err := r.record(id)
	if err != nil {
		return sessions.Instance{}, err
	}
	st, _ := readState(r.dir(id), rec)
	in := sessions.Instance{ID: id, Labels: maps.Clone(rec.Spec.Labels), Address: rec.Address, StartedAt: st.StartedAt}
	exit, ended, err := r.settle(id)
	if ended {
		in.Exit = &exit
		return in, nil
	}
	// How it ended may be known to containerd alone, and that be away: until it can be asked, it has not.
	if err != nil && !errors.Is(err, sessions.ErrRuntimeDown) {
		return in, err
	}
	t, _, err := readTask(r.dir(id))
	in.Running, in.PID = true, hostPID(t.PID, st.First)
	return in, err
}
