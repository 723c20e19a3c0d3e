package fleet

import (
	"maps"
	"slices"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// same tells whether two rows say the same, as they would be read back. It is asked of every row of the table whenever one changes:
// reflection takes twenty times as long.
func same(a, b *cluster.Row) bool {
	x, y := &a.Service, &b.Service
	return a.Wakes == b.Wakes && x.ID == y.ID && x.Name == y.Name && x.Project == y.Project && x.Status == y.Status && x.Public == y.Public &&
		x.Routing == y.Routing && x.ScaledBy == y.ScaledBy && x.Broken == y.Broken && x.Held == y.Held &&
		x.CreatedAt.Equal(y.CreatedAt) && x.ScaledAt.Equal(y.ScaledAt) && x.ReadyAt.Equal(y.ReadyAt) && x.RetryAt.Equal(y.RetryAt) &&
		slices.Equal(x.Aliases, y.Aliases) && slices.EqualFunc(x.Routes, y.Routes, sameTarget) && maps.Equal(a.Nodes, b.Nodes)
}

func sameTarget(a, b sessions.RouteTarget) bool {
	return a.ID == b.ID && a.Addr == b.Addr && a.Weight == b.Weight && a.Draining == b.Draining // its metrics are not told
}
