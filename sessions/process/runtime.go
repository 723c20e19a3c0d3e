package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

var (
	_ sessions.Runtime  = (*Runtime)(nil)
	_ sessions.Observer = (*Runtime)(nil)

	_ sessions.ClusterChecker = (*Runtime)(nil)
)

// HostImage is the only image of this runtime: the box's own files.
const HostImage = "host"

// Config of a Runtime.
type Config struct {
	Root       string           // where sessions are kept; sessions do not see it
	Executable string           // this program: `Executable supervise DIR` must reach SuperviseMain
	Init       string           // path of sessions/pid1/palisade-init, which sessions see at pid1.PathInit; "" they have none
	Network    *network.Network // nil: sessions share the box's network, at 127.0.0.1
	Hide       []string         // directories that sessions do not see, the data directory among them
	LogFiles   int              // of one session; default 4
	LogSize    int64            // bytes of each; default 8 MiB
	Log        *slog.Logger
}

// Runtime runs sessions as processes. All that it knows is in its root: it keeps nothing in memory
// but which starts are going on.
type Runtime struct {
	cfg     Config
	groups  *cgroups
	userNS  bool // not root: namespaces are made in a user namespace
	log     *slog.Logger
	baseEnv map[string]string

	mu       sync.Mutex
	starting map[string]bool
	settling sync.Mutex // one decides at a time what became of a session that nobody held
}

// Error is an error that says what to do about it.
type Error struct {
	Err  error
	What string // the hint
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.What }

// New opens the runtime whose sessions are kept in cfg.Root, and settles what a daemon or a box that
// was cut short left behind. Sessions that run go on running.
func New(cfg Config) (*Runtime, error) {
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, fmt.Errorf("opening the process runtime: %w", err)
	}
	if cfg.Executable == "" {
		return nil, errors.New("opening the process runtime: the path of this program is wanted, to supervise sessions with")
	}
	cfg.Root = root
	cfg.LogFiles, cfg.LogSize = cmp.Or(cfg.LogFiles, 4), cmp.Or(cfg.LogSize, 8<<20)
	cfg.Hide = append(slices.Clone(cfg.Hide), root)
	r := &Runtime{
		cfg: cfg, userNS: os.Geteuid() != 0, starting: map[string]bool{},
		log:     cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)),
		groups:  openCgroups("palisade/" + hash(root, 12)),
		baseEnv: baseEnv(os.LookupEnv),
	}
	for _, dir := range []string{r.instances(), r.removing()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("opening the process runtime: %w", err)
		}
	}
	for _, err := range r.groups.missing() {
		r.log.Debug("a limit cannot be had", "err", err)
	}
	if err := r.settleAll(); err != nil {
		return nil, fmt.Errorf("opening the process runtime: %w", err)
	}
	return r, nil
}

// baseEnv is what a session sees of the daemon's environment: nothing that could be a secret.
func baseEnv(lookup func(string) (string, bool)) map[string]string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb",
		"XDG_CACHE_HOME": "/tmp/.cache", // what is in HOME is read-only
	}
	for _, k := range []string{"PATH", "HOME", "LANG", "TERM"} {
		if v, found := lookup(k); found && v != "" {
			env[k] = v
		}
	}
	return env
}

func (r *Runtime) instances() string    { return filepath.Join(r.cfg.Root, "instances") }
func (r *Runtime) removing() string     { return filepath.Join(r.cfg.Root, "removing") }
func (r *Runtime) dir(id string) string { return filepath.Join(r.instances(), id) }
func noInstance(doing, id string) error {
	return fmt.Errorf("%s %s: %w", doing, id, sessions.ErrNoInstance)
}

// validID reports whether id can be a file's name, on its own and beside others.
func validID(id string) bool {
	for i, c := range []byte(id) {
		plain := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !plain && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// Pull implements sessions.Runtime: the box's files are there already.
func (r *Runtime) Pull(_ context.Context, image string, _ func(sessions.Progress)) error {
	return r.CheckImage(image)
}

// CheckImage implements sessions.ImageChecker.
func (r *Runtime) CheckImage(image string) error {
	if image != HostImage {
		return &Error{
			Err:  fmt.Errorf("image %s: the process runtime runs the box's own programs only, as image %q", image, HostImage),
			What: "Give the image as \"host\"; container images run where the appliance has containerd (palisade doctor).",
		}
	}
	return nil
}

// CheckCluster implements sessions.ClusterChecker.
func (r *Runtime) CheckCluster(string) error {
	if r.cfg.Network != nil {
		return nil
	}
	return &Error{
		Err:  errors.New("a session of several containers needs a network of its own, and sessions share the box's here"),
		What: "Run the appliance as root, with the capability NET_ADMIN: palisade doctor says what is missing.",
	}
}

// List implements sessions.Runtime; sorted by id. What another call is starting is not in it yet.
func (r *Runtime) List(ctx context.Context) ([]sessions.Instance, error) {
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	var list []sessions.Instance
	for _, e := range entries {
		if !validID(e.Name()) || r.isStarting(e.Name()) {
			continue
		}
		in, err := r.instance(ctx, e.Name())
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

func (r *Runtime) isStarting(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starting[id]
}

// instance reads what there is of id.
func (r *Runtime) instance(ctx context.Context, id string) (sessions.Instance, error) {
	dir := r.dir(id)
	rec, found, err := readJSON[record](dir, fileRecord)
	if err != nil {
		return sessions.Instance{}, err
	}
	if !found {
		return sessions.Instance{}, sessions.ErrNoInstance
	}
	in := sessions.Instance{ID: id, Labels: rec.Spec.Labels, Address: rec.Address, StartedAt: rec.CreatedAt}
	st, underWay, err := r.state(ctx, id)
	if err != nil {
		return in, err
	}
	if underWay {
		in.StartedAt = st.StartedAt
	}
	exit, ended, err := r.settle(id)
	if err != nil {
		return in, err
	}
	if ended {
		in.Exit = &exit
		return in, nil
	}
	in.Running, in.PID = true, st.PID
	return in, nil
}

// state reads how far a session has got; of one that has just begun it asks its supervisor.
func (r *Runtime) state(ctx context.Context, id string) (state, bool, error) {
	st, found, err := readJSON[state](r.dir(id), fileState)
	if found || err != nil {
		return st, found, err
	}
	if held, err := alive(r.dir(id)); err != nil || !held {
		return st, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rep, err := ask(ctx, r.dir(id), request{Op: opStatus})
	if err != nil || rep.State == nil {
		return st, false, nil
	}
	return *rep.State, true, nil
}

// Remove implements sessions.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if !validID(id) || r.isStarting(id) {
		return fmt.Errorf("removing %s: there is no session of that name that has ended", id)
	}
	if _, err := os.Stat(r.dir(id)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, ended, err := r.settle(id)
	switch {
	case errors.Is(err, sessions.ErrNoInstance): // half made
	case err != nil:
		return fmt.Errorf("removing %s: %w", id, err)
	case !ended:
		return fmt.Errorf("removing %s: it runs: stop it first", id)
	}
	if err := awaitUnlocked(ctx, r.dir(id)); err != nil {
		return fmt.Errorf("removing %s: waiting for its supervisor: %w", id, err)
	}
	if err := r.discard(id); err != nil {
		return fmt.Errorf("removing %s: %w", id, err)
	}
	return nil
}
