package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// A box that was let in and cannot take its seat keeps its identity, which the others know: under another one it would be refused,
// for its name is taken. It goes on alone, and tries again.

// letIn tells whether the box of this data directory was let into a cluster that was there before it. One that founds its own has
// nobody who knows it yet.
func letIn(data string) bool {
	node, err := trust.Open(filepath.Join(data, clusterDir), time.Now)
	if err != nil {
		return false
	}
	_, _, in := node.Certified()
	_, founding, err := node.Founding()
	return in && !founding && err == nil
}

// againEvery is how often it is tried to take the seat.
const againEvery = 5 * time.Second

// comeAgain has the seat be taken once the port for other boxes can be opened, and nothing runs here that the others would not know.
func (d *daemon) comeAgain(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.stopped:
			return
		case <-tick.C:
		}
		if !d.apart.Load() { // it was given up
			return
		}
		if doorOpens(ctx, d.Config) == nil && d.runs() == 0 && d.apart.CompareAndSwap(true, false) {
			d.sit()
			return
		}
	}
}

// checkSeat says why a seat is not taken, or not what it should be.
func (d *daemon) checkSeat() []api.Check {
	var err error
	switch why := d.unseated.Load(); {
	case d.seat != nil:
		err = d.seat.trouble(time.Now())
	case why != nil:
		err = *why
	}
	if err == nil {
		return nil
	}
	return []api.Check{{Name: "cluster", Status: api.CheckFailed, Detail: err.Error(), Hint: adviceOf(err)}}
}

// checkHistory warns of an etcd of the owner's that forgets nothing. The boxes' own members forget what is older than ten minutes.
func (d *daemon) checkHistory(ctx context.Context) []api.Check {
	if d.seat == nil || len(d.seat.Config.Cluster.Etcd) == 0 {
		return nil
	}
	all, err := d.seat.agreement.KeepsAll(ctx)
	return historyCheck(all, err)
}

func historyCheck(all bool, err error) []api.Check {
	if err != nil || !all { // where etcd does not answer, checkSeat says so
		return nil
	}
	return []api.Check{{
		Name: "etcd", Status: api.CheckWarning, Detail: "it still keeps what was written over a million changes ago: when its quota is met it takes nothing new, and nothing is started or stopped any more",
		Hint: "run its members with --auto-compaction-retention=1h, and defragment them once (etcdctl defrag, one after the other)",
	}}
}

// trouble is why this box is not in its cluster as it should be; nil: it is.
func (s *seat) trouble(now time.Time) error {
	for _, why := range []*error{s.removed.Load(), s.standstill.Load()} {
		if why != nil {
			return *why
		}
	}
	if err := s.outOfTouch(now); err != nil {
		return err
	}
	if _, err := s.leader(); err != nil {
		return err
	}
	if why := s.full.Load(); why != nil {
		return *why
	}
	return nil
}
