package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/config"
)

// Leave implements admin.Cluster.
func (b boxes) Leave(ctx context.Context, force bool, by string) (api.ClusterSelf, error) {
	s := b.d.seat
	if s == nil {
		b.d.apart.Store(false)
		b.d.unseated.Store(nil)
		b.d.joining.Lock()
		defer b.d.joining.Unlock()
		if err := unseat(b.d.Config); err != nil {
			return api.ClusterSelf{}, err
		}
		return b.Self(ctx), nil
	}
	if !s.departing.TryLock() {
		return api.ClusterSelf{}, hinted{fmt.Errorf("this box is leaving already: %w", cluster.ErrBusy), "palisade cluster status says when it is alone; where the others cannot take over what it keeps, it says so within " + leavePatience.String() + " and stays"}
	}
	goes := false
	defer func() {
		if !goes {
			s.departing.Unlock()
		}
	}()
	others := len(s.roster.Nodes())
	if s.removed.Load() != nil {
		others = 2 // they are there, and do not say so
	}
	if err := ownDatabase(b.d.base.Config, s.Config, others); err != nil && !force {
		return api.ClusterSelf{}, err
	}
	all, err := s.runtime.List(ctx)
	if err != nil {
		return api.ClusterSelf{}, err
	}
	running := 0
	for _, in := range all {
		if in.Running {
			running++
		}
	}
	if running > 0 && !force {
		return api.ClusterSelf{}, hinted{fmt.Errorf("%d sessions run on this box: %w", running, cluster.ErrBusy), "move them away first: palisade cluster drain " + s.name() + "; or leave with --force, which ends them"}
	}
	// Whoever asks may go, and a box that hands on what it keeps of etcd may decide no more meanwhile: it goes on leaving.
	left := make(chan error, 1)
	turn := b.d.turn
	goes = true
	go func() {
		err := s.leave(context.WithoutCancel(ctx), turn, force, by)
		if err == nil {
			b.d.rise()
		} else {
			s.departing.Unlock()
		}
		left <- err
	}()
	select {
	case err := <-left:
		return api.ClusterSelf{State: api.ClusterAlone}, err
	case <-ctx.Done():
		return api.ClusterSelf{}, hinted{fmt.Errorf("this box goes on leaving: %w", context.Cause(ctx)), "palisade cluster status says when it is alone"}
	}
}

// ownDatabase fails where a box that leaves so many would go on alone on the database of those that remain.
func ownDatabase(own, of config.Config, boxes int) error {
	if boxes < 2 || own.DSN() != of.DSN() {
		return nil
	}
	return hinted{fmt.Errorf("the settings of this box name the database of the cluster, which the other boxes work on: %w", cluster.ErrBusy),
		"give it one of its own, with database in the settings or --database, and palisade restart; then leave"}
}

// leavePatience bounds how long the others may take to take over what a box that leaves keeps of etcd: a learner has to come into
// step first where they have too few.
const leavePatience = time.Minute

// leave takes this box out of its cluster, as far as the others go. One that they have removed has nothing to tell them. turn is that in which it decides, nil where it does not.
//  1. The last box has nobody to tell.
//  2. What it keeps of etcd goes to others, which who leads arranges. Forced, it goes without that.
//  3. It is believed no more, and says no more that it lives.
//  4. Who leads takes it off the list of boxes: this one, where it does, else the next one.
func (s *seat) leave(ctx context.Context, turn *turn, force bool, by string) (err error) {
	if s.removed.Load() != nil {
		return nil
	}
	if len(s.roster.Nodes()) < 2 { // 1
		if len(s.Config.Cluster.Etcd) == 0 {
			return nil
		}
		ending, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := s.agreement.Dissolve(ending); err != nil && !force {
			return err
		}
		return nil
	}
	s.setGoes(true)
	defer func() {
		if err != nil {
			s.setGoes(false)
		}
	}()
	if err := s.handOn(ctx, leavePatience); err != nil && !force { // 2
		return fmt.Errorf("the other boxes cannot take over what this one keeps: %w", err)
	}
	telling, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.disown(telling, by); err != nil && !force { // 3
		return fmt.Errorf("the other boxes cannot be told: %w", err)
	}
	s.fallSilent()
	if turn != nil && turn.ctx.Err() == nil { // 4
		if err := s.agreement.ExpelNode(telling, turn.reign, s.name()); err == nil {
			return nil
		}
	}
	s.awaitGone(telling)
	return nil
}

// disown has this box be believed no more. It is said again while etcd is between two members.
func (s *seat) disown(ctx context.Context, by string) error {
	for {
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := s.desk.Remove(asking, s.name(), by)
		cancel()
		if err == nil || errors.Is(err, trust.ErrNotFound) {
			return nil
		}
		select {
		case <-time.After(announceEvery / 2):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *seat) setGoes(goes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goes = goes
}

// handOn waits until this box keeps nothing of etcd any more.
func (s *seat) handOn(ctx context.Context, patience time.Duration) error {
	if len(s.Config.Cluster.Etcd) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	var words string
	for {
		st, err := s.members.Status(ctx, &s.silence, time.Now())
		if err == nil && st.Agreed && !slices.ContainsFunc(st.Members, s.isOwn) {
			return nil
		}
		if err == nil {
			words = st.Quorum.Words
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return hinted{fmt.Errorf("not within %s. %s", patience, words), "palisade cluster status says what they wait for; palisade cluster leave --force leaves all the same"}
		}
	}
}

// isOwn tells whether a member of etcd is this box's, one that has not started yet among them.
func (s *seat) isOwn(v member.View) bool {
	if v.Name != "" {
		return v.Name == s.name()
	}
	_, door := s.about()
	peer, err := beside(door, etcdPeers)
	return err == nil && v.Peer == peer
}

// awaitGone waits until who leads has taken this box off the list, or ctx ends: that is done without it too.
func (s *seat) awaitGone(ctx context.Context) {
	tick := time.NewTicker(announceEvery / 10)
	defer tick.Stop()
	for {
		if _, there := s.roster.Node(s.name()); !there {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Remove implements admin.Cluster.
//  1. One that waits is refused. The one that leads leaves by itself.
//  2. One that lives and has sessions stays, unless it is forced, and so does one that has files which are nowhere else.
//  3. Its membership of etcd goes first: a connection to etcd that is open stays open.
//  4. Then it is believed no more.
//  5. Then it goes from the list of boxes. Where that is not to be yet, or this is broken off before, it follows from 4: see admitOnce.
func (b boxes) Remove(ctx context.Context, name string, force bool, by string) error {
	s, err := b.seated()
	if err != nil {
		return err
	}
	if b.d.turn == nil {
		return errNoLeader{}
	}
	if name == s.name() { // 1
		return hinted{fmt.Errorf("%s decides, and cannot take itself out from here: %w", name, cluster.ErrBusy), "on that box: palisade cluster leave"}
	}
	_, there := s.roster.Node(name)
	if there && !force { // 2
		if err := errors.Join(s.agreement.MayRemoveNode(ctx, name), b.homeless(ctx, name)); err != nil {
			return err
		}
	}
	if err := s.unseatMember(ctx, name); err != nil && !force { // 3
		return err
	}
	err = s.desk.Remove(ctx, name, by) // 1, 4
	if err != nil && !(there && errors.Is(err, trust.ErrNotFound)) {
		return err
	}
	if !there {
		return nil
	}
	if err := s.agreement.RemoveNode(ctx, b.d.turn.reign, name); err != nil && !errors.Is(err, cluster.ErrBusy) { // 5
		return err
	}
	return nil
}

// homeless fails where folders have their home on a box.
func (b boxes) homeless(ctx context.Context, box string) error {
	all, err := b.d.store.Folders(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, f := range all {
		if f.Home == box && f.TrashedAt.IsZero() && b.d.seat.homes() {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	const shown = 5
	said := strings.Join(names[:min(len(names), shown)], ", ")
	if len(names) > shown {
		said += ", ..."
	}
	return hinted{
		fmt.Errorf("%d folders have their home on %s, and their files would be gone with it: %s: %w", len(names), box, said, cluster.ErrBusy),
		"copy what is worth it (palisade folder clone, or folder cp), and remove them; or give the files up with --force",
	}
}

// unseatMember takes a box's membership of etcd.
func (s *seat) unseatMember(ctx context.Context, name string) error {
	if len(s.Config.Cluster.Etcd) > 0 {
		return nil // the owner's own
	}
	st, err := s.members.Status(ctx, &s.silence, time.Now())
	if err != nil || !st.Agreed {
		return err
	}
	for _, v := range st.Members {
		if v.Name == name && len(st.Members) > 1 {
			return s.members.Remove(ctx, v.ID)
		}
	}
	return nil
}
