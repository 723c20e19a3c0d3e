package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Bundles that were brought to this box, by name.
func (c *Client) Bundles(ctx context.Context) ([]Bundle, error) {
	return list[Bundle](ctx, c, "/bundles", nil)
}

// CheckBundle sends the beginning of a bundle and says whether it would be taken in.
func (c *Client) CheckBundle(ctx context.Context, beginning io.Reader, size int64, allowUnsigned bool) (Bundle, error) {
	return c.bundle(ctx, call{method: http.MethodPost, path: "/bundles/check", body: beginning, size: size}, allowUnsigned)
}

// BundleUpload is a bundle as it is sent.
type BundleUpload struct {
	From          io.Reader
	Size          int64 // of what is sent; -1: not known
	LeftOut       int64 // bytes of its files, in their order, that are there and not sent: at most Here of a check
	AllowUnsigned bool
}

// ReceiveBundle brings a bundle. KindConflict where what is left out is not there any more: it is checked again then.
func (c *Client) ReceiveBundle(ctx context.Context, in BundleUpload) (Bundle, error) {
	k := call{method: http.MethodPost, path: "/bundles", body: in.From, size: in.Size, query: url.Values{}}
	if in.LeftOut > 0 {
		k.query.Set("left_out", strconv.FormatInt(in.LeftOut, 10))
	}
	return c.bundle(ctx, k, in.AllowUnsigned)
}

func (c *Client) bundle(ctx context.Context, k call, allowUnsigned bool) (Bundle, error) {
	k.header = http.Header{"Content-Type": {"application/octet-stream"}}
	if allowUnsigned {
		if k.query == nil {
			k.query = url.Values{}
		}
		k.query.Set("allow_unsigned", "true")
	}
	resp, err := c.send(ctx, k)
	if err != nil {
		return Bundle{}, err
	}
	defer resp.Body.Close()
	var out Bundle
	return out, decodeAnswer(resp, &out)
}

// RemoveBundle takes a bundle down. Models that were installed from it stay.
func (c *Client) RemoveBundle(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/bundles/" + seg(name)}, nil)
}

// MakeBundle opens a model as a bundle, and says how long that is. Whoever reads it has to verify it: one that is cut off, or
// damaged at its source, ends early.
func (c *Client) MakeBundle(ctx context.Context, model string, withImage bool) (io.ReadCloser, int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/models/" + seg(model) + "/bundle", query: url.Values{"image": {strconv.FormatBool(withImage)}}})
	if err != nil {
		return nil, 0, fmt.Errorf("making a bundle of %s: %w", model, err)
	}
	return resp.Body, resp.ContentLength, nil
}
