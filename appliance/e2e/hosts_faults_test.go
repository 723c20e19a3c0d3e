package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultsFile is where the table of what faults come to is put.
var faultsFile = flag.String("faults", "", "bring all faults to hosts, and put the table of what came of them into this `file`")

// fault is what is done to a host for a while.
type fault struct {
	name  string
	begin func(h *host)
	end   func(h *host)
}

// without tells what this kernel lacks for a fault; "": nothing.
func (f fault) without() string {
	if f.name == slow.name {
		if out, err := exec.Command("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms").CombinedOutput(); err != nil {
			return strings.TrimSpace(string(out))
		}
		_ = exec.Command("tc", "qdisc", "del", "dev", "lo", "root").Run()
	}
	return ""
}

var (
	killed = fault{"kill -9, and started again", func(h *host) { h.kill() }, func(h *host) { h.start() }}
	frozen = fault{"frozen", func(h *host) { h.freeze(true) }, func(h *host) { h.freeze(false) }}
	parted = fault{"cut off from the others", func(h *host) { h.cut(true) }, func(h *host) { h.cut(false) }}
	mute   = fault{"cut off one way: it is not heard", func(h *host) { h.mute(true) }, func(h *host) { h.mute(false) }}
	deaf   = fault{"cut off one way: it hears nothing", func(h *host) { h.deaf(true) }, func(h *host) { h.deaf(false) }}
	flaps  = fault{"cut off every other second", func(h *host) {
		for range 3 {
			h.cut(true)
			time.Sleep(time.Second)
			h.cut(false)
			time.Sleep(time.Second)
		}
	}, func(*host) {}}
	slow = fault{"100 ms and 5 % loss on its wire", func(h *host) {
		tc(h, "add", "dev", "eth0", "root", "netem", "delay", "100ms", "loss", "5%")
	}, func(h *host) { tc(h, "del", "dev", "eth0", "root") }}
)

func tc(h *host, args ...string) {
	h.t.Helper()
	if out, err := exec.Command("tc", append([]string{"-n", h.namespace, "qdisc"}, args...)...).CombinedOutput(); err != nil {
		h.t.Fatalf("tc %v: %v: %s", args, err, out)
	}
}

// came is what a fault came to.
type came struct {
	fault, to     string
	leader        time.Duration // until another one decided; 0: nobody else had to
	gap           time.Duration // the longest time in which one of the others answered nothing
	asked, failed int           // at the others
	own, ownBad   int           // at the host itself
	first         error         // of those at the others
	whole         time.Duration // after the fault had ended, until all was as before
	made, refused int           // services: accepted, and not
	lost          []string      // that were accepted, and are not there
	doubled       []string
	led           []string
	saw           int // sessions at most that were seen to run at a time
	uncounted     int // requests that were answered and are not in the usage
	overcounted   int // that are in the usage, and nobody asked
}

// hosting is hosts with a service on each of them.
type hosting struct {
	t     *testing.T
	hosts []*host
	token string
	own   int // requests of its own
}

func newHosting(t *testing.T) *hosting {
	hosts := newHosts(t, "one", "two", "three")
	one := hosts[0]
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	one.run("service", "create", "host", "voices", "3", "--name", "voices", "-r", "cpu=0.1", "--wait")
	f := &hosting{t: t, hosts: hosts, token: one.run("service", "generate-token", "voices", "--duration", "1d", "-q")}
	f.whole()
	return f
}

// whole waits until all is well: all hosts are there, all routes run, and each host answers.
func (f *hosting) whole() {
	f.t.Helper()
	if err := eventually(120*time.Second, func() error {
		for _, h := range f.hosts {
			var s clusterStatus
			if err := h.asks(f.t.Context(), 5*time.Second, http.MethodGet, "cluster", nil, &s); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			if s.Leader == "" || len(s.alive()) != len(f.hosts) || s.Quorum.Answer != len(f.hosts) {
				return fmt.Errorf("%s sees %+v", h.name, s)
			}
			run := 0
			for _, b := range s.Boxes {
				run += b.Sessions
			}
			if run != len(f.hosts) {
				return fmt.Errorf("%s sees %+v", h.name, s)
			}
			var v serviceView
			if err := h.asks(f.t.Context(), 5*time.Second, http.MethodGet, "services/voices", nil, &v); err != nil || v.Status != "HEALTHY" || len(v.Routes) != len(f.hosts) {
				return fmt.Errorf("%s sees %+v, %w", h.name, v, err)
			}
			f.own++
			if err := h.request(f.t.Context(), h.http(), f.token); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
		}
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

// bring brings a fault to the host that leads, or to another.
func (f *hosting) bring(x fault, toLeader bool, long time.Duration) came {
	f.t.Helper()
	var s clusterStatus
	if err := f.hosts[0].asks(f.t.Context(), 5*time.Second, http.MethodGet, "cluster", nil, &s); err != nil {
		f.t.Fatal(err)
	}
	// Of those that follow, one that has a route.
	var to *host
	for _, h := range f.hosts {
		for _, b := range s.Boxes {
			if b.Name == h.name && (h.name == s.Leader) == toLeader && (toLeader || to == nil || b.Sessions > 0) {
				to = h
			}
		}
	}
	time.Sleep(3 * time.Second) // until what was asked before is counted
	before, own := f.counted(0), f.own
	h, end := watch(f.t, f.hosts, f.token)
	time.Sleep(2 * time.Second)
	began := time.Now()
	x.begin(to)
	if left := long - time.Since(began); left > 0 {
		time.Sleep(left)
	}
	ended := time.Now()
	x.end(to)
	f.whole()
	c := came{fault: x.name, to: map[bool]string{true: "the leader", false: "a follower"}[toLeader], whole: time.Since(ended)}
	time.Sleep(time.Second)
	end()
	c.judge(h, to, began)
	f.accepted(h, &c)
	answered, all := 0, f.own-own
	for _, of := range h.asked {
		all += len(of)
		for _, a := range of {
			if a.err == nil {
				answered++
			}
		}
	}
	rows := f.counted(before+answered) - before
	c.uncounted, c.overcounted = max(answered-rows, 0), max(rows-all, 0)
	return c
}

// counted is how many requests are in the usage, once they are as many as they should be, or after a while.
func (f *hosting) counted(want int) int {
	f.t.Helper()
	have := 0
	_ = eventually(10*time.Second, func() error {
		requests, _ := f.hosts[0].counted()
		if have = int(requests); have < want {
			return errors.New("not all yet")
		}
		return nil
	})
	return have
}

// judge counts what clients saw.
func (c *came) judge(h *history, to *host, began time.Time) {
	if h.leader != "" && h.changed.After(began) {
		c.leader = h.changed.Sub(began)
	}
	c.led, c.saw = h.led, h.saw
	for name, all := range h.asked {
		last := began
		for _, a := range all {
			if a.ended.Before(began) {
				continue
			}
			if name == to.name {
				c.own++
				if a.err != nil {
					c.ownBad++
				}
				continue
			}
			c.asked++
			if a.err != nil {
				c.failed++
				c.first = errors.Join(c.first, a.err)
				continue
			}
			c.gap, last = max(c.gap, a.ended.Sub(last)), a.ended
		}
	}
	for id := range h.doubled {
		c.doubled = append(c.doubled, id)
	}
}

// accepted looks for all services that were accepted, and takes them away.
func (f *hosting) accepted(h *history, c *came) {
	f.t.Helper()
	c.made, c.refused = len(h.made), h.refused
	out := f.hosts[0].run("service", "list", "-q")
	there := strings.Fields(out)
	for _, name := range h.made {
		if !slices.Contains(there, name) {
			c.lost = append(c.lost, name)
		}
	}
	for _, name := range there {
		if strings.HasPrefix(name, "made-") {
			if err := f.hosts[0].asks(f.t.Context(), 20*time.Second, http.MethodDelete, "services/"+name, nil, nil); err != nil {
				f.t.Error(err)
			}
		}
	}
}

// must fails the test where what must never be was seen.
func (c *came) must(t *testing.T) {
	t.Helper()
	// A process that is killed takes with it what it has not written of the last second.
	if c.uncounted > 0 && c.fault != killed.name || c.overcounted > 0 {
		t.Errorf("%s to %s: of the requests %d are in no usage, and %d in it too much", c.fault, c.to, c.uncounted, c.overcounted)
	}
	if len(c.led) > 0 || len(c.doubled) > 0 || len(c.lost) > 0 || c.made == 0 || c.saw < 3 {
		t.Errorf("%s to %s: two led at %v; in two places ran %v, of %d; of %d services that were accepted are lost %v", c.fault, c.to, c.led, c.doubled, c.saw, c.made, c.lost)
	}
	t.Logf("%+v", *c)
}

// TestHosts: three hosts are one appliance, and the wire of the one that decides is cut. The others go on, one of them decides, what was
// accepted is kept, and nothing runs in two places.
func TestHosts(t *testing.T) {
	if *faultsFile != "" {
		return // all faults are brought instead
	}
	f := newHosting(t)
	c := f.bring(parted, true, 6*time.Second)
	c.must(t)
	if c.leader == 0 {
		t.Error("nobody else has decided")
	}
}

// TestFaults brings all faults and writes the table.
func TestFaults(t *testing.T) {
	if *faultsFile == "" {
		return // TestHosts is a part of it
	}
	f := newHosting(t)
	var lines []string
	for _, x := range []fault{killed, frozen, parted, mute, deaf, flaps, slow} {
		if why := x.without(); why != "" {
			lines = append(lines, fmt.Sprintf("| %s | | not brought: %s | | | | | | | |", x.name, why))
			continue
		}
		for _, leader := range []bool{true, false} {
			c := f.bring(x, leader, 8*time.Second)
			c.must(t)
			change := "none"
			if c.leader > 0 {
				change = fmt.Sprintf("%.1f s", c.leader.Seconds())
			}
			lines = append(lines, fmt.Sprintf("| %s | %s | %s | %.1f s | %d of %d | %d of %d | %.1f s | %d | %d of %d | %d |", c.fault, c.to, change, c.gap.Seconds(),
				c.failed, c.asked, c.ownBad, c.own, c.whole.Seconds(), len(c.doubled), len(c.lost), c.made, c.uncounted))
		}
	}
	text, err := os.ReadFile(*faultsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), tableHead)
	if !ok {
		t.Fatalf("%s has no table", *faultsFile)
	}
	if err := os.WriteFile(*faultsFile, []byte(head+tableHead+strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

const tableHead = `| fault, for 8 s | to | another decides after | longest silence at the others | failed at the others | failed at the host itself | whole again after its end | sessions doubled | services lost | requests in no usage |
|---|---|---|---|---|---|---|---|---|---|
`
