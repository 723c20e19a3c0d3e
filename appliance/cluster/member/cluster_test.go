package member_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// asBox makes this program a box of its own, that can be stopped and killed.
const asBox = "PALISADE_TEST_MEMBER"

func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 1 << 20 // of 64 MiB that each member takes at once

	if text, ok := os.LookupEnv(asBox); ok {
		if err := serve(text); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// box is a node of the tests.
type box struct {
	config member.Config
	node   *trust.Node
	dir    string // of its trust
	ports  []net.Listener
	runs   *member.Member
	child  *exec.Cmd
	stdin  io.Closer
}

// order is what a child is told.
type order struct {
	Config    member.Config
	Trust     string
	Endpoints []string
	Join      bool
}

func serve(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	o.Config.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	node, err := trust.Open(o.Trust, time.Now)
	if err != nil {
		return err
	}
	client, err := member.Connect(node.EtcdClient(), o.Endpoints...)
	if err != nil {
		return err
	}
	defer client.Close()
	var m *member.Member
	if o.Join {
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			m, err = member.Join(ctx, o.Config, member.NewMembers(client))
			if !errors.Is(err, member.ErrNotYet) || ctx.Err() != nil {
				break
			}
			<-again.C // so shortly after another member was away: a box asks again, too
		}
	} else {
		m, err = member.Resume(ctx, o.Config)
	}
	if err != nil {
		return err
	}
	if err := m.Ready(ctx); err != nil {
		return err
	}
	os.Stdout.WriteString("ready\n")
	_, err = io.Copy(io.Discard, os.Stdin) // until the test ends, however it ends
	return errors.Join(err, m.Close(ctx))
}

// cluster is boxes on loopback, with all of TLS.
type cluster struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	boxes  []*box
	key    trust.ClusterKey
	desk   *trust.Desk
	client *clientv3.Client
	all    *member.Members
	silent *member.Silence
}

// port finds one that is free, and keeps it until the member wants it.
func (b *box) port(t *testing.T) member.Port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.ports = append(b.ports, l)
	return member.Port{Listen: l.Addr().String(), Advertise: l.Addr().String()}
}

func (b *box) free() {
	for _, l := range b.ports {
		l.Close()
	}
	b.ports = nil
}

func (c *cluster) box(name string) *box {
	c.t.Helper()
	b := &box{dir: filepath.Join(c.dir, name, "trust")}
	b.config = member.Config{
		Dir: filepath.Join(c.dir, name, "member"), Name: name, Cluster: "test", Peer: b.port(c.t), Client: b.port(c.t),
		Tick: 50 * time.Millisecond, Election: 500 * time.Millisecond, Quota: 64 << 20,
		Log: slog.New(slog.DiscardHandler),
	}
	c.boxes = append(c.boxes, b)
	return b
}

// begin makes a cluster of one box.
func begin(t *testing.T) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // paths stay short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	t.Cleanup(cancel)
	c := &cluster{t: t, ctx: ctx, dir: dir, silent: &member.Silence{}}
	b := c.box("box-1")
	if b.node, err = trust.Found(b.dir, "box-1", time.Now); err != nil {
		t.Fatal(err)
	}
	b.config.Files = b.node.Etcd()
	b.free()
	if b.runs, err = member.Begin(ctx, b.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	if err := b.runs.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if c.key, err = b.node.ClusterKey(); err != nil {
		t.Fatal(err)
	}
	c.connect(b.node, b)
	f, _, err := b.node.Founding()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.desk.Begin(ctx, f), b.node.Founded()); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect makes the client that the test looks with.
func (c *cluster) connect(as *trust.Node, to ...*box) {
	c.t.Helper()
	var endpoints []string
	for _, b := range to {
		endpoints = append(endpoints, b.config.Client.Advertise)
	}
	if c.client != nil {
		c.client.Close()
	}
	var err error
	if c.client, err = member.Connect(as.EtcdClient(), endpoints...); err != nil {
		c.t.Fatal(err)
	}
	c.all = member.NewMembers(c.client)
	c.desk = trust.NewDesk(member.NewShelf(c.client, "/palisade/1/trust/"), c.key, time.Now)
}

// join lets a box into the cluster; it is no member yet.
func (c *cluster) join(name string) *box {
	c.t.Helper()
	b := c.box(name)
	var err error
	if b.node, err = trust.Create(b.dir, name, time.Now); err != nil {
		c.t.Fatal(err)
	}
	token, err := c.desk.NewToken(c.ctx, trust.Asked{Approve: true, Uses: 1, For: time.Hour})
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := b.node.Request(token, "", "")
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := c.desk.Join(c.ctx, "127.0.0.1", r)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := b.node.Take(a, token); err != nil {
		c.t.Fatal(err)
	}
	b.config.Files = b.node.Etcd()
	return b
}

// child starts a box's member in a process of its own.
func (c *cluster) child(b *box, join bool) error {
	o := order{Config: b.config, Trust: b.dir, Endpoints: []string{c.boxes[0].config.Client.Advertise}, Join: join}
	o.Config.Log = nil
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	b.child = exec.CommandContext(context.WithoutCancel(c.ctx), os.Args[0])
	b.child.Env = append(os.Environ(), asBox+"="+string(text))
	b.child.Stderr = os.Stderr
	out, err := b.child.StdoutPipe()
	if err != nil {
		return err
	}
	if b.stdin, err = b.child.StdinPipe(); err != nil {
		return err
	}
	b.free()
	if err := b.child.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return errors.Join(errors.New("the box did not start"), err)
	}
	return nil
}

// end ends all of them, who leads last: it would wait for long for somebody who is ending, too, to hand that on to.
func (c *cluster) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	leader := ""
	if c.client != nil {
		if s, err := c.all.Status(ctx, c.silent, time.Now()); err == nil {
			leader = s.Leader
		}
		c.client.Close()
	}
	var rest sync.WaitGroup
	for _, b := range c.boxes {
		b.free()
		switch {
		case b.child != nil:
			b.kill()
		case b.runs != nil && b.config.Name != leader:
			rest.Go(func() { b.runs.Close(ctx) })
		}
	}
	rest.Wait()
	for _, b := range c.boxes {
		if b.runs != nil && b.config.Name == leader {
			b.runs.Close(ctx)
		}
	}
}

// kill is the power switch of a box that is a process of its own.
func (b *box) kill() {
	b.child.Process.Kill()
	b.child.Wait()
	b.stdin.Close()
}

// until looks again and again.
func (c *cluster) until(what string, is func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			s, err := c.all.Status(context.WithoutCancel(c.ctx), c.silent, time.Now())
			c.t.Fatalf("%s: it did not come to be: %+v, %v", what, s, err)
		}
	}
}

func (c *cluster) status() member.Status {
	c.t.Helper()
	s, err := c.all.Status(c.ctx, c.silent, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cluster) votes() (votes, answer int) {
	o := c.status().Quorum
	return o.Votes, o.Answer
}

// drive does what the leader of a cluster does: it looks, plans, and has it carried out, until there are so many votes.
func (c *cluster) drive(votes int, by map[string]func(*box) error) (steps []string) {
	c.t.Helper()
	c.until("the members that are wanted", func() bool {
		s := c.status()
		if !s.Agreed {
			return false
		}
		var boxes []member.Box
		for _, b := range c.boxes {
			boxes = append(boxes, member.Box{Name: b.config.Name, Alive: true})
		}
		plan := member.Plan(s.Seats(), boxes)
		if len(plan) == 0 {
			return s.Quorum.Votes == votes && s.Quorum.Answer == votes && len(s.Members) == votes
		}
		step := plan[0]
		steps = append(steps, string(step.Do)+" "+step.Name)
		if step.Do != member.Invite {
			if err := c.all.Carry(c.ctx, step); err != nil && !errors.Is(err, member.ErrNotYet) {
				c.t.Fatalf("%s: %v", step, err)
			}
			return false
		}
		for _, b := range c.boxes {
			if b.config.Name == step.Name {
				if err := by[step.Name](b); err != nil {
					c.t.Fatalf("%s: %v", step, err)
				}
			}
		}
		return false
	})
	return steps
}

// inside has a box join in this process.
func (c *cluster) inside(b *box) (err error) {
	b.free()
	if b.runs, err = member.Join(c.ctx, b.config, c.all); err != nil {
		return err
	}
	return b.runs.Ready(c.ctx)
}

// put writes. What was on its way to a leader that is gone is lost, and etcd says so late: it is written again.
func (c *cluster) put(key, value string) {
	c.t.Helper()
	c.until("a write", func() bool {
		ctx, cancel := context.WithTimeout(c.ctx, time.Second)
		defer cancel()
		_, err := c.client.Put(ctx, key, value)
		return err == nil
	})
}

// to is a client of one member alone.
func (b *box) to(t *testing.T, address string) *clientv3.Client {
	t.Helper()
	client, err := member.Connect(b.node.EtcdClient(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
