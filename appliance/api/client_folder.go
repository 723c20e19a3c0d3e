package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
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

// RemoveFolder removes a folder: its files too, unless it was imported.
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

// Upload is one file that goes into a folder.
type Upload struct {
	Path string // in the folder; directories on the way are made
	Body io.Reader
	Size int64 // -1 unknown

	Executable bool
}

// Upload writes one file. It is there as a whole or not at all.
func (c *Client) Upload(ctx context.Context, ref string, u Upload, progress Progress) (Entry, error) {
	var out Entry
	k := call{
		method: http.MethodPut, path: "/folders/" + seg(ref) + "/files",
		query:  url.Values{"path": {u.Path}, "executable": {strconv.FormatBool(u.Executable)}},
		body:   &counted{r: u.Body, total: u.Size, tell: progress},
		size:   u.Size,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	}
	if u.Size == 0 {
		k.body = http.NoBody
	}
	resp, err := c.send(ctx, k)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// Download is one file that comes out of a folder.
type Download struct {
	Path   string
	Offset int64 // where to begin
	To     io.Writer
}

// Download copies a file, or the rest of it, and returns how many bytes it wrote. An answer that is cut off is an
// error.
func (c *Client) Download(ctx context.Context, ref string, d Download, progress Progress) (int64, error) {
	k := call{
		method: http.MethodGet, path: "/folders/" + seg(ref) + "/files",
		query: url.Values{"path": {d.Path}}, header: http.Header{},
	}
	if d.Offset > 0 {
		k.header.Set("Range", fmt.Sprintf("bytes=%d-", d.Offset))
	}
	resp, err := c.send(ctx, k)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if d.Offset > 0 && resp.StatusCode != http.StatusPartialContent {
		return 0, fmt.Errorf("downloading %s: asked for the part from byte %d on, got %s", d.Path, d.Offset, resp.Status)
	}
	n, err := io.Copy(d.To, &counted{r: resp.Body, total: resp.ContentLength, tell: progress})
	if err != nil {
		return n, fmt.Errorf("downloading %s: %w", d.Path, err)
	}
	return n, nil
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
