package daemon

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/store"
)

// announceEvery is how often it is looked whether what this box has is still what it said.
const announceEvery = 500 * time.Millisecond

const untold = "the other boxes cannot be told that this one lives; it is tried again"

// live says with a lease that this box lives, and what it has, for as long as it does. It says so when it has begun to do what is
// wanted of it, and knows the table.
func (s *seat) live(ctx context.Context) {
	for _, ready := range []<-chan struct{}{s.agent.Synced(), s.tabled} {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	// In the place of before there is to be another lease. What is announced may hang on it, or nothing any more.
	for before := (*cluster.Lease)(nil); ctx.Err() == nil && !s.isLeaving(); {
		lease, err := s.agreement.Presence(ctx)
		if err == nil {
			if !s.ends(lease, before) {
				giveUp(ctx, lease)
				return
			}
			before, err = s.announce(ctx, lease, before)
		}
		if errors.Is(err, errShorter) {
			continue
		}
		if err != nil && ctx.Err() == nil && !s.isLeaving() {
			s.log.Warn(untold, "error", err)
		}
		if errors.Is(err, errUnannounced) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(announceEvery):
		}
	}
}

// ends notes the leases that end when the box leaves; false: it does already.
func (s *seat) ends(leases ...*cluster.Lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = slices.DeleteFunc(leases, func(l *cluster.Lease) bool { return l == nil })
	return !s.leaving
}

func (s *seat) isLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// about is whether this box is about to leave, and where its door is.
func (s *seat) about() (leaving bool, door string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goes, s.kept.Address
}

// announce returns when the lease is lost, or etcd has let go of what was announced with it, or it is of no use. What cannot be said now is
// said again with the same lease: one that is given back has this box fall silent, and an etcd that is slow has more to do. A process that
// ends keeps its lease: the next one takes its place in time, or its routes go. A lease of before is given back when this one has taken its
// place. The one that is left is the one in whose place there is to be another.
func (s *seat) announce(ctx context.Context, lease, before *cluster.Lease) (left *cluster.Lease, err error) {
	known, err := store.KnownSchema()
	if err != nil {
		giveUp(ctx, lease)
		return before, err
	}
	alive := cluster.Alive{Version: s.Version.Version, Schema: known, Began: time.Now().UTC()}
	var said cluster.Inventory
	var saidOf cluster.Alive
	var shorter <-chan struct{} // of a lease with which it is announced
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	// The others have this box for one that lives from the first time on. It is heard of until then by what was said before; and while it says
	// something again, it is not to forget for long that it is heard of.
	for first, within := true, cluster.AnnounceWithin; ; {
		has := s.inventory(ctx)
		alive.Leaving, alive.Door = s.about()
		alive.Trouble = ""
		if why := s.full.Load(); why != nil {
			alive.Trouble = (*why).Error() + "; " + adviceOf(*why)
		}
		alive.Clock = saidOf.Clock
		if first || alive != saidOf || !reflect.DeepEqual(has, said) {
			alive.Clock = time.Now().UTC()
			if first {
				s.present.begin(alive.Began)
			}
			err := s.say(ctx, lease, within, alive, has)
			switch {
			case err == nil:
				said, saidOf, first, within = has, alive, false, cluster.LeaseTime
				s.replaced(before)
				before, shorter = nil, lease.Shorter()
			case errors.Is(err, cluster.ErrNoNode):
				giveUp(ctx, lease)
				return before, err
			case ctx.Err() == nil && lease.Lost().Err() == nil:
				s.log.Warn(untold, "error", err)
			}
		}
		if !first {
			s.heard.note(lease.Until())
		}
		select {
		case <-ctx.Done():
			return before, nil
		case <-lease.Lost().Done():
			return before, context.Cause(lease.Lost())
		case <-s.present.gone:
			if !first {
				lease.Unheard()
				return lease, errUnannounced
			}
			if before != nil { // it is about to be announced with this one
				before.Unheard()
			}
		case <-shorter:
			return lease, errShorter
		case <-tick.C:
		}
	}
}

// say announces this box, for as long as the lease may last.
func (s *seat) say(ctx context.Context, lease *cluster.Lease, within time.Duration, alive cluster.Alive, has cluster.Inventory) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer context.AfterFunc(lease.Lost(), cancel)()
	return s.agreement.Announce(ctx, lease, s.name(), alive, has)
}

// replaced gives back a lease in whose place there is another one; nil: there was none.
func (s *seat) replaced(before *cluster.Lease) {
	if before != nil {
		s.loops.run(func(ctx context.Context) { giveUp(ctx, before) })
	}
}

// inventory is what this box has.
func (s *seat) inventory(ctx context.Context) cluster.Inventory {
	var has cluster.Inventory
	for _, st := range s.pool.ledger.Status() {
		has.Node = *st.State.Node()
	}
	if images := s.runtime.images(); images != nil && ctx.Err() == nil {
		looking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		list, err := images.Images(looking)
		if err == nil {
			for _, i := range list {
				has.Images = append(has.Images, i.Name)
			}
			slices.Sort(has.Images)
		}
	}
	has.Folders = s.goods.Has()
	has.Network, has.Address, has.NetworkAsked = s.reach.kind, s.reach.address, s.reach.asked
	return has
}

// beliefEvery is how often it is read who is in the line of authorities, and who was removed.
const beliefEvery = time.Second

// believe keeps up whom this box believes, and its own certificate.
func (s *seat) believe(ctx context.Context) {
	tick := time.NewTicker(beliefEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		bundle, denied, err := s.desk.Beliefs(asking)
		if err == nil {
			s.heardOfRemoval(ctx, denied)
			err = s.node.Believe(bundle, denied)
		}
		if err == nil && time.Now().After(s.node.RenewAt()) {
			err = s.renew(asking)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.Debug("whom to believe cannot be read now", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *seat) renew(ctx context.Context) error {
	csr, err := s.node.Renewal()
	if err != nil {
		return err
	}
	answer, err := s.desk.Renew(ctx, s.name(), csr)
	if err != nil {
		return err
	}
	return s.node.TakeRenewal(answer)
}

// tendEvery is how often an authority is looked at that has ten years, and tokens that have an hour.
const tendEvery = time.Hour

// tend has the authority of the cluster get its heir in time, and what is over forgotten, while this box leads.
func (s *seat) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := s.desk.Tend(asking)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the authority of the cluster cannot be tended now; it is tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rosterChanged pokes whoever goes by the roster.
func (s *seat) rosterChanged() {
	s.lookForSelf()
	if d := s.life.Load(); d != nil {
		d.rosterChanged()
	}
}

// living are the boxes that were heard of within their lease, this one among them.
func (s *seat) living() map[string]bool {
	out := map[string]bool{}
	for _, n := range s.roster.Nodes() {
		if n.Alive != nil {
			out[n.Name] = true
		}
	}
	return out
}

// lives tells whether a box was heard of within its lease.
func (s *seat) lives(name string) bool {
	n, there := s.roster.Node(name)
	return there && n.Alive != nil
}

// samples are how this box's devices were seen last, for who leads.
type samples struct {
	mu     sync.Mutex
	latest []accel.Sample
	owners map[int]string
	number int
}

// Record implements accel.Recorder beside the one that keeps them.
func (s *samples) record(all []accel.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest, s.owners = slices.Clone(all), map[int]string{}
	s.number++
	for _, one := range all {
		for _, p := range one.Processes {
			if id, ours := owner(p.PID); ours {
				s.owners[p.PID] = id
			}
		}
	}
}
