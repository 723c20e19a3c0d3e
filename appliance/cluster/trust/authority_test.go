package trust_test

import (
	"errors"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

const day = 24 * time.Hour

func renewed(t *testing.T, c *cluster, nodes ...*trust.Node) {
	t.Helper()
	for _, n := range nodes {
		csr, err := n.Renewal()
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.desk.Renew(t.Context(), n.Name(), csr)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.TakeRenewal(a); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnAuthorityIsFollowedByItsHeir walks a cluster through the years in which its authority changes: nobody is locked
// out on the way, not even a node that heard of nothing.
func TestAnAuthorityIsFollowedByItsHeir(t *testing.T) {
	c := found(t)
	c.clock.at = start.Add(8*365*day - 60*day)
	renewed(t, c, c.first)
	second, deaf := c.joined("second"), c.joined("deaf") // what deaf believes is never brought up to date
	generations := 0
	for range 20 {
		c.clock.at = c.clock.at.Add(25 * day)
		if err := c.desk.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.believe(c.first, second)
		b, _ := bundle(t, c)
		generations = max(generations, len(b.Roots))
		for _, n := range []*trust.Node{c.first, second} {
			if !c.clock.at.Before(n.RenewAt()) {
				renewed(t, c, n)
			}
		}
		nodes := []*trust.Node{c.first, second}
		if _, until, _ := deaf.Certified(); c.clock.at.Before(until) {
			nodes = append(nodes, deaf)
		}
		for _, server := range nodes {
			for _, client := range nodes {
				_, atServer, atClient := meet(t, server.DoorServer(), client.DoorClient(server.Name()))
				if err := errors.Join(atServer, atClient); err != nil {
					t.Fatalf("%s: %s asks %s: %v", c.clock.at, client.Name(), server.Name(), err)
				}
			}
		}
	}
	if b, _ := bundle(t, c); generations != 2 || len(b.Roots) != 1 {
		t.Errorf("%d generations at once, %d at last", generations, len(b.Roots))
	}
}

// TestTokensHoldWhileTheAuthorityChanges: a token that names one generation is good at doors that show the other.
func TestTokensHoldWhileTheAuthorityChanges(t *testing.T) {
	c := found(t)
	heirComes := start.Add((8*365 + 10) * day)
	c.clock.at = heirComes
	renewed(t, c, c.first)
	slow := c.joined("slow") // keeps a certificate of the old authority
	old := c.token(trust.Asked{Approve: true, Uses: 5, For: 30 * day})
	if err := c.desk.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.clock.at = heirComes.Add(8 * day) // the heir signs
	c.believe(c.first, slow)
	renewed(t, c, c.first)
	young := c.token(trust.Asked{Approve: true, Uses: 5, For: day})
	if young.CA == old.CA {
		t.Fatal("the heir does not sign yet")
	}
	for name, token := range map[string]trust.Token{"old": old, "young": young} {
		for _, door := range []*trust.Node{c.first, slow} {
			if _, _, err := meet(t, door.DoorServer(), trust.Pinned(token, c.clock.now)); err != nil {
				t.Errorf("%s token at %s: %v", name, door.Name(), err)
			}
		}
		box := c.box("by-" + name)
		a, err := c.ask(box, token)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := box.Take(a, token); err != nil || s != trust.In {
			t.Errorf("%s token: %s, %v", name, s, err)
		}
	}
}

func TestAnHeirNeedsTheKey(t *testing.T) {
	c, other := found(t), found(t)
	key, err := other.first.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	c.clock.at = start.Add((8*365 + 10) * day)
	desk := trust.NewDesk(c.shelf, key, c.clock.now)
	is(t, desk.Tend(t.Context()), trust.ErrInvalid, false)
	box := c.box("second")
	r, err := box.Request(c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour}), "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = desk.Join(t.Context(), "10.0.0.7", r)
	is(t, err, trust.ErrInvalid, false)
	if tokens, err := c.desk.Tokens(t.Context()); err != nil || len(tokens) != 1 {
		t.Errorf("a join that failed took a use: %+v, %v", tokens, err)
	}
	// Another cluster does not begin on this one's shelf.
	f, _, err := other.first.Founding()
	if err != nil {
		t.Fatal(err)
	}
	is(t, c.desk.Begin(t.Context(), f), trust.ErrTaken, true)
}
