package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// rosterChanged is told that boxes have come, gone, or changed. It does not wait.
func (d *daemon) rosterChanged() {
	select {
	case d.rostered <- struct{}{}:
	default:
	}
}

// followRoster goes by who is there.
func (d *daemon) followRoster(ctx context.Context) {
	tick := time.NewTicker(rosterEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if d.turn != nil && d.unsettled() {
				d.manager.Look() // one may be silent for long enough by now, or empty
			}
			continue
		case <-d.rostered:
		}
		if d.turn == nil {
			d.routeByTable()
			continue
		}
		d.syncPool()
		d.syncPeers()
		d.traffic.again()
		d.manager.Look()
	}
}

// rosterEvery is how often boxes are looked at that are not as they should be.
const rosterEvery = time.Second

// unsettled tells whether a box is silent, or is to be empty.
func (d *daemon) unsettled() bool {
	return slices.ContainsFunc(d.seat.roster.Nodes(), func(n cluster.Seen) bool { return n.Alive == nil || n.State == cluster.Draining })
}

// pooled is what a box was entered into the ledger as.
type pooled struct {
	has    *cluster.Inventory
	labels map[string]string // of its owner
}

// syncPool enters what the boxes have into the ledger of who leads.
func (d *daemon) syncPool() {
	there := map[string]pooled{}
	own := d.seat.inventory(context.Background())
	for _, n := range d.seat.roster.Nodes() {
		if n.Name == d.seat.name() {
			n.Inventory = &own // what it will say, or has said
		}
		if n.Inventory == nil || n.Inventory.Node.CPU == 0 {
			continue
		}
		now := pooled{n.Inventory, n.Labels}
		there[n.Name] = now
		if was, known := d.entered[n.Name]; known && was.has == now.has && maps.Equal(was.labels, now.labels) {
			continue // one box that changes is no work for each of a thousand
		}
		node := n.Inventory.Node
		node.Name = n.Name
		labels := map[string]string{}
		for _, from := range []map[string]string{node.Labels, n.Labels, {sessions.LabelBox: n.Name}} {
			maps.Copy(labels, from)
		}
		node.Labels = labels
		d.pool.ledger.SetNode(node)
	}
	for name := range d.entered {
		if _, is := there[name]; !is {
			d.pool.ledger.RemoveNode(name)
		}
	}
	d.entered = there
}

// openFleet makes all boxes of the cluster what sessions run on.
func (d *daemon) openFleet(ctx context.Context) error {
	for !d.seat.roster.Known() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.fleet = newFleetRunner(d.seat, d.turn.reign)
	d.fleet.lost = d.lost
	rows, err := d.store.Sessions(ctx)
	if err != nil {
		return err
	}
	d.fleet.know(rows)
	d.following.run(d.fleet.fleet.Run)
	d.runtime = d.seat.runtime
	d.runtime.runner = d.fleet
	shown := *d.seat.pool
	shown.ledger = accel.NewLedger(accel.WithPatience(d.Config.Accel.GiveBack))
	shown.sharing, shown.seen = nil, nil
	d.pool = &shown
	d.syncPool()
	return d.registry.Register(accel.NewCollector(d.pool.ledger))
}

// grant is how sessions get devices: in a cluster each box gives its own.
func (d *daemon) grant() func(accel.Claim) (accel.Grant, error) {
	if d.seat == nil {
		return d.pool.watcher.Grant
	}
	return func(accel.Claim) (accel.Grant, error) { return accel.Grant{Enforced: true}, nil }
}

// silent is for how long a box has not been heard of; there is false where it is no node any more.
func (d *daemon) silent(node string) (long time.Duration, state cluster.NodeState, there bool) {
	n, there := d.seat.roster.Node(node)
	switch {
	case !there:
		return 0, "", false
	case n.Alive != nil:
	case n.Silent.IsZero(): // it was not heard of since this process looks
		long = time.Since(d.seat.began)
	default:
		long = time.Since(n.Silent)
	}
	return long, n.State, true
}

// lost tells whether what ran on a box is not waited for any more.
func (d *daemon) lost(node string, fence time.Duration) bool {
	long, _, there := d.silent(node)
	if !there || long == 0 {
		return !there
	}
	now, grace := time.Now(), d.Config.Cluster.Grace
	silent, all := d.seat.roster.Silent(fleet.CrowdGrace(grace))
	return d.crowd.Over(now, now.Add(-long), grace, silent, all) && long > patience(grace, fence)
}

// isLeaving tells whether a box is about to leave.
func (d *daemon) isLeaving(node string) bool {
	n, _ := d.seat.roster.Node(node)
	return n.Alive != nil && n.Alive.Leaving
}

// closedBoxes says why boxes get nothing new.
func (d *daemon) closedBoxes() func(node string) string {
	if d.seat == nil {
		return nil
	}
	return func(node string) string {
		long, state, there := d.silent(node)
		switch {
		case !there:
			return "it is no box of the cluster"
		case long > 0:
			return "it is silent"
		case state != cluster.In:
			return "it is " + string(state)
		case d.isLeaving(node):
			return "it is leaving"
		}
		return ""
	}
}

// awayBoxes says what becomes of what runs on boxes.
func (d *daemon) awayBoxes() func(node string) sessions.Vacancy {
	if d.seat == nil {
		return nil
	}
	return func(node string) sessions.Vacancy {
		switch long, state, there := d.silent(node); {
		case !there:
			return sessions.Vacancy{Why: "its box " + node + " is none of the cluster any more", Gone: true}
		case d.lost(node, 0):
			return sessions.Vacancy{
				Why: fmt.Sprintf("its box %s is silent for %s", node, long.Round(time.Second)), Gone: true,
				Keep: func(s sessions.Session) bool {
					return s.Type != sessions.TypeInference && !d.lost(node, d.fleet.fenceOf(node, s.ID, true))
				},
			}
		case state == cluster.Draining:
			return sessions.Vacancy{Why: "its box " + node + " is being drained"}
		}
		return sessions.Vacancy{}
	}
}
