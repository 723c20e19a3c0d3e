package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// admit makes a node of each box that was let in, and none of one that is believed no more, while this box leads.
func (s *seat) admit(ctx context.Context, r cluster.Reign) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	doubted := map[string]time.Time{}
	for {
		if err := s.admitOnce(ctx, r, doubted); err != nil && ctx.Err() == nil && !errors.Is(err, cluster.ErrDeposed) {
			s.log.Warn("who is a node of the cluster cannot be brought up to date now; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// expelAfter is how long a box that is believed no more, and lives, has to find that out: it ends what it runs, and falls silent.
const expelAfter = 10 * time.Second

// admitOnce brings the nodes to what the records of trust say: those are written first when a box comes, and when it goes. doubted are
// nodes without a record, since when.
//  1. A box that was let in becomes a node.
//  2. One whose door is elsewhere by now is written down so.
//  3. A node that is believed no more is taken out: when it has nothing, when it is silent, or after a while.
func (s *seat) admitOnce(ctx context.Context, r cluster.Reign, doubted map[string]time.Time) error {
	if !s.roster.Known() {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	records, err := s.desk.Records(asking)
	if err != nil {
		return err
	}
	believed := map[string]bool{}
	for _, record := range records {
		if record.State != trust.In {
			continue
		}
		believed[record.Name] = true
		n, known := s.roster.Node(record.Name)
		next := n.Node
		if !known { // 1
			next = cluster.Node{Name: record.Name, State: cluster.In, Door: record.Address, JoinedAt: time.Now().UTC()}
			if _, door := s.about(); record.Name == s.name() {
				next.Door = door
			}
		}
		if n.Alive != nil && n.Alive.Door != "" {
			next.Door = n.Alive.Door
		}
		if known && next.Door == n.Door {
			continue
		}
		if err := s.agreement.PutNode(asking, r, next); err != nil { // 2
			return err
		}
		s.log.Info("a box is a node of the cluster now", "box", next.Name, "address", next.Door)
	}
	for _, n := range s.roster.Nodes() { // 3
		if believed[n.Name] {
			delete(doubted, n.Name)
			continue
		}
		if err := s.expel(asking, r, n.Name, doubted); err != nil {
			return err
		}
	}
	return nil
}

func (s *seat) expel(ctx context.Context, r cluster.Reign, name string, doubted map[string]time.Time) error {
	if _, is := doubted[name]; !is {
		doubted[name] = time.Now()
	}
	err := s.agreement.RemoveNode(ctx, r, name)
	if errors.Is(err, cluster.ErrBusy) {
		if time.Since(doubted[name]) < expelAfter {
			return nil
		}
		err = s.agreement.ExpelNode(ctx, r, name)
	}
	if err == nil {
		delete(doubted, name)
		s.log.Info("a box is no node of the cluster any more", "box", name)
	}
	return err
}
