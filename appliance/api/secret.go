package api

import (
	"context"
	"net/http"
	"time"
)

// Secret says that a secret is kept. What it is is never shown.
type Secret struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// SecretValue is a secret that is to be kept.
type SecretValue struct {
	Value string `json:"value"` // at most 64 KiB
}

// SecretsRotated says that all secrets are encrypted with a new key.
type SecretsRotated struct {
	Encrypted int `json:"encrypted"` // secrets, log-ins of registries and second factors
}

// RotateSecrets makes a new key for all that is kept encrypted, and forgets the one before.
func (c *Client) RotateSecrets(ctx context.Context) (SecretsRotated, error) {
	var out SecretsRotated
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/secrets/rotate"}, &out)
}

// Secrets that are kept, by name.
func (c *Client) Secrets(ctx context.Context) ([]Secret, error) {
	return list[Secret](ctx, c, "/secrets", nil)
}

// Secret says that one is kept, and since when.
func (c *Client) Secret(ctx context.Context, name string) (Secret, error) {
	var out Secret
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/secrets/" + seg(name)}, &out)
}

// SetSecret keeps a secret, in the place of any that was there.
func (c *Client) SetSecret(ctx context.Context, name string, in SecretValue) (Secret, error) {
	var out Secret
	return out, c.unary(ctx, call{method: http.MethodPut, path: "/secrets/" + seg(name), in: in}, &out)
}

// DeleteSecret forgets a secret.
func (c *Client) DeleteSecret(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/secrets/" + seg(name)}, nil)
}
