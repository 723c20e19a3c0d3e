package simulation_test

import (
	"flag"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// world is one simulation.
type world struct {
	t       testing.TB
	setting setting
	etcd    *clientv3.Client
	rows    *pgtest.Server
	leader  *child
	nodes   *child
}

// lookEvery is how often it is asked how far all is: to look through ten thousand sessions is work for the leader, too.
const lookEvery = 100 * time.Millisecond

func begin(t testing.TB, s setting) *world {
	t.Helper()
	server := &pgtest.Server{}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	etcd := clustertest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.Port = l.Addr().(*net.TCPAddr).Port
	at, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	s.Etcd, s.DSN = etcd.Endpoint, server.Database(t)
	w := &world{t: t, setting: s, etcd: etcd.Client(t), rows: server}
	s.Role = "leader"
	w.leader = start(t, s, nil)
	// As boxes do, nodes come once they were let in.
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for l := (standing{}); !l.Entered; <-again.C {
		w.leader.tell(order{Do: "stand"}, &l)
	}
	s.Role = "nodes"
	w.nodes = start(t, s, at)
	return w
}

// until asks again and again, and tells how long it took. The fleet's time is the real one: nothing tells when it has come to be.
func (w *world) until(what string, patience time.Duration, is func(standing, seen) bool) time.Duration {
	w.t.Helper()
	began, laps := time.Now(), time.Duration(0)
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for ; ; <-again.C {
		var l standing
		var n seen
		w.leader.tell(order{Do: "stand"}, &l)
		w.nodes.tell(order{Do: "look"}, &n)
		if is(l, n) {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			w.profile("")
			w.t.Fatalf("not within %s: %s: %+v, on the nodes: %+v", patience, what, l, n)
		}
		if lap := time.Since(began) / (10 * time.Second); lap > laps {
			laps = lap
			w.t.Logf("%s: not yet after %s: %+v, on the nodes: %+v", what, time.Since(began).Round(time.Second), l, n)
		}
	}
}

func (w *world) revision() int64 {
	w.t.Helper()
	got, err := w.etcd.Get(w.t.Context(), "x", clientv3.WithCountOnly())
	if err != nil {
		w.t.Fatal(err)
	}
	return got.Header.Revision
}

// profile has the leader and the nodes begin a profile of that name; "" for none.
func (w *world) profile(name string) {
	w.t.Helper()
	if err := (setting{Role: "etcd", Profile: w.setting.Profile}).profileTo(name); err != nil {
		w.t.Fatal(err)
	}
	w.leader.tell(order{Do: "profile", Name: name}, &standing{})
	w.nodes.tell(order{Do: "profile", Name: name}, &seen{})
}

func (w *world) look() (n seen) {
	w.t.Helper()
	w.nodes.tell(order{Do: "look"}, &n)
	return n
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (w *world) all() int { return w.setting.Services * w.setting.Replicas }

// up waits until all that is wanted serves.
func (w *world) up(patience time.Duration) time.Duration {
	w.t.Helper()
	return w.until("all sessions serve", patience, func(l standing, n seen) bool {
		return l.Healthy == w.all() && l.Other == 0 && n.Running == w.all()
	})
}

// steps are how far those who began after then came, and how long after it.
func (w *world) steps(since time.Time) steps {
	w.t.Helper()
	var l standing
	w.leader.tell(order{Do: "steps", Since: since}, &l)
	return l.Steps
}

// kill cuts the power of a rack, and tells how long it took until nothing more was sent to its routes, until as many others served in
// their place, and until all boxes had been told of those.
func (w *world) kill(from, to int, patience time.Duration) (out, again, told time.Duration) {
	w.t.Helper()
	var n seen
	w.nodes.tell(order{Do: "kill", From: from, To: to}, &n)
	lost := w.all() - n.Running
	if lost == 0 {
		w.t.Fatal("nothing ran on what was killed")
	}
	out = w.until("all boxes have heard that they are dead", patience, func(_ standing, n seen) bool { return n.Most <= w.setting.Nodes-(to-from) })
	again = out + w.until("others serve in their place", patience, func(l standing, n seen) bool {
		return l.Healthy == w.all() && l.OnDead == 0 && n.Running == w.all()
	})
	told = again + w.until("all boxes know of them", patience, func(l standing, n seen) bool {
		return l.Told == w.all() && n.Oldest >= l.Newest
	})
	return out, again, told
}

// freeze has all boxes that live stand still until etcd has let go of them, all at one time, and tells how long after that it took until
// they were heard of again, by the leader and by each other, and how much was begun elsewhere meanwhile: nothing should be.
func (w *world) freeze(patience time.Duration) (back time.Duration, begun int) {
	w.t.Helper()
	alive := func() int64 {
		got, err := w.etcd.Get(w.t.Context(), "/palisade/1/alive/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			w.t.Fatal(err)
		}
		return got.Count
	}
	before, began := int(alive()), time.Now()
	w.nodes.signal(syscall.SIGSTOP)
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for alive() > 0 {
		if <-again.C; time.Since(began) > patience {
			w.t.Fatal("etcd keeps leases of boxes that stand still")
		}
	}
	w.nodes.signal(syscall.SIGCONT)
	back = w.until("all boxes are heard of again", patience, func(l standing, n seen) bool {
		return l.Silent == w.setting.Nodes-before && n.Fewest == before && n.Most == before && l.Healthy == w.all() && l.OnDead == 0 && n.Running == w.all()
	})
	var l standing
	for l.Since = -1; l.Since < 0; <-again.C {
		w.leader.tell(order{Do: "steps", Since: began}, &l)
	}
	return back, l.Since
}

// A small fleet under the leader: all comes up, a dead rack is replaced, where all stand still for a moment nothing is, and nothing ran in
// two places.
func TestFleet(t *testing.T) {
	const patience = 3 * time.Minute
	w := begin(t, setting{Nodes: 30, Services: 15, Replicas: 8, Grace: 3 * time.Second})
	w.up(patience)
	w.kill(0, 3, patience)
	if _, begun := w.freeze(patience); begun > 0 {
		t.Errorf("where all boxes stood still %d sessions were begun elsewhere", begun)
	}
	if n := w.look(); len(n.Doubled) > 0 {
		t.Errorf("in two places ran %v", n.Doubled)
	}
}

var (
	size    = flag.Int("nodes", 1000, "in BenchmarkFleet")
	wanted  = flag.Int("services", -1, "in BenchmarkFleet, of ten sessions each; as many as nodes where it is not said")
	calm    = flag.Duration("calm", time.Minute, "in BenchmarkFleet, for how long nothing happens")
	enough  = flag.Duration("patience", 20*time.Minute, "in BenchmarkFleet, for how long it is waited until all serve")
	profile = flag.String("profiles", "", "in BenchmarkFleet, prefix of files for profiles of the leader's and the nodes' processor time")
)

// BenchmarkFleet is 1,000 nodes with 8 accelerators each and 10,000 sessions: how long it takes until all serve, what the leader and
// etcd take while nothing happens, and how long it takes until a dead rack of 40 nodes is replaced.
func BenchmarkFleet(b *testing.B) {
	services := *wanted
	if services < 0 {
		services = *size
	}
	for b.Loop() {
		s := setting{Nodes: *size, Services: services, Replicas: 10, Grace: 3 * time.Second, Profile: *profile}
		load := loadOf(b)
		w := begin(b, s)
		leader := func() usage { return usageOf(b, w.leader.cmd.Process.Pid) }
		boxes := func() usage { return usageOf(b, w.nodes.cmd.Process.Pid) }
		itself := func() usage { return usageOf(b, os.Getpid()) } // etcd is in this process
		w.profile("start")
		up := w.up(*enough)
		busy, orders := leader(), w.look().Orders
		kept := w.rows.Processor(b)
		w.profile("calm")
		w.until("it is calm", time.Minute, func(_ standing, n seen) bool { return n.Tables == s.Nodes || s.Services == 0 })
		l, e, n1, r, began := leader(), itself(), boxes(), w.revision(), time.Now()
		<-time.After(*calm)
		took := time.Since(began)
		l2, e2, n2, r2 := leader(), itself(), boxes(), w.revision()
		w.profile("rack")
		before, etcd, boxesThen, rows, killed := leader(), itself(), boxes(), w.rows.Processor(b), time.Now()
		wrote := w.revision()
		out, again, told := w.kill(s.Nodes/10, s.Nodes/10+s.Nodes/25, 5*time.Minute)
		after, etcdAfter, boxesAfter, rowsAfter := leader(), itself(), boxes(), w.rows.Processor(b)
		wrote = w.revision() - wrote
		w.profile("thaw")
		steps := w.steps(killed)
		n := w.look()
		back, begun := w.freeze(5 * time.Minute)
		w.profile("")
		if n.Doubled = w.look().Doubled; len(n.Doubled) > 0 {
			b.Errorf("in two places ran %v", n.Doubled)
		}
		for _, f := range []struct {
			what, unit string
			value      float64
		}{
			{"until all sessions serve, s", "start-s", up.Seconds()},
			{"the leader's processor time until then, s", "start-leader-cpu-s", busy.processor.Seconds()},
			{"that of PostgreSQL, s", "start-postgres-cpu-s", kept.Seconds()},
			{"from an order to its node in that time, p50, ms", "start-order-p50-ms", ms(orders.P50)},
			{"p99, ms", "start-order-p99-ms", ms(orders.P99)},
			{"then, the leader: cores", "leader-cores", (l2.processor - l.processor).Seconds() / took.Seconds()},
			{"MB", "leader-MB", float64(l2.resident) / 1e6},
			{"etcd: cores", "etcd-cores", (e2.processor - e.processor).Seconds() / took.Seconds()},
			{"MB", "etcd-MB", float64(e2.resident) / 1e6},
			{"all nodes, which are in one process: cores", "nodes-cores", (n2.processor - n1.processor).Seconds() / took.Seconds()},
			{"MB", "nodes-MB", float64(n2.resident) / 1e6},
			{"writes of etcd a second", "etcd-writes/s", float64(r2-r) / took.Seconds()},
			{"a rack dies: until nothing is sent to its nodes, s", "rack-out-s", out.Seconds()},
			{"until others serve in their place, s", "rack-again-s", again.Seconds()},
			{"until all boxes know of them, s", "rack-told-s", told.Seconds()},
			{"the leader's processor time for it, s", "rack-leader-cpu-s", (after.processor - before.processor).Seconds()},
			{"etcd's, s", "rack-etcd-cpu-s", (etcdAfter.processor - etcd.processor).Seconds()},
			{"that of PostgreSQL, s", "rack-postgres-cpu-s", (rowsAfter - rows).Seconds()},
			{"that of all nodes, s", "rack-nodes-cpu-s", (boxesAfter.processor - boxesThen.processor).Seconds()},
			{"writes of etcd for it", "rack-etcd-writes", float64(wrote)},
			{"from an order to its node, p50, ms", "rack-order-p50-ms", ms(n.Orders.P50)},
			{"p99, ms", "rack-order-p99-ms", ms(n.Orders.P99)},
			{"leases that nodes lost which lived", "leases-lost", float64(n.Lost)},
			{"all boxes freeze: from a thaw until all are heard of and serve, s", "thaw-s", back.Seconds()},
			{"sessions begun elsewhere meanwhile", "thaw-begun", float64(begun)},
		} {
			b.Logf("%-58s %10.4g", f.what, f.value)
			b.ReportMetric(f.value, f.unit)
		}
		b.Log("since the rack's end, s: the first, half, and all of those in its place were")
		for _, s := range []struct {
			what string
			of   step
		}{{"decided", steps.Decided}, {"placed", steps.Placed}, {"begun on their nodes", steps.Begun}, {"healthy", steps.Healthy}} {
			b.Logf("%-58s %10.4g %10.4g %10.4g", s.what, s.of.First, s.of.Half, s.of.All)
		}
		b.Logf("of %d nodes and %d sessions; load of the machine before %s; after %s", s.Nodes, w.all(), load, loadOf(b))
	}
}

// loadOf says how busy the machine is.
func loadOf(b *testing.B) string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
