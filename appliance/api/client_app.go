package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Apps lists the apps that a running session has.
func (c *Client) Apps(ctx context.Context, ref string) ([]App, error) {
	return list[App](ctx, c, "/sessions/"+seg(ref)+"/apps", nil)
}

// AppLink makes a way into an app for a browser; it does not start the app.
func (c *Client) AppLink(ctx context.Context, ref, name string) (AppLink, error) {
	var out AppLink
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/sessions/" + seg(ref) + "/apps/" + seg(name)}, &out)
}

// AppTunnel connects to an app of a session, which is started before where that is needed: it may take half a minute.
func (c *Client) AppTunnel(ctx context.Context, ref, name string) (*Tunnel, error) {
	return c.tunnel(ctx, ref, url.Values{"app": {name}})
}

// PortTunnel connects to a port of a session, at its own localhost.
func (c *Client) PortTunnel(ctx context.Context, ref string, port int) (*Tunnel, error) {
	return c.tunnel(ctx, ref, url.Values{"port": {strconv.Itoa(port)}})
}

func (c *Client) tunnel(ctx context.Context, ref string, query url.Values) (*Tunnel, error) {
	ws, done, err := c.upgrade(ctx, TunnelProtocol, call{path: "/sessions/" + seg(ref) + "/tunnel", query: query})
	if err != nil {
		return nil, err
	}
	return newTunnel(ws, func() { done(nil) }), nil
}
