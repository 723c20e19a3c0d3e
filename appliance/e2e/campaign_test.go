package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// ledgers is a service whose engines write down what they got.
const ledgers = `
models:
  - name: ledger
    service:
      start_command: [/models/ledgerengine, "{ports[0]}", /ledgers]
      port: 8000
      health_check: {path: /health, interval: 0.2, max_retries: 3, max_wait_time: 0.5, initial_delay: 30}
`

// campaign is a box whose service is asked all the time, while things go wrong.
type campaign struct {
	*box
	*load
	t       *testing.T
	ledgers string // directory of what the engines wrote
	lines   []tally
}

// TestCampaign does to a service under load what happens to routes, one after the other: no request that no
// engine had begun fails or gets no answer, and where routes come and go as the owner wants none fails at all and
// none is done twice.
func TestCampaign(t *testing.T) {
	c := newCampaign(t, 4)
	begun := time.Now()
	c.fault("nothing", clean, func() { c.more(200) })
	c.fault("route killed", begunMayFail, func() {
		v := c.victim()
		c.signal(v, syscall.SIGKILL)
		c.gone(v)
		c.settle(4)
	})
	c.fault("engine ends by itself", begunMayFail, func() {
		v := c.victim()
		c.signal(v, syscall.SIGTERM)
		c.gone(v)
		c.settle(4)
	})
	c.fault("frozen for 0.6 s", clean, func() {
		v := c.victim()
		c.signal(v, syscall.SIGSTOP)
		c.more(120)
		c.signal(v, syscall.SIGCONT)
		c.more(60)
	})
	c.fault("frozen until replaced", begunMayFail, func() {
		v := c.victim()
		c.signal(v, syscall.SIGSTOP)
		c.gone(v)
		c.settle(4)
	})
	c.fault("partitioned for 0.7 s", begunMayTwice, func() {
		heal := c.partition(c.victim())
		c.more(140)
		heal()
		c.settle(4)
	})
	c.fault("scale-out to 5", clean, func() {
		c.run("service", "scale", "ledger", "5")
		c.settle(5)
	})
	c.fault("scale-in to 2", clean, func() {
		c.run("service", "scale", "ledger", "2")
		c.settle(2)
	})
	c.fault("rolling update", clean, func() {
		before := c.ids()
		c.run("service", "update", "ledger", "-e", "REVISION=2")
		c.rolled(before)
		c.settle(2)
	})
	c.fault("routing edited", clean, func() {
		for _, how := range []string{"least_in_flight", "session_affinity", "prefix", "round_robin"} {
			c.run("service", "update", "ledger", "--balance", how, "--max-in-flight", "50")
			c.more(20)
		}
	})
	c.fault("scale-in to 1", clean, func() {
		c.run("service", "scale", "ledger", "1")
		c.settle(1)
	})
	c.fault("the only route killed", begunMayFail, func() {
		v := c.victim()
		c.signal(v, syscall.SIGKILL)
		c.gone(v)
		c.settle(1)
	})
	t.Logf("faults in %s at %s between requests:\n%s", time.Since(begun).Round(time.Second), c.every, c.table())
}

func newCampaign(t *testing.T, routes int) *campaign {
	t.Helper()
	b := newBox(t)
	b.start()
	return ledgerBox(t, b, "host", routes)
}

// ledgerBox makes the service ledger on a box that runs.
func ledgerBox(t *testing.T, b *box, image string, routes int, more ...string) *campaign {
	t.Helper()
	dir := filepath.Dir(b.dir)
	c := &campaign{box: b, t: t, ledgers: filepath.Join(dir, "ledgers")}
	engine := filepath.Join(dir, "ledgerengine")
	root, err := moduleRoot()
	if err == nil {
		_, err = output(root, "go", "build", "-o", engine, "./appliance/e2e/testdata/ledgerengine")
	}
	if err == nil {
		err = os.Mkdir(c.ledgers, 0o777)
	}
	if err == nil {
		err = os.Chmod(c.ledgers, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.run("folder", "import", c.ledgers, "--name", "ledgers", "--usage", "data")
	b.folder("ledger", ledgers, map[string]string{"ledgerengine": engine})
	b.run(append([]string{"service", "create", image, "ledger", fmt.Sprint(routes), "--name", "ledger", "--mount", "ledgers:/ledgers",
		"--unhealthy-ttl", "500ms", "--termination-grace", "1s", "--wait"}, more...)...)
	token := b.run("service", "generate-token", "ledger", "--duration", "1h", "-q")
	c.load = newLoad(t, b.url, token, 5*time.Millisecond)
	return c
}

// outcome is what a fault may do to requests, at most.
type outcome int

const (
	clean         outcome = iota // none fails, none is done twice
	begunMayFail                 // those that an engine had begun may fail
	begunMayTwice                // and be done twice
)

// fault does what while requests come, and writes a line about it.
func (c *campaign) fault(name string, may outcome, what func()) {
	c.t.Helper()
	before := c.retries()
	results := c.during(what)
	y := readLedger(c.t, c.ledgers).tally(name, results, c.retries()-before)
	c.lines = append(c.lines, y)
	for _, r := range y.unbegun[:min(len(y.unbegun), 3)] {
		c.t.Logf("%s: %s: %d after %s: %s", name, r.id, r.status, r.took, r.end)
	}
	switch {
	case y.asked < 50:
		c.t.Errorf("%s: only %d requests were asked", name, y.asked)
	case y.notBegun > 0 || y.lost > 0:
		c.t.Errorf("%s: %d requests failed that no engine had begun, %d got no answer", name, y.notBegun, y.lost)
	case may < begunMayTwice && y.duplicated > 0:
		c.t.Errorf("%s: %d requests were begun twice", name, y.duplicated)
	case may == clean && y.failed > 0:
		c.t.Errorf("%s: %d requests failed", name, y.failed)
	case may == clean && y.again > 0:
		c.t.Errorf("%s: clients had to ask again %d times", name, y.again)
	}
}

func (c *campaign) table() string {
	var s strings.Builder
	fmt.Fprintln(&s, tallyHead)
	for _, y := range c.lines {
		fmt.Fprintln(&s, y)
	}
	return s.String()
}

// victim is a route that gets traffic.
func (c *campaign) victim() routeView {
	c.t.Helper()
	for _, r := range c.routes("ledger") {
		if r.Status == "HEALTHY" {
			return r
		}
	}
	c.t.Fatal("no route is healthy")
	return routeView{}
}

func (c *campaign) ids() []string {
	var ids []string
	for _, r := range c.service("ledger").Routes {
		ids = append(ids, r.ID)
	}
	return ids
}

// settle waits until n routes serve, and no other is there.
func (c *campaign) settle(n int) {
	c.t.Helper()
	c.await(func(routes []routeView) bool {
		return len(routes) == n && !slices.ContainsFunc(routes, func(r routeView) bool { return r.Status != "HEALTHY" })
	})
}

// gone waits until the route is none any more.
func (c *campaign) gone(v routeView) {
	c.t.Helper()
	c.await(func(routes []routeView) bool {
		return !slices.ContainsFunc(routes, func(r routeView) bool { return r.ID == v.ID })
	})
}

// rolled waits until none of the routes before is left.
func (c *campaign) rolled(before []string) {
	c.t.Helper()
	c.await(func(routes []routeView) bool {
		return !slices.ContainsFunc(routes, func(r routeView) bool { return slices.Contains(before, r.ID) })
	})
}

func (c *campaign) await(is func([]routeView) bool) {
	c.t.Helper()
	var last []routeView
	if err := eventually(soon, func() error {
		last = slices.DeleteFunc(c.service("ledger").Routes, func(r routeView) bool {
			return r.Status == "TERMINATED" || r.Status == "FAILED_TO_START"
		})
		if !is(last) {
			return fmt.Errorf("routes: %+v", last)
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
	c.more(60)
}

// signal sends one to the route's engine, not to what supervises it.
func (c *campaign) signal(v routeView, sig syscall.Signal) {
	c.t.Helper()
	pids, err := enginesOf(v.ID)
	if err == nil && len(pids) == 0 {
		err = errors.New("no engine runs for it")
	}
	for _, pid := range pids {
		err = errors.Join(err, syscall.Kill(pid, sig))
	}
	if err != nil {
		c.t.Errorf("sending %s to route %s: %v", sig, v.ID, err)
	}
}

// enginesOf are the engines' processes of a session.
func enginesOf(session string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(env), "BACKENDAI_SESSION_ID="+session+"\x00") {
			continue // it may be gone
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(f), "comm"))
		if err != nil || strings.TrimSpace(string(name)) != "ledgerengine" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// partition takes the route's link down, without a word to either side; heal brings it up again.
func (c *campaign) partition(v routeView) (heal func()) {
	c.t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		c.t.Fatal(err)
	}
	i := slices.IndexFunc(links, func(l netlink.Link) bool { return strings.Contains(l.Attrs().Alias, v.ID) })
	if i < 0 {
		c.t.Fatalf("no link of session %s", v.ID)
	}
	if err := netlink.LinkSetDown(links[i]); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := netlink.LinkSetUp(links[i]); err != nil {
			c.t.Error(err)
		}
	}
}

// retries is how many the router counts.
func (c *campaign) retries() int {
	c.t.Helper()
	res, err := http.Get(c.box.url + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	sum := 0.0
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "} "); ok && strings.HasPrefix(name, `palisade_router_retries_total{`) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			sum += n
		}
	}
	return int(sum)
}
