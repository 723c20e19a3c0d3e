package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// DirectoryQuery asks for a part of a directory. Zero fields take the defaults: the first hundred entries of the folder's root,
// by name.
type DirectoryQuery struct {
	Path          string
	Sort          string // name, size, time
	Reverse       bool
	Match         string // a part of the name
	Offset, Limit int
}

// Directory lists a part of a directory of a folder.
func (c *Client) Directory(ctx context.Context, ref string, q DirectoryQuery) (Directory, error) {
	v := url.Values{"path": {q.Path}, "sort": {q.Sort}, "match": {q.Match}}
	if q.Reverse {
		v.Set("reverse", "true")
	}
	if q.Offset > 0 {
		v.Set("offset", strconv.Itoa(q.Offset))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	var out Directory
	return out, c.unary(ctx, call{method: http.MethodGet, path: folderPath(ref, "/directory"), query: v}, &out)
}

// FileHead is how a file begins.
type FileHead struct {
	Bytes   []byte // at most as many as were asked for
	Size    int64  // of all of it
	ETag    string
	ModTime time.Time
}

// Whole reports whether the bytes are all of the file.
func (h *FileHead) Whole() bool { return int64(len(h.Bytes)) == h.Size }

// FileHead reads the beginning of a file.
func (c *Client) FileHead(ctx context.Context, ref, path string, limit int64) (FileHead, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	k := call{method: http.MethodGet, path: folderPath(ref, "/files"), query: url.Values{"path": {path}}}
	if limit > 0 {
		k.header = http.Header{"Range": {"bytes=0-" + strconv.FormatInt(limit-1, 10)}}
	}
	resp, err := c.send(ctx, k)
	if errors.Is(err, KindError(KindRange)) { // an empty file has no first byte
		k.header = nil
		resp, err = c.send(ctx, k)
	}
	if err != nil {
		return FileHead{}, err
	}
	defer resp.Body.Close()
	out := FileHead{ETag: resp.Header.Get("ETag")}
	if out.Bytes, err = io.ReadAll(io.LimitReader(resp.Body, max(limit, 0))); err != nil {
		return FileHead{}, err
	}
	if out.Size = int64(len(out.Bytes)); resp.StatusCode == http.StatusPartialContent {
		out.Size, _ = totalOf(resp)
	}
	out.ModTime, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	return out, nil
}

// ReplaceFile writes a small file, where it is the one with that ETag; "" where there is none: else KindPrecondition.
func (c *Client) ReplaceFile(ctx context.Context, ref, path, etag string, content []byte) (Entry, error) {
	k := call{
		method: http.MethodPut, path: folderPath(ref, "/files"), query: url.Values{"path": {path}},
		body: bytes.NewReader(content), size: int64(len(content)), header: http.Header{"Content-Type": {"application/octet-stream"}, "If-Match": {etag}},
	}
	if etag == "" {
		k.header.Del("If-Match")
		k.header.Set("If-None-Match", "*")
	}
	if len(content) == 0 {
		k.body = http.NoBody
	}
	var out Entry
	resp, err := c.send(ctx, k)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}

// Validate says what is wrong with a text.
func (c *Client) Validate(ctx context.Context, in Validate) (Validation, error) {
	var out Validation
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/validate", in: in}, &out)
}

// FolderUploads lists the uploads into a folder that are not finished.
func (c *Client) FolderUploads(ctx context.Context, ref string) ([]FolderUpload, error) {
	return list[FolderUpload](ctx, c, folderPath(ref, "/uploads"), nil)
}
