package api

import (
	"context"
	"net/http"
	"net/url"
)

// Live says what services do now, by name. With all, those of every project.
func (c *Client) Live(ctx context.Context, all bool) ([]ServiceLive, error) {
	q := url.Values{}
	if all {
		q.Set("all", "true")
	}
	return list[ServiceLive](ctx, c, "/live", q)
}

// ServiceLive says what a service does now.
func (c *Client) ServiceLive(ctx context.Context, ref string) (ServiceLive, error) {
	var out ServiceLive
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/live"}, &out)
}

// WatchLive calls each with what a service does, every second, until each returns an error (ErrStopWatch is none), ctx
// ends, or the service is gone (a Problem of KindNotFound).
func (c *Client) WatchLive(ctx context.Context, ref string, each func(ServiceLive) error) error {
	return c.watch(ctx, "/services/"+seg(ref)+"/live", url.Values{"watch": {"true"}}, func(event string, data []byte) error {
		if event != "live" {
			return nil
		}
		return given(data, each)
	})
}

// Captures lists what is kept of a service's requests, newest first.
func (c *Client) Captures(ctx context.Context, ref string) ([]Capture, error) {
	var page Page[Capture]
	return page.Items, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/captures"}, &page)
}

// Capture returns one with its bodies, by its number or its request's id.
func (c *Client) Capture(ctx context.Context, ref, capture string) (Capture, error) {
	var out Capture
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/captures/" + seg(capture)}, &out)
}

// ClearCaptures forgets what is kept of a service's requests.
func (c *Client) ClearCaptures(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/services/" + seg(ref) + "/captures"}, nil)
}
