package router

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// Streams whose engines reset them as they begin: each ends at once, and none is taken for another.
func TestCarriedResetsAtOnce(t *testing.T) {
	e := newScripted(t, func(c *turn) {
		if c.read() && c.say(eventHead+chunk(firstEvent)) {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
	g := newRig(t, Config{}, hello(e.addr))
	last := strings.Replace(g.streamAsk(), "Host: x\r\n", "Host: x\r\nConnection: close\r\n", 1)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 30 {
				if said := g.talk(last); len(said) != 1 {
					t.Errorf("%d answers", len(said))
				}
			}
		})
	}
	all.Wait()
	g.nothingIsHeld()
}
