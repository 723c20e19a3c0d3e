package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
)

// SSHKeys open sessions to people. *authorized.Book is one.
type SSHKeys interface {
	Add(ctx context.Context, w authorized.Wish) (authorized.Key, error)
	List() []authorized.Key
	Remove(ctx context.Context, by, ref string) error
}

func (s *server) getSSH(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	return respond(c, http.StatusOK, s.SSH())
}

func (s *server) listSSHKeys(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.SSHKey{}
	for _, k := range s.ownSSHKeys(actorOf(c.Request.Context())) {
		items = append(items, sshKey(k))
	}
	return respondPage(c, p, items, func(k api.SSHKey) string { return stamp(k.CreatedAt) + k.ID })
}

// ownSSHKeys are those of who asks; for an administrator those of all.
func (s *server) ownSSHKeys(a Actor) []authorized.Key {
	return slices.DeleteFunc(s.SSHKeys.List(), func(k authorized.Key) bool {
		return !s.rights.grant(a, "").admin && (k.User == "" || k.User != a.User.Name)
	})
}

func sshKey(k authorized.Key) api.SSHKey {
	return api.SSHKey{
		ID: k.ID, Name: k.Name, Owner: k.Owner, Project: k.Project, Fingerprint: k.Fingerprint, Key: k.Line,
		CreatedAt: k.CreatedAt.UTC(), LastUsed: timePtr(k.LastUsed),
	}
}

func (s *server) addSSHKey(c *gin.Context) error {
	p := query(c)
	var in api.SSHKeyCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	a := actorOf(ctx)
	w := authorized.Wish{Text: in.Key, Name: in.Name, Owner: a.Name, User: a.User.Name, Project: s.home(c, viewer)}
	if in.AllProjects || s.homeless(c, a) {
		w.Project = ""
	} else if err := s.permit(ctx, viewer, w.Project); err != nil { // what it opens there is asked with each session
		return err
	}
	k, err := s.SSHKeys.Add(ctx, w)
	if errors.Is(err, authorized.ErrExists) && !s.rights.grant(a, "").admin && k.Owner != a.Name {
		return fmt.Errorf("this key %w, and is somebody else's", authorized.ErrExists)
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, sshKey(k))
}

// homeless reports whether who asks names no project, and has none that is meant then: they have a part in none, or in several,
// and the default one is not among them. Their key is good for all that they have, or come to have.
func (s *server) homeless(c *gin.Context, a Actor) bool {
	return a.User.Name != "" && !s.rights.grant(a, "").admin && c.Request.URL.Query().Get("project") == "" && !s.rights.Sees(a, s.ownProject(a))
}

// pickSSHKey finds a key by id, fingerprint or name: a name of who asks before one of somebody else.
func pickSSHKey(own []authorized.Key, by, ref string) (found authorized.Key, ok, several bool) {
	for _, k := range own {
		switch {
		case k.ID == ref, k.Fingerprint == ref:
			return k, true, false
		case k.Name != ref, ok && found.Owner == by:
		case k.Owner == by:
			found, ok, several = k, true, false
		default:
			several = ok || several
			found, ok = k, true
		}
	}
	return found, ok && !several, several
}

func (s *server) removeSSHKey(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx, ref := c.Request.Context(), c.Param("id")
	own := s.ownSSHKeys(actorOf(ctx))
	err := fmt.Errorf("SSH key %q: %w", ref, authorized.ErrNotFound)
	if k, found, several := pickSSHKey(own, actorOf(ctx).Name, ref); found {
		err = s.SSHKeys.Remove(ctx, k.Owner, k.ID) // by what is nobody else's: a name may look like the id of another
	} else if several {
		return badField("key", "say which by its id", "several keys are named %q", ref)
	}
	if err != nil {
		return withNearest(err, ref, func() []string {
			var names []string
			for _, k := range own {
				names = append(names, k.Name, k.ID)
			}
			return names
		})
	}
	return noContent(c)
}
