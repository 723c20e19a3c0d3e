package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// witness sees what runs where, on all nodes at once.
type witness struct {
	t     *testing.T
	mu    sync.Mutex
	where map[string]string // by session
	ran   int
}

func (w *witness) begin(id, node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := w.where[id]; at != "" {
		w.t.Errorf("%s runs on %s and begins on %s", id, at, node)
	}
	w.where[id] = node
	w.ran++
}

func (w *witness) end(id, node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.where[id] == node {
		delete(w.where, id)
	}
}

// seen is a runtime that a witness watches.
type seen struct {
	sessions.Runtime
	node string
	by   *witness
}

// Start implements sessions.Runtime.
func (s seen) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	in, err := s.Runtime.Start(ctx, spec)
	if err == nil {
		s.by.begin(spec.ID, s.node)
		go func() {
			if _, err := s.Wait(context.Background(), spec.ID); err != nil && !errors.Is(err, sessions.ErrNoInstance) {
				s.by.t.Errorf("%s: %v", spec.ID, err)
			}
			s.by.end(spec.ID, s.node)
		}()
	}
	return in, err
}

// Remove implements sessions.Runtime. What is removed has ended, also where its end was not waited for yet.
func (s seen) Remove(ctx context.Context, id string) error {
	err := s.Runtime.Remove(ctx, id)
	if err == nil {
		s.by.end(id, s.node)
	}
	return err
}

// world is three nodes, one who leads, and what is done to them.
type world struct {
	t       *testing.T
	random  *rand.Rand
	at      string
	a       *cluster.Agreement
	by      *witness
	nodes   []*part
	leading *life
	hearing *life
	reign   cluster.Reign
	fleet   *fleet.Fleet
	reigns  int
}

// part is one node of a world.
type part struct {
	*node
	client *clientv3.Client
	cable  *clustertest.Cable
	cut    atomic.Pointer[time.Time]
	over   chan struct{} // closed when what may not run unseen has ended
	agent  *life
}

const (
	fence = 100 * time.Millisecond
	// margin and marginTurns are for the node to end what it must: a while, and as many turns of one goroutine after the other, for on a
	// busy machine all of this process wait for theirs.
	margin      = 100 * time.Millisecond
	marginTurns = 10
)

func newWorld(t *testing.T, etcd *clustertest.Etcd, client *clientv3.Client, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 9)), at: clustertest.Prefix(), by: &witness{t: t, where: map[string]string{}}}
	w.a = cluster.New(client, w.at)
	for _, name := range []string{"one", "two", "three"} {
		p := &part{node: newNode(name)}
		p.cable, p.client = etcd.Cable(t)
		p.heard = func() time.Time {
			if at := p.cut.Load(); at != nil {
				return *at
			}
			return time.Now()
		}
		w.nodes = append(w.nodes, p)
		w.begin(p)
	}
	w.lead()
	t.Cleanup(func() {
		w.leading.end()
		w.hearing.end()
		for _, p := range w.nodes {
			p.agent.end()
		}
	})
	return w
}

// begin starts a node's agent, which may find etcd away.
func (w *world) begin(p *part) {
	p.agent = live(func(ctx context.Context) {
		for ctx.Err() == nil {
			a := agent.New(agent.Deps{
				Node: p.name, Desk: cluster.New(p.client, w.at), Runtime: seen{p.runtime, p.name, w.by}, Heard: p.heard,
				Grace: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
			})
			trying, cancel := context.WithCancel(ctx)
			_ = a.Run(trying) // it cannot learn what it has reported: it is tried again, as a daemon would
			cancel()
		}
	})
}

// lead has another box lead.
func (w *world) lead() {
	if w.leading != nil {
		w.leading.end()
		w.hearing.end()
	}
	w.reigns++
	w.reign, w.leading = leads(w.t, w.a, fmt.Sprint("box", w.reigns))
	nodes := make([]*node, 0, len(w.nodes))
	for _, p := range w.nodes {
		nodes = append(nodes, p.node)
	}
	w.fleet, w.hearing = fleetOf(w.t, w.a, w.reign, fence, nodes...)
}

// step does one thing, to somebody.
func (w *world) step() {
	p := w.nodes[w.random.IntN(len(w.nodes))]
	id := fmt.Sprint("s", w.random.IntN(4))
	// Nobody waits long for a node that may be silent.
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(5+w.random.IntN(60))*time.Millisecond)
	defer cancel()
	switch n := w.random.IntN(40); {
	case n < 8:
		_, _ = w.a.WantStop(ctx, w.reign, p.name, id, cluster.Stop{})
	case n < 22:
		_ = w.a.Want(ctx, w.reign, p.name, cluster.Wanted{Round: fmt.Sprint(w.random.Uint64()), Spec: spec(id), Fence: fence})
	case n < 28:
		_ = w.a.Unwant(ctx, w.reign, p.name, id)
	case n < 30:
		w.pull(p)
	case n < 36:
		w.plug(p)
	case n < 37:
		p.agent.end()
		w.begin(p)
	case n < 38:
		w.lead()
	default:
		for _, p := range w.nodes {
			if p.cut.Load() == nil {
				continue
			}
			select {
			case <-p.over:
				_ = w.a.Abandon(w.t.Context(), w.reign, p.name, id)
			default:
			}
		}
	}
}

func (w *world) pull(p *part) {
	if p.cut.Load() == nil {
		p.cable.Pull()
		p.cut.Store(new(time.Now()))
		over := make(chan struct{})
		p.over = over
		go func() {
			<-time.After(fence)
			for range marginTurns {
				<-time.After(margin / marginTurns)
			}
			close(over)
		}()
	}
}

func (w *world) plug(p *part) {
	if p.cut.Load() != nil {
		p.cable.Plug()
		p.cut.Store(nil)
	}
}

// proves tells whether enough has happened to say that nothing runs twice.
func (w *world) proves() bool {
	w.by.mu.Lock()
	defer w.by.mu.Unlock()
	return w.by.ran >= 5 && w.reigns >= 3
}

// left is what is in etcd beside who leads, and what runs.
func (w *world) left(client *clientv3.Client) []string {
	got, err := client.Get(w.t.Context(), w.at, clientv3.WithPrefix())
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, kv := range got.Kvs {
		if key := string(kv.Key[len(w.at):]); !strings.HasPrefix(key, "leader/") && key != "beat" {
			out = append(out, key+": "+string(kv.Value))
		}
	}
	w.by.mu.Lock()
	defer w.by.mu.Unlock()
	for id, at := range w.by.where {
		out = append(out, id+" runs on "+at)
	}
	return out
}

// In a time in which nodes are cut off and begun again, leaders follow each other and everything is wanted and unwanted by chance,
// no session runs in two places, and when all is well again nothing is left that nobody wants.
func TestNothingRunsTwice(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	const steps = 400
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, etcd, client, seed)
			for n := 0; n < steps || n < 10*steps && !w.proves(); n++ { // on a quick machine few of the nodes have come far by then
				w.step()
				_ = w.left(client) // which takes a moment
			}
			for _, p := range w.nodes {
				w.plug(p)
			}
			w.lead()
			for _, p := range w.nodes {
				for i := range 4 {
					if err := w.a.Unwant(t.Context(), w.reign, p.name, fmt.Sprint("s", i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			var left []string
			defer func() {
				if len(left) > 0 {
					t.Logf("left are %q", left)
				}
			}()
			clustertest.Soon(t, "nothing is left", func() bool {
				left = w.left(client)
				return len(left) == 0
			})
			for _, p := range w.nodes {
				if list, err := p.runtime.List(t.Context()); err != nil || len(list) > 0 {
					t.Errorf("%s has %+v, %v", p.name, list, err)
				}
			}
			if !w.proves() {
				t.Errorf("%d sessions ran in %d reigns: that proves nothing", w.by.ran, w.reigns)
			}
			t.Logf("%d sessions in %d reigns", w.by.ran, w.reigns)
		})
	}
}
