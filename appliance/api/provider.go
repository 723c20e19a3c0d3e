package api

import (
	"context"
)

// Provider is a provider of OpenID Connect by which users may log in.
type Provider struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Issuer string `json:"issuer"`
	Start  string `json:"start"` // where a browser begins: ?next= says where it wants to be then
}

// Providers are those by which users may log in.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	return list[Provider](ctx, c, "/login/providers", nil)
}
