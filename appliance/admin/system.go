package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
)

func (s *server) version(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	v := s.Version
	v.Gateway = s.PublicURL + "/v1"
	return respond(c, http.StatusOK, v)
}

func (s *server) doctor(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	out := api.Doctor{Healthy: true, Checks: s.Doctor(c.Request.Context())}
	if out.Checks == nil {
		out.Checks = []api.Check{}
	}
	for _, check := range out.Checks {
		out.Healthy = out.Healthy && check.Status != api.CheckFailed
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) restart(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	if s.Restart == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "this daemon cannot be restarted from within")
	}
	ctx := c.Request.Context()
	done, err := s.Restart(ctx, actorOf(ctx).Name)
	if err != nil && !isKnown(ctx, err) { // whoever may restart the daemon may know why it was not
		p := api.NewProblem(api.KindState, http.StatusConflict, "the daemon goes on as before: %s", err)
		if h, ok := errors.AsType[hinter](err); ok {
			p.Hint = h.Hint()
		}
		return p
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, done)
}

func isKnown(ctx context.Context, err error) bool {
	return problemOf(ctx, err).Kind() == api.KindConflict
}

func (s *server) runtimes(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	return respondPage(c, p, s.Runtimes(), func(r api.Runtime) string { return r.Name })
}

func openAPIYAML(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", api.OpenAPI())
	return nil
}

func openAPIJSON(c *gin.Context) error {
	doc, err := api.OpenAPIJSON()
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	c.Data(http.StatusOK, "application/json", json.RawMessage(doc))
	return nil
}

func (s *server) listKeys(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.Key{}
	for _, k := range s.Keys.List() {
		items = append(items, key(k))
	}
	return respondPage(c, p, items, func(k api.Key) string { return stamp(k.CreatedAt) + k.ID })
}

func key(k keys.Key) api.Key {
	return api.Key{ID: k.ID, Name: k.Name, CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt.UTC(), LastUsed: timePtr(k.LastUsed)}
}

func (s *server) createKey(c *gin.Context) error {
	p := query(c)
	var in api.KeyCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	k, secret, err := s.Keys.Issue(ctx, in.Name, actorOf(ctx).Name)
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, api.KeyIssued{Key: key(k), Secret: secret})
}

func (s *server) revokeKey(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ref := c.Param("id")
	err := s.Keys.Revoke(c.Request.Context(), ref)
	if err != nil {
		return withNearest(err, ref, func() []string {
			var names []string
			for _, k := range s.Keys.List() {
				names = append(names, k.Name, k.ID)
			}
			return names
		})
	}
	return noContent(c)
}
