package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// openBox opens what runs this box's sessions, and who looks after them.
func (s *seat) openBox(ctx context.Context) error {
	c := s.Config
	guard, err := reach.New(c.Fetch.AllowPrivate)
	if err != nil {
		return err
	}
	s.runtime, err = chooseRuntime(ctx, c, runtimeOptions{
		guard: guard, executable: s.Executable, credentials: s.credentials, mirrors: s.mirrors, log: s.Log.With("room", "runtime"),
	})
	if err != nil {
		return err
	}
	s.reach = s.reachOf(ctx)
	s.files = clusterdir.New(filepath.Join(c.Data, clustersDir))
	c.Node.Name = s.name()
	// What is shown of devices is shown by who leads, from a ledger of its own.
	if s.pool, err = openPool(ctx, c, prometheus.NewRegistry(), s.overuse, s.Log.With("room", "accel")); err != nil {
		return err
	}
	s.pool.runtime, s.pool.seen = s.runtime.name, s.samples.record
	s.pool.share(ctx)
	if err := s.hold(ctx); err != nil {
		return err
	}
	s.pool.watcher.Sample(ctx) // once it is known which processes are of sessions
	s.agent = agent.New(agent.Deps{
		Node: s.name(), Desk: s.agreement, Runtime: held{s.runtime.runner, s}, Prepare: s.prepare, Heard: s.heard.last,
		Log: s.log, Grace: agentGrace,
	})
	return nil
}

// agentGrace is what a session gets that nobody wants any more.
const agentGrace = 10 * time.Second

// credentials are those of the vault, once it is open.
func (s *seat) credentials(ctx context.Context, host string) (user, secret string, err error) {
	v := s.secrets.Load()
	if v == nil {
		return "", "", nil
	}
	return v.Registries().Credentials(ctx, host)
}

// overuse is told of a session that holds more of a device than its part.
func (s *seat) overuse(o accel.Overuse) {
	if d := s.life.Load(); d != nil && d.turn != nil {
		d.overuse(o)
	}
}

// hold tells the box's own ledger what runs here: which processes on devices are of whom.
func (s *seat) hold(ctx context.Context) error {
	all, err := s.runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("finding what runs here: %w", err)
	}
	for _, in := range all {
		if in.Running {
			s.holds(in.ID, in.Labels)
		}
	}
	return nil
}

func (s *seat) holds(id string, labels map[string]string) {
	if claim, ok := claimIn(id, labels); ok {
		claim.Node = s.name() // the box may have had another name
		s.pool.ledger.Restore(claim)
	}
}

// claimIn is what a session holds, by its labels.
func claimIn(id string, labels map[string]string) (c accel.Claim, ok bool) {
	return c, json.Unmarshal([]byte(labels[sessions.LabelClaim]), &c) == nil && c.Session == id
}

// held is the box's runtime, by which its own ledger is kept up.
type held struct {
	runner
	seat *seat
}

// Start implements sessions.Runtime.
func (h held) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	h.seat.holds(spec.ID, spec.Labels)
	in, err := h.runner.Start(ctx, spec)
	if err != nil && !errors.Is(err, sessions.ErrInstanceExists) {
		h.seat.pool.ledger.Leave(spec.ID)
	}
	return in, err
}

// Wait implements sessions.Runtime.
func (h held) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	exit, err := h.runner.Wait(ctx, id)
	if err == nil {
		h.seat.pool.ledger.Leave(id)
	}
	return exit, err
}

// labelData says where the one who placed a session keeps its data: paths below are meant on the box that starts it.
const labelData = "run.palisade.data"

// prepare makes of what the leader wants what this box starts.
func (s *seat) prepare(ctx context.Context, spec sessions.Spec) (sessions.Spec, error) {
	spec, err := s.goods.Prepare(ctx, spec)
	if err != nil {
		return spec, err
	}
	spec.Env, spec.Labels, spec.Mounts = maps.Clone(spec.Env), maps.Clone(spec.Labels), slices.Clone(spec.Mounts)
	if err := s.shareFiles(ctx, &spec); err != nil {
		return spec, err
	}
	if err := s.ownPaths(&spec); err != nil {
		return spec, err
	}
	claim, ok := claimIn(spec.ID, spec.Labels)
	if !ok {
		return spec, nil
	}
	grant, err := s.pool.watcher.Grant(claim)
	if err != nil {
		return spec, fmt.Errorf("handing it its devices: %w", err)
	}
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	maps.Copy(spec.Env, grant.Env)
	spec.Devices = slices.Concat(spec.Devices, grant.CDI, grant.Nodes)
	for _, source := range slices.Sorted(maps.Keys(grant.Mounts)) {
		spec.Mounts = append(spec.Mounts, sessions.Mount{Source: source, Target: grant.Mounts[source]})
	}
	return spec, nil
}

// ownPaths has what is in the leader's data directory be in this box's. Directories that belong to one session are made where
// they are missing.
func (s *seat) ownPaths(spec *sessions.Spec) error {
	data := cmp.Or(spec.Labels[labelData], s.Config.Data)
	own := func(path string) (string, bool) {
		rel, below := strings.CutPrefix(path, data+string(filepath.Separator))
		if !below || !filepath.IsLocal(rel) {
			return path, false
		}
		return filepath.Join(s.Config.Data, rel), true
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if m.Folder.ID != "" { // it is where its home, or who brought it, says
			continue
		}
		var ours bool
		m.Source, ours = own(m.Source)
		m.Within, _ = own(m.Within)
		if _, err := os.Stat(m.Source); !ours || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		rel, _ := filepath.Rel(s.Config.Data, m.Source)
		if of, _, _ := strings.Cut(rel, string(filepath.Separator)); of != "checkpoints" {
			return hinted{fmt.Errorf("%s is not on box %s", m.Source, s.name()), "place the session where its folders are, or have them on storage that all boxes share (cluster.shared_folders)"}
		}
		if err := os.MkdirAll(m.Source, 0o700); err != nil {
			return fmt.Errorf("making %s: %w", m.Source, err)
		}
	}
	return nil
}

// reachable says at which IP a port of a session answers that runs here.
func (s *seat) reachSession(ctx context.Context, id string, port int) (string, error) {
	in, err := s.runtime.Inspect(ctx, id)
	switch {
	case err != nil:
		return "", err
	case !in.Running || in.Address == "":
		return "", fmt.Errorf("session %s: %w", id, sessions.ErrNoInstance)
	}
	if ip, err := netip.ParseAddr(in.Address); err != nil || !ip.IsLoopback() {
		return in.Address, err
	}
	// It shares the box's network: what it has not declared may be anybody's.
	spec, ok := s.agent.Spec(id)
	if ok && slices.Contains(portsOf(spec), port) {
		return in.Address, nil
	}
	return "", fmt.Errorf("port %d of session %s: %w, and has not declared that port", port, id, sessions.ErrSharedNetwork)
}

// portsOf are those that a session has declared.
func portsOf(spec sessions.Spec) (ports []int) {
	for _, p := range spec.Processes {
		if p.Port > 0 {
			ports = append(ports, p.Port)
		}
	}
	return ports
}
