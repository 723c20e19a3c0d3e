package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Limits are what a project, or a person in all projects together, may have at a time, and what of it is used now.
type Limits struct {
	Kind      string            `json:"kind"` // project or user
	Name      string            `json:"name"`
	Bounds    []LimitBound      `json:"bounds"`
	Set       map[string]string `json:"set"` // what was set for this one, by bound; the rest is as the settings have it
	ChangedBy string            `json:"changed_by,omitempty"`
	ChangedAt *time.Time        `json:"changed_at,omitempty"`
}

// LimitBound is one bound.
type LimitBound struct {
	Name  string  `json:"name"`            // cpu, mem, cuda.device, sessions, services, routes, storage, tokens_per_minute, ...
	Limit string  `json:"limit,omitempty"` // as people write it; left out where there is none
	Used  string  `json:"used,omitempty"`  // now; left out where it is not counted
	Part  float64 `json:"part"`            // of the limit that is used: 1 is all of it, and there may be more
	From  string  `json:"from,omitempty"`  // row: it was set, config: the settings name this one, default: they say it of all
}

// LimitsSet says what a project or a person may have. What is not in it is left to the settings.
type LimitsSet struct {
	Set map[string]string `json:"set"` // by bound: cpu 8, mem 64g, sessions 10, storage 1t, tokens_per_minute 100k; none lifts what the settings say
}

// ProjectLimits returns those of a project.
func (c *Client) ProjectLimits(ctx context.Context, name string) (Limits, error) {
	return c.limits(ctx, call{method: http.MethodGet, path: "/projects/" + url.PathEscape(name) + "/limits"})
}

// SetProjectLimits replaces what was set for a project.
func (c *Client) SetProjectLimits(ctx context.Context, name string, in LimitsSet) (Limits, error) {
	return c.limits(ctx, call{method: http.MethodPut, path: "/projects/" + url.PathEscape(name) + "/limits", in: in})
}

// ClearProjectLimits leaves a project to the settings again.
func (c *Client) ClearProjectLimits(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/projects/" + url.PathEscape(name) + "/limits"}, nil)
}

// UserLimits returns those of a person.
func (c *Client) UserLimits(ctx context.Context, name string) (Limits, error) {
	return c.limits(ctx, call{method: http.MethodGet, path: "/users/" + url.PathEscape(name) + "/limits"})
}

// SetUserLimits replaces what was set for a person.
func (c *Client) SetUserLimits(ctx context.Context, name string, in LimitsSet) (Limits, error) {
	return c.limits(ctx, call{method: http.MethodPut, path: "/users/" + url.PathEscape(name) + "/limits", in: in})
}

// ClearUserLimits leaves a person to the settings again.
func (c *Client) ClearUserLimits(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/users/" + url.PathEscape(name) + "/limits"}, nil)
}

// MyLimits returns those of who asks.
func (c *Client) MyLimits(ctx context.Context) (Limits, error) {
	return c.limits(ctx, call{method: http.MethodGet, path: "/me/limits"})
}

func (c *Client) limits(ctx context.Context, call call) (Limits, error) {
	var out Limits
	return out, c.unary(ctx, call, &out)
}
