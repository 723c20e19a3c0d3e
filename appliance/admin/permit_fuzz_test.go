package admin

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/people"
)

// needs are all.
func needs() []need { return []need{open, anyone, self, viewer, member, owner, admin} }

// within fails where a grant meets a need that one which should be wider does not.
func within(t *testing.T, what string, less, more grant) {
	t.Helper()
	for _, n := range needs() {
		if less.meets(n) && !more.meets(n) {
			t.Errorf("%s: need %d is met by %+v, and not by %+v", what, n, less, more)
		}
	}
}

// FuzzMoreMayMore: a higher role, a wider scope, a key without bounds never may less; and no key may more than its owner.
func FuzzMoreMayMore(f *testing.F) {
	f.Add(true, true, false, 1, "read", true, true)
	f.Add(true, true, true, 3, "admin", false, false)
	f.Add(false, false, false, 0, "", true, false)
	f.Fuzz(func(t *testing.T, known, whole, isAdmin bool, role int, scope string, one, here bool) {
		g := grant{known: known, whole: whole, admin: isAdmin, role: people.Role(role)}
		more := g
		more.known, more.whole = true, true
		within(t, "somebody", g, more)
		if role < 100 {
			more = g
			more.role++
			within(t, "a higher role", g, more)
		}
		more = g
		more.admin = true
		within(t, "an administrator", g, more)

		bound := g.bound(keys.Scope(scope), one, here)
		within(t, "a key and its owner", bound, g)
		within(t, "one project and all", bound, g.bound(keys.Scope(scope), false, here))
		order := []keys.Scope{keys.Scope("nonsense"), keys.Read, keys.Write, keys.Admin}
		for i := range len(order) - 1 {
			within(t, "a wider scope", g.bound(order[i], one, here), g.bound(order[i+1], one, here))
		}
		if one && bound.meets(admin) {
			t.Error("a key of one project administers the box")
		}
		if one && !here && bound.meets(viewer) {
			t.Error("a key of one project opens another")
		}
	})
}

// TestNeedsAreInOrder: who meets a need meets those before it, but that for oneself, which keys of little scope do not.
func TestNeedsAreInOrder(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, isAdmin := range []bool{false, true} {
			for role := people.None; role <= people.Owner; role++ {
				g := grant{known: known, admin: isAdmin, role: role, whole: true}
				met := true
				for _, n := range needs() {
					if now := g.meets(n); now && !met {
						t.Errorf("%+v meets %d, and not what is less", g, n)
					} else {
						met = now
					}
				}
			}
		}
	}
}
