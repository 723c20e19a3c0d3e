package door

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a connection to nobody.
func wire(t *testing.T) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw := &socket{TCPConn: c.(*net.TCPConn)}
	t.Cleanup(func() { raw.TCPConn.Close() })
	return newConn(raw, tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS13}))
}

// A box that does not answer is connected to no more, and in the end what stands still is cut off, and nothing else; when it answers,
// all is as before. A box to which nothing is open is not asked.
func TestABoxThatIsFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var frozen atomic.Bool
		l := lifelines{of: map[string]*lifeline{}, ping: func(ctx context.Context, _ string) error {
			asked.Add(1)
			if frozen.Load() {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}}
		over := map[string]bool{}
		still, moves := wire(t), wire(t)
		for name, c := range map[string]*Conn{"still": still, "moves": moves} {
			gone := l.add("box", c)
			c.over = func() { gone(); over[name] = true }
		}
		time.Sleep(time.Hour)
		if n := asked.Load(); n < 100 || len(over) > 0 || l.silent("box") != nil {
			t.Fatalf("after an hour: asked %d times, %v, %v", n, over, l.silent("box"))
		}
		frozen.Store(true)
		time.Sleep((silentAfter + 1) * (pingEvery + pingPatience))
		if err := l.silent("box"); !errors.Is(err, ErrAway) {
			t.Errorf("connections to it are waited for: %v", err)
		}
		for range cutAfter + 1 {
			moves.moved.Store(time.Now().UnixNano())
			time.Sleep(pingEvery + pingPatience)
		}
		synctest.Wait()
		if !over["still"] || over["moves"] {
			t.Errorf("cut off: %v", over)
		}
		frozen.Store(false)
		time.Sleep(pingEvery + pingPatience)
		if err := l.silent("box"); err != nil {
			t.Errorf("it answers: %v", err)
		}
		moves.Break()
		time.Sleep(pingEvery)
		n := asked.Load()
		time.Sleep(time.Hour)
		if asked.Load() != n || len(l.of) > 0 {
			t.Error("it is asked on, though nothing is open to it")
		}

		frozen.Store(true)
		l.missed("box", time.Now(), errors.New("nobody"))
		if err := l.silent("box"); err == nil {
			t.Error("who comes next waits in vain, too")
		}
		frozen.Store(false)
		time.Sleep(2 * pingEvery)
		if len(l.of) > 0 {
			t.Error("it is asked on")
		}
	})
}
