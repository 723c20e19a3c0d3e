package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/sessions"
)

// In a cluster a process has one life after the other: it follows, or it leads. One that leads is that of a single box, over all
// boxes. One that follows routes by the table that the other writes, counts what it lets through, and passes everything else on. A
// change of lives is seen by no request: those of before end where they began.

// follows tells whether another box decides.
func (d *daemon) follows() bool { return d.seat != nil && d.turn == nil }

// part is what this life does, for people.
func (d *daemon) part() string {
	switch {
	case d.seat == nil:
		return "alone"
	case d.turn == nil:
		return "follows"
	}
	return "leads"
}

// term is that in which this life decides; 0: nobody asks.
func (d *daemon) term() int64 {
	if d.turn == nil {
		return 0
	}
	return int64(d.turn.reign.Term)
}

// deposed ends when another box may decide. It is nil where there is no other.
func (d *daemon) deposed() <-chan struct{} {
	if d.turn == nil {
		return nil
	}
	return d.turn.ctx.Done()
}

// giveTurnBack lets another box lead. Nothing is decided here any more.
func (d *daemon) giveTurnBack() {
	select {
	case <-d.decided:
		return
	default:
		close(d.decided)
	}
	if d.turn != nil {
		close(d.turn.over)
	}
}

// beginInCluster is begin for a box of several.
func (d *daemon) beginInCluster(ctx context.Context) (err error) {
	d.Config.Database, d.Config.Redis, d.Config.Node.Name = d.seat.Config.Database, d.seat.Config.Redis, d.seat.name()
	d.following = newLoops(ctx)
	if d.follows() {
		err = d.openFollower(ctx)
	} else {
		err = d.openLeader(ctx)
	}
	if err != nil {
		d.following.end()
		return err
	}
	d.seat.secrets.Store(d.vault)
	d.seat.goods.Serve(d.folders)
	d.seat.life.Store(d)
	d.following.run(d.followRoster)
	d.following.run(d.followNudges)
	d.following.run(d.keepUp)
	d.rosterChanged() // what came to be while this life began
	return nil
}

// runOn is what a manager's sessions run on. Over several boxes it can do more than a box's runtime: see sessions.Fetcher and Resumer.
func (d *daemon) runOn() sessions.Runtime {
	if d.fleet != nil {
		return d.fleet
	}
	return d.runtime
}

// openLeader makes the rooms of who decides, and takes over what runs on all boxes.
func (d *daemon) openLeader(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.turn.ctx, func() { cancel(context.Cause(d.turn.ctx)) })()
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.folders.Adopt(ctx); err != nil {
		return errors.Join(err, d.leave(false))
	}
	if err := d.manager.Adopt(ctx); err != nil {
		return errors.Join(fmt.Errorf("taking over what runs: %w", err), d.leave(false))
	}
	d.following.run(d.traffic.publisher.Run)
	d.following.run(d.contractSchema)
	return nil
}

func (d *daemon) openVault(ctx context.Context) (err error) {
	d.vault, err = vault.Open(ctx, d.store, filepath.Join(d.Config.Data, "vault.key"), time.Now)
	return err
}

// shareTraffic tells the traffic of this box's place among others.
func (d *daemon) shareTraffic(ctx context.Context) (err error) {
	if d.seat == nil {
		return nil
	}
	d.traffic.site = d.seat.site()
	if d.turn == nil {
		return nil
	}
	if d.traffic.publisher, err = fleet.TakeOver(ctx, d.seat.agreement, d.turn.reign, d.seat.roster.Len); err != nil {
		return err
	}
	d.peers.closed = d.traffic.publisher.Closes
	d.traffic.located = func(id, addr string) (string, string) { return d.fleet.there(id, addr) }
	return nil
}

// workFollowing goes on until ctx ends, this box is to lead, or another process takes over.
func (d *daemon) workFollowing(ctx context.Context) (*daemon, error) {
	d.deciding, d.counting = newLoops(ctx), newLoops(ctx)
	d.deciding.run(d.flushTokens)
	d.deciding.run(d.usage.Run)
	d.deciding.run(d.spilled.run)
	d.deciding.run(d.tendFolders)
	d.counting.run(d.seeing.run)
	watching, letGo := context.WithCancel(ctx)
	defer letGo()
	d.letGo = letGo
	if err := d.receive(watching); err != nil {
		return nil, d.end(ctx, err)
	}
	turns, noMore := d.seat.turns.wait()
	defer func() { noMore() }()
	for {
		var err error
		select {
		case <-ctx.Done():
			d.Log.Info("stopping; sessions go on")
		case err = <-d.failed:
		case t := <-turns:
			if !d.mayDecide(ctx, t) || t.ctx.Err() != nil {
				close(t.over)
				continue
			}
			noMore() // where the next life is not there in time, this box is not to be elected meanwhile
			return d.become(ctx, t)
		case <-d.seats:
			return d.reseat(ctx)
		case r := <-d.restarts:
			noMore() // nobody takes a turn meanwhile
			if s := d.prepare(ctx, r); s != nil {
				return d.handOver(ctx, s, r)
			}
			turns, noMore = d.seat.turns.wait()
			continue
		}
		return nil, d.end(ctx, err)
	}
}

// reseat ends this life for one with another place: in a cluster, or alone. Where a place cannot be taken, it is alone as before.
func (d *daemon) reseat(ctx context.Context) (*daemon, error) {
	leaving := d.leaves.Swap(false)
	d.unseated.Store(nil)
	d.ending = func() {
		if err := d.seat.close(true); err != nil {
			d.Log.Warn("this box's place in the cluster was not left as it should", "error", err)
		}
		d.seat = nil
		if leaving {
			if err := unseat(d.base.Config); err != nil {
				d.Log.Error("this box was taken out of its cluster, and keeps files of it", "error", err)
			}
		}
	}
	return d.become(ctx, nil)
}

// becomeEvery is how often a next life that cannot begin is tried again.
const becomeEvery = time.Second

// become ends this life and returns the next one, which leads in t, or follows. Requests go on all the while.
func (d *daemon) become(ctx context.Context, t *turn) (*daemon, error) {
	began := time.Now()
	wasAlone := d.seat == nil
	p := d.halt(ctx)
	if d.ending != nil {
		d.ending()
	}
	for {
		next := newDaemon(d.base, d.house)
		next.turn = t
		err := next.begin(ctx)
		if err == nil {
			d.Log.Info("this box has another part in the cluster", "part", next.part(), "took", time.Since(began))
			next.remains(d)
			next.paused = p
			if d.apart.Load() {
				go next.comeAgain(ctx, againEvery)
			}
			return next, nil
		}
		if t != nil {
			over := t.ctx.Err() != nil
			close(t.over)
			t = nil // another box may fare better
			if over && ctx.Err() == nil {
				d.Log.Warn("this box was to decide, and its turn is over before it could: it follows", "error", err)
				continue
			}
		}
		if wasAlone && d.seat == nil { // it stays so
			d.unseated.Store(&err)
			d.Log.Error("this box cannot take its place in a cluster, and goes on alone", "error", err, "hint", adviceOf(err))
			wasAlone = false
			if letIn(d.base.Config.Data) {
				d.apart.Store(true)
				continue
			}
			if err := unseat(d.base.Config); err != nil {
				d.Log.Error("files of a cluster are left", "error", err)
			}
			continue
		}
		if ctx.Err() != nil {
			err := d.stop()
			d.remaining.Wait()
			d.finishCounting(context.WithoutCancel(ctx))
			return nil, err
		}
		d.Log.Error("requests are answered, and nothing else is: the next life cannot begin; it is tried again", "error", err, "hint", adviceOf(err))
		select {
		case <-ctx.Done():
		case <-time.After(becomeEvery):
		}
	}
}

// leaveCluster is leave for a box of several: what runs sessions remains the seat's.
func (d *daemon) leaveCluster() error {
	if d.following != nil {
		d.following.end()
	}
	d.seat.secrets.CompareAndSwap(d.vault, nil)
	d.seat.goods.Serve(nil)
	return d.store.Close()
}
