package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// SessionFilter chooses sessions; what is "" chooses all.
type SessionFilter struct {
	Type    string
	Status  string
	Service string // id or name
	All     bool   // ended ones too
}

// Sessions lists sessions, oldest first.
func (c *Client) Sessions(ctx context.Context, f SessionFilter) ([]Session, error) {
	q := url.Values{"type": {f.Type}, "status": {f.Status}, "service": {f.Service}}
	if f.All {
		q.Set("all", "true")
	}
	return list[Session](ctx, c, "/sessions", q)
}

// Session returns one by id or name.
func (c *Client) Session(ctx context.Context, ref string) (Session, error) {
	var out Session
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions/" + seg(ref)}, &out)
}

// SessionLogs streams what a session writes.
func (c *Client) SessionLogs(ctx context.Context, ref string, o LogOptions) (io.ReadCloser, error) {
	return c.stream(ctx, "/sessions/"+seg(ref)+"/logs", o.query())
}

// StatusHistory of a session, oldest first.
func (c *Client) StatusHistory(ctx context.Context, ref string) ([]Transition, error) {
	return list[Transition](ctx, c, "/sessions/"+seg(ref)+"/status-history", nil)
}

// Stats samples what a session uses.
func (c *Client) Stats(ctx context.Context, ref string) (Stats, error) {
	var out Stats
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions/" + seg(ref) + "/stats"}, &out)
}

// TerminateSession ends a session; forced skips its grace.
func (c *Client) TerminateSession(ctx context.Context, ref string, forced bool) error {
	q := url.Values{}
	if forced {
		q.Set("forced", "true")
	}
	return c.unary(ctx, call{method: http.MethodDelete, path: "/sessions/" + seg(ref), query: q}, nil)
}
