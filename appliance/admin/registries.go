package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/vault"
)

// Registries are the log-ins of image registries. vault.Registries is one.
type Registries interface {
	Put(ctx context.Context, host, user string, password vault.Secret) error
	Delete(ctx context.Context, host string) error
	List(ctx context.Context) ([]vault.LogIn, error)
}

func registry(l vault.LogIn) api.Registry {
	return api.Registry{Host: l.Host, User: l.User, CreatedAt: l.CreatedAt.UTC(), UpdatedAt: l.UpdatedAt.UTC()}
}

func (s *server) listRegistries(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	all, err := s.Registries.List(c.Request.Context())
	if err != nil {
		return err
	}
	items := []api.Registry{}
	for _, l := range all {
		items = append(items, registry(l))
	}
	return respondPage(c, p, items, func(r api.Registry) string { return r.Host })
}

// findRegistry returns the log-in of a host, and the hosts that have one.
func (s *server) findRegistry(ctx context.Context, host string) (api.Registry, error) {
	all, err := s.Registries.List(ctx)
	if err != nil {
		return api.Registry{}, err
	}
	for _, l := range all {
		if l.Host == vault.Host(host) {
			return registry(l), nil
		}
	}
	err = fmt.Errorf("a log-in for registry %s: %w", host, vault.ErrNotFound)
	return api.Registry{}, withNearest(err, host, func() []string {
		var hosts []string
		for _, l := range all {
			hosts = append(hosts, l.Host)
		}
		return hosts
	})
}

func (s *server) getRegistry(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	found, err := s.findRegistry(c.Request.Context(), c.Param("host"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, found)
}

func (s *server) logIn(c *gin.Context) error {
	var in api.RegistryLogIn
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Registries.Put(ctx, c.Param("host"), in.User, vault.Secret(in.Password)); err != nil {
		return err
	}
	kept, err := s.findRegistry(ctx, c.Param("host"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, kept)
}

func (s *server) logOut(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx := c.Request.Context()
	if _, err := s.findRegistry(ctx, c.Param("host")); err != nil {
		return err
	}
	if err := s.Registries.Delete(ctx, c.Param("host")); err != nil {
		return err
	}
	return noContent(c)
}
