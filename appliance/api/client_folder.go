package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Progress is told how many bytes have gone over; total is -1 where it is unknown.
type Progress func(done, total int64)

// CreateFolder makes a folder, or imports a directory of the box as one.
func (c *Client) CreateFolder(ctx context.Context, in FolderCreate) (Folder, error) {
	var out Folder
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/folders", in: in}, &out)
}

// Folders lists folders, oldest first.
func (c *Client) Folders(ctx context.Context) ([]Folder, error) {
	return list[Folder](ctx, c, "/folders", nil)
}

// Folder returns one by id or name.
func (c *Client) Folder(ctx context.Context, ref string) (Folder, error) {
	var out Folder
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/folders/" + seg(ref)}, &out)
}

// RemoveFolder puts a folder into the trash.
func (c *Client) RemoveFolder(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/folders/" + seg(ref)}, nil)
}

// Entries lists what is in a folder below path; "" is its root. With recursive, all of it.
func (c *Client) Entries(ctx context.Context, ref, path string, recursive bool) ([]Entry, error) {
	q := url.Values{"path": {path}}
	if recursive {
		q.Set("recursive", "true")
	}
	return list[Entry](ctx, c, "/folders/"+seg(ref)+"/entries", q)
}

// RemoveEntry removes a file, or a directory with all that is in it.
func (c *Client) RemoveEntry(ctx context.Context, ref, path string) error {
	k := call{method: http.MethodDelete, path: "/folders/" + seg(ref) + "/entries", query: url.Values{"path": {path}}}
	return c.unary(ctx, k, nil)
}

// counted tells of every read.
type counted struct {
	r           io.Reader
	done, total int64
	tell        Progress
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.tell != nil && n > 0 {
		c.tell(c.done, c.total)
	}
	return n, err
}
