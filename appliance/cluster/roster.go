package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/accel"
)

// NodeState says what a box may be given.
type NodeState string

// The states of a node.
const (
	Waiting  NodeState = "waiting"  // for somebody to approve it
	In       NodeState = "in"       // it may run what is placed on it
	Cordoned NodeState = "cordoned" // what runs goes on; nothing new comes
	Draining NodeState = "draining" // what runs moves, or ends
)

// Node is a box of the cluster as its owner wants it.
type Node struct {
	Name     string            `json:"name"`
	State    NodeState         `json:"state"`
	Labels   map[string]string `json:"labels,omitempty"`
	Door     string            `json:"door"` // host:port for other boxes
	JoinedAt time.Time         `json:"joined_at"`
}

// Alive is what a node says for as long as it lives.
type Alive struct {
	Version string    `json:"version"`
	Began   time.Time `json:"began"` // the daemon, by the node's clock
	Clock   time.Time `json:"clock"` // the node's, when it said so
	// Leaving says that it is about to leave the cluster: others take over what it keeps of etcd, and nothing new is placed there.
	Leaving bool `json:"leaving,omitempty"`
	// Door is where its door is by now, host:port; "": where its Node says.
	Door string `json:"door,omitempty"`
}

// Inventory is what a node has.
type Inventory struct {
	Node   accel.Node `json:"node"`
	Images []string   `json:"images,omitempty"` // by name
	// Folders are those of other boxes that it has, too: ID@VERSION.
	Folders []string `json:"folders,omitempty"`
}

// Seen is what the cluster knows of one node.
type Seen struct {
	Node
	Alive     *Alive // nil: it is silent
	Inventory *Inventory
	// Silent is since when it has not been heard of, by the clock of who looks; zero where it is heard of, or never was
	// since that one began to look: then Unheard says so.
	Silent  time.Time
	Unheard bool
}

// PutNode writes a node as it is wanted.
func (a *Agreement) PutNode(ctx context.Context, r Reign, n Node) error {
	text, err := encode(n)
	if err != nil {
		return err
	}
	return a.decide(ctx, r, nil, clientv3.OpPut(a.key(partNodes, n.Name), text))
}

// Announce says with a lease that a node lives, and what it has: ErrNoNode where it is no node of the cluster any more.
func (a *Agreement) Announce(ctx context.Context, l *Lease, name string, alive Alive, has Inventory) error {
	lives, err := encode(alive)
	if err != nil {
		return err
	}
	inventory, err := encode(has)
	if err != nil {
		return err
	}
	ops := []clientv3.Op{clientv3.OpPut(a.key(partAlive, name), lives, clientv3.WithLease(l.id)), clientv3.OpPut(a.key(partInventory, name), inventory)}
	known := clientv3.Compare(clientv3.CreateRevision(a.key(partNodes, name)), ">", 0)
	done, err := a.client.Txn(ctx).If(known).Then(ops...).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("announcing %s: %w", name, err)
	case !done.Succeeded:
		return fmt.Errorf("announcing %s: %w", name, ErrNoNode)
	}
	return nil
}

// Roster is what is known of all nodes, kept up by Follow.
type Roster struct {
	agreement *Agreement
	now       func() time.Time
	changed   func() // may be nil; it must not block

	mu    sync.Mutex
	known map[string]map[string]Item // by part, by name
	nodes []Seen                     // as they were made of known last; nil: they are to be made anew
	heard map[string]bool            // lives, or lived since this roster was made
	since map[string]time.Time       // that it is silent
}

// NewRoster makes one that knows nothing yet. changed is told of every change.
func (a *Agreement) NewRoster(now func() time.Time, changed func()) *Roster {
	return &Roster{agreement: a, now: now, changed: changed, known: map[string]map[string]Item{}, heard: map[string]bool{}, since: map[string]time.Time{}}
}

// Follow keeps the roster up until ctx ends. While etcd cannot be reached it stands as it was: that nobody is heard then says
// nothing of them.
func (r *Roster) Follow(ctx context.Context) {
	var all sync.WaitGroup
	for _, part := range []string{partNodes, partAlive, partInventory} {
		all.Go(func() {
			r.agreement.follow(ctx, r.agreement.prefix+part, follower{
				whole: func(items []Item) { r.take(part, items, true) },
				some:  func(items []Item) { r.take(part, items, false) },
			})
		})
	}
	all.Wait()
}

func (r *Roster) take(part string, items []Item, whole bool) {
	r.mu.Lock()
	r.nodes = nil
	if whole || r.known[part] == nil {
		r.known[part] = map[string]Item{}
	}
	if part == partAlive && whole { // who is silent now may have lived meanwhile
		clear(r.since)
	}
	for _, i := range items {
		if i.Value == nil {
			delete(r.known[part], i.Key)
			continue
		}
		r.known[part][i.Key] = i
		if part == partAlive {
			r.heard[i.Key] = true
			delete(r.since, i.Key)
		}
	}
	if part == partAlive {
		r.hear()
	}
	r.mu.Unlock()
	if r.changed != nil {
		r.changed()
	}
}

// hear notes since when who was heard of is not. r.mu is held.
func (r *Roster) hear() {
	for name := range r.known[partAlive] {
		r.heard[name] = true
		delete(r.since, name)
	}
	for name := range r.heard {
		if _, lives := r.known[partAlive][name]; !lives && r.since[name].IsZero() {
			r.since[name] = r.now()
		}
	}
}

// Known tells whether all parts have been read at least once.
func (r *Roster) Known() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known) == 3
}

// Nodes are all nodes, by name. What they are made of is not to be changed.
func (r *Roster) Nodes() []Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all())
}

// Node is one of them; false: there is none of that name.
func (r *Roster) Node(name string) (Seen, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all()
	i, there := slices.BinarySearchFunc(all, name, func(s Seen, name string) int { return cmp.Compare(s.Name, name) })
	if !there {
		return Seen{}, false
	}
	return all[i], true
}

// all is Nodes; r.mu is held.
func (r *Roster) all() []Seen {
	if r.nodes != nil {
		return r.nodes
	}
	r.nodes = []Seen{}
	for _, name := range slices.Sorted(maps.Keys(r.known[partNodes])) {
		s := Seen{Silent: r.since[name], Unheard: !r.heard[name]}
		if json.Unmarshal(r.known[partNodes][name].Value, &s.Node) != nil {
			continue // of a later version
		}
		s.Name = name
		s.Alive, s.Inventory = read[Alive](r.known[partAlive], name), read[Inventory](r.known[partInventory], name)
		r.nodes = append(r.nodes, s)
	}
	return r.nodes
}

func read[T any](items map[string]Item, name string) *T {
	i, ok := items[name]
	if !ok {
		return nil
	}
	v := new(T)
	if json.Unmarshal(i.Value, v) != nil {
		return nil
	}
	return v
}
