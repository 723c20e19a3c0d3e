package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// TraceHeader is the first line of a trace.
const TraceHeader = "time,prompt_tokens,output_tokens"

// ServiceTrace writes what came to a service as CSV: a line each request, the earliest first. since is as 24h, 2d,
// 2026-03-01, or a time in RFC 3339; "" is the last 24 hours. A trace that broke off is an error.
func (c *Client) ServiceTrace(ctx context.Context, ref, since string, to io.Writer) (int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/trace", query: url.Values{"since": {since}}})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, resp.Body)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return n, cause
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the appliance broke off in the middle of it")
		}
		return n, fmt.Errorf("reading what came to %s: %w", ref, err)
	}
	return n, nil
}
