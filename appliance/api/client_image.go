package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Images that the box keeps, by name.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	return list[Image](ctx, c, "/images", nil)
}

// PullImage has the box pull an image, though one of that name may be there. each, which may be nil, is told how
// far it is. Ending ctx ends the pull.
func (c *Client) PullImage(ctx context.Context, ref string, each func(PullProgress)) (Image, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/images/pull", in: ImagePull{Image: ref}})
	if err != nil {
		return Image{}, err
	}
	return pulled(ctx, resp, "pulling "+ref, each)
}

// pulled reads the lines that tell how an image comes to be.
func pulled(ctx context.Context, resp *http.Response, doing string, each func(PullProgress)) (Image, error) {
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var p PullProgress
		switch err := lines.Decode(&p); {
		case ctx.Err() != nil:
			return Image{}, context.Cause(ctx)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return Image{}, fmt.Errorf("%s: the daemon broke off before the end", doing)
		case err != nil:
			return Image{}, fmt.Errorf("%s: %w", doing, err)
		case p.Problem != nil:
			return Image{}, p.Problem
		case p.Image != nil:
			return *p.Image, nil
		case each != nil:
			each(p)
		}
	}
}

// ImportImages takes in an archive, size bytes long (-1 unknown), and returns what came of it.
func (c *Client) ImportImages(ctx context.Context, archive io.Reader, size int64, progress Progress) ([]Image, error) {
	resp, err := c.send(ctx, call{
		method: http.MethodPost, path: "/images/import", body: &counted{r: archive, total: size, tell: progress}, size: size,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var page Page[Image]
	err = decodeAnswer(resp, &page)
	return page.Items, err
}

// ExportImage copies an image's archive and returns how many bytes it wrote. One that is cut off is an error.
func (c *Client) ExportImage(ctx context.Context, ref string, to io.Writer, progress Progress) (int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/images/export", query: url.Values{"ref": {ref}}})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, &counted{r: resp.Body, total: resp.ContentLength, tell: progress})
	if err != nil {
		return n, fmt.Errorf("exporting %s: %w", ref, err)
	}
	return n, nil
}

// RemoveImage forgets an image; what no other needs is deleted. One that is used is refused.
func (c *Client) RemoveImage(ctx context.Context, ref string) error {
	resp, err := c.send(ctx, call{method: http.MethodDelete, path: "/images", query: url.Values{"ref": {ref}}})
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// PruneImages removes images that nothing uses.
func (c *Client) PruneImages(ctx context.Context, in ImagePrune) (ImagesPruned, error) {
	var out ImagesPruned
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/images/prune", in: in})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// Registries for which a log-in is kept, by host.
func (c *Client) Registries(ctx context.Context) ([]Registry, error) {
	return list[Registry](ctx, c, "/registries", nil)
}

// Registry returns the log-in that is kept for a host, without its password.
func (c *Client) Registry(ctx context.Context, host string) (Registry, error) {
	var out Registry
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/registries/" + seg(host)}, &out)
}

// LogIn keeps a log-in for a registry.
func (c *Client) LogIn(ctx context.Context, host string, in RegistryLogIn) (Registry, error) {
	var out Registry
	return out, c.unary(ctx, call{method: http.MethodPut, path: "/registries/" + seg(host), in: in}, &out)
}

// LogOut forgets a registry's log-in.
func (c *Client) LogOut(ctx context.Context, host string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/registries/" + seg(host)}, nil)
}
