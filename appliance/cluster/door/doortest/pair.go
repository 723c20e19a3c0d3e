// Package doortest owns two boxes of a cluster, of which one goes through the other's door, for tests of what lies behind.
package doortest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
)

// Version is what box one says that it is of.
const Version = "v1.4.0"

// Pair is a cluster of two boxes: one has a door, and two comes through it.
type Pair struct {
	testing.TB
	Shelf    *trusttest.Memory
	Desk     *trust.Desk
	One, Two *trust.Node
	Client   *door.Client // two's
	At       string       // of one's door

	rooms door.Rooms

	mu     sync.Mutex
	gone   bool
	server *door.Server
	served chan error
}

// ErrUnknown is what two says of a box that it does not know.
var ErrUnknown = errors.New("no such box")

// New makes a pair, and opens one's door to rooms, of which Node, Version and Desk are filled in.
func New(t testing.TB, rooms door.Rooms) *Pair {
	t.Helper()
	p := &Pair{TB: t, Shelf: &trusttest.Memory{}}
	var err error
	if p.One, err = trust.Found(filepath.Join(t.TempDir(), "one"), "one", time.Now); err != nil {
		t.Fatal(err)
	}
	key, err := p.One.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	p.Desk = trust.NewDesk(p.Shelf, key, time.Now)
	founding, _, err := p.One.Founding()
	if err == nil {
		err = p.Desk.Begin(t.Context(), founding)
	}
	if err != nil {
		t.Fatal(err)
	}
	rooms.Node, rooms.Version, rooms.Desk = p.One, Version, func() *trust.Desk { return p.Desk }
	p.rooms, p.At = rooms, "127.0.0.1:0"
	p.Open()
	t.Cleanup(p.Shut)
	p.Two = p.Box("two")
	if state, err := p.Join(p.Two, p.Token(true)); err != nil || state != trust.In {
		t.Fatalf("%s, %v", state, err)
	}
	p.Client = door.NewClient(p.Two, func(name string) (string, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if name != "one" || p.gone {
			return "", ErrUnknown
		}
		return p.At, nil
	})
	t.Cleanup(p.Client.Close)
	return p
}

// Open opens one's door, where it was before.
func (p *Pair) Open() {
	p.Helper()
	l, err := net.Listen("tcp", p.At)
	if err != nil {
		p.Fatal(err)
	}
	p.mu.Lock()
	p.At = l.Addr().String()
	p.mu.Unlock()
	p.server, p.served = door.NewServer(p.rooms, slog.New(slog.DiscardHandler)), make(chan error, 1)
	go func() { p.served <- p.server.Serve(l) }()
}

// Shut shuts one's door at once.
func (p *Pair) Shut() {
	p.Helper()
	if p.served == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.server.Shutdown(ctx)
	if err := <-p.served; err != nil {
		p.Error(err)
	}
	p.served = nil
}

// Server is one's door.
func (p *Pair) Server() *door.Server { return p.server }

// Forget has two know one no more.
func (p *Pair) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

// Remove takes two out of the cluster, as one sees it.
func (p *Pair) Remove() {
	p.Helper()
	err := p.Desk.Remove(p.Context(), "two", "a test")
	if err != nil {
		p.Fatal(err)
	}
	bundle, denied, err := p.Desk.Beliefs(p.Context())
	if err == nil {
		err = p.One.Believe(bundle, denied)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// Box makes a box that is in no cluster.
func (p *Pair) Box(name string) *trust.Node {
	p.Helper()
	n, err := trust.Create(filepath.Join(p.TempDir(), name), name, time.Now)
	if err != nil {
		p.Fatal(err)
	}
	return n
}

// Token is a new one for one box.
func (p *Pair) Token(approve bool) trust.Token {
	p.Helper()
	token, err := p.Desk.NewToken(p.Context(), trust.Asked{Approve: approve, Uses: 1, For: time.Hour})
	if err != nil {
		p.Fatal(err)
	}
	return token
}

// Join has a box ask one to be let in.
func (p *Pair) Join(n *trust.Node, token trust.Token) (trust.State, error) {
	return door.Join(p.Context(), door.Asking{Node: n, Pending: trust.Pending{URL: "https://" + p.At, Token: token}, Version: Version, Now: time.Now})
}
