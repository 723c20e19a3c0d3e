package daemon

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/sessions"
)

// Status implements admin.Cluster.
func (b boxes) Status(ctx context.Context) (api.ClusterStatus, error) {
	s, err := b.seated()
	if err != nil {
		return api.ClusterStatus{}, err
	}
	out := api.ClusterStatus{ID: s.kept.Cluster, External: len(s.Config.Cluster.Etcd) > 0, Boxes: []api.ClusterBox{}, Members: []api.ClusterMember{}, Next: []string{}}
	name, term, err := s.agreement.Leader(ctx)
	if err != nil {
		return out, err
	}
	out.Leader, out.Term, out.Era = name, term.Revision(), term.Era()
	records, err := s.desk.Records(ctx)
	if err != nil {
		return out, err
	}
	certified := map[string]time.Time{}
	for _, r := range records {
		if n := len(r.Issued); n > 0 {
			certified[r.Name] = r.Issued[n-1].Until
		}
	}
	known := map[string]bool{}
	for _, n := range s.roster.Nodes() {
		known[n.Name] = true
		box := b.box(n)
		box.Leads = n.Name == name
		if until, ok := certified[n.Name]; ok {
			box.Certificate = &until
		}
		if silent(box, time.Now()) {
			out.Next = append(out.Next, n.Name+" is silent: look whether the box and its palisade run; one that is gone for good: palisade cluster remove "+n.Name)
		}
		out.Boxes = append(out.Boxes, box)
	}
	for _, r := range records {
		if r.State == trust.Waiting {
			out.Boxes = append(out.Boxes, api.ClusterBox{Name: r.Name, State: api.BoxWaiting, Address: r.Address, Version: r.Version, AskedFrom: r.From, Key: r.Key})
			out.Next = append(out.Next, r.Name+" waits to be let in: palisade cluster approve "+r.Name)
		}
	}
	if words := versionWords(s.roster.Nodes()); words != "" {
		out.Next = append(out.Next, words)
	}
	quiet, all := s.roster.Silent(fleet.CrowdGrace(s.Config.Cluster.Grace))
	if words := crowdWords(s.Config.Cluster.Grace, quiet, all); words != "" {
		out.Next = append(out.Next, words)
	}
	if b.d.turn != nil {
		schema, err := b.d.store.Schema(ctx)
		if err != nil {
			return out, err
		}
		schema.Waiting = newestSchema(s.roster.Nodes()) // who decides may not know the step itself
		if waits := waitsFor(s.roster.Nodes(), schema.Waiting); schema.Waiting > schema.Have && len(waits) > 0 {
			out.Next = append(out.Next, schemaWords(schema, waits))
		}
	}
	if out.External {
		return out, nil
	}
	if b.d.turn != nil {
		out.Next = append(out.Next, s.invited.words(s.roster.Nodes(), time.Now())...)
	}
	return out, b.membersOf(ctx, s, &out)
}

func (b boxes) membersOf(ctx context.Context, s *seat, out *api.ClusterStatus) error {
	st, err := s.members.Status(ctx, &s.silence, time.Now())
	if err != nil {
		return err
	}
	q := st.Quorum
	out.Quorum = api.ClusterQuorum{Votes: q.Votes, Answer: q.Answer, Needed: q.Needed, MayFail: q.MayFail, Words: q.Words, Agreed: st.Agreed}
	for _, v := range st.Members {
		if v.Name == "" {
			v.Name = boxAt(s.roster.Nodes(), v.Peer)
		}
		out.Members = append(out.Members, memberOut(v))
	}
	return nil
}

func memberOut(v member.View) api.ClusterMember {
	return api.ClusterMember{
		Box: v.Name, Learner: v.Learner, Leads: v.Leader, Answers: v.Answers, Silent: v.Silent.Seconds(), Lag: int64(min(v.Lag, math.MaxInt64)),
		Size: v.Size, Quota: v.Quota, Version: v.Version, Alarms: v.Alarms, Problem: v.Problem,
	}
}

// crowdWords say that boxes are waited for longer than asked for; "": they are not.
func crowdWords(grace time.Duration, silent, all int) string {
	if !fleet.IsCrowd(silent, all) {
		return ""
	}
	return fmt.Sprintf("%d of %d boxes fell silent at one time: what they run is begun elsewhere after %s, and not after %s; look at the network between the boxes", silent, all, fleet.CrowdGrace(grace), grace)
}

// newcomer is for how long a box that has joined, and that nobody has heard of yet, is not called silent: it is about to speak.
const newcomer = 30 * time.Second

func silent(box api.ClusterBox, now time.Time) bool {
	joins := box.SilentSince == nil && box.JoinedAt != nil && now.Sub(*box.JoinedAt) < newcomer
	return !box.Alive && !joins
}

// box is one box as this life knows it.
func (b boxes) box(n cluster.Seen) api.ClusterBox {
	out := api.ClusterBox{Name: n.Name, State: string(n.State), Address: n.Door, Alive: n.Alive != nil, Labels: n.Labels}
	switch {
	case n.Alive == nil:
	case n.Alive.Leaving:
		out.Problem = "it is leaving: others take over what it keeps of etcd"
	default:
		out.Problem = n.Alive.Trouble
	}
	if !n.JoinedAt.IsZero() {
		out.JoinedAt = &n.JoinedAt
	}
	if n.Alive != nil {
		out.Version = n.Alive.Version
	}
	if !n.Silent.IsZero() && n.Alive == nil {
		out.SilentSince = &n.Silent
	}
	if b.d.turn == nil {
		return out
	}
	for _, st := range b.d.pool.ledger.Status() {
		if st.State.Name() == n.Name {
			out.Devices = len(st.State.Node().Devices)
			for i := range st.State.Node().Devices {
				if st.State.DeviceFree(i) == wholeDevice {
					out.DevicesFree++
				}
			}
		}
	}
	for _, s := range b.d.manager.Sessions("", sessions.SessionFilter{}) {
		if s.Claim != nil && s.Claim.Node == n.Name && s.Alive() && !s.StartedAt.IsZero() {
			out.Sessions++
		}
	}
	out.Behind, out.ClockOff = b.d.behind(n.Name)
	return out
}

// wholeDevice is a device of which nothing is taken, in hundredths.
const wholeDevice = 100

// behind is how many revisions of the table a box has not yet, and how many seconds its clock is before this box's: both as it
// said last.
func (d *daemon) behind(name string) (revisions int64, clock float64) {
	newest := d.traffic.publisher.Newest()
	d.peers.mu.Lock()
	p := d.peers.all[name]
	d.peers.mu.Unlock()
	if p == nil {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.heard {
		return 0, 0
	}
	return max(newest-p.load.Revision, 0), p.clock.Seconds()
}
