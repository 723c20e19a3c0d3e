package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// CreateInstall begins an install, or joins one that is under way. A licence that is to be accepted is a Problem of KindLicense.
func (c *Client) CreateInstall(ctx context.Context, in InstallCreate) (Install, error) {
	var out Install
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/installs", in: in}, &out)
}

// Installs lists them, newest first.
func (c *Client) Installs(ctx context.Context) ([]Install, error) {
	return list[Install](ctx, c, "/installs", nil)
}

// Install returns one, by its id or by the name of its model.
func (c *Client) Install(ctx context.Context, ref string) (Install, error) {
	var out Install
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/installs/" + seg(ref)}, &out)
}

// CancelInstall ends one and returns when what it left is removed.
func (c *Client) CancelInstall(ctx context.Context, ref string) (Install, error) {
	var out Install
	resp, err := c.send(ctx, call{method: http.MethodDelete, path: "/installs/" + seg(ref)})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// WatchInstall calls each with an install now and after every change, until each returns an error (ErrStopWatch is none), ctx
// ends, or the install is gone. A daemon that is away for a moment is waited for: the install goes on when it is back.
func (c *Client) WatchInstall(ctx context.Context, ref string, each func(Install) error) error {
	return c.keepWatching(ctx, "/installs/"+seg(ref)+"/events", func(event string, data []byte) error {
		if event != "install" {
			return nil
		}
		return given(data, each)
	})
}

// Models lists what is installed, by name, without files.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	return list[Model](ctx, c, "/models", nil)
}

// Model returns one with its files.
func (c *Client) Model(ctx context.Context, name string) (Model, error) {
	var out Model
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/models/" + seg(name)}, &out)
}

// ModelReadme returns the README of a model's current revision. The caller closes it.
func (c *Client) ModelReadme(ctx context.Context, name string) (io.ReadCloser, error) {
	return c.stream(ctx, "/models/"+seg(name)+"/readme", nil)
}

// UpdateModel begins an update to what there is now.
func (c *Client) UpdateModel(ctx context.Context, name string, in ModelUpdate) (Install, error) {
	var out Install
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/models/" + seg(name) + "/update", in: in}, &out)
}

// RollBackModel begins a roll-back to an earlier revision.
func (c *Client) RollBackModel(ctx context.Context, name string, in ModelRollback) (Install, error) {
	var out Install
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/models/" + seg(name) + "/rollback", in: in}, &out)
}

// PinModel has a model stay as it is, or be updated again.
func (c *Client) PinModel(ctx context.Context, name string, pinned bool) (Model, error) {
	var out Model
	return out, c.unary(ctx, call{method: http.MethodPatch, path: "/models/" + seg(name), in: ModelPin{pinned}}, &out)
}

// RemoveModel deletes a model with all its revisions; with force the services that use it too.
func (c *Client) RemoveModel(ctx context.Context, name string, force bool) (ModelRemoved, error) {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	var out ModelRemoved
	resp, err := c.send(ctx, call{method: http.MethodDelete, path: "/models/" + seg(name), query: q})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}
