package cluster

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// An etcd that forgets nothing of what was written over is told from one that does, and from one that has not come far.
func TestHistory(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	a := New(client, clustertest.Prefix())
	is := func(changes int64, want bool) {
		t.Helper()
		if got, err := a.keeps(t.Context(), changes); got != want || err != nil {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	var last int64
	for range 20 {
		put, err := client.Put(t.Context(), a.key(partBeat), "1")
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
	}
	is(10, true)
	is(100, false)
	if _, err := client.Compact(t.Context(), last-5); err != nil {
		t.Fatal(err)
	}
	is(10, false)
	is(5, true)
	if all, err := a.KeepsAll(t.Context()); all || err != nil {
		t.Errorf("one that has just begun: %v, %v", all, err)
	}
}
