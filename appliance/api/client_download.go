package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// segmentSize is how much of a file comes at a time, with its checksum behind it.
const segmentSize = 32 << 20

// ErrFileChanged says that a file in a folder is another one than it was when its download began.
var ErrFileChanged = errors.New("the file changed while it was downloaded")

// Download is one file that comes out of a folder.
type Download struct {
	Path   string
	Offset int64  // where to begin
	ETag   string // of what is before Offset; "" takes the file as it is
	To     io.WriterAt
}

// Download copies a file, or the rest of it, and returns where it ended: all before that is written, and is what the appliance
// has, by checksums of its parts. It goes on by itself when the connection is cut. progress, which may be nil, is told how far it is.
func (c *Client) Download(ctx context.Context, ref string, d Download, progress Progress) (int64, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	down := &downloading{c: c, ref: ref, Download: d, tell: progress, size: -1}
	for down.size < 0 || down.Offset < down.size {
		if err := patiently(ctx, func() (bool, error) { return down.segment(ctx) }); err != nil {
			return down.Offset, fmt.Errorf("downloading %s: %w", d.Path, err)
		}
	}
	return down.Offset, nil
}

// downloading is one download under way.
type downloading struct {
	Download
	c    *Client
	ref  string
	tell Progress
	size int64 // -1: not known yet
}

// segment fetches the next part. All of it counts, or nothing.
func (d *downloading) segment(ctx context.Context) (bool, error) {
	// Who hangs in the middle is not waited for for ever.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallPatience, func() { cancel(errStalled) })
	defer stall.Stop()
	k := call{
		method: http.MethodGet, path: folderPath(d.ref, "/files"), query: url.Values{"path": {d.Path}},
		header: http.Header{"Want-Content-Digest": {"crc32c=1"}, "Range": {fmt.Sprintf("bytes=%d-%d", d.Offset, d.Offset+segmentSize-1)}},
	}
	if d.ETag != "" {
		k.header.Set("If-Range", d.ETag)
	}
	resp, err := d.c.send(ctx, k)
	if errors.Is(err, KindError(KindRange)) && d.Offset == 0 {
		d.size = 0 // an empty file has no first byte
		return true, nil
	}
	if errors.Is(err, KindError(KindRange)) {
		return true, ErrFileChanged
	}
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	total, ok := totalOf(resp)
	if !ok || d.Offset > 0 && resp.StatusCode != http.StatusPartialContent || d.ETag != "" && resp.Header.Get("ETag") != d.ETag {
		return true, ErrFileChanged
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := copyInto(io.NewOffsetWriter(d.To, d.Offset), resp.Body, sum, min(segmentSize, total-d.Offset), func(n int64) {
		stall.Reset(stallPatience)
		d.tell(d.Offset+n, total)
	})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, err
	}
	if err := matches(resp.Trailer.Get("Content-Digest"), sum); err != nil {
		return false, err
	}
	d.ETag, d.size = resp.Header.Get("ETag"), total
	d.Offset += n
	if n == 0 && d.Offset < d.size {
		return false, io.ErrUnexpectedEOF
	}
	return true, nil
}

// totalOf is how long the file is of which an answer is a part, or all.
func totalOf(resp *http.Response) (int64, bool) {
	_, total, found := strings.Cut(resp.Header.Get("Content-Range"), "/")
	n, err := strconv.ParseInt(total, 10, 64)
	return n, found && err == nil
}

// matches compares a sum with what the sender says.
func matches(digest string, sum hash.Hash) error {
	if got := "crc32c=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"; digest != got {
		return &brokenError{fmt.Errorf("what arrived is not what was sent: %s, and not %q", got, digest)}
	}
	return nil
}

// brokenError is one after which the same may go well.
type brokenError struct{ error }

// copyInto writes and sums beside each other. about is how much it is thought to be: a small file takes little memory.
func copyInto(to io.Writer, r io.Reader, sum io.Writer, about int64, tell func(n int64)) (n int64, err error) {
	size := max(1, min(256<<10, about+1))
	free, full := make(chan []byte, 3), make(chan []byte, 3)
	for range cap(free) {
		free <- nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range full {
			_, _ = sum.Write(p)
			free <- p[:size]
		}
	}()
	defer func() { close(full); <-done }()
	for {
		p := <-free
		if p == nil {
			p = make([]byte, size)
		}
		m, err := io.ReadFull(r, p)
		if m > 0 {
			if _, err := to.Write(p[:m]); err != nil {
				return n, &localError{err}
			}
			n += int64(m)
			tell(n)
			full <- p[:m]
		} else {
			free <- p
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && m > 0 {
			// ReadFull says so of a last piece that is not full, and the body of one that was cut off.
			_, err = r.Read(make([]byte, 1))
			if errors.Is(err, io.EOF) {
				return n, nil
			}
		}
		if err != nil {
			return n, err
		}
	}
}

// localError is one of this machine: trying again does not help.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

func cleanPath(p string) string      { return path.Clean("/" + p) }
func parentOf(p string) string       { return strings.TrimPrefix(path.Dir(cleanPath(p)), "/") }
func (e *brokenError) Unwrap() error { return e.error }

// How long a transfer waits: for the next byte, and for an appliance that cannot be reached, before it is given up.
const (
	stallPatience = time.Minute
	cutPatience   = 2 * time.Minute
)

var errStalled = fmt.Errorf("nothing came for %s", stallPatience)

// patiently does something until it is done, or cannot be: what a cut connection or a daemon that starts again breaks is tried
// once more, with growing pauses, for as long as cutPatience.
func patiently(ctx context.Context, do func() (done bool, err error)) error {
	begin := time.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		done, err := do()
		if done || err == nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !passing(err) || time.Since(begin) > cutPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// passing reports whether an error may be gone in a moment.
func passing(err error) bool {
	if _, local := errors.AsType[*localError](err); local {
		return false
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Kind() == KindUnavailable || p.Kind() == KindChecksum || p.Status == http.StatusBadGateway
	}
	return true // no answer, or half of one
}
