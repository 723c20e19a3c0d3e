package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Nodes lists the boxes of the appliance, by name.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	return list[Node](ctx, c, "/nodes", nil)
}

// Devices lists accelerators, by node and in its order.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	return list[Device](ctx, c, "/devices", nil)
}

// Device returns one by its ref (cuda:0), its id, or the beginning of its id where no other begins so.
func (c *Client) Device(ctx context.Context, ref string) (Device, error) {
	var out Device
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/devices/" + seg(ref)}, &out)
}

// Period chooses a part of a history. Zero fields take the default: the hour before now, as fine as it is kept.
type Period struct {
	From, To time.Time
	Step     time.Duration
}

// DeviceHistory returns what a device said of itself in a period.
func (c *Client) DeviceHistory(ctx context.Context, ref string, p Period) (DeviceHistory, error) {
	q := url.Values{}
	if !p.From.IsZero() {
		q.Set("from", p.From.UTC().Format(time.RFC3339Nano))
	}
	if !p.To.IsZero() {
		q.Set("to", p.To.UTC().Format(time.RFC3339Nano))
	}
	if p.Step > 0 {
		q.Set("step", strconv.FormatFloat(p.Step.Seconds(), 'f', -1, 64))
	}
	var out DeviceHistory
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/devices/" + seg(ref) + "/history", query: q}, &out)
}

// FenceDevice takes a device out of use: no session starts on it until it is unfenced.
func (c *Client) FenceDevice(ctx context.Context, ref, reason string) (Device, error) {
	var out Device
	k := call{method: http.MethodPost, path: "/devices/" + seg(ref) + "/fence", in: Fence{Reason: reason}}
	return out, c.unary(ctx, k, &out)
}

// UnfenceDevice puts a device back into use, and forgets the fault that took it out.
func (c *Client) UnfenceDevice(ctx context.Context, ref string) (Device, error) {
	var out Device
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/devices/" + seg(ref) + "/unfence"}, &out)
}

// Queue lists the sessions that wait, in the order in which they are tried. With all, those of every project.
func (c *Client) Queue(ctx context.Context, all bool) ([]Waiting, error) {
	q := url.Values{}
	if all {
		q.Set("all", "true")
	}
	return list[Waiting](ctx, c, "/queue", q)
}
