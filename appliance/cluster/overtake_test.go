package cluster_test

import (
	"errors"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// An etcd that was restored from a backup counts from there: who leads by it begins an era, where nobody else can have decided.
func TestOvertaking(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	one := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return one.leads.Load() != nil })
	r := *one.leads.Load()
	now, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		last cluster.Term
		want error
	}{
		"its own term":        {r.Term, cluster.ErrDeposed},
		"that of a successor": {cluster.TermOf(0, now.Header.Revision), cluster.ErrDeposed},
		"of another cluster":  {cluster.TermOf(3, 1), cluster.ErrOtherEra},
	} {
		if err := a.Overtake(t.Context(), r, tt.last); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := cluster.TermOf(0, now.Header.Revision+1000)
	if err := a.Overtake(t.Context(), r, before); !errors.Is(err, cluster.ErrNewEra) {
		t.Error(err)
	}
	if era, err := a.Era(t.Context()); err != nil || era != 1 {
		t.Errorf("era %d: %v", era, err)
	}
	if _, term, err := a.Leader(t.Context()); err != nil || term <= before {
		t.Errorf("term %s is not after %s: %v", term, before, err)
	}
	if err := a.Overtake(t.Context(), r, before); !errors.Is(err, cluster.ErrDeposed) {
		t.Errorf("said again: %v", err)
	}
	r.Term++
	if err := a.Overtake(t.Context(), r, cluster.TermOf(1, 1<<30)); !errors.Is(err, cluster.ErrDeposed) {
		t.Errorf("who leads no more: %v", err)
	}
	if got := []string{cluster.TermOf(0, 7).String(), cluster.TermOf(2, 7).String()}; got[0] != "7" || got[1] != "7 of era 2" {
		t.Error(got)
	}
}
