package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// clustersDir is where, in the data directory, what the containers of one session share is.
const clustersDir = "clusters"

// sessionReach is how sessions of a box reach those of others.
type sessionReach struct {
	kind    sessions.NetKind // "": they do not
	address netip.Addr       // of the box
	asked   bool             // the settings say so
	why     string           // they do not
}

// reachOf finds out how this box's sessions can reach those of others.
func (s *seat) reachOf(ctx context.Context) sessionReach {
	kind, why := s.runtime.reach(s.Config.Cluster.SessionNetwork)
	if kind == "" {
		s.log.Info("sessions of this box cannot be one with sessions of other boxes", "why", why)
		return sessionReach{why: why}
	}
	host, _, err := net.SplitHostPort(s.kept.Address)
	if err == nil {
		var address netip.Addr
		if address, err = addressOf(ctx, host); err == nil {
			return sessionReach{kind: kind, address: address, asked: s.Config.Cluster.SessionNetwork == string(kind)}
		}
	}
	why = fmt.Sprintf("the address by which other boxes reach this one is not known: %v", err)
	s.log.Warn("sessions of this box cannot be one with sessions of other boxes", "why", why)
	return sessionReach{why: why}
}

// namePatience bounds how long the box's own name is looked up.
const namePatience = 5 * time.Second

// addressOf is an address of a host, IPv4 where it has one.
func addressOf(ctx context.Context, host string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, namePatience)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	slices.SortStableFunc(all, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return all[0], nil
}

// reach says by which kind of network sessions of this runtime reach those of other boxes, by what the settings want; "" and why:
// by none.
func (r *runtimeChoice) reach(wanted string) (kind sessions.NetKind, why string) {
	switch {
	case wanted == config.SessionNetworkNone:
		return "", "the settings say so"
	case wanted == config.SessionNetworkHost:
		return sessions.NetHost, ""
	case r.shares && wanted == config.SessionNetworkAuto:
		return sessions.NetHost, ""
	case r.shares || len(r.networks) == 0:
		return "", "they have no network of the appliance's own"
	}
	for _, n := range r.networks {
		if err := n.CanOverlay(); err != nil {
			return "", err.Error()
		}
	}
	return sessions.NetVXLAN, ""
}

// clusterNets are the networks that there can be between boxes.
func (d *daemon) clusterNets() sessions.ClusterNets {
	if d.seat == nil {
		return sessions.ClusterNets{}
	}
	c := d.Config.Cluster
	return sessions.ClusterNets{Pool: c.SessionPool, Port: c.VXLANPort, Reach: func(node string) (sessions.NetKind, netip.Addr) {
		if node == d.seat.name() {
			return d.seat.reach.kind, d.seat.reach.address
		}
		if n, there := d.seat.roster.Node(node); there && n.Inventory != nil {
			return n.Inventory.Network, n.Inventory.Address
		}
		return "", netip.Addr{}
	}, Unasked: func(node string) bool {
		if node == d.seat.name() {
			return !d.seat.reach.asked
		}
		n, there := d.seat.roster.Node(node)
		return there && n.Inventory != nil && !n.Inventory.NetworkAsked
	}}
}

// clusterFiles keep what the containers of one session share: on the disk of a box that is alone, else where all boxes find it.
func (d *daemon) clusterFiles() sessions.ClusterFiles {
	dirs := clusterdir.New(filepath.Join(d.Config.Data, clustersDir))
	if d.seat == nil || d.turn == nil {
		return dirs
	}
	return &togetherFiles{seat: d.seat, reign: d.turn.reign, dirs: dirs}
}

// togetherFiles are those of all boxes: who leads keeps them with what is agreed on, sealed, and each box puts them on its disk
// for what it starts. See seat.shareFiles.
type togetherFiles struct {
	seat  *seat
	reign cluster.Reign
	dirs  *clusterdir.Dirs // of this box; others have theirs at the same place of their data directory

	mu sync.Mutex // one at a time makes keys
}

// Bounds of how long the agreement is asked. Who asks in its loop, and not in a session's own, does not wait for long.
const (
	togetherPatience = 10 * time.Second
	togetherHurry    = time.Second
)

func (t *togetherFiles) ask(patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err)
	}
	return nil
}

// Make implements sessions.ClusterFiles.
func (t *togetherFiles) Make(id string, hosts []string, ports []int) (dir string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if dir, err = t.dirs.Path(id); err != nil {
		return "", err
	}
	key, err := t.seat.node.ClusterKey()
	if err != nil {
		return "", err
	}
	return dir, t.ask(togetherPatience, func(ctx context.Context) error {
		has, err := t.seat.agreement.Together(ctx, id)
		if err != nil {
			return err
		}
		files, err := unsealFiles(has.Sealed, key.Unseal)
		if err != nil {
			return err
		}
		var wanted map[string]string
		if files == nil {
			wanted, err = clusterdir.Files(hosts, ports)
		} else if wanted = clusterdir.Renamed(files, hosts, ports); maps.Equal(files, wanted) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := json.Marshal(wanted)
		if err != nil {
			return err
		}
		sealed, err := key.Seal(text)
		if err != nil {
			return err
		}
		return t.seat.agreement.PutTogether(ctx, t.reign, id, sealed)
	})
}

// Open implements sessions.ClusterFiles.
func (t *togetherFiles) Open(id string, run int) error {
	return t.ask(togetherHurry, func(ctx context.Context) error { return t.seat.agreement.Go(ctx, t.reign, id, run) })
}

// Forget implements sessions.ClusterFiles.
func (t *togetherFiles) Forget(id string) error {
	return t.ask(togetherHurry, func(ctx context.Context) error { return t.seat.agreement.ForgetTogether(ctx, t.reign, id) })
}

// Keep implements sessions.ClusterFiles.
func (t *togetherFiles) Keep(live []string) error {
	return t.ask(togetherPatience, func(ctx context.Context) error {
		all, err := t.seat.agreement.AllTogether(ctx)
		for _, id := range all {
			if !slices.Contains(live, id) {
				err = errors.Join(err, t.seat.agreement.ForgetTogether(ctx, t.reign, id))
			}
		}
		return err
	})
}

func unsealFiles(sealed []byte, unseal func([]byte) ([]byte, error)) (files map[string]string, err error) {
	if sealed == nil {
		return nil, nil
	}
	text, err := unseal(sealed)
	if err != nil {
		return nil, err
	}
	return files, json.Unmarshal(text, &files)
}

// gates are the runs whose containers are all there, by session, as they were heard of.
type gates struct {
	mu   sync.Mutex
	open map[string]int
}

// shareFiles puts on this box's disk what the containers of a session share of which one is to start here.
func (s *seat) shareFiles(ctx context.Context, spec *sessions.Spec) error {
	if spec.Cluster == nil {
		return nil
	}
	id := spec.Cluster.ID
	has, err := s.agreement.Together(ctx, id)
	if err != nil {
		return fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err)
	}
	key, err := s.node.ClusterKey()
	if err != nil {
		return err
	}
	files, err := unsealFiles(has.Sealed, key.Unseal)
	if err != nil {
		return fmt.Errorf("what the containers of session %s share: %w", id, err)
	}
	if files == nil {
		return fmt.Errorf("nobody has said what the containers of session %s share", id)
	}
	s.gates.mu.Lock()
	defer s.gates.mu.Unlock()
	dir, err := s.files.Put(id, files)
	if err != nil {
		return err
	}
	c := *spec.Cluster
	c.SSHConfig = filepath.Join(dir, clusterdir.FileConfig)
	spec.Cluster = &c
	if run, open := s.gates.open[id]; open { // heard of before there was a directory
		return s.files.Open(id, run)
	}
	return nil
}

// followTogether lets containers of this box go on whose others are there, wherever those are, and removes what nobody shares any
// more.
func (s *seat) followTogether(ctx context.Context) {
	s.agreement.FollowTogether(ctx, func(some map[string]*cluster.Together, all bool) {
		s.gates.mu.Lock()
		defer s.gates.mu.Unlock()
		if all || s.gates.open == nil {
			s.gates.open = map[string]int{}
		}
		for id, t := range some {
			s.hearTogether(id, t)
		}
		if all {
			s.keepFiles(ctx, some)
		}
	})
}

// hearTogether takes in what has changed of a session; gates.mu is held.
func (s *seat) hearTogether(id string, t *cluster.Together) {
	var err error
	switch {
	case t == nil:
		delete(s.gates.open, id)
		err = s.files.Forget(id)
	case t.Run >= 0:
		s.gates.open[id] = t.Run
		if err = s.files.Open(id, t.Run); errors.Is(err, fs.ErrNotExist) {
			err = nil // none of it is here, or not yet
		}
	}
	if err != nil {
		s.log.Error("what the containers of a session share is not as it should be on this box", "session", id, "error", err)
	}
}

// keepFiles removes the files of all other sessions, but of what runs here: it may have been started before the box was in a cluster.
func (s *seat) keepFiles(ctx context.Context, known map[string]*cluster.Together) {
	all, err := s.runtime.List(ctx)
	if err != nil {
		return // they are removed the next time
	}
	var live []string
	for id := range known {
		live = append(live, id)
	}
	for _, in := range all {
		live = append(live, in.Labels[sessions.LabelCluster])
	}
	if err := s.files.Keep(live); err != nil {
		s.log.Error("what containers of ended sessions shared was not removed; it will be", "error", err)
	}
}
