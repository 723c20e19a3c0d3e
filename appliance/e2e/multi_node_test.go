package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ranks is a job whose ranks meet: the first one listens at MASTER_ADDR and MASTER_PORT, the others send it their number, and all say
// the sum that they are told.
const ranks = `use IO::Socket::INET; use strict; $| = 1;
my ($rank, $size, $addr, $port) = @ENV{qw(RANK WORLD_SIZE MASTER_ADDR MASTER_PORT)};
my $sum = $rank;
if ($rank == 0) {
	my $door = IO::Socket::INET->new(LocalPort => $port, Listen => $size, ReuseAddr => 1) or die "listening: $!";
	my @others = map { $door->accept() or die $! } 2..$size;
	$sum += readline($_) for @others;
	print {$_} "$sum\n" for @others;
} else {
	my $main;
	for (1..300) { $main = IO::Socket::INET->new(PeerAddr => $addr, PeerPort => $port) and last; select undef, undef, undef, 0.1 }
	$main or die "reaching $addr:$port: $@";
	print $main "$rank\n";
	chomp($sum = readline($main));
}
print "sum $sum, node $ENV{NODE_RANK} of $ENV{NNODES}, $ENV{BACKENDAI_CLUSTER_HOST} of $ENV{BACKENDAI_CLUSTER_HOSTS}\n";
`

type placedCluster struct {
	Status, Result string
	Restarts       int
	Cluster        struct {
		Mode, Network string
		Containers    []struct {
			ID, Name, Host, Status, Address string
			Claim                           *struct{ Node string }
		}
	}
}

// nodes are the boxes of a session's containers, by rank.
func (c placedCluster) nodes() (names []string) {
	for _, one := range c.Cluster.Containers {
		if one.Claim == nil {
			names = append(names, "")
			continue
		}
		names = append(names, one.Claim.Node)
	}
	return names
}

// spreads waits until all containers of a session run, and returns where.
func (b *box) spreads(ref string, is func(placedCluster) bool) (c placedCluster) {
	b.t.Helper()
	if err := eventually(90*time.Second, func() error {
		c = placedCluster{}
		out, errs, code := b.cli("session", "info", ref, "--output", "json")
		if code != 0 {
			return errors.New(errs)
		}
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			return err
		}
		for _, one := range c.Cluster.Containers {
			if one.Status != "RUNNING" {
				return fmt.Errorf("%s", out)
			}
		}
		if !is(c) {
			return fmt.Errorf("%s", out)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// half asks for half of a box, and most for so much that two do not fit on one.
func half() string { return fmt.Sprintf("cpu=%g", float64(runtime.NumCPU())/2) }
func most() string { return fmt.Sprintf("cpu=%g", float64(runtime.NumCPU())*3/4) }

// meet runs the job in four containers by way of one box and reports what each said.
func (b *box) meet(name, network string) {
	b.t.Helper()
	b.run("session", "create", "host", "--name", name, "--cluster-size", "4", "--cluster-mode", "multi-node", "--cluster-run", "all", "-r", half(), "--wait", "-c", "perl -e '"+ranks+"'")
	var c placedCluster
	b.into(&c, "session", "info", name)
	if c.Result != "success" || c.Cluster.Mode != "multi-node" || c.Cluster.Network != network || len(c.Cluster.Containers) != 4 {
		b.t.Errorf("%+v", c)
	}
	for rank, one := range c.Cluster.Containers {
		want := fmt.Sprintf("sum 6, node %d of 4, %s of main1,sub1,sub2,sub3", rank, one.Host)
		if got := b.run("session", "logs", one.ID); !strings.Contains(got, want) {
			b.t.Errorf("%s said %q, want %q", one.Host, got, want)
		}
	}
}

// TestMultiNode: containers of one session are on several boxes, each on a host of its own. They meet, they have each other by ssh,
// they end as one, and they move as one.
func TestMultiNode(t *testing.T) {
	hosts := newHosts(t, false, "one", "two", "three")
	one, two := hosts[0], hosts[1]
	t.Run("they meet", func(t *testing.T) { two.meet("sum", "vxlan") })

	t.Run("one session", func(t *testing.T) {
		two.run("session", "create", "host", "--name", "open", "--cluster-size", "3", "--cluster-mode", "multi-node", "-r", most())
		c := two.spreads("open", func(placedCluster) bool { return true })
		if at := c.nodes(); len(slices.Compact(slices.Sorted(slices.Values(at)))) != 3 {
			t.Errorf("on %v", at)
		}
		for _, host := range []string{"main1", "sub1", "sub2"} {
			if got := one.run("session", "exec", "open", "--", "ssh", host, "echo $BACKENDAI_CLUSTER_HOST $(hostname) $RANK $MASTER_ADDR"); !strings.HasPrefix(got, host+" "+host+" ") || !strings.HasSuffix(got, " main1") {
				t.Errorf("ssh %s: %q", host, got)
			}
		}
		if got := one.run("session", "exec", "open-sub2", "--", "sh", "-c", "ssh open-sub1 hostname"); got != "sub1" {
			t.Errorf("ssh from one to another: %q", got)
		}
		if info := two.run("session", "info", "open"); !strings.Contains(info, "vxlan") {
			t.Errorf("info:\n%s", info)
		}

		// A box that is to be empty: all of them move, for they are one. They fit nowhere else together, and wait.
		last := c.nodes()[2]
		one.run("cluster", "drain", last)
		if err := eventually(60*time.Second, func() error {
			var now placedCluster
			one.into(&now, "session", "info", "open")
			for _, x := range now.Cluster.Containers {
				if x.Status != "PENDING" {
					return fmt.Errorf("%s is %s", x.Host, x.Status)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		one.run("cluster", "uncordon", last)
		back := one.spreads("open", func(p placedCluster) bool { return p.Restarts > 0 })
		if err := eventually(soon, func() error {
			out, errs, code := one.cli("session", "exec", "open", "--", "ssh", "sub2", "hostname")
			if code != 0 || strings.TrimSpace(out) != "sub2" {
				return fmt.Errorf("%q %q", out, errs)
			}
			return nil
		}); err != nil {
			t.Errorf("after they moved to %v: %v", back.nodes(), err)
		}
		// One of them is killed: all end.
		for _, pid := range sessionProcesses(back.Cluster.Containers[1].ID) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
		for _, x := range back.Cluster.Containers {
			one.becomes(x.ID, "TERMINATED")
		}
	})

	t.Run("what fails fails whole", func(t *testing.T) {
		one.fails(3, []string{"sub2"}, "session", "create", "host", "--name", "half", "--cluster-size", "3", "--cluster-mode", "multi-node", "--cluster-run", "all",
			"-r", most(), "--wait", "-c", `if [ $RANK = 2 ]; then echo no data >&2; exit 3; fi; exec sleep 1000`)
		one.fails(1, []string{"have room for 6 when they are empty"}, "session", "create", "host", "--cluster-size", "7", "--cluster-mode", "multi-node", "-r", half())
	})

	t.Run("nothing is left", func(t *testing.T) {
		for _, h := range hosts {
			if err := eventually(soon, func() error {
				left, err := filepath.Glob(filepath.Join(h.dir, "clusters", "*"))
				links, _ := output("/", "ip", "-n", h.namespace, "-o", "link", "show", "type", "vxlan")
				if err != nil || len(left) > 0 || strings.TrimSpace(links) != "" {
					return fmt.Errorf("%v %q %w", left, links, err)
				}
				return nil
			}); err != nil {
				t.Error(h.name, err)
			}
		}
	})
}

// TestMultiNodeOnTheBoxesNetwork: the same where the owner has such sessions share the boxes' network.
func TestMultiNodeOnTheBoxesNetwork(t *testing.T) {
	hosts := newHostsWith(t, false, ", session_network: host", "one", "two", "three") // two keep no agreement of two
	hosts[1].meet("sum", "host")
	hosts[1].run("session", "create", "host", "--name", "lead", "--cluster-size", "4", "--cluster-mode", "multi-node", "-r", half(), "--wait", "-c",
		`for host in main1 sub1 sub2 sub3; do ssh $host 'echo "$BACKENDAI_CLUSTER_HOST $(hostname) at $(getent hosts $BACKENDAI_CLUSTER_HOST | cut -d" " -f1)"'; done`)
	said := hosts[0].run("session", "logs", "lead")
	for _, host := range []string{"main1", "sub1", "sub2", "sub3"} {
		if !strings.Contains(said, host+" "+host+" at 10.88.7.") {
			t.Errorf("%s is not reached: %s", host, said)
		}
	}
	at := 0
	for _, h := range hosts {
		if strings.Contains(said, " at "+h.address()) {
			at++
		}
	}
	if at != 2 {
		t.Errorf("on %d boxes: %s", at, said)
	}
}
