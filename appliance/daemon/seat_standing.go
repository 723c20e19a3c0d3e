package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// mayDecide tells whether the database lets who was elected decide. One that does not answer this box may answer another: the life that
// follows goes on. Where it knows of a greater term, that is looked into: what follows is that an era begins, that somebody else has led
// since, or that a person has to say what is right.
func (d *daemon) mayDecide(ctx context.Context, t *turn) bool {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	last, err := d.store.LastTerm(asking)
	if err != nil {
		t.declined = fmt.Errorf("%w: %w", errNotTaken, err)
		return false
	}
	if cluster.Term(last) <= t.reign.Term {
		d.seat.standstill.Store(nil)
		return true
	}
	err = d.seat.agreement.Overtake(asking, t.reign, cluster.Term(last))
	switch {
	case errors.Is(err, cluster.ErrNewEra):
		d.Log.Warn("etcd is behind what was decided before, as after it was restored from a backup: an era begins", "before", cluster.Term(last).String(), "term", t.reign.Term.String())
	case errors.Is(err, cluster.ErrOtherEra):
		why := error(hinted{
			fmt.Errorf("nobody can decide: the database knows of term %s, and etcd of term %s: %w", cluster.Term(last), t.reign.Term, err),
			"does another cluster work on this database? Then give this one another. Was etcd restored from an older backup, or is that other cluster gone for good? Then, on one box: palisade cluster rescue",
		})
		if d.seat.standstill.Swap(&why) == nil {
			d.Log.Error("this box was elected, and cannot decide", "error", why, "hint", adviceOf(why))
		}
	case err != nil:
		d.Log.Debug("another box decides by now", "error", err)
	}
	return false
}

// rescueEra has the boxes decide in an era after all that the database knows of. It is what rescues a cluster whose etcd is its owner's,
// and was restored to what it was before.
func (s *seat) rescueEra(ctx context.Context, last cluster.Term) error {
	if s.standstill.Load() == nil {
		return hinted{errors.New("this box keeps no part of what the boxes agree on, and nothing keeps them from deciding"), "see: palisade cluster status"}
	}
	if err := s.agreement.BeginEra(ctx, cluster.EraAfter(last)); err != nil {
		return err
	}
	s.standstill.Store(nil)
	return nil
}

// Between two elections that a box stands for.
const (
	standAgain  = 100 * time.Millisecond
	standCalmly = 2 * time.Second // where it cannot decide, or did not
)

func (s *seat) standPause() time.Duration {
	if s.standstill.Load() != nil {
		return standCalmly
	}
	return standAgain
}

// standingEvery is how often a box that is out of touch asks others whether it is one of them.
const standingEvery = 5 * time.Second

// watchStanding finds out where this box was removed while it was away: etcd does not speak to it any more then.
func (s *seat) watchStanding(ctx context.Context) {
	tick := time.NewTicker(standingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.removed.Load() != nil || s.outOfTouch(time.Now()) == nil {
			continue
		}
		for _, at := range s.otherDoors() {
			if _, err := door.AskWay(ctx, s.node, at); errors.Is(err, trust.ErrRemoved) {
				s.wasRemoved(ctx, time.Time{})
				break
			}
		}
	}
}

// otherDoors are where other boxes were last.
func (s *seat) otherDoors() (all []string) {
	s.mu.Lock()
	own, etcd := s.kept.Address, slices.Clone(s.kept.Etcd)
	s.mu.Unlock()
	for _, at := range etcd {
		if at, err := beside(at, -etcdClients); err == nil {
			all = append(all, at)
		}
	}
	all = append(all, s.tables.doors()...)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(at string) bool { return at == own })
}

// heardOfRemoval looks for this box among those that were removed.
func (s *seat) heardOfRemoval(ctx context.Context, denied []trust.Denied) {
	key, err := s.node.KeyID()
	if err != nil || s.isLeaving() || s.removed.Load() != nil {
		return
	}
	for _, d := range denied {
		if d.Key == key {
			s.wasRemoved(ctx, d.At)
		}
	}
}

// wasRemoved has this box give up what it ran for the cluster, for others may have begun it by now, and say so until its owner decides
// what it is to be.
func (s *seat) wasRemoved(ctx context.Context, at time.Time) {
	when := ""
	if !at.IsZero() {
		when = ", at " + at.UTC().Format(time.DateTime) + " UTC"
	}
	why := error(hinted{
		fmt.Errorf("this box was removed from the cluster%s: %w", when, trust.ErrRemoved),
		"what it ran for the cluster has ended. To have it alone: palisade cluster leave; after that it may join again",
	})
	if s.removed.CompareAndSwap(nil, &why) {
		s.log.Error("this box is none of the cluster any more", "error", why, "hint", adviceOf(why))
		s.fallSilent()
		s.agent.GiveUp(ctx)
	}
}
