package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// expiringSoon is how long before its end a key is shown as one that ends soon.
const expiringSoon = 14 * 24 * time.Hour

func (s *server) key(k keys.Key) api.Key {
	out := api.Key{
		ID: k.ID, Name: k.Name, Owner: k.Owner, Scope: string(k.Scope), Project: k.Project, CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt.UTC(),
		ExpiresAt: timePtr(k.ExpiresAt), LastUsed: timePtr(k.LastUsed), Standing: "good",
	}
	_, may := s.rights.ofKey(k)
	switch now := s.Now(); {
	case k.Expired(now):
		out.Standing = "expired"
	case !may:
		out.Standing = "suspended"
	case k.Expired(now.Add(expiringSoon)):
		out.Standing = "expiring"
	}
	return out
}

// theirs reports whether a key is that of who asks, or they administer all.
func (s *server) theirs(a Actor, k keys.Key) bool {
	return s.rights.grant(a, "").admin || k.ID == a.Key || k.Owner != "" && k.Owner == a.User.Name && a.Project == ""
}

// ownKeys are those that who asks may see.
func (s *server) ownKeys(a Actor) []keys.Key {
	var out []keys.Key
	for _, k := range s.Keys.List() {
		if s.theirs(a, k) {
			out = append(out, k)
		}
	}
	return out
}

func (s *server) listKeys(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.Key{}
	for _, k := range s.ownKeys(actorOf(c.Request.Context())) {
		items = append(items, s.key(k))
	}
	return respondPage(c, p, items, func(k api.Key) string { return stamp(k.CreatedAt) + k.ID })
}

// keyWish reads what key is wanted. Nobody gets one that may more than they themselves:
//  1. Of people it is their own. An administrator says whose it is to be; from the box itself it is the box's own, where
//     nobody is named.
//  2. A key of the box itself has no name of a user: what is made with it would look like that user's.
//  3. The project is one that who asks sees.
//
// What its owner may counts with each use, and so it need not be looked at here.
func (s *server) keyWish(a Actor, in api.KeyCreate) (keys.Wish, error) {
	w := keys.Wish{Name: in.Name, Owner: cmp.Or(people.Fold(in.Owner), a.User.Name), Scope: cmp.Or(keys.Scope(in.Scope), keys.Write), Project: in.Project, By: a.Name}
	if in.ExpiresAt != nil {
		w.ExpiresAt = *in.ExpiresAt
	}
	if w.Owner != a.User.Name { // 1
		if !s.rights.grant(a, "").admin {
			p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "only an administrator makes keys for others than themselves")
			p.Hint = "leave the owner out: then it is yours"
			return w, p
		}
		name, err := s.knownUser("owner", w.Owner)
		if err != nil {
			return w, err
		}
		w.Owner = name
	}
	if _, err := s.Users.User(w.Name); err == nil && w.Owner == "" { // 2
		return w, badField("name", "take another one, or give the key that owner", "there is a user %q, whom what is done with the key would be put down to", w.Name)
	}
	if by, _ := s.Keys.Find(a.Key); a.Key != "" && !by.ExpiresAt.IsZero() && (w.ExpiresAt.IsZero() || w.ExpiresAt.After(by.ExpiresAt)) {
		return w, badField("expires_at", "say one that is not later", "a key that is made with the key %s ends with it, at %s", by.Name, by.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if w.Project != "" { // 3
		if _, there := s.Projects.Find(w.Project); !there || !s.rights.Sees(a, w.Project) {
			return w, people.NoProject(w.Project)
		}
	}
	return w, nil
}

func (s *server) createKey(c *gin.Context) error {
	p := query(c)
	var in api.KeyCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	w, err := s.keyWish(actorOf(ctx), in)
	if err != nil {
		return err
	}
	k, secret, err := s.Keys.Issue(ctx, w)
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, api.KeyIssued{Key: s.key(k), Secret: secret})
}

// revokeKey ends a key of who asks. Somebody else's is not there for them.
func (s *server) revokeKey(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx, ref := c.Request.Context(), c.Param("id")
	own := s.ownKeys(actorOf(ctx))
	for _, k := range own {
		if k.ID == ref || k.Name == ref {
			if err := s.Keys.Revoke(ctx, k.ID); err != nil {
				return err
			}
			return noContent(c)
		}
	}
	return withNearest(fmt.Errorf("API key %q: %w", ref, keys.ErrNotFound), ref, func() []string {
		var names []string
		for _, k := range own {
			names = append(names, k.Name, k.ID)
		}
		return names
	})
}
