package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Autoscaling returns a service's policy of scaling, and how it stands.
func (c *Client) Autoscaling(ctx context.Context, ref string) (AutoscalingStanding, error) {
	var out AutoscalingStanding
	return out, c.unary(ctx, call{method: http.MethodGet, path: autoscalingPath(ref)}, &out)
}

// SetAutoscaling replaces the policy: what is left out takes its default. It ends a pause. With a match (see ETag) other
// than "" it fails when the policy has another version.
func (c *Client) SetAutoscaling(ctx context.Context, ref string, in Autoscaling, match string) (AutoscalingStanding, error) {
	return c.editAutoscaling(ctx, call{method: http.MethodPut, path: autoscalingPath(ref), in: in}, match)
}

// UpdateAutoscaling changes the policy: what is left out keeps its value. Rules replaces all of them. It ends a pause.
func (c *Client) UpdateAutoscaling(ctx context.Context, ref string, in Autoscaling, match string) (AutoscalingStanding, error) {
	return c.editAutoscaling(ctx, call{method: http.MethodPatch, path: autoscalingPath(ref), in: in}, match)
}

// ClearAutoscaling takes all rules and idle_after away: the number of routes stays as it is.
func (c *Client) ClearAutoscaling(ctx context.Context, ref, match string) (AutoscalingStanding, error) {
	return c.editAutoscaling(ctx, call{method: http.MethodDelete, path: autoscalingPath(ref)}, match)
}

// ResumeAutoscaling ends a pause: a person's number of routes gives way to the rules.
func (c *Client) ResumeAutoscaling(ctx context.Context, ref string) (AutoscalingStanding, error) {
	return c.editAutoscaling(ctx, call{method: http.MethodPost, path: autoscalingPath(ref) + "/resume"}, "")
}

func (c *Client) editAutoscaling(ctx context.Context, k call, match string) (AutoscalingStanding, error) {
	if match != "" {
		k.header = http.Header{"If-Match": {match}}
	}
	var out AutoscalingStanding
	return out, c.unary(ctx, k, &out)
}

// Rules of a service, in their order.
func (c *Client) Rules(ctx context.Context, ref string) ([]Rule, error) {
	var page Page[Rule]
	return page.Items, c.unary(ctx, call{method: http.MethodGet, path: rulePath(ref, "")}, &page)
}

// Rule returns one by id or name.
func (c *Client) Rule(ctx context.Context, ref, rule string) (Rule, error) {
	var out Rule
	return out, c.unary(ctx, call{method: http.MethodGet, path: rulePath(ref, rule)}, &out)
}

// CreateRule adds one.
func (c *Client) CreateRule(ctx context.Context, ref string, in Rule) (Rule, error) {
	var out Rule
	return out, c.unary(ctx, call{method: http.MethodPost, path: rulePath(ref, ""), in: in}, &out)
}

// UpdateRule changes one: what in leaves out stays, and the fields of gone, named as in JSON, are taken away.
func (c *Client) UpdateRule(ctx context.Context, ref, rule string, in Rule, gone ...string) (Rule, error) {
	var out Rule
	patch := map[string]any{}
	raw, err := json.Marshal(in)
	if err == nil {
		err = json.Unmarshal(raw, &patch)
	}
	if err != nil {
		return out, fmt.Errorf("encoding the request: %w", err)
	}
	for _, field := range gone {
		patch[field] = nil
	}
	return out, c.unary(ctx, call{method: http.MethodPatch, path: rulePath(ref, rule), in: patch}, &out)
}

// RemoveRule takes one away.
func (c *Client) RemoveRule(ctx context.Context, ref, rule string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: rulePath(ref, rule)}, nil)
}

// Decisions about a service's number of routes, newest first, at most limit.
func (c *Client) Decisions(ctx context.Context, ref string, limit int) ([]Decision, error) {
	var page Page[Decision]
	k := call{
		method: http.MethodGet, path: "/services/" + seg(ref) + "/decisions",
		query: url.Values{"limit": {strconv.Itoa(limit)}},
	}
	return page.Items, c.unary(ctx, k, &page)
}

// Metrics are those that rules can look at by name.
func (c *Client) Metrics(ctx context.Context) ([]Metric, error) {
	return list[Metric](ctx, c, "/autoscaling/metrics", nil)
}

func autoscalingPath(ref string) string { return "/services/" + seg(ref) + "/autoscaling" }

func rulePath(ref, rule string) string {
	path := "/services/" + seg(ref) + "/rules"
	if rule != "" {
		path += "/" + seg(rule)
	}
	return path
}
