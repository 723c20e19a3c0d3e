package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// CreateService records a service; it does not wait for it to run.
func (c *Client) CreateService(ctx context.Context, in ServiceCreate) (Service, error) {
	var out Service
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/services", in: in}, &out)
}

// ServiceFilter chooses services; what is "" chooses all.
type ServiceFilter struct {
	Status string
	Name   string // part of it
}

// Services lists services, oldest first.
func (c *Client) Services(ctx context.Context, f ServiceFilter) ([]Service, error) {
	return list[Service](ctx, c, "/services", url.Values{"status": {f.Status}, "name": {f.Name}})
}

// Service returns one by id or name.
func (c *Client) Service(ctx context.Context, ref string) (Service, error) {
	var out Service
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref)}, &out)
}

// UpdateService changes one. With a version other than 0 it fails when the service has another.
func (c *Client) UpdateService(ctx context.Context, ref string, in ServiceUpdate, version int64) (Service, error) {
	var out Service
	k := call{method: http.MethodPatch, path: "/services/" + seg(ref), in: in}
	if version != 0 {
		k.header = http.Header{"If-Match": {ETag(version)}}
	}
	return out, c.unary(ctx, k, &out)
}

// ETag is the entity tag of a version.
func ETag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// ScaleService sets the number of routes wanted.
func (c *Client) ScaleService(ctx context.Context, ref string, to int, reason string) (Service, error) {
	var out Service
	in := Scale{To: &to, Reason: reason}
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/services/" + seg(ref) + "/scale", in: in}, &out)
}

// DestroyService ends a service and its routes.
func (c *Client) DestroyService(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/services/" + seg(ref)}, nil)
}

// Routes of a service.
func (c *Client) Routes(ctx context.Context, ref string) ([]Route, error) {
	return list[Route](ctx, c, "/services/"+seg(ref)+"/routes", nil)
}

// SetTrafficRatio sets the weight of a route.
func (c *Client) SetTrafficRatio(ctx context.Context, ref, route string, ratio float64) (Route, error) {
	var out Route
	k := call{
		method: http.MethodPatch, path: "/services/" + seg(ref) + "/routes/" + seg(route),
		in: RouteUpdate{TrafficRatio: &ratio},
	}
	return out, c.unary(ctx, k, &out)
}

// ServiceErrors says what keeps a service from being healthy.
func (c *Client) ServiceErrors(ctx context.Context, ref string) (ServiceErrors, error) {
	var out ServiceErrors
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/errors"}, &out)
}

// ClearErrors forgets failed starts, so that the next one is made at once.
func (c *Client) ClearErrors(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodPost, path: "/services/" + seg(ref) + "/errors/clear"}, nil)
}

// Events of a service, newest first, at most limit; with a kind other than "", of that kind.
func (c *Client) Events(ctx context.Context, ref, kind string, limit int) ([]Event, error) {
	var page Page[Event]
	k := call{
		method: http.MethodGet, path: "/services/" + seg(ref) + "/events",
		query: url.Values{"limit": {strconv.Itoa(limit)}, "kind": {kind}},
	}
	return page.Items, c.unary(ctx, k, &page)
}

// Revisions of a service, oldest first.
func (c *Client) Revisions(ctx context.Context, ref string) ([]Revision, error) {
	return list[Revision](ctx, c, "/services/"+seg(ref)+"/revisions", nil)
}

// RollBack makes an earlier revision the one that should run; 0 means the last good one before this one.
func (c *Client) RollBack(ctx context.Context, ref string, revision int) (Service, error) {
	var out Service
	k := call{method: http.MethodPost, path: "/services/" + seg(ref) + "/rollback", in: RollBack{Revision: revision}}
	return out, c.unary(ctx, k, &out)
}

// IssueToken makes a token of a service; of the whole project when ref is "".
func (c *Client) IssueToken(ctx context.Context, ref string, in TokenCreate) (TokenIssued, error) {
	var out TokenIssued
	path := "/tokens"
	if ref != "" {
		path = "/services/" + seg(ref) + "/token"
	}
	return out, c.unary(ctx, call{method: http.MethodPost, path: path, in: in}, &out)
}

// Tokens of a service; of the whole project when ref is "".
func (c *Client) Tokens(ctx context.Context, ref string) ([]Token, error) {
	path := "/tokens"
	if ref != "" {
		path = "/services/" + seg(ref) + "/tokens"
	}
	return list[Token](ctx, c, path, nil)
}

// RevokeToken ends a token by its id or its name, at once.
func (c *Client) RevokeToken(ctx context.Context, ref, token string) error {
	path := "/tokens/" + seg(token)
	if ref != "" {
		path = "/services/" + seg(ref) + "/tokens/" + seg(token)
	}
	return c.unary(ctx, call{method: http.MethodDelete, path: path}, nil)
}

// LogOptions choose a part of a log.
type LogOptions struct {
	Follow bool
	Tail   int    // last lines only; 0 all
	Route  string // of a service: one route's alone
}

func (o LogOptions) query() url.Values {
	q := url.Values{"route": {o.Route}}
	if o.Follow {
		q.Set("follow", "true")
	}
	if o.Tail > 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	return q
}

// ServiceLogs streams what a service's routes write; with several, each line begins with the session's id.
func (c *Client) ServiceLogs(ctx context.Context, ref string, o LogOptions) (io.ReadCloser, error) {
	return c.stream(ctx, "/services/"+seg(ref)+"/logs", o.query())
}

func (c *Client) stream(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: path, query: q})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// WatchService calls each with the service now and after every change of it, until each returns an error (ErrStopWatch is none), ctx
// ends, or the service is gone (a Problem of KindNotFound). A daemon that goes away is waited for.
func (c *Client) WatchService(ctx context.Context, ref string, each func(Service) error) error {
	return c.keepWatching(ctx, "/services/"+seg(ref)+"/watch", func(event string, data []byte) error {
		if event != "service" {
			return nil
		}
		return given(data, each)
	})
}
