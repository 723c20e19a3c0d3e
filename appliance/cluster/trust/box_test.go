package trust_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
)

// start is when the tests' clocks begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// cluster is one with its first node, "first".
type cluster struct {
	t     *testing.T
	clock *clock
	shelf *trusttest.Memory
	first *trust.Node
	desk  *trust.Desk
}

func found(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, clock: &clock{start}, shelf: &trusttest.Memory{}}
	n, err := trust.Found(t.TempDir(), "first", c.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	c.first = n
	f, ok, err := n.Founding()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	key, err := n.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	c.desk = trust.NewDesk(c.shelf, key, c.clock.now)
	for range 2 { // once more after a crash
		if err := c.desk.Begin(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) token(a trust.Asked) trust.Token {
	c.t.Helper()
	token, err := c.desk.NewToken(c.t.Context(), a)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

func (c *cluster) box(name string) *trust.Node {
	c.t.Helper()
	n, err := trust.Create(c.t.TempDir(), name, c.clock.now)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *cluster) ask(n *trust.Node, token trust.Token) (trust.Answer, error) {
	c.t.Helper()
	r, err := n.Request(token, "1.0.0", "10.0.0.7:8443")
	if err != nil {
		c.t.Fatal(err)
	}
	return c.desk.Join(c.t.Context(), "10.0.0.7", r)
}

// joined is a box that is in.
func (c *cluster) joined(name string) *trust.Node {
	c.t.Helper()
	n, token := c.box(name), c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour})
	a, err := c.ask(n, token)
	if err != nil {
		c.t.Fatal(err)
	}
	if s, err := n.Take(a, token); err != nil || s != trust.In {
		c.t.Fatal(s, err)
	}
	return n
}

// believe brings what is on the shelf to nodes.
func (c *cluster) believe(nodes ...*trust.Node) {
	c.t.Helper()
	bundle, denied, err := c.desk.Beliefs(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, n := range nodes {
		if err := n.Believe(bundle, denied); err != nil {
			c.t.Fatal(err)
		}
	}
}

// meet has two ends shake hands and say a word. It returns what each end has to say about it.
func meet(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, atServer, atClient error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		defer b.Close()
		err := c.HandshakeContext(t.Context())
		if err == nil { // a server's refusal of what the client showed comes behind the handshake
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		done <- err
	}()
	atServer = s.HandshakeContext(t.Context())
	if atServer == nil {
		_, atServer = s.Write([]byte("."))
	}
	state = s.ConnectionState()
	atClient = <-done
	return state, atServer, atClient
}

// is fails the test unless err is of that kind, and can be shown with a hint where hint is true.
func is(t *testing.T, err, kind error, hint bool) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v; want %v", err, kind)
	}
	if e, ok := errors.AsType[*trust.Error](err); hint && (!ok || e.Hint() == "") {
		t.Errorf("%v: no hint", err)
	}
}
