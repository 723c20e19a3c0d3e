package simulation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// seen is what the nodes say of themselves.
type seen struct {
	Running int
	Doubled []string // sessions that ran in two places at a time
	Tables  int      // nodes that have the newest table that any of them has
	Oldest  int64    // revision of the table that any of those that live has
	Most    int      // boxes that live, as the one of them has heard it that has heard of most: to the dead ones requests are sent yet
	Fewest  int      // and as the one that has heard of the fewest
	Lost    int64    // leases, of nodes that live
	Orders  orders   // since the last kill
}

// orders are how long it took from when the leader said that a session is to start until its node began to.
type orders struct{ P50, P99 time.Duration }

// witness sees what runs where, on all nodes at once.
type witness struct {
	mu      sync.Mutex
	where   map[string]string
	doubled []string
	took    []time.Duration // from order to node
	lost    atomic.Int64
}

// orders are those of took. The caller holds mu.
func (w *witness) orders() orders {
	if len(w.took) == 0 {
		return orders{}
	}
	slices.Sort(w.took)
	return orders{w.took[len(w.took)/2], w.took[len(w.took)*99/100]}
}

// orderedLabel says when the leader said that a session is to start.
const orderedLabel = "simulation.ordered"

// watched is a node's runtime in memory, under the eyes of the witness.
type watched struct {
	*runtimetest.Fake
	node string
	by   *witness
}

func (r *watched) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	if at, err := time.Parse(time.RFC3339Nano, spec.Labels[orderedLabel]); err == nil {
		r.by.mu.Lock()
		r.by.took = append(r.by.took, time.Since(at))
		r.by.mu.Unlock()
	}
	in, err := r.Fake.Start(ctx, spec)
	if err == nil {
		r.by.mu.Lock()
		if at := r.by.where[spec.ID]; at != "" {
			r.by.doubled = append(r.by.doubled, spec.ID+" on "+at+" and "+r.node)
		}
		r.by.where[spec.ID] = r.node
		r.by.mu.Unlock()
	}
	return in, err
}

func (r *watched) Stop(ctx context.Context, id string, grace time.Duration) error {
	err := r.Fake.Stop(ctx, id, grace)
	if err == nil {
		r.by.mu.Lock()
		delete(r.by.where, id)
		r.by.mu.Unlock()
	}
	return err
}

// box is one node.
type box struct {
	runtime  *watched
	power    context.CancelFunc
	revision atomic.Int64
	living   atomic.Int64              // boxes, as far as it has heard
	began    atomic.Pointer[time.Time] // of what it announced last
	gone     chan struct{}             // of size 1: it is not any more
	dead     bool
}

const devices = 8

// joining is how many nodes come in a second: what is looked at begins when all are there.
const joining = 100

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

func inventory(name string) cluster.Inventory {
	n := accel.Node{Name: name, CPU: 256_000, Memory: 2 << 40, Labels: map[string]string{"rack": name[:7]}}
	for d := range devices {
		n.Devices = append(n.Devices, accel.Device{
			ID: fmt.Sprintf("GPU-%s-%d", name, d), Index: d, Family: "cuda", Slot: "cuda.device", Name: "NVIDIA H100 80GB HBM3", Memory: 80 << 30, Architecture: "sm_90", NUMA: -1,
		})
	}
	return cluster.Inventory{Node: n, Images: []string{"registry.lan/engine:1"}}
}

// nodes is all boxes: each has a client, a lease, an agent and the table of routes, and hears who leads and who lives, as a daemon does. Of
// the others it knows how many live, and hears neither what they have nor who was let in, which is said while they come: a thousand rosters
// of a thousand boxes would not fit. Nor would as many tables
// of ten thousand routes: one of fifty has it whole, the others hear of all of it and do not read it.
func nodes(s setting, in *json.Decoder, out *json.Encoder) error {
	l, err := net.FileListener(os.NewFile(3, "sessions"))
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	by := &witness{where: map[string]string{}}
	boxes := make([]*box, s.Nodes)
	failed := make(chan error, s.Nodes)
	var up sync.WaitGroup
	come := time.NewTicker(time.Second / joining)
	defer come.Stop()
	for i := range boxes {
		<-come.C
		boxes[i] = &box{runtime: &watched{Fake: runtimetest.NewFake(), node: nodeName(i), by: by}, gone: make(chan struct{}, 1)}
		boxes[i].runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{Address: "127.0.0.1"} })
		var ctx context.Context
		ctx, boxes[i].power = context.WithCancel(context.Background())
		up.Add(1)
		go func() {
			if err := boxes[i].live(ctx, s, i%50 == 0, up.Done); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", boxes[i].runtime.node, err)
			}
		}()
	}
	go func() { up.Wait(); failed <- nil }()
	if err := <-failed; err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		if o.Do == "profile" {
			if err := s.profileTo(o.Name); err != nil {
				return err
			}
		}
		if o.Do == "kill" {
			for _, b := range boxes[o.From:o.To] {
				b.dead = true
				b.power()
				by.mu.Lock()
				by.took = nil
				for id, at := range by.where {
					if at == b.runtime.node {
						delete(by.where, id)
					}
				}
				by.mu.Unlock()
			}
		}
		by.mu.Lock()
		v := seen{Running: len(by.where), Doubled: by.doubled, Lost: by.lost.Load(), Orders: by.orders()}
		by.mu.Unlock()
		newest := int64(0)
		for _, b := range boxes {
			newest = max(newest, b.revision.Load())
		}
		v.Oldest, v.Fewest = newest, len(boxes)
		for _, b := range boxes {
			if b.revision.Load() == newest {
				v.Tables++
			}
			if !b.dead {
				v.Oldest = min(v.Oldest, b.revision.Load())
				v.Most, v.Fewest = max(v.Most, int(b.living.Load())), min(v.Fewest, int(b.living.Load()))
			}
		}
		if err := out.Encode(v); err != nil {
			return err
		}
	}
}

// live is a box's life, until its power is cut: nothing is given back then.
func (b *box) live(ctx context.Context, s setting, whole bool, up func()) error {
	client, err := connect(s.Etcd)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = client.Close() })
	desk := cluster.New(client, "")
	var lease atomic.Pointer[cluster.Lease]
	heard := func() time.Time {
		if l := lease.Load(); l != nil {
			return l.Until()
		}
		return time.Time{}
	}
	a := agent.New(agent.Deps{
		Node: b.runtime.node, Desk: desk, Runtime: b.runtime, Heard: heard, Grace: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = a.Run(ctx) })
	all.Go(func() { desk.FollowLeader(ctx, func(string, cluster.Term) {}) })
	all.Go(func() { desk.FollowNudges(ctx, func(string) {}) })
	all.Go(func() { b.hearWhoLives(ctx, desk) })
	if whole {
		all.Go(func() { desk.FollowTable(ctx, func(t cluster.Table) { b.revision.Store(t.Revision) }) })
	} else {
		all.Go(func() { b.hear(ctx, client) })
	}
	select {
	case <-a.Synced():
	case <-ctx.Done():
		return ctx.Err()
	}
	up = sync.OnceFunc(up)
	var before *cluster.Lease // in whose place there is to be another one
	for ctx.Err() == nil {
		l, err := desk.Presence(ctx)
		if err != nil {
			b.rest(ctx)
			continue
		}
		lease.Store(l)
		for replaced := false; !replaced && l.Lost().Err() == nil && ctx.Err() == nil; {
			began := time.Now()
			b.began.Store(&began)
			select {
			case <-b.gone: // what was said before
			default:
			}
			saying, done := context.WithTimeout(ctx, cluster.AnnounceWithin)
			err := desk.Announce(saying, l, b.runtime.node, cluster.Alive{Version: "simulation", Began: began, Clock: began}, inventory(b.runtime.node))
			done()
			if err != nil { // it is said again with the same lease, as daemons do
				b.rest(ctx)
				continue
			}
			up()
			if before != nil {
				go func(before *cluster.Lease) {
					ending, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
					defer done()
					_ = before.End(ending)
				}(before)
				before = nil
			}
			select {
			case <-ctx.Done():
			case <-l.Shorter():
				before, replaced = l, true
			case <-b.gone:
				l.Unheard()
				before, replaced = l, true
				b.by().lost.Add(1)
			case <-l.Lost().Done():
				b.by().lost.Add(1)
			}
		}
	}
	return ctx.Err()
}

// rest is before what failed is tried again.
func (b *box) rest(ctx context.Context) {
	select {
	case <-time.After(500 * time.Millisecond):
	case <-ctx.Done():
	}
}

// hearWhoLives counts the boxes that live.
func (b *box) hearWhoLives(ctx context.Context, desk *cluster.Agreement) {
	living := map[string]bool{}
	var said cluster.Alive // by this box, as far as etcd has it
	var seen time.Time     // of the announcement that was there last
	desk.FollowLiving(ctx, func(boxes []cluster.Item, whole bool) {
		if whole {
			clear(living)
			said = cluster.Alive{}
		}
		for _, one := range boxes {
			if one.Value == nil {
				delete(living, one.Key)
			} else {
				living[one.Key] = true
			}
			if one.Key == b.runtime.node {
				said = cluster.Alive{}
				if one.Value != nil && json.Unmarshal(one.Value, &said) != nil {
					return
				}
			}
		}
		// As a daemon does, it notices by this that it is not heard of, sooner than who renews the lease.
		switch began := b.began.Load(); {
		case began == nil:
		case said.Began.Equal(*began):
			seen = *began
		case seen.Equal(*began):
			seen = time.Time{}
			select {
			case b.gone <- struct{}{}:
			default:
			}
		}
		b.living.Store(int64(len(living)))
	})
}

// hear has all of the table come, and notes how far it has.
func (b *box) hear(ctx context.Context, client *clientv3.Client) {
	const table = "/palisade/1/routes/"
	for ; ctx.Err() == nil; b.rest(ctx) {
		got, err := client.Get(ctx, table, clientv3.WithPrefix())
		if err != nil {
			continue
		}
		b.revision.Store(got.Header.Revision)
		for said := range client.Watch(clientv3.WithRequireLeader(ctx), table, clientv3.WithPrefix(), clientv3.WithRev(got.Header.Revision+1)) {
			for _, e := range said.Events {
				b.revision.Store(e.Kv.ModRevision)
			}
		}
	}
}

func (b *box) by() *witness { return b.runtime.by }
