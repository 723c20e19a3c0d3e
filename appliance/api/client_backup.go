package api

import (
	"context"
	"io"
	"net/http"
)

// Backups are those that the appliance keeps, one that is being made first.
func (c *Client) Backups(ctx context.Context) ([]Backup, error) {
	return list[Backup](ctx, c, "/backups", nil)
}

// CreateBackup has one made in the appliance's directory of backups. It answers when that has begun.
func (c *Client) CreateBackup(ctx context.Context, in BackupCreate) (out Backup, err error) {
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/backups", in: in}, &out)
}

// Backup is one of them, by its name.
func (c *Client) Backup(ctx context.Context, name string) (out Backup, err error) {
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/backups/" + seg(name)}, &out)
}

// RemoveBackup removes one, or cancels the making of it.
func (c *Client) RemoveBackup(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/backups/" + seg(name)}, nil)
}

// StreamBackup makes one and sends it as it is made. Whoever reads it has to compare its checksum: one that cannot be finished ends early.
func (c *Client) StreamBackup(ctx context.Context, in BackupCreate) (io.ReadCloser, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/backup-stream", in: in})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// VerifyBackup compares the checksum of one that the appliance keeps.
func (c *Client) VerifyBackup(ctx context.Context, name string) (out Backup, err error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/backups/" + seg(name) + "/verify"})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// FetchBackup opens one that the appliance keeps, and says how long it is.
func (c *Client) FetchBackup(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/backups/" + seg(name) + "/content"})
	if err != nil {
		return nil, 0, err
	}
	return resp.Body, resp.ContentLength, nil
}
