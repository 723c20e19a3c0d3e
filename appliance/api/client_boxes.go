package api

import (
	"context"
	"net/http"
	"net/url"
)

// Cluster is how the boxes are that make one appliance.
func (c *Client) Cluster(ctx context.Context) (ClusterStatus, error) {
	var out ClusterStatus
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/cluster"}, &out)
}

// ClusterSelf is the box that is asked, as it sees itself: it answers without a leader too.
func (c *Client) ClusterSelf(ctx context.Context) (ClusterSelf, error) {
	var out ClusterSelf
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/cluster/self"}, &out)
}

// InitCluster makes a cluster of which the box that is asked is the first.
func (c *Client) InitCluster(ctx context.Context, in ClusterInit) (ClusterSelf, error) {
	return c.ofSelf(ctx, "/cluster/self/init", in)
}

// JoinCluster has the box that is asked join a cluster. It returns when the other side has answered once: where somebody has to
// approve, it goes on by itself.
func (c *Client) JoinCluster(ctx context.Context, in ClusterJoin) (ClusterSelf, error) {
	return c.ofSelf(ctx, "/cluster/self/join", in)
}

// LeaveCluster has the box that is asked leave its cluster, or give up to join one. force: though the others cannot be told.
func (c *Client) LeaveCluster(ctx context.Context, force bool) (ClusterSelf, error) {
	return c.ofSelf(ctx, "/cluster/self/leave", ClusterLeave{force})
}

// RescueCluster makes the box that is asked the only member of etcd, with the data that it has.
func (c *Client) RescueCluster(ctx context.Context) (ClusterSelf, error) {
	return c.ofSelf(ctx, "/cluster/self/rescue", struct{}{})
}

// ofSelf may take as long as a restart.
func (c *Client) ofSelf(ctx context.Context, path string, in any) (ClusterSelf, error) {
	var out ClusterSelf
	resp, err := c.send(ctx, call{method: http.MethodPost, path: path, in: in})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// CreateClusterToken makes what boxes join with.
func (c *Client) CreateClusterToken(ctx context.Context, in ClusterTokenCreate) (ClusterTokenIssued, error) {
	var out ClusterTokenIssued
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/cluster/tokens", in: in}, &out)
}

// ClusterTokens lists those that can still be used.
func (c *Client) ClusterTokens(ctx context.Context) ([]ClusterToken, error) {
	return list[ClusterToken](ctx, c, "/cluster/tokens", nil)
}

// RevokeClusterToken forgets one: who has joined with it stays in.
func (c *Client) RevokeClusterToken(ctx context.Context, id string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/cluster/tokens/" + seg(id)}, nil)
}

// ApproveBox lets a box in that waits.
func (c *Client) ApproveBox(ctx context.Context, name string) (ClusterBox, error) {
	var out ClusterBox
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/cluster/boxes/" + seg(name) + "/approve"}, &out)
}

// UpdateBox changes a box's state or labels.
func (c *Client) UpdateBox(ctx context.Context, name string, in ClusterBoxUpdate) (ClusterBox, error) {
	var out ClusterBox
	return out, c.unary(ctx, call{method: http.MethodPatch, path: "/cluster/boxes/" + seg(name), in: in}, &out)
}

// RemoveBox takes a box out, or refuses one that waits. force: though sessions run there.
func (c *Client) RemoveBox(ctx context.Context, name string, force bool) error {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	return c.unary(ctx, call{method: http.MethodDelete, path: "/cluster/boxes/" + seg(name), query: q}, nil)
}
