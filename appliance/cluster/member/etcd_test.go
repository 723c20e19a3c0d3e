package member_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
)

// TestCluster walks one cluster through its life: it takes seconds to make, so all is done with one.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := begin(t)
	lap := time.Now()
	step := func(name string, f func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) { c.t = t; f(t); c.t = t }) {
			t.FailNow()
		}
		c.t = t
		t.Logf("%s: %v", name, time.Since(lap).Round(time.Millisecond))
		lap = time.Now()
	}
	step("etcd is a shelf", func(t *testing.T) { trusttest.Shelf(t, member.NewShelf(c.client, "/test/")) })
	step("it grows to three by itself", c.growsToThree)
	step("who is not of the cluster is refused", c.refuses) // while etcd would take no further member yet
	step("it grows to five by itself", c.growsToFive)
	step("a leader is frozen", c.freezes)
	step("a member is killed and loses its data", c.loses)
	step("a member is removed", c.removes)
}

func (c *cluster) growsToThree(t *testing.T) {
	by := map[string]func(*box) error{"box-2": c.inside, "box-3": c.inside}
	c.join("box-2")
	if steps := c.drive(1, by); len(steps) != 0 {
		t.Errorf("two boxes: %v", steps)
	}
	c.join("box-3")
	if got := strings.Join(c.drive(3, by), ", "); got != "invite box-2, promote box-2, invite box-3, promote box-3" {
		t.Error(got)
	}
}

func (c *cluster) growsToFive(t *testing.T) {
	by := map[string]func(*box) error{"box-4": c.inside, "box-5": func(b *box) error { return c.child(b, true) }}
	c.join("box-4")
	c.join("box-5")
	if got := strings.Join(c.drive(5, by), ", "); got != "invite box-4, promote box-4, invite box-5, promote box-5" {
		t.Error(got)
	}
	s := c.status()
	if s.Leader == "" || s.Quorum.MayFail != 2 {
		t.Errorf("%+v", s)
	}
	for _, v := range s.Members {
		if v.Version == "" || v.Size == 0 || v.Quota != 64<<20 || v.Client == "" || v.Peer == "" || v.Learner || v.Leader != (v.Name == s.Leader) || len(v.Alarms) != 0 {
			t.Errorf("%+v", v)
		}
	}
	// A vote that is there already is no error, and neither is one for who left meanwhile.
	if err := c.all.Promote(c.ctx, c.boxes[0].runs.ID()); err != nil {
		t.Error(err)
	}
	if err := c.all.Promote(c.ctx, 1); !errors.Is(err, member.ErrNotFound) {
		t.Error(err)
	}
	if err := c.all.Remove(c.ctx, 1); err != nil {
		t.Error(err)
	}
	c.connect(c.boxes[0].node, c.boxes...)
}

func (c *cluster) refuses(t *testing.T) {
	stranger, err := trust.Found(t.TempDir(), "box-2", time.Now) // of another cluster, with a name of this one
	if err != nil {
		t.Fatal(err)
	}
	removed := c.join("box-6")
	if err := c.desk.Remove(c.ctx, "box-6", "ann"); err != nil {
		t.Fatal(err)
	}
	c.boxes = c.boxes[:len(c.boxes)-1]
	removed.free()
	asks := func(as *trust.Node) error {
		client, err := member.Connect(as.EtcdClient(), c.boxes[0].config.Client.Advertise)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(c.ctx, time.Second)
		defer cancel()
		_, err = client.Get(ctx, "/palisade/1/trust/ca")
		return err
	}
	if err := asks(removed.node); err != nil { // until the nodes have heard of it
		t.Error(err)
	}
	bundle, denied, err := c.desk.Beliefs(c.ctx)
	if err != nil || len(denied) != 1 {
		t.Fatal(denied, err)
	}
	for _, b := range c.boxes {
		if err := b.node.Believe(bundle, denied); err != nil {
			t.Fatal(err)
		}
	}
	if err := asks(removed.node); err == nil {
		t.Error("a node that was removed reads")
	}
	if err := asks(stranger); err == nil {
		t.Error("another cluster's node reads")
	}
	if err := asks(c.boxes[1].node); err != nil {
		t.Error(err)
	}
	// A member of another cluster does not get in either.
	foreign := c.boxes[1].config
	foreign.Dir, foreign.Name, foreign.Files = t.TempDir(), "box-7", stranger.Etcd()
	client, err := member.Connect(stranger.EtcdClient(), c.boxes[0].config.Client.Advertise)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	if m, err := member.Join(ctx, foreign, member.NewMembers(client)); err == nil {
		m.Close(c.ctx)
		t.Error("another cluster's node is a member")
	}
}

// freezes stops the process of the member that leads: it does not know what happens to it, and holds its connections.
func (c *cluster) freezes(t *testing.T) {
	child := c.boxes[4]
	var id uint64
	for _, v := range c.status().Members {
		if v.Name == "box-5" {
			id = v.ID
		}
	}
	for _, v := range c.status().Members {
		if v.Leader && v.ID != id {
			if _, err := c.boxes[0].to(t, v.Client).MoveLeader(c.ctx, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.until("box-5 leads", func() bool { return c.status().Leader == "box-5" })
	c.connect(c.boxes[0].node, c.boxes[:4]...)
	if err := child.child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.put("/test/frozen", "1")
	t.Logf("a write was taken %v after the leader froze", time.Since(began).Round(time.Millisecond))
	s := c.status()
	i := slices.IndexFunc(s.Members, func(v member.View) bool { return v.Name == "box-5" })
	if v := s.Members[i]; v.Answers || v.Problem == "" || s.Quorum.Votes != 5 || s.Quorum.Answer != 4 || s.Quorum.MayFail != 1 || s.Leader == "box-5" {
		t.Errorf("%+v, %+v", v, s.Quorum)
	}
	// Frozen for a moment, nothing is changed.
	if plan := member.Plan(s.Seats(), []member.Box{{Name: "box-1", Alive: true}, {Name: "box-2", Alive: true}, {Name: "box-3", Alive: true}, {Name: "box-4", Alive: true}, {Name: "box-5"}}); len(plan) != 0 {
		t.Errorf("%v", plan)
	}
	if err := child.child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.until("box-5 is back", func() bool {
		s := c.status()
		return s.Quorum.Answer == 5 && s.Members[i].InStep && s.Members[i].Silent == 0
	})
}

// loses kills a member, and its disk is new when it comes back.
func (c *cluster) loses(t *testing.T) {
	child := c.boxes[4]
	before := c.status().Members[4].ID
	child.kill()
	if err := c.child(child, false); err != nil { // killed alone, it goes on
		t.Fatal(err)
	}
	c.until("box-5 is back", func() bool { _, answer := c.votes(); return answer == 5 })
	if v := c.status().Members[4]; v.ID != before {
		t.Errorf("%+v", v)
	}
	child.kill()
	if err := os.RemoveAll(child.config.Dir); err != nil {
		t.Fatal(err)
	}
	c.put("/test/lost", "1")
	if err := c.child(child, true); err != nil {
		t.Fatal(err)
	}
	s := c.status()
	if v := s.Members[4]; v.Name != "box-5" || v.ID == before || !v.Learner || len(s.Members) != 5 {
		t.Errorf("%+v", s.Members)
	}
	if steps := c.drive(5, nil); len(steps) != 1 || steps[0] != "promote box-5" {
		t.Error(steps)
	}
}

func (c *cluster) removes(t *testing.T) {
	b := c.boxes[3]
	c.until("etcd lets a member go", func() bool {
		err := c.all.Remove(c.ctx, b.runs.ID())
		if err != nil && !errors.Is(err, member.ErrNotYet) { // so shortly after another one was away
			t.Fatal(err)
		}
		return err == nil
	})
	select {
	case <-b.runs.Done():
	case <-c.ctx.Done():
		t.Fatal("it does not notice")
	}
	if err := b.runs.Err(); !errors.Is(err, member.ErrRemoved) {
		t.Error(err)
	}
	c.until("nobody is answered by it", func() bool {
		conn, err := net.Dial("tcp", b.config.Client.Advertise)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if err := b.runs.Close(c.ctx); err != nil {
		t.Error(err)
	}
	if !member.HasData(b.config.Dir) {
		t.Error("its data is gone already")
	}
	// The box is still a node: it comes back as a new member, past the data it has.
	c.until("four votes", func() bool { votes, answer := c.votes(); return votes == 4 && answer == 4 })
	if got := strings.Join(c.drive(5, map[string]func(*box) error{"box-4": c.inside}), ", "); got != "invite box-4, promote box-4" {
		t.Error(got)
	}
}

// TestOneSurvivor loses so many members that nothing can be decided any more.
func TestOneSurvivor(t *testing.T) {
	t.Parallel()
	c := begin(t)
	first, second := c.boxes[0], c.join("box-2")
	if err := c.child(second, true); err != nil {
		t.Fatal(err)
	}
	c.until("box-2 follows", func() bool { return len(c.status().Members) == 2 })
	if err := c.all.Promote(c.ctx, c.status().Members[1].ID); err != nil {
		t.Fatal(err)
	}
	c.put("/test/kept", "yes")
	second.kill()
	c.until("the majority is seen to be gone", func() bool { return !c.status().Agreed })
	s := c.status()
	if o := s.Quorum; o.MayFail != -1 || o.Votes != 2 || len(member.Plan(s.Seats(), []member.Box{{Name: "box-1", Alive: true}})) != 0 {
		t.Errorf("%+v", o)
	}
	if err := first.runs.Close(c.ctx); err != nil {
		t.Fatal(err)
	}
	// A restart does not help, and does not hang.
	var err error
	if first.runs, err = member.Resume(c.ctx, first.config); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	if err := first.runs.Ready(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := first.runs.Close(c.ctx); err != nil || first.runs.Err() != nil {
		t.Fatal(err, first.runs.Err())
	}
	if first.runs, err = member.Rescue(c.ctx, first.config); err != nil {
		t.Fatal(err)
	}
	if err := first.runs.Ready(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.connect(first.node, first)
	r, err := c.client.Get(c.ctx, "/test/kept")
	if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "yes" {
		t.Errorf("%v, %v", r, err)
	}
	if votes, answer := c.votes(); votes != 1 || answer != 1 {
		t.Errorf("%d, %d", votes, answer)
	}
	// The other one comes back with what it had: it is set aside, and it learns anew.
	if err := c.child(second, true); err != nil {
		t.Fatal(err)
	}
	if s := c.status(); len(s.Members) != 2 || s.Members[1].Name != "box-2" || !s.Members[1].Learner {
		t.Errorf("%+v", s.Members)
	}
	if _, err := os.Stat(filepath.Join(second.config.Dir, "removed")); err != nil {
		t.Error(err)
	}
}
