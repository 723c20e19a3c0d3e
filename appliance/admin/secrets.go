package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/vault"
)

// Secrets are kept under names by which services and recipes use them. There is no verb that shows one. vault.Named is it.
type Secrets interface {
	Put(ctx context.Context, name string, s vault.Secret) error
	Delete(ctx context.Context, name string) error
	List(ctx context.Context) ([]vault.Entry, error)
	// Rotate encrypts all with a new key, and returns how many they are.
	Rotate(ctx context.Context) (int, error)
}

func secret(e vault.Entry) api.Secret {
	return api.Secret{Name: e.Name, CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC()}
}

func (s *server) listSecrets(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	all, err := s.Secrets.List(c.Request.Context())
	if err != nil {
		return err
	}
	items := []api.Secret{}
	for _, e := range all {
		items = append(items, secret(e))
	}
	return respondPage(c, p, items, func(e api.Secret) string { return e.Name })
}

// findSecret returns what is known of one, and which name was perhaps meant.
func (s *server) findSecret(ctx context.Context, name string) (api.Secret, error) {
	all, err := s.Secrets.List(ctx)
	if err != nil {
		return api.Secret{}, err
	}
	for _, e := range all {
		if e.Name == name {
			return secret(e), nil
		}
	}
	err = fmt.Errorf("secret %s: %w", name, vault.ErrNotFound)
	return api.Secret{}, withNearest(err, name, func() []string {
		var names []string
		for _, e := range all {
			names = append(names, e.Name)
		}
		return names
	})
}

func (s *server) getSecret(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	found, err := s.findSecret(c.Request.Context(), c.Param("name"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, found)
}

func (s *server) setSecret(c *gin.Context) error {
	var in api.SecretValue
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Secrets.Put(ctx, c.Param("name"), vault.Secret(in.Value)); err != nil {
		return err
	}
	kept, err := s.findSecret(ctx, c.Param("name"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, kept)
}

func (s *server) rotateSecrets(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	n, err := s.Secrets.Rotate(c.Request.Context())
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.SecretsRotated{Encrypted: n})
}

func (s *server) deleteSecret(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx := c.Request.Context()
	if _, err := s.findSecret(ctx, c.Param("name")); err != nil {
		return err
	}
	if err := s.Secrets.Delete(ctx, c.Param("name")); err != nil {
		return err
	}
	return noContent(c)
}
