package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
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
	Schema  int64     `json:"schema,omitempty"` // the newest of the rows that its program knows; 0: it does not say
	Began   time.Time `json:"began"`            // the daemon, by the node's clock
	Clock   time.Time `json:"clock"`            // the node's, when it said so
	// Leaving says that it is about to leave the cluster: others take over what it keeps of etcd, and nothing new is placed there.
	Leaving bool `json:"leaving,omitempty"`
	// Trouble is why it is not what it should be, for people; "": it is.
	Trouble string `json:"trouble,omitempty"`
	// Door is where its door is by now, host:port; "": where its Node says.
	Door string `json:"door,omitempty"`
}

// Inventory is what a node has.
type Inventory struct {
	Node   accel.Node `json:"node"`
	Images []string   `json:"images,omitempty"` // by name
	// Folders are those of other boxes that it has, too: ID@VERSION.
	Folders []string `json:"folders,omitempty"`
	// Network is by which kind of network its sessions reach those of other boxes, and Address where it is for that; "": they do not.
	Network sessions.NetKind `json:"network,omitempty"`
	Address netip.Addr       `json:"address,omitzero"`
	// NetworkAsked says that the box's settings name Network themselves.
	NetworkAsked bool `json:"network_asked,omitempty"`
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

// Roster is what is known of all nodes, kept up by Follow.
type Roster struct {
	agreement *Agreement
	now       func() time.Time
	changed   func() // may be nil; it must not block

	mu    sync.Mutex
	read  map[string]bool      // by part: it was, at least once
	known map[string]*said     // by name
	nodes []Seen               // by name, as they were made of known last
	began time.Time            // when it was made
	stale map[string]bool      // by name: what nodes has of it is to be made anew
	heard map[string]bool      // lives, or lived since this roster was made
	since map[string]time.Time // that it is silent

	countedAt    time.Time     // zero: what is counted is not so any more
	countedFor   time.Duration // within which they fell silent
	quiet, alive int           // as they were counted then
}

// said is what is written of one box; nil: nothing is that can be read.
type said struct {
	node      *Node
	alive     *Alive
	inventory *Inventory
}

// NewRoster makes one that knows nothing yet. changed is told of every change.
func (a *Agreement) NewRoster(now func() time.Time, changed func()) *Roster {
	return &Roster{
		agreement: a, now: now, changed: changed, began: now(),
		read: map[string]bool{}, known: map[string]*said{}, stale: map[string]bool{}, heard: map[string]bool{}, since: map[string]time.Time{},
	}
}

// Follow keeps the roster up until ctx ends. While etcd cannot be reached it stands as it was: that nobody is heard then says
// nothing of them.
func (r *Roster) Follow(ctx context.Context) {
	var all sync.WaitGroup
	for _, part := range []string{partNodes, partAlive, partInventory} {
		all.Go(func() {
			r.agreement.followBoxes(ctx, part, func(items []Item, whole bool) { r.take(part, items, whole) })
		})
	}
	all.Wait()
}

// FollowLiving tells f by name which boxes say that they live, as a Roster hears of it: at first and whenever something may have been missed
// all of them, else what has changed.
func (a *Agreement) FollowLiving(ctx context.Context, f func(boxes []Item, whole bool)) {
	a.followBoxes(ctx, partAlive, f)
}

func (a *Agreement) followBoxes(ctx context.Context, part string, f func(items []Item, whole bool)) {
	a.follow(ctx, a.prefix+part, follower{
		rare:  true,
		whole: func(items []Item) { f(items, true) },
		some:  func(items []Item) { f(items, false) },
	})
}

func (r *Roster) take(part string, items []Item, whole bool) {
	r.mu.Lock()
	if whole {
		r.read[part] = true
		there := make(map[string]bool, len(items))
		for _, i := range items {
			there[i.Key] = true
		}
		for name := range r.known {
			if !there[name] {
				r.enter(part, Item{Key: name})
			}
		}
		if part == partAlive { // who is silent now may have lived meanwhile
			for name := range r.since {
				r.stale[name] = true
			}
			clear(r.since)
			for name := range r.heard {
				if !there[name] {
					r.fallSilent(name)
				}
			}
		}
	}
	for _, i := range items {
		r.enter(part, i)
	}
	r.mu.Unlock()
	if r.changed != nil {
		r.changed()
	}
}

// enter takes in one item. r.mu is held.
func (r *Roster) enter(part string, i Item) {
	r.stale[i.Key] = true
	s := r.known[i.Key]
	if s == nil {
		if i.Value == nil && part != partAlive {
			return
		}
		s = &said{}
		r.known[i.Key] = s
	}
	switch part {
	case partNodes:
		s.node = parsed[Node](i)
	case partInventory:
		s.inventory = parsed[Inventory](i)
	case partAlive:
		s.alive = parsed[Alive](i)
		if i.Value != nil {
			r.heard[i.Key] = true
			delete(r.since, i.Key)
		} else if r.heard[i.Key] {
			r.fallSilent(i.Key)
		}
	}
	if *s == (said{}) {
		delete(r.known, i.Key)
	}
}

// fallSilent notes since when who was heard of is not. r.mu is held.
func (r *Roster) fallSilent(name string) {
	if r.since[name].IsZero() {
		r.since[name] = r.now()
		r.stale[name] = true
	}
}

// parsed is what an item says; nil: it is gone, or of a later version.
func parsed[T any](i Item) *T {
	v := new(T)
	if i.Value == nil || json.Unmarshal(i.Value, v) != nil {
		return nil
	}
	return v
}

// Known tells whether all parts have been read at least once.
func (r *Roster) Known() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.read) == 3
}

// Nodes are all nodes, by name. What they are made of is not to be changed.
func (r *Roster) Nodes() []Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renew()
	return slices.Clone(r.nodes)
}

// Len is how many there are.
func (r *Roster) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renew()
	return len(r.nodes)
}

// countAgain is for how long the boxes are taken for as silent as they were counted.
const countAgain = time.Second

// Silent is how many boxes fell silent within a time, and how many those and the ones that live are: who is silent for longer, as one
// that was switched off, is not counted, nor who was not let in.
func (r *Roster) Silent(within time.Duration) (silent, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renew()
	if now := r.now(); r.countedAt.IsZero() || r.countedFor != within || now.Sub(r.countedAt) >= countAgain {
		r.countedAt, r.countedFor, r.quiet, r.alive = now, within, 0, 0
		for _, n := range r.nodes {
			since := n.Silent
			if n.Unheard {
				since = r.began
			}
			switch {
			case n.State == Waiting:
			case n.Alive != nil:
				r.alive++
			case now.Sub(since) <= within:
				r.quiet++
			}
		}
	}
	return r.quiet, r.quiet + r.alive
}

// Node is one of them; false: there is none of that name.
func (r *Roster) Node(name string) (Seen, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renew()
	i, there := r.find(name)
	if !there {
		return Seen{}, false
	}
	return r.nodes[i], true
}

func (r *Roster) find(name string) (int, bool) {
	return slices.BinarySearchFunc(r.nodes, name, func(s Seen, name string) int { return cmp.Compare(s.Name, name) })
}

// renew brings nodes up to what is known: what has not changed is left as it is, for each box hears of all others. r.mu is held.
func (r *Roster) renew() {
	if len(r.stale) == 0 {
		return
	}
	var come []Seen
	for name := range r.stale {
		i, there := r.find(name)
		s := r.known[name]
		switch {
		case s == nil || s.node == nil:
			if there {
				r.nodes = slices.Delete(r.nodes, i, i+1)
			}
			continue
		case there:
			r.nodes[i] = r.seen(name, s)
		default:
			come = append(come, r.seen(name, s))
		}
	}
	clear(r.stale)
	if len(come) > 0 {
		r.nodes = append(r.nodes, come...)
		slices.SortFunc(r.nodes, func(a, b Seen) int { return cmp.Compare(a.Name, b.Name) })
	}
	r.countedAt = time.Time{}
}

func (r *Roster) seen(name string, s *said) Seen {
	out := Seen{Node: *s.node, Alive: s.alive, Inventory: s.inventory, Silent: r.since[name], Unheard: !r.heard[name]}
	out.Name = name
	return out
}
