package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/store"
)

// Boxes of one cluster may run programs of two releases while they are replaced one by one. Steps of the schema that only expand are taken
// by the first box that knows them; those that an earlier program cannot work with wait for the last, and are taken by who decides.

// contractEvery is how often who decides looks whether all boxes know a step that waits.
const contractEvery = 5 * time.Second

// contractSchema takes steps of the schema once every box of the cluster knows them.
func (d *daemon) contractSchema(ctx context.Context) {
	tick := time.NewTicker(contractEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		schema, err := d.store.Schema(ctx)
		if err == nil && schema.Waiting == 0 {
			said = ""
			continue
		}
		if err == nil {
			if waits := waitsFor(d.seat.roster.Nodes(), schema.Waiting); len(waits) > 0 {
				if text := schemaWords(schema, waits); text != said {
					d.Log.Info(text)
					said = text
				}
				continue
			}
			err = d.store.Contract(ctx, leastSchema(d.seat.roster.Nodes()))
		}
		if err != nil && ctx.Err() == nil && err.Error() != said {
			d.Log.Warn("the schema could not be changed; it is tried again", "error", err)
			said = err.Error()
		}
	}
}

// keepUp ends this program when the rows are such that it cannot work with them. Who decides takes such a step once every box knows it;
// one that was taken back to an earlier program at that moment counted as what it had run.
func (d *daemon) keepUp(ctx context.Context) {
	known, err := store.KnownSchema()
	if err == nil {
		err = whileUsable(ctx, func() bool { return newestSchema(d.seat.roster.Nodes()) > known }, d.store.Usable)
	}
	if err != nil && ctx.Err() == nil {
		select {
		case d.failed <- err:
		default: // it ends for another reason
		}
	}
}

// whileUsable looks, while another program knows more, whether the rows are usable still, and returns once they are not.
func whileUsable(ctx context.Context, surpassed func() bool, usable func(context.Context) error) error {
	tick := time.NewTicker(contractEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if !surpassed() {
			continue
		}
		if err := usable(ctx); errors.Is(err, store.ErrNewerData) { // a database that is away says nothing
			return err
		}
	}
}

// leastSchema is what all boxes know.
func leastSchema(nodes []cluster.Seen) (least int64) {
	for i, n := range nodes {
		if n.Alive == nil {
			return 0
		}
		if i == 0 || n.Alive.Schema < least {
			least = n.Alive.Schema
		}
	}
	return least
}

// newestSchema is the newest that a box knows.
func newestSchema(nodes []cluster.Seen) (newest int64) {
	for _, n := range nodes {
		if n.Alive != nil {
			newest = max(newest, n.Alive.Schema)
		}
	}
	return newest
}

// waitsFor are the boxes that do not know a step, or do not say whether they do, in words.
func waitsFor(nodes []cluster.Seen, version int64) (out []string) {
	for _, n := range nodes {
		switch {
		case n.Alive == nil:
			out = append(out, n.Name+" is silent")
		case n.Alive.Schema < version:
			out = append(out, fmt.Sprintf("%s runs palisade %s", n.Name, n.Alive.Version))
		}
	}
	return out
}

func schemaWords(s store.Schema, waits []string) string {
	return fmt.Sprintf("the schema stays at %d, and step %d waits: %s. Replace their programs, one box at a time; a box that is gone for good: palisade cluster remove", s.Have, s.Waiting, strings.Join(waits, ", "))
}

// versionWords say what is to be done where boxes run different programs; "": they do not.
func versionWords(nodes []cluster.Seen) string {
	by := map[string][]string{}
	for _, n := range nodes {
		if n.Alive != nil {
			by[n.Alive.Version] = append(by[n.Alive.Version], n.Name)
		}
	}
	if len(by) < 2 {
		return ""
	}
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[version])
		parts = append(parts, version+" on "+strings.Join(by[version], ", "))
	}
	return "the boxes run different programs (" + strings.Join(parts, "; ") + "): bring all to the newest, one box at a time"
}
