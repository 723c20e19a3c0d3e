package member_test

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// A member comes back at other ports, first as the only one, then as one of three whose vote is needed: it tells the others by itself.
func TestAMemberMoves(t *testing.T) {
	t.Parallel()
	c := begin(t)
	moves := func(b *box) {
		t.Helper()
		if err := b.runs.Close(c.ctx); err != nil {
			t.Fatal(err)
		}
		id := b.runs.ID()
		b.config.Peer, b.config.Client = b.port(t), b.port(t)
		b.free()
		var err error
		if b.runs, err = member.Resume(c.ctx, b.config); err != nil {
			t.Fatal(err)
		}
		c.connect(b.node, c.boxes...)
		c.until("the others know where it is", func() bool { return c.all.Move(c.ctx, id, b.config.Peer.Advertise) == nil })
		c.until("it answers there", func() bool {
			s := c.status()
			for _, v := range s.Members {
				if v.ID == id {
					return s.Agreed && v.Answers && v.Peer == b.config.Peer.Advertise && v.Client == b.config.Client.Advertise
				}
			}
			return false
		})
		c.put("/test/moved", b.config.Peer.Advertise)
	}
	moves(c.boxes[0])
	c.join("box-2")
	c.join("box-3")
	c.drive(3, map[string]func(*box) error{"box-2": c.inside, "box-3": c.inside})
	if err := c.boxes[2].runs.Close(c.ctx); err != nil { // so the other two are needed
		t.Fatal(err)
	}
	moves(c.boxes[1])
}
