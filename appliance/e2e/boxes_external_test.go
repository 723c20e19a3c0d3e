package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// TestBoxesOnAnEtcdOfTheirOwner: boxes agree by an etcd that somebody else looks after. One of them dies and is taken out, one leaves, and
// what the last one leaves behind keeps no new cluster from being made there.
func TestBoxesOnAnEtcdOfTheirOwner(t *testing.T) {
	etcd := clustertest.Start(t)
	boxes := newBoxesOn(t, "http://"+etcd.Endpoint, "", "one", "two", "three")
	one, two, three := boxes["one"], boxes["two"], boxes["three"]
	if s := one.settled("", func(clusterStatus) bool { return true }); !s.External || len(s.Members) != 0 {
		t.Errorf("%+v", s)
	}
	three.kill()
	two.settled("it is silent", func(s clusterStatus) bool { return len(s.alive()) == 2 })
	two.run("cluster", "remove", "three", "--force")
	two.settled("it is gone", func(s clusterStatus) bool { return len(s.Boxes) == 2 })
	three.start()
	three.fails(1, []string{"this box was removed from the cluster"}, "cluster", "status")
	three.run("cluster", "leave")

	// Whoever begins to decide tends what boxes are let in by: the token that the others have used up does not stay.
	client := etcd.Client(t)
	tokens := func() (n int) {
		got, err := client.Get(t.Context(), "/palisade/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			if strings.Contains(string(kv.Key), "/tokens/") {
				n++
			}
		}
		return n
	}
	before := tokens()
	one.kill() // it decides
	two.settled("another one decides", func(s clusterStatus) bool { return s.Leader == "two" && !slices.Contains(s.alive(), "one") })
	if err := eventually(soon, func() error {
		if n := tokens(); before < 1 || n >= before {
			return fmt.Errorf("%d tokens are kept of %d", n, before)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	one.start()
	two.settled("it is back", func(s clusterStatus) bool { return len(s.alive()) == 2 })
	two.run("cluster", "leave")
	one.settled("one is left", func(s clusterStatus) bool { return s.Leader == "one" && len(s.Boxes) == 1 })
	one.run("cluster", "leave")
	if err := one.ask(http.MethodPost, "cluster/self/init", map[string]string{"name": "anew"}, nil); err != nil {
		t.Fatal(err)
	}
	one.settled("it is a cluster again", func(s clusterStatus) bool { return s.Leader == "anew" && len(s.Boxes) == 1 && s.Era == 1 })
}
