package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/quota"
)

func (s *server) token(t router.Token) api.Token {
	out := api.Token{
		ID: t.ID, Name: t.Name, Project: t.Project, ServiceID: t.ServiceID, CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt.UTC(),
		ExpiresAt: t.ExpiresAt.UTC(), LastUsed: timePtr(t.LastUsed), RevokedAt: timePtr(t.RevokedAt),
	}
	if l := t.Limits; !l.Unlimited() {
		out.Limits = &api.TokenLimits{
			RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, ConcurrentRequests: l.Concurrent,
			TokenBudget: l.Budget, BudgetWindow: string(l.Window),
		}
		out.Standing = standing(s.Tokens.Standing(t.ID))
	}
	return out
}

func standing(s quota.State) *api.TokenStanding {
	out := &api.TokenStanding{InFlight: s.InFlight, Spent: s.Spent, SpentUntil: timePtr(s.SpentUntil)}
	if s.Requests.Limit > 0 {
		out.RemainingRequests = &s.Requests.Remaining
	}
	if s.Tokens.Limit > 0 {
		out.RemainingTokens = &s.Tokens.Remaining
	}
	return out
}

func limits(in *api.TokenLimits) quota.Limits {
	if in == nil {
		return quota.Limits{}
	}
	return quota.Limits{
		RequestsPerMinute: in.RequestsPerMinute, TokensPerMinute: in.TokensPerMinute, Concurrent: in.ConcurrentRequests,
		Budget: in.TokenBudget, Window: quota.Window(in.BudgetWindow),
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
	limited := limits(in.Limits)
	if e, ok := errors.AsType[*quota.FieldError](limited.Check()); ok {
		return badField("limits."+e.Field, e.Hint(), "%s", e.Text)
	}
	ctx := c.Request.Context()
	t, secret, err := s.Tokens.Issue(ctx, router.IssueRequest{
		Name: in.Name, Project: project, ServiceID: serviceID, CreatedBy: actorOf(ctx).Name,
		Duration: in.Duration, ValidUntil: in.ValidUntil, Limits: limited,
	})
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, api.TokenIssued{Token: s.token(t), Secret: secret})
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
	now := s.Now()
	for _, t := range s.Tokens.List(p.project(), serviceID) {
		if !passing(t, now) {
			items = append(items, s.token(t))
		}
	}
	return respondPage(c, p, items, func(t api.Token) string { return stamp(t.CreatedAt) + t.ID })
}

// visit is the longest that a token is good for which was made for a visit: a chat, a look at a model.
const visit = time.Hour

// passing says that a token was made for a visit that is over: a list of these hides the others.
func passing(t router.Token, now time.Time) bool {
	return t.State(now) != nil && t.ExpiresAt.Sub(t.CreatedAt) <= visit
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
		err := fmt.Errorf("token %q: %w", ref, router.ErrNotFound)
		if serviceID != "" && slices.ContainsFunc(s.Tokens.List(project, ""), func(t router.Token) bool { return t.ID == ref && t.ServiceID == "" }) {
			return &hinted{err, "it opens every service of the project: palisade service revoke-token --all " + ref}
		}
		return withNearest(err, ref, func() []string { return names })
	case 1:
		if err := s.Tokens.Revoke(c.Request.Context(), found[0]); err != nil {
			return err
		}
		return noContent(c)
	}
	return badField("token", "say which by its id", "%d tokens have the name %q", len(found), ref)
}
