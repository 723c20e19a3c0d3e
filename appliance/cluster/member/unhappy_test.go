package member_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// TestDamagedData: etcd ends the process where its data is damaged. In here it must not: sessions run.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	c := begin(t)
	b := c.boxes[0]
	c.put("/test/x", strings.Repeat("x", 1<<20))
	if err := b.runs.Close(c.ctx); err != nil {
		t.Fatal(err)
	}
	b.runs = nil
	data := filepath.Join(b.config.Dir, "etcd", "member")
	for _, pattern := range []string{"snap/db", "wal/*.wal"} {
		files, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		kept, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], bytes.Repeat([]byte("broken"), len(kept)/6), 0o600); err != nil {
			t.Fatal(err)
		}
		again := b.config // etcd leaves its ports open where it breaks
		again.Peer, again.Client = b.port(t), b.port(t)
		b.free()
		m, err := member.Resume(c.ctx, again)
		if err == nil {
			m.Close(c.ctx)
			t.Errorf("%s: it runs", pattern)
		}
		hinted, ok := errors.AsType[*member.Error](err)
		if !errors.Is(err, member.ErrBroken) || !ok || hinted.Hint() == "" {
			t.Errorf("%s: %v", pattern, err)
		}
		if err := os.WriteFile(files[0], kept, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	node, err := trust.Found(dir, "box-1", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := member.Port{Listen: taken.Addr().String(), Advertise: taken.Addr().String()}
	good := member.Config{Dir: filepath.Join(dir, "m"), Name: "box-1", Cluster: "x", Peer: p, Client: p, Files: node.Etcd(), Log: slog.New(slog.DiscardHandler)}
	for name, tc := range map[string]struct {
		change func(c *member.Config)
		kind   error
		words  string
	}{
		"a port that is taken": {func(*member.Config) {}, nil, "address already in use"},
		"no port":              {func(c *member.Config) { c.Peer.Listen = "127.0.0.1" }, member.ErrInvalid, "127.0.0.1"},
		"a path":               {func(c *member.Config) { c.Client.Advertise = "127.0.0.1:1/x" }, member.ErrInvalid, "127.0.0.1:1/x"},
		"no certificate": {func(c *member.Config) {
			c.Peer.Listen, c.Client.Listen = "127.0.0.1:0", "127.0.0.1:0"
			c.Files.Certificate = filepath.Join(dir, "none")
		}, nil, "no such file"},
		"a directory that is a file":  {func(c *member.Config) { c.Dir = node.Etcd().Roots }, nil, "not a directory"},
		"an election before the beat": {func(c *member.Config) { c.Election = c.Tick / 2; c.Tick = time.Second }, nil, "election"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			c.Tick = 100 * time.Millisecond
			tc.change(&c)
			m, err := member.Begin(t.Context(), c)
			if err == nil {
				m.Close(t.Context())
				t.Fatal("it runs")
			}
			if tc.kind != nil && !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.words) {
				t.Error(err)
			}
		})
	}
	for name, start := range map[string]func(context.Context, member.Config) (*member.Member, error){"resume": member.Resume, "rescue": member.Rescue} {
		if _, err := start(t.Context(), good); !errors.Is(err, member.ErrNotFound) {
			t.Errorf("%s without data: %v", name, err)
		}
	}
}

func TestExternal(t *testing.T) {
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := []string{"https://etcd-1.example.com:2379"}
	for name, tc := range map[string]struct {
		x     member.External
		words string
	}{
		"nowhere":           {member.External{}, "no endpoints"},
		"no CA":             {member.External{Endpoints: at, CA: filepath.Join(dir, "none")}, "no such file"},
		"rubbish for a CA":  {member.External{Endpoints: at, CA: rubbish}, "holds no certificate"},
		"half a pair":       {member.External{Endpoints: at, Certificate: rubbish}, "both or not at all"},
		"a pair of rubbish": {member.External{Endpoints: at, Certificate: rubbish, Key: rubbish}, "failed to find any PEM data"},
	} {
		if _, err := tc.x.Connect(); err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExternalTalks takes a cluster's own etcd for one of its owner's.
func TestExternalTalks(t *testing.T) {
	t.Parallel()
	c := begin(t)
	files := c.boxes[0].config.Files
	x := member.External{Endpoints: []string{"https://" + c.boxes[0].config.Client.Advertise}, CA: files.Roots, Certificate: files.Certificate, Key: files.Certificate}
	client, err := x.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	// Its certificate is for no address: an owner's etcd that shows such a one is refused.
	if _, err := client.Get(ctx, "/"); err == nil {
		t.Error("an address that is in no certificate is talked to")
	}
}

func TestBloated(t *testing.T) {
	view := func(name string, size, use int64, more ...func(*member.View)) member.View {
		v := member.View{Size: size << 20, InUse: use << 20, Quota: 2 << 30}
		v.Name, v.Answers = name, true
		for _, m := range more {
			m(&v)
		}
		return v
	}
	leads := func(v *member.View) { v.Leader = true }
	silent := func(v *member.View) { v.Answers = false }
	for name, tc := range map[string]struct {
		members []member.View
		want    string
	}{
		"none":                       {nil, ""},
		"small":                      {[]member.View{view("a", 60, 1)}, ""},
		"full of what is used":       {[]member.View{view("a", 1900, 1800)}, ""},
		"half is free":               {[]member.View{view("a", 50, 1), view("b", 200, 90)}, "b"},
		"the leader last":            {[]member.View{view("a", 200, 20, leads), view("b", 200, 90)}, "b"},
		"the leader alone":           {[]member.View{view("a", 200, 20, leads), view("b", 20, 9)}, "a"},
		"near its bound":             {[]member.View{view("a", 1700, 1200)}, "a"},
		"not while another is quiet": {[]member.View{view("a", 200, 20), view("b", 20, 9, silent)}, ""},
	} {
		v, ok := member.Bloated(member.Status{Members: tc.members})
		if v.Name != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %q, %v", name, v.Name, ok)
		}
	}
}

// TestUpkeep fills a small etcd until it takes no more, and makes room.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	c := begin(t)
	b := c.boxes[0]
	if err := b.runs.Close(c.ctx); err != nil {
		t.Fatal(err)
	}
	b.config.Quota = 8 << 20
	var err error
	if b.runs, err = member.Begin(c.ctx, b.config); err != nil { // said again, it goes on
		t.Fatal(err)
	}
	if err := b.runs.Ready(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.connect(b.node, b)
	const going = 1000
	for i := range going {
		if _, err := c.client.Put(c.ctx, fmt.Sprint("/test/going/", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if _, err = c.client.Put(c.ctx, "/test/x", strings.Repeat("x", 1<<20)); err != nil {
			break
		}
	}
	s := c.status()
	v, found := member.Bloated(s)
	if !strings.Contains(err.Error(), "database space exceeded") || len(s.Members[0].Alarms) == 0 {
		t.Fatalf("%v: %+v", err, s)
	}
	if err := c.all.Relieve(c.ctx, s); err != nil { // too early: there is no room yet
		t.Error(err)
	}
	r, err := c.client.Get(c.ctx, "/test/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Compact(c.ctx, r.Header.Revision); err != nil {
		t.Fatal(err)
	}
	// bbolt counts what was freed as free with a later write, which is one that a full etcd takes: something goes.
	gone := 0
	c.until("there is much to be freed", func() bool {
		if _, err := c.client.Delete(c.ctx, fmt.Sprint("/test/going/", gone%going)); err != nil {
			t.Fatal(err)
		}
		gone++
		v, found = member.Bloated(c.status())
		return found && v.InUse < b.config.Quota/2 // the compaction goes on beside this
	})
	if err := c.all.Defragment(c.ctx, v); err != nil {
		t.Fatal(err)
	}
	s = c.status()
	if err := c.all.Relieve(c.ctx, s); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Put(c.ctx, "/test/x", "y"); err != nil || s.Members[0].Size >= v.Size {
		t.Errorf("%v; %d bytes, %d before", err, s.Members[0].Size, v.Size)
	}
}
