package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/config"
)

// takenPort is an address that another program has.
func takenPort(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A box whose port for others is taken does not ask to join: the others would know a box that cannot be reached.
func TestJoiningWithoutAPort(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	c.Cluster.Listen = takenPort(t).Addr().String()
	_, err := joinCluster(t.Context(), Options{Config: c}, asking{url: "https://127.0.0.1:1", name: "box-2"})
	if err == nil || !strings.Contains(err.Error(), "the port is taken") || !strings.Contains(adviceOf(err), "cluster.listen") {
		t.Errorf("%v (%s)", err, adviceOf(err))
	}
	if _, err := trust.Open(filepath.Join(c.Data, clusterDir), time.Now); !errors.Is(err, trust.ErrNoIdentity) {
		t.Errorf("it has begun to join: %v", err)
	}
}

// Where the ports of etcd are taken, nothing is founded, and nobody asked.
func TestPortsOfEtcd(t *testing.T) {
	for above := 1; above <= 2; above++ {
		pid := os.Getpid() // an address that no other test has: the ports beside are to be free
		door := fmt.Sprintf("127.%d.%d.%d:8480", 100+pid>>16&63, pid>>8&255, pid&255)
		at, err := beside(door, above)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		c := config.Config{Data: t.TempDir(), Database: "postgres://db/palisade"}
		c.Cluster.Listen = door
		_, joining := joinCluster(t.Context(), Options{Config: c}, asking{url: "https://127.0.0.1:1", name: "box-2"})
		for doing, err := range map[string]error{"joining": joining, "founding": foundCluster(t.Context(), c, "box-1", door, 0)} {
			if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(adviceOf(err), "two ports above cluster.listen") {
				t.Errorf("%s: %v (%s)", doing, err, adviceOf(err))
			}
		}
		if _, err := trust.Open(filepath.Join(c.Data, clusterDir), time.Now); !errors.Is(err, trust.ErrNoIdentity) {
			t.Errorf("it has begun: %v", err)
		}
		c.Cluster.Etcd = []string{"https://etcd-1.lan:2379"} // the owner's own needs none
		if err := portsOpen(t.Context(), c); err != nil {
			t.Error(err)
		}
		_ = taken.Close()
	}
}

// A box that was refused asks again when it is told to join another time, without a restart.
func TestAskingAgain(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	dir := filepath.Join(c.Data, clusterDir)
	node, err := trust.Create(dir, "box-2", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := (seatRecord{Address: "box-2:8480"}).write(dir); err != nil {
		t.Fatal(err)
	}
	h := &house{seats: make(chan struct{}, 1), stopped: make(chan struct{})}
	d := &daemon{Options: Options{Config: c, Log: slog.New(slog.DiscardHandler)}, house: h}
	d.base = d.Options
	ended := make(chan struct{})
	h.asks.Do(func() { // as goOnAsking does
		go func() { h.ask(t.Context(), d.base, time.Millisecond); close(ended) }()
	})
	for range 2 {
		plain := httptest.NewServer(http.NotFoundHandler()) // which speaks no TLS: it is of no use to ask it again
		defer plain.Close()
		token, err := trust.ParseToken("pal-join." + strings.Repeat("a", 8) + "." + strings.Repeat("b", 32) + "." + strings.Repeat("a", 52))
		if err != nil {
			t.Fatal(err)
		}
		h.unseated.Store(nil)
		if err := node.Remember(trust.Pending{URL: strings.Replace(plain.URL, "http:", "https:", 1), Token: token}); err != nil {
			t.Fatal(err)
		}
		d.goOnAsking(t.Context())
		for h.unseated.Load() == nil {
			runtime.Gosched()
		}
		if why := *h.unseated.Load(); !strings.Contains(why.Error(), strings.TrimPrefix(plain.URL, "http://")) {
			t.Error(why)
		}
	}
	close(h.stopped)
	<-ended
	if _, asks, err := node.Pending(); asks || err != nil || h.waits.Load() {
		t.Errorf("it goes on asking: %v", err)
	}
}

// A box that was let in and cannot take its seat keeps its identity, says why, and tries again.
func TestASeatIsTriedAgain(t *testing.T) {
	port := takenPort(t)
	c := config.Config{Data: t.TempDir()}
	c.Cluster.Listen = port.Addr().String()
	dir := filepath.Join(c.Data, clusterDir)
	node, err := trust.Found(dir, "box-2", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if letIn(c.Data) {
		t.Error("one that founds a cluster is known to nobody yet")
	}
	if err := node.Founded(); err != nil {
		t.Fatal(err)
	}
	if !letIn(c.Data) {
		t.Error("it was let in")
	}
	if err := (seatRecord{Address: "box-2:8480", Cluster: "c"}).write(dir); err != nil {
		t.Fatal(err)
	}
	h := &house{seats: make(chan struct{}, 1), stopped: make(chan struct{})}
	d := &daemon{Options: Options{Config: c}, house: h}
	why := doorOpens(t.Context(), c)
	if !errors.Is(why, syscall.EADDRINUSE) && (why == nil || !strings.Contains(why.Error(), "taken")) {
		t.Fatal(why)
	}
	h.unseated.Store(&why)
	h.apart.Store(true)
	self := boxes{d}.Self(t.Context())
	if self.State != api.ClusterJoining || self.Name != "box-2" || self.Cluster != "c" || self.Problem != why.Error() || self.Hint == "" {
		t.Errorf("%+v", self)
	}
	if checks := d.checkSeat(); len(checks) != 1 || checks[0].Status != api.CheckFailed || checks[0].Hint == "" {
		t.Errorf("%+v", checks)
	}
	go d.comeAgain(t.Context(), time.Millisecond)
	_ = port.Close()
	<-h.seats
	if h.apart.Load() {
		t.Error("its seat is not to be taken")
	}
}

// An etcd that forgets nothing is warned of, and one that does not answer is not.
func TestHistoryCheck(t *testing.T) {
	if checks := historyCheck(true, nil); len(checks) != 1 || checks[0].Status != api.CheckWarning || checks[0].Hint == "" {
		t.Errorf("%+v", checks)
	}
	if more := append(historyCheck(false, nil), historyCheck(true, context.DeadlineExceeded)...); len(more) > 0 {
		t.Errorf("%+v", more)
	}
	if more := (&daemon{house: &house{}}).checkHistory(t.Context()); len(more) > 0 {
		t.Errorf("of a box alone: %+v", more)
	}
}

// The head of the audit record is of one database.
func TestHeadsOfAuditRecords(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	head := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(c.Data, name))
		return string(text)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(c.Data, auditHead), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("own")
	if err := clusterHead(c.Data); err != nil || head(auditHead) != "" {
		t.Errorf("after joining: %q %v", head(auditHead), err)
	}
	write("cluster's")
	dir := filepath.Join(c.Data, clusterDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := seatRecord{Cluster: "c", Shared: shared{Database: "postgres://db/palisade"}}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := unseat(c); err != nil || head(auditHead) != "own" || head(headOf) != "cluster's" {
		t.Errorf("after leaving: %q %q %v", head(auditHead), head(headOf), err)
	}
	// One that goes on with the cluster's database goes on with its head.
	c.Database = r.Shared.Database
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := unseat(c); err != nil || head(auditHead) != "own" {
		t.Errorf("after leaving with the database: %q %v", head(auditHead), err)
	}
}

// A box does not leave its cluster for the database that the others go on with.
func TestLeavingForADatabase(t *testing.T) {
	of := config.Config{Data: t.TempDir(), Database: "postgres://db/palisade"}
	for _, c := range []struct {
		own   string
		boxes int
		busy  bool
	}{
		{of.Database, 2, true},
		{of.Database, 1, false}, // there are no others
		{"postgres://db/own", 3, false},
		{"", 3, false}, // a file
	} {
		err := ownDatabase(config.Config{Data: of.Data, Database: c.own}, of, c.boxes)
		if errors.Is(err, cluster.ErrBusy) != c.busy || (err != nil) != c.busy {
			t.Errorf("one of %d with %q: %v", c.boxes, c.own, err)
		}
	}
}
