package admin

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router"
)

func token(t router.Token) api.Token {
	return api.Token{
		ID: t.ID, Name: t.Name, Project: t.Project, ServiceID: t.ServiceID, CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt.UTC(),
		ExpiresAt: t.ExpiresAt.UTC(), LastUsed: timePtr(t.LastUsed), RevokedAt: timePtr(t.RevokedAt),
	}
}

func (s *server) issueServiceToken(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	return s.issue(c, v.Project, v.ID)
}

func (s *server) issueToken(c *gin.Context) error {
	p := query(c)
	if p.err != nil {
		return p.err
	}
	return s.issue(c, p.project(), "")
}

func (s *server) issue(c *gin.Context, project, serviceID string) error {
	var in api.TokenCreate
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request.Context()
	t, secret, err := s.Tokens.Issue(ctx, router.IssueRequest{
		Name: in.Name, Project: project, ServiceID: serviceID, CreatedBy: actorOf(ctx).Name,
		Duration: in.Duration, ValidUntil: in.ValidUntil,
	})
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, api.TokenIssued{Token: token(t), Secret: secret})
}

func (s *server) listServiceTokens(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	return s.respondTokens(c, p, v.ID)
}

func (s *server) listTokens(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	return s.respondTokens(c, p, "")
}

func (s *server) respondTokens(c *gin.Context, p *params, serviceID string) error {
	items := []api.Token{}
	for _, t := range s.Tokens.List(p.project(), serviceID) {
		items = append(items, token(t))
	}
	return respondPage(c, p, items, func(t api.Token) string { return stamp(t.CreatedAt) + t.ID })
}

func (s *server) revokeServiceToken(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	return s.revoke(c, v.Project, v.ID)
}

func (s *server) revokeToken(c *gin.Context) error {
	p := query(c)
	if p.err != nil {
		return p.err
	}
	return s.revoke(c, p.project(), "")
}

// revoke ends a token by its id, or by a name that only one valid token has. It looks among those of the project
// and service that the path names, and nowhere else.
func (s *server) revoke(c *gin.Context, project, serviceID string) error {
	ref := c.Param("tid")
	var found, names []string
	for _, t := range s.Tokens.List(project, serviceID) {
		if t.ID == ref {
			found, names = []string{t.ID}, nil
			break
		}
		if t.RevokedAt.IsZero() {
			names = append(names, t.Name, t.ID)
			if t.Name == ref {
				found = append(found, t.ID)
			}
		}
	}
	switch len(found) {
	case 0:
		return withNearest(fmt.Errorf("token %q: %w", ref, router.ErrNotFound), ref, func() []string { return names })
	case 1:
		if err := s.Tokens.Revoke(c.Request.Context(), found[0]); err != nil {
			return err
		}
		return noContent(c)
	}
	return badField("token", "say which by its id", "%d tokens have the name %q", len(found), ref)
}
