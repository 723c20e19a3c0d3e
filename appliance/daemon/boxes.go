package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
)

// boxes are the boxes of the cluster, as a life of this one can show and change them.
type boxes struct{ d *daemon }

func (b boxes) dir() string { return filepath.Join(b.d.Config.Data, clusterDir) }

// Self implements admin.Cluster.
func (b boxes) Self(context.Context) api.ClusterSelf {
	s := b.d.seat
	if s == nil {
		return b.outside()
	}
	out := api.ClusterSelf{State: api.ClusterIn, Name: s.name(), Leads: b.d.turn != nil && b.d.turn.leads(time.Now()), Since: &s.began}
	s.mu.Lock()
	out.Cluster, out.Address = s.kept.Cluster, s.kept.Address
	s.mu.Unlock()
	if now := s.leading.Load(); now != nil {
		out.Leader = now.last
	}
	if err := s.trouble(time.Now()); err != nil {
		out.Problem, out.Hint = err.Error(), adviceOf(err)
	}
	return out
}

// outside is a box that is in no cluster, or not yet.
func (b boxes) outside() api.ClusterSelf {
	out := api.ClusterSelf{State: api.ClusterAlone}
	if why := b.d.unseated.Load(); why != nil {
		out.Problem, out.Hint = (*why).Error(), adviceOf(*why)
	}
	node, err := trust.Open(b.dir(), time.Now)
	if err != nil {
		if !errors.Is(err, trust.ErrNoIdentity) {
			out.Problem = err.Error()
		}
		return out
	}
	out.Name = node.Name()
	if p, ok, err := node.Pending(); ok || err != nil {
		out.State, out.Asks, out.Waiting = api.ClusterJoining, p.URL, b.d.waits.Load()
		if key, err := node.KeyID(); err == nil {
			out.Key = key
		}
		return out
	}
	if _, _, in := node.Certified(); in { // it was let in, and is about to take its place, or tries to
		out.State = api.ClusterJoining
		if r, err := readSeat(b.dir()); err == nil {
			out.Cluster, out.Address = r.Cluster, r.Address
		}
	}
	return out
}

// Init implements admin.Cluster.
func (b boxes) Init(ctx context.Context, in api.ClusterInit, _ string) (api.ClusterSelf, error) {
	if b.d.seat != nil {
		return api.ClusterSelf{}, hinted{fmt.Errorf("this box is in a cluster already: %w", trust.ErrTaken), "see it with: palisade cluster status"}
	}
	last, err := b.d.store.LastTerm(ctx)
	if err != nil {
		return api.ClusterSelf{}, err
	}
	if err := foundCluster(ctx, b.d.Config, in.Name, in.Address, cluster.EraAfter(cluster.Term(last))); err != nil {
		return api.ClusterSelf{}, err
	}
	b.d.sit()
	out := b.Self(ctx)
	out.State = api.ClusterIn
	return out, nil
}

// Join implements admin.Cluster.
func (b boxes) Join(ctx context.Context, in api.ClusterJoin, _ string) (api.ClusterSelf, error) {
	if b.d.seat != nil {
		return api.ClusterSelf{}, hinted{fmt.Errorf("this box is in a cluster already: %w", trust.ErrTaken), "leave that one first: palisade cluster leave"}
	}
	if n := b.d.runs(); n > 0 {
		return api.ClusterSelf{}, hinted{fmt.Errorf("%d sessions run on this box, which the cluster would not know: %w", n, trust.ErrTaken), "remove its services and end its sessions first"}
	}
	token, err := trust.ParseToken(in.Token)
	if err != nil {
		return api.ClusterSelf{}, err
	}
	b.d.joining.Lock()
	state, err := joinCluster(ctx, b.d.Options, asking{in.URL, token, in.Name, in.Address})
	b.d.joining.Unlock()
	if err != nil {
		return api.ClusterSelf{}, err
	}
	b.d.unseated.Store(nil) // that was about another time
	if state == trust.In {
		b.d.sit()
		return b.Self(ctx), nil
	}
	b.d.goOnAsking(ctx)
	return b.Self(ctx), nil
}

// runs is how many sessions this box has under way.
func (d *daemon) runs() int {
	if d.manager == nil {
		return 0
	}
	n := 0
	for _, s := range d.manager.Sessions("", sessions.SessionFilter{}) {
		if s.Alive() {
			n++
		}
	}
	return n
}

// Rescue implements admin.Cluster.
func (b boxes) Rescue(ctx context.Context, _ string) (api.ClusterSelf, error) {
	s := b.d.seat
	if s != nil && len(s.Config.Cluster.Etcd) > 0 {
		last, err := b.d.store.LastTerm(ctx)
		if err == nil {
			err = s.rescueEra(ctx, cluster.Term(last))
		}
		return b.Self(ctx), err
	}
	if s == nil || !member.HasData(s.dir) {
		return api.ClusterSelf{}, hinted{errors.New("this box keeps no part of what the boxes agree on"), "say it on one that does: palisade cluster status"}
	}
	asking, cancel := context.WithTimeout(ctx, cluster.LeaseTime)
	defer cancel()
	if name, _, err := s.agreement.Leader(asking); err == nil && name != "" { // what this box heard last may be long over
		return api.ClusterSelf{}, hinted{fmt.Errorf("%s decides: there is nothing to rescue", name), "see: palisade cluster status"}
	}
	err := s.update(func(r *seatRecord) { r.Rescue = true })
	if err != nil {
		return api.ClusterSelf{}, err
	}
	b.d.sit()
	return b.Self(ctx), nil
}

// seated is the seat of a life, for what takes a cluster.
func (b boxes) seated() (*seat, error) {
	if b.d.seat == nil {
		return nil, hinted{trust.ErrNoIdentity, "palisade cluster init, or palisade join URL TOKEN"}
	}
	return b.d.seat, nil
}

// Tokens implements admin.Cluster.
func (b boxes) Tokens(ctx context.Context) ([]api.ClusterToken, error) {
	s, err := b.seated()
	if err != nil {
		return nil, err
	}
	kept, err := s.desk.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	out := []api.ClusterToken{}
	for _, k := range kept {
		out = append(out, tokenOut(k))
	}
	return out, nil
}

func tokenOut(k trust.Kept) api.ClusterToken {
	return api.ClusterToken{ID: k.ID, Approve: k.Approve, Uses: k.Uses, ExpiresAt: k.Expires, CreatedAt: k.Created, CreatedBy: k.By}
}

// NewToken implements admin.Cluster.
func (b boxes) NewToken(ctx context.Context, approve bool, uses int, lasts time.Duration, by string) (api.ClusterTokenIssued, error) {
	s, err := b.seated()
	if err != nil {
		return api.ClusterTokenIssued{}, err
	}
	t, err := s.desk.NewToken(ctx, trust.Asked{Approve: approve, Uses: uses, For: lasts, By: by})
	if err != nil {
		return api.ClusterTokenIssued{}, err
	}
	now := time.Now().UTC()
	return api.ClusterTokenIssued{
		ID: t.ID, Approve: approve, Uses: uses, ExpiresAt: now.Add(lasts), Token: t.Reveal(), URL: "https://" + s.kept.Address,
	}, nil
}

// RevokeToken implements admin.Cluster.
func (b boxes) RevokeToken(ctx context.Context, id string) error {
	s, err := b.seated()
	if err != nil {
		return err
	}
	return s.desk.RevokeToken(ctx, id)
}

// Approve implements admin.Cluster.
func (b boxes) Approve(ctx context.Context, name, by string) (api.ClusterBox, error) {
	s, err := b.seated()
	if err != nil {
		return api.ClusterBox{}, err
	}
	if err := s.desk.Approve(ctx, name, by); err != nil {
		return api.ClusterBox{}, err
	}
	return api.ClusterBox{Name: name, State: api.BoxIn}, nil
}

// Update implements admin.Cluster.
func (b boxes) Update(ctx context.Context, name string, u api.ClusterBoxUpdate, _ string) (api.ClusterBox, error) {
	s, err := b.seated()
	if err != nil {
		return api.ClusterBox{}, err
	}
	all := s.roster.Nodes()
	i := slices.IndexFunc(all, func(n cluster.Seen) bool { return n.Name == name })
	if i < 0 || b.d.turn == nil {
		return api.ClusterBox{}, hinted{fmt.Errorf("box %s: %w", name, trust.ErrNotFound), "see which ones there are: palisade cluster status"}
	}
	n := all[i].Node
	if u.State != "" {
		n.State = cluster.NodeState(u.State)
	}
	labels := maps.Clone(n.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range u.Labels {
		if v == nil {
			delete(labels, k)
		} else {
			labels[k] = *v
		}
	}
	n.Labels = labels
	if err := s.agreement.PutNode(ctx, b.d.turn.reign, n); err != nil {
		return api.ClusterBox{}, err
	}
	all[i].Node = n
	return b.box(all[i]), nil
}

// sit has this process take its place in the cluster, as its files say.
func (h *house) sit() {
	h.apart.Store(false)
	select {
	case h.seats <- struct{}{}:
	default:
	}
}

// rise has this process leave its cluster.
func (h *house) rise() {
	h.leaves.Store(true)
	h.sit()
}

// unseat takes away what makes this box one of a cluster. What it kept of etcd is set aside.
func unseat(c config.Config) error {
	dir := filepath.Join(c.Data, clusterDir)
	r, err := readSeat(dir)
	if err == nil && r.Shared.Database != "" && r.Shared.Database != c.DSN() {
		if err := ownHead(c.Data); err != nil {
			return err
		}
	}
	err = nil
	for _, name := range []string{tableFile, heardName, seatFile} {
		if e := os.Remove(filepath.Join(dir, name)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, member.SetAside(dir), trust.Leave(dir))
}
