package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Source is one file at an address.
type Source struct {
	client      *Client
	credentials http.Header
}

// NewSource makes one. Credentials, which may be nil, go to the host of each Ref alone: see Bearer.
func NewSource(c *Client, credentials http.Header) *Source {
	return &Source{client: c, credentials: credentials}
}

// List asks how large the file is and what it is called. Servers that answer no HEAD are asked for the first byte.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	if ref.Scheme != "http" {
		return fetch.Listing{}, fmt.Errorf("%s: %w", ref, fetch.ErrRef)
	}
	a, err := s.head(ctx, ref.Where)
	if err != nil {
		return fetch.Listing{}, err
	}
	f := fetch.File{Name: nameOf(ref.Where, a.Header), Bytes: a.Bytes, SHA256: ref.SHA256, At: ref.Where, ETag: a.ETag}
	return fetch.Listing{Ref: ref, Files: []fetch.File{f}}, nil
}

func (s *Source) head(ctx context.Context, address string) (Answer, error) {
	resp, err := s.client.Do(ctx, Request{ //nolint:bodyclose // drain closes it
		Method: http.MethodHead, URL: address, Credentials: s.credentials, Header: http.Header{"Accept-Encoding": {"identity"}},
	})
	if err == nil {
		drain(resp.Body)
		return Answer{Bytes: resp.ContentLength, ETag: resp.Header.Get("ETag"), Header: resp.Header}, nil
	}
	if e, is := errors.AsType[*Error](err); !is || e.Status != 403 && e.Status != 405 && e.Status != 501 {
		return Answer{}, err // signed addresses are for one method; 403 is theirs
	}
	body, a, err := s.client.Read(ctx, Request{URL: address, Credentials: s.credentials}, Range{Length: 1, Bytes: -1})
	if err != nil {
		return Answer{}, err
	}
	return a, body.Close()
}

// Open reads a part of the file.
func (s *Source) Open(ctx context.Context, _ fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	r := Request{URL: f.At, Credentials: s.credentials}
	body, _, err := s.client.Read(ctx, r, Range{Offset: offset, Length: length, Bytes: f.Bytes, ETag: f.ETag})
	return body, err
}

// nameOf is what a file is called: as its server says, else by its address.
func nameOf(address string, h http.Header) string {
	_, said, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if name := said["filename"]; err == nil && plainName(name) {
		return name
	}
	if u, err := url.Parse(address); err == nil && plainName(path.Base(u.Path)) {
		return path.Base(u.Path)
	}
	return "file"
}

func plainName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == '\\' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) && len(name) < 256
}
