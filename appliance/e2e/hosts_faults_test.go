package e2e_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultsFile is where the table of what faults come to is put.
var faultsFile = flag.String("faults", "", "bring all faults to hosts, and put the table of what came of them into this `file`")

// onlyFaults chooses some of them.
var onlyFaults = flag.String("only-faults", "", "bring only those faults whose row has a match of this `expression`, and leave the other rows of the file as they are")

// victim is what a fault befalls.
type victim interface {
	kill()
	revive()
	freeze(is bool)
	cut(is bool)
}

// fault is what is done to somebody for a while.
type fault struct {
	name       string
	begin, end func(v victim)
	silences   bool // the others hear nothing
}

// ofBox makes a fault that only boxes have.
func ofBox(name string, silences bool, do func(h *host, is bool)) fault {
	return fault{name, func(v victim) { do(v.(*host), true) }, func(v victim) { do(v.(*host), false) }, silences}
}

var (
	killed = fault{"kill -9, and started again", victim.kill, victim.revive, true}
	frozen = fault{"frozen", func(v victim) { v.freeze(true) }, func(v victim) { v.freeze(false) }, true}
	parted = fault{"cut off from the others", func(v victim) { v.cut(true) }, func(v victim) { v.cut(false) }, true}
	mute   = ofBox("cut off one way: it is not heard", true, func(h *host, is bool) { h.mute(is) })
	deaf   = ofBox("cut off one way: it hears nothing", true, func(h *host, is bool) { h.deaf(is) })
	flaps  = fault{"cut off every other second", func(v victim) {
		for range 3 {
			v.cut(true)
			time.Sleep(time.Second)
			v.cut(false)
			time.Sleep(time.Second)
		}
	}, func(victim) {}, false}
	slow = ofBox("a slow wire: 100 ms there and back, 5 % of frames lost each way", false, func(h *host, is bool) { h.slowly(is) })
	full = ofBox("its disk is full; then there is room", false, func(h *host, is bool) {
		before := h.daemon.Process.Pid
		if h.fill(is); !is { // another process of it takes part again in what the boxes agree on
			h.another(before)
		}
	})
	off = ofBox("its clock is 5 minutes off", false, func(h *host, is bool) { h.skew(is) })
)

// came is what a fault came to.
type came struct {
	fault, to     string
	leader        time.Duration // until another one decided; 0: nobody else did
	vacant        time.Duration // the longest time in which nobody decided
	out           time.Duration // until none of the others had its routes; 0: some had them all the time
	gap           time.Duration // the longest time in which one of the others answered nothing
	single        time.Duration // in which the service did whose only route was there; 0: it was not
	asked, failed int           // at the others
	own, ownBad   int           // at the host itself
	first         error         // of those at the others
	whole         time.Duration // after the fault had ended, until all was as before
	made          int           // services that were accepted
	refused       []error       // those that were not
	lost          []string      // that were accepted, and are not there
	doubled       []string
	both          []string // moments at which two led
	saw           int      // sessions at most that were seen to run at a time
	uncounted     int      // requests that were answered and are not in the usage
	overcounted   int      // that are in the usage, and nobody asked
}

// hosting is hosts with a service on each of them, and one that has one route.
type hosting struct {
	t             *testing.T
	hosts         []*host
	external      bool // etcd is the owner's
	token, single string

	// Over all that was done.
	asked, answered        int
	uncounted, overcounted int
}

func newHosting(t *testing.T, hosts []*host, external bool) *hosting {
	one := hosts[0]
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	f := &hosting{t: t, hosts: hosts, external: external}
	for name, routes := range map[string]string{"voices": "3", "single": "1"} {
		one.run("service", "create", "host", "voices", routes, "--name", name, "-r", "cpu=0.1", "--wait")
	}
	// A limit that is never met: the boxes count, in Redis where there is one.
	f.token = one.run("service", "generate-token", "voices", "--duration", "1d", "--rpm", "1000000", "-q")
	f.single = one.run("service", "generate-token", "single", "--duration", "1d", "--rpm", "1000000", "-q")
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
			if s.Leader == "" || len(s.alive()) != len(f.hosts) || !f.external && s.Quorum.Answer != len(f.hosts) {
				return fmt.Errorf("%s sees %+v", h.name, s)
			}
			run := 0
			for _, b := range s.Boxes {
				run += b.Sessions
			}
			if run != len(f.hosts)+1 {
				return fmt.Errorf("%s sees %+v", h.name, s)
			}
			for name, routes := range map[string]int{"voices": len(f.hosts), "single": 1} {
				var v serviceView
				if err := h.asks(f.t.Context(), 5*time.Second, http.MethodGet, "services/"+name, nil, &v); err != nil || v.Status != "HEALTHY" || len(v.Routes) != routes {
					return fmt.Errorf("%s sees %+v, %w", h.name, v, err)
				}
			}
			for model, token := range map[string]string{"voices": f.token, "single": f.single} {
				f.asked++
				if err := h.request(f.t.Context(), h.http(), model, token); err != nil {
					return fmt.Errorf("%s: %w", h.name, err)
				}
				f.answered++
			}
		}
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

// leader is the host that decides.
func (f *hosting) leader() *host {
	f.t.Helper()
	var at *host
	if err := eventually(30*time.Second, func() error {
		var s clusterStatus
		if err := f.hosts[0].asks(f.t.Context(), 5*time.Second, http.MethodGet, "cluster", nil, &s); err != nil {
			return err
		}
		i := slices.IndexFunc(f.hosts, func(h *host) bool { return h.name == s.Leader })
		if i < 0 {
			return fmt.Errorf("nobody decides: %+v", s)
		}
		at = f.hosts[i]
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
	return at
}

// at are the hosts on which routes of a service run.
func (f *hosting) at(service string) (at []*host) {
	f.t.Helper()
	var v serviceView
	if err := f.hosts[0].asks(f.t.Context(), 5*time.Second, http.MethodGet, "services/"+service, nil, &v); err != nil {
		f.t.Fatal(err)
	}
	for _, h := range f.hosts {
		ids := h.runs()
		if slices.ContainsFunc(v.Routes, func(r routeView) bool { return slices.Contains(ids, r.ID) }) {
			at = append(at, h)
		}
	}
	return at
}

// spread has a route of the service on each host, and the only one of the other on one that follows.
func (f *hosting) spread() {
	f.t.Helper()
	one := f.hosts[0]
	anew := func(service, routes string) {
		one.run("service", "scale", service, "0")
		if err := eventually(30*time.Second, func() error {
			if at := f.at(service); len(at) > 0 {
				return errors.New("some run still")
			}
			return nil
		}); err != nil {
			f.t.Fatal(err)
		}
		one.run("service", "scale", service, routes)
	}
	for len(f.at("voices")) < len(f.hosts) {
		anew("single", "0")
		anew("voices", fmt.Sprint(len(f.hosts)))
		one.run("service", "scale", "single", "1")
		f.whole()
	}
	if leader := f.leader(); slices.Contains(f.at("single"), leader) {
		one.run("cluster", "cordon", leader.name)
		anew("single", "1")
		f.whole()
		one.run("cluster", "uncordon", leader.name)
	}
}

// bring brings a fault to somebody, who may be a host or none of them.
func (f *hosting) bring(x fault, v victim, to string, long time.Duration) came {
	f.t.Helper()
	c := came{fault: x.name, to: to}
	box, _ := v.(*host)
	others := slices.DeleteFunc(slices.Clone(f.hosts), func(h *host) bool { return h == box })
	h, end := f.watch(others[0])
	time.Sleep(time.Second)
	began := time.Now()
	x.begin(v)
	if left := long - time.Since(began); left > 0 {
		time.Sleep(left)
	}
	ended := time.Now()
	x.end(v)
	f.whole()
	c.whole = time.Since(ended)
	time.Sleep(500 * time.Millisecond)
	end()
	c.judge(h, others, began)
	if box != nil && x.silences {
		c.out = h.out(others, began)
	}
	f.accepted(h, &c)
	for _, of := range append([][]asked{h.single}, h.asked["one"], h.asked["two"], h.asked["three"]) {
		f.asked += len(of)
		for _, a := range of {
			if a.err == nil {
				f.answered++
			}
		}
	}
	rows := f.counted()
	uncounted, overcounted := max(f.answered-rows, 0), max(rows-f.asked, 0)
	c.uncounted, c.overcounted = max(uncounted-f.uncounted, 0), max(overcounted-f.overcounted, 0)
	f.uncounted, f.overcounted = uncounted, overcounted
	return c
}

// counted is how many requests are in the usage, once they are as many as they should be, or after a while.
func (f *hosting) counted() (rows int) {
	f.t.Helper()
	days := []string{"--from", time.Now().AddDate(0, 0, -1).Format(time.DateOnly), "--to", time.Now().AddDate(0, 0, 2).Format(time.DateOnly)} // of wrong clocks, too
	err := eventually(10*time.Second, func() error {
		var usage struct{ Total struct{ Requests int } }
		out, said, code := f.hosts[0].cli(append([]string{"usage", "--output", "json"}, days...)...)
		if code != 0 {
			return errors.New(said) // who leads may have changed just now
		}
		if err := json.Unmarshal([]byte(out), &usage); err != nil {
			return err
		}
		if rows = usage.Total.Requests; rows < f.answered-f.uncounted {
			return fmt.Errorf("%d of %d yet", rows, f.answered-f.uncounted)
		}
		return nil
	})
	if err != nil {
		f.t.Logf("the usage: %v", err)
	}
	return rows
}
