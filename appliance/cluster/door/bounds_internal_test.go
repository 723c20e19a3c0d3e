package door

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// Whoever has an address of IPv6 has many: they count as one.
func TestCountedAs(t *testing.T) {
	for of, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"2001:db8:1:3::": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "no address": "no address",
	} {
		if got := countedAs(of); got != want {
			t.Errorf("%s counts as %s, want %s", of, got, want)
		}
	}
}

// However many strangers there are, boxes that were met get in, and one address does not fill all.
func TestPlacesForNodes(t *testing.T) {
	g := newGate()
	for i := range 2 * mostStrangers {
		g.admit(fmt.Sprint("stranger ", i/mostOfAddress))
	}
	if g.strangers != mostStrangers || g.of["stranger 0"] != mostOfAddress || g.admit("another stranger") {
		t.Errorf("%d strangers, %d of one", g.strangers, g.of["stranger 0"])
	}
	if g.admit("box") {
		t.Error("nobody knows that it is one")
	}
	g.met("box")
	if !g.admit("box") {
		t.Error("a box that was met is kept out by strangers")
	}
	g.leave("box")
	g.leave("stranger 0")
	if !g.admit("another stranger") {
		t.Error("one has gone, and nobody gets its place")
	}
}

// A box is silent where it had its time. Who had less left says nothing of it.
func TestWhoIsInAHurry(t *testing.T) {
	over := time.Now().Add(-time.Second)
	hurried, cancel := context.WithDeadline(t.Context(), over)
	defer cancel()
	slow, cancelSlow := context.WithDeadlineCause(t.Context(), over, errSlow)
	defer cancelSlow()
	inVain, cancelInVain := context.WithTimeoutCause(hurried, time.Hour, errSlow)
	defer cancelInVain()
	for name, c := range map[string]struct {
		ctx    context.Context
		silent bool
	}{"hurried": {hurried, false}, "hurried, within its time": {inVain, false}, "too slow": {slow, true}} {
		client := &Client{lines: lifelines{ping: func(context.Context, string) error { return nil }, of: map[string]*lifeline{}}}
		if err := client.missed(c.ctx, "box", over, errors.New("i/o timeout")); !errors.Is(err, ErrAway) {
			t.Errorf("%s: %v", name, err)
		}
		if silent := client.lines.silent("box") != nil; silent != c.silent {
			t.Errorf("%s: the box counts as silent: %v", name, silent)
		}
	}
}

// A box that does not answer in time is one that is away, to whoever asks for what.
func TestNoAnswerInTime(t *testing.T) {
	ctx, cancel := patiently(t.Context(), "box", 0)
	defer cancel()
	<-ctx.Done()
	if err := (&Client{}).failed(ctx, "box", errors.New("i/o timeout")); !errors.Is(err, ErrAway) || !errors.Is(err, sessions.ErrRuntimeDown) {
		t.Error(err)
	}
}

// What a dead box has not acknowledged is not held for long, on either side.
func TestWhatIsNotAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := (&net.Dialer{ControlContext: unacknowledged}).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	g := newGate()
	far, err := (&listener{l, &g}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for name, c := range map[string]net.Conn{"who connects": near, "who answers": far.(*socket).TCPConn} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := errors.Join(err, raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })); err != nil || got != int(unacknowledgedFor.Milliseconds()) {
			t.Errorf("%s: %d ms, %v", name, got, err)
		}
	}
}
