package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Range is a part of a file that is asked for.
type Range struct {
	Offset int64
	Length int64  // -1: to the end
	Bytes  int64  // of the whole file, as it was listed; -1: not known
	ETag   string // as it was listed; empty: not known
}

// Answer is what an answer says of the whole file.
type Answer struct {
	Bytes  int64 // -1: it does not say
	ETag   string
	Header http.Header
}

// Read opens a part of a file. fetch.ErrNoRange where only all of it can be had and Offset is not 0; fetch.ErrChanged where it
// is not the one that was listed. The reader gives at most Length bytes; it may end early with fetch.ErrTruncated, or, where a
// server gives less than it was asked for, with io.EOF. Where all of a file is read and it is longer than was said, its end
// is fetch.ErrTooLong.
func (c *Client) Read(ctx context.Context, r Request, part Range) (io.ReadCloser, Answer, error) {
	whole := part.Offset == 0 && (part.Length < 0 || part.Length == part.Bytes)
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept-Encoding", "identity")
	if !whole {
		r.Header.Set("Range", rangeOf(part))
		if part.ETag != "" && !strings.HasPrefix(part.ETag, "W/") {
			r.Header.Set("If-Range", part.ETag)
		}
	}
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, Answer{}, err
	}
	a, err := check(resp, part, r.URL)
	if err != nil {
		_ = resp.Body.Close() // not drained: it may be all of a large file
		return nil, Answer{}, err
	}
	switch {
	case whole && part.Length >= 0:
		return &exact{ReadCloser: resp.Body, left: part.Length, name: redact(r.URL)}, a, nil
	case part.Length >= 0:
		return &limited{Reader: io.LimitReader(resp.Body, part.Length), Closer: resp.Body}, a, nil
	}
	return resp.Body, a, nil
}

func rangeOf(p Range) string {
	if p.Length < 0 {
		return fmt.Sprintf("bytes=%d-", p.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", p.Offset, p.Offset+max(p.Length, 1)-1)
}

// check holds an answer against what was asked.
//  1. It must be the file as it is kept, not packed.
//  2. It must be of the file that was listed: the same ETag, the same size.
//  3. It must begin where it was asked to.
func check(resp *http.Response, part Range, address string) (Answer, error) {
	a := Answer{Bytes: -1, ETag: resp.Header.Get("ETag"), Header: resp.Header}
	fail := func(kind error, format string, values ...any) error {
		return &Error{Kind: kind, Status: resp.StatusCode, Header: resp.Header, URL: redact(address), Message: fmt.Sprintf(format, values...)}
	}
	if packed := resp.Header.Get("Content-Encoding"); packed != "" && packed != "identity" { // 1
		return a, fail(fetch.ErrRefused, "it is sent packed (%q), though it was asked for as it is", packed)
	}
	start := int64(0)
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength >= 0 {
			a.Bytes = resp.ContentLength
		}
	case http.StatusPartialContent:
		var is bool
		if start, a.Bytes, is = contentRange(resp.Header.Get("Content-Range")); !is {
			return a, fail(fetch.ErrRefused, "it says which part it sends in a way that is not understood: %q", resp.Header.Get("Content-Range"))
		}
	default:
		return a, fail(fetch.ErrRefused, "%d %s, where a file was asked for", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if part.ETag != "" && a.ETag != "" && plainTag(part.ETag) != plainTag(a.ETag) { // 2
		return a, fail(fetch.ErrChanged, "it has changed: its ETag was %s and is %s", part.ETag, a.ETag)
	}
	if part.Bytes >= 0 && a.Bytes >= 0 && part.Bytes != a.Bytes {
		return a, fail(fetch.ErrChanged, "it has changed: it had %d bytes and has %d", part.Bytes, a.Bytes)
	}
	if start != part.Offset { // 3
		return a, fail(fetch.ErrNoRange, "it sends from byte %d on, where %d was asked for", start, part.Offset)
	}
	return a, nil
}

// plainTag is an ETag that a proxy may have made weak on the way.
func plainTag(tag string) string { return strings.TrimSuffix(strings.TrimPrefix(tag, "W/"), "-gzip") }

// contentRange reads "bytes 0-99/200"; bytes is -1 where the whole is not known.
func contentRange(text string) (start, whole int64, is bool) {
	text, is = strings.CutPrefix(text, "bytes ")
	span, total, slash := strings.Cut(text, "/")
	first, last, dash := strings.Cut(span, "-")
	start, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	whole, err3 := strconv.ParseInt(total, 10, 64)
	if total == "*" {
		whole, err3 = -1, nil
	}
	is = is && slash && dash && err1 == nil && err2 == nil && err3 == nil && start >= 0 && end >= start && (whole < 0 || end < whole)
	return start, whole, is
}

// limited is a part of a body.
type limited struct {
	io.Reader
	io.Closer
}

// exact is a body that must end where it was said to: a server that sends more without saying so sends another file.
type exact struct {
	io.ReadCloser
	left int64
	name string
}

func (e *exact) Read(p []byte) (int, error) {
	if int64(len(p)) > e.left+1 {
		p = p[:e.left+1]
	}
	n, err := e.ReadCloser.Read(p)
	if e.left -= int64(n); e.left < 0 {
		return n - 1, &Error{Kind: fetch.ErrTooLong, URL: e.name, Message: "it sends more bytes than it has"}
	}
	return n, err
}
