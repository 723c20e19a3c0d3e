package cluster_test

import (
	"strconv"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// A member that led etcd, was frozen, and comes back has all leases of those who live revoked that are shorter than it was frozen. Who
// decides goes on in its term; the others stand anew, and one of them follows when the first lets go.
func TestALeaderStaysWhereLeasesGo(t *testing.T) {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	one := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return one.leads.Load() != nil })
	first := one.leads.Load()
	two := stand(t, client, at, "two")
	line := func() (leader, next clientv3.LeaseID) {
		got, err := client.Get(t.Context(), at+"leader/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
		if err != nil {
			t.Fatal(err)
		}
		if got.Count == 2 {
			next = clientv3.LeaseID(got.Kvs[1].Lease)
		}
		if got.Count == 0 || strings.Contains(string(got.Kvs[0].Key), "/"+strconv.FormatInt(got.Kvs[0].Lease, 16)+"/") {
			return 0, next // on that with which it stood
		}
		return clientv3.LeaseID(got.Kvs[0].Lease), next
	}
	var leader, next clientv3.LeaseID
	clustertest.Soon(t, "one has its place by itself, and two is next", func() bool { leader, next = line(); return leader != 0 && next != 0 })
	all, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all.Leases {
		if l.ID == leader {
			continue
		}
		if _, err := client.Revoke(t.Context(), l.ID); err != nil {
			t.Error(err)
		}
	}
	clustertest.Soon(t, "two stands anew", func() bool { _, again := line(); return again != 0 && again != next })
	said := func() int64 {
		got, err := client.Get(t.Context(), at+"beat")
		if err != nil || got.Count == 0 {
			return 0
		}
		return got.Kvs[0].Version
	}
	before := said()
	clustertest.Soon(t, "one says more often that it leads than it may leave it out", func() bool { return said() >= before+6 })
	if one.leads.Load() != first || two.leads.Load() != nil {
		t.Fatal("one does not lead any more")
	}
	if _, err := client.Revoke(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	<-one.cause
	clustertest.Soon(t, "another term begins", func() bool {
		for _, c := range []*candidate{one, two} {
			if r := c.leads.Load(); r != nil && r.Term > first.Term {
				return true
			}
		}
		return false
	})
}
