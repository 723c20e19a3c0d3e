package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Version asks what answers.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var out Version
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/version"}, &out)
}

// Doctor looks at the state of the box.
func (c *Client) Doctor(ctx context.Context) (Doctor, error) { return c.DoctorWithin(ctx, 0) }

// DoctorWithin is Doctor for who is content with a look that is at most so old.
func (c *Client) DoctorWithin(ctx context.Context, age time.Duration) (Doctor, error) {
	q := url.Values{}
	if age > 0 {
		q.Set("max_age", strconv.FormatFloat(age.Seconds(), 'f', -1, 64))
	}
	var out Doctor
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/doctor", query: q}, &out)
}

// Restart replaces the daemon by the program that is at its path now, and returns when that one answers. Where it does
// not come up, the daemon goes on as it was, and the error says why.
func (c *Client) Restart(ctx context.Context) (Restarted, error) {
	var out Restarted
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/restart"}) // it may take as long as restart.patience says
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// Runtimes lists the runtime variants, by name.
func (c *Client) Runtimes(ctx context.Context) ([]Runtime, error) {
	return list[Runtime](ctx, c, "/runtimes", nil)
}

// CreateKey makes an API key.
func (c *Client) CreateKey(ctx context.Context, in KeyCreate) (KeyIssued, error) {
	var out KeyIssued
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/keys", in: in}, &out)
}

// Keys lists the API keys of who asks that are not revoked; for an administrator those of all.
func (c *Client) Keys(ctx context.Context) ([]Key, error) { return list[Key](ctx, c, "/keys", nil) }

// RevokeKey ends a key by its id or its name, at once.
func (c *Client) RevokeKey(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/keys/" + seg(ref)}, nil)
}

func decodeAnswer(resp *http.Response, out any) error {
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
