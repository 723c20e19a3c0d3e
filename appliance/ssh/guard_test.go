package ssh

import (
	"fmt"
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	last := time.Duration(0)
	for failures := range 1000 {
		d := delay(failures)
		if d < last || d > longestDelay || failures <= 5 && d != 0 || failures > 5 && d == 0 {
			t.Fatalf("after %d: %v, before that %v", failures, d, last)
		}
		last = d
	}
}

func TestGuard(t *testing.T) {
	g, now := newGuard(), time.Unix(1e9, 0)
	var leaves []func()
	for range mostFromOne {
		leave, err := g.enter("a", now)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	if _, err := g.enter("a", now); err == nil {
		t.Error("one more than may come from one address")
	}
	for i := range mostStrangers - mostFromOne {
		if _, err := g.enter(fmt.Sprint("b", i), now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.enter("c", now); err == nil {
		t.Error("one more than may come at all")
	}
	leaves[0]()
	leaves[0]()
	if _, err := g.enter("c", now); err != nil {
		t.Error("a place that was left is not free")
	}
	if _, err := g.enter("d", now); err == nil {
		t.Error("a place that was left twice is two")
	}
	for range 20 {
		g.failed("x", now)
	}
	if d := g.failed("x", now); d != longestDelay {
		t.Errorf("after many: %v", d)
	}
	if d := g.failed("x", now.Add(forgiven+time.Second)); d != 0 {
		t.Errorf("after a while: %v", d)
	}
	for i := range rememberAll + 10 {
		g.failed(fmt.Sprint("y", i), now.Add(time.Duration(i)*time.Millisecond))
	}
	if n := len(g.addresses); n > rememberAll {
		t.Errorf("%d addresses are remembered", n)
	}
	if c := g.addresses["a"]; c == nil || c.inside != mostFromOne-1 {
		t.Errorf("who stands there was forgotten: %+v", c)
	}
}

// Who has a network of IPv6 has more addresses than can be counted: they are one.
func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "pipe": "pipe",
	} {
		if got := networkOf(address); got != want {
			t.Errorf("%s counts as %s", address, got)
		}
	}
}
