package admin

import (
	"context"
	"net/http"

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
	for _, k := range s.SSHKeys.List() {
		items = append(items, sshKey(k))
	}
	return respondPage(c, p, items, func(k api.SSHKey) string { return stamp(k.CreatedAt) + k.ID })
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
	w := authorized.Wish{Text: in.Key, Name: in.Name, Owner: actorOf(ctx).Name, Project: p.project()}
	if in.AllProjects {
		w.Project = ""
	}
	k, err := s.SSHKeys.Add(ctx, w)
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, sshKey(k))
}

func (s *server) removeSSHKey(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx, ref := c.Request.Context(), c.Param("id")
	if err := s.SSHKeys.Remove(ctx, actorOf(ctx).Name, ref); err != nil {
		return withNearest(err, ref, func() []string {
			var names []string
			for _, k := range s.SSHKeys.List() {
				names = append(names, k.Name, k.ID)
			}
			return names
		})
	}
	return noContent(c)
}
