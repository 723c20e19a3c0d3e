package daemon

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/store"
)

func TestWhatASchemaWaitsFor(t *testing.T) {
	box := func(name, version string, schema int64) cluster.Seen {
		return cluster.Seen{Node: cluster.Node{Name: name}, Alive: &cluster.Alive{Version: version, Schema: schema}}
	}
	silent := cluster.Seen{Node: cluster.Node{Name: "c"}}
	for name, c := range map[string]struct {
		nodes []cluster.Seen
		waits []string
		least int64
		words string
		most  int64
	}{
		"all new":  {[]cluster.Seen{box("a", "1.3", 30), box("b", "1.3", 30)}, nil, 30, "", 30},
		"newer":    {[]cluster.Seen{box("a", "1.3", 30), box("b", "1.4", 31)}, nil, 30, "the boxes run different programs (1.3 on a; 1.4 on b): bring all to the newest, one box at a time", 31},
		"one old":  {[]cluster.Seen{box("b", "1.2", 29), box("d", "1.2", 29), box("a", "1.3", 30)}, []string{"b runs palisade 1.2", "d runs palisade 1.2"}, 29, "the boxes run different programs (1.2 on b, d; 1.3 on a): bring all to the newest, one box at a time", 30},
		"one away": {[]cluster.Seen{box("a", "1.3", 30), silent}, []string{"c is silent"}, 0, "", 30},
		"says not": {[]cluster.Seen{box("a", "1.1", 0)}, []string{"a runs palisade 1.1"}, 0, "", 0},
	} {
		if got := waitsFor(c.nodes, 30); !slices.Equal(got, c.waits) {
			t.Errorf("%s: waits for %q", name, got)
		}
		if got := leastSchema(c.nodes); got != c.least {
			t.Errorf("%s: all know %d", name, got)
		}
		if got := newestSchema(c.nodes); got != c.most {
			t.Errorf("%s: the newest is %d", name, got)
		}
		if got := versionWords(c.nodes); got != c.words {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A program ends when the rows have gone beyond it, and for no other reason.
func TestRowsThatGoBeyondAProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		after := func(d time.Duration) bool { return time.Since(began) >= d }
		err := whileUsable(t.Context(), func() bool { return after(time.Minute) }, func(context.Context) error {
			switch {
			case !after(time.Minute):
				t.Error("asked though nobody knows more")
			case !after(2 * time.Minute):
				return store.ErrClosed
			case after(3 * time.Minute):
				return store.ErrNewerData
			}
			return nil
		})
		if !errors.Is(err, store.ErrNewerData) || after(3*time.Minute+2*contractEvery) {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := whileUsable(gone, func() bool { return true }, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
