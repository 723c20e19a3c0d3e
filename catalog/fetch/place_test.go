package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha1" // git calls files by it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// place is a Source in memory with faults.
type place struct {
	mu       sync.Mutex
	files    map[string][]byte
	etags    map[string]string
	opened   int   // requests
	given    int64 // bytes
	noRanges bool
	sums     bool // List says SHA-256
	git      bool // List says what git calls files
	unsized  bool // List does not say how large files are
	revision string
	fault    func(p *place, open int, offset int64, data []byte) (io.Reader, error) // of a request; nil: none
}

func newPlace(files map[string]string) *place {
	p := &place{files: map[string][]byte{}, etags: map[string]string{}}
	for name, data := range files {
		p.put(name, []byte(data))
	}
	return p
}

func (p *place) put(name string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[name], p.etags[name] = data, fmt.Sprintf("%q", sumOf(data)[:8])
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func gitOf(data []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
	return hex.EncodeToString(sum[:])
}

func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(out)
	return out
}

func (p *place) List(_ context.Context, ref fetch.Ref) (fetch.Listing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := fetch.Listing{Ref: ref, Revision: p.revision}
	for name, data := range p.files {
		f := fetch.File{Name: name, Bytes: int64(len(data)), At: "mem:" + name, ETag: p.etags[name]}
		if p.sums {
			f.SHA256 = sumOf(data)
		}
		if p.git {
			f.Git, f.ETag = gitOf(data), ""
		}
		if p.unsized {
			f.Bytes = -1
		}
		out.Files = append(out.Files, f)
	}
	slices.SortFunc(out.Files, func(a, b fetch.File) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (p *place) Open(_ context.Context, _ fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened++
	data, is := p.files[f.Name]
	switch {
	case !is:
		return nil, fetch.ErrNotFound
	case p.noRanges && offset > 0:
		return nil, fetch.ErrNoRange
	case f.ETag != "" && f.ETag != p.etags[f.Name]:
		return nil, fetch.ErrChanged
	}
	data = data[min(offset, int64(len(data))):]
	if length >= 0 && length < int64(len(data)) {
		data = data[:length]
	}
	if p.fault != nil {
		r, err := p.fault(p, p.opened, offset, data)
		if err != nil {
			return nil, err
		}
		if r != nil {
			return io.NopCloser(&counting{p, r}), nil
		}
	}
	return io.NopCloser(&counting{p, bytes.NewReader(data)}), nil
}

// counting counts what a place gives.
type counting struct {
	p *place
	r io.Reader
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.mu.Lock()
	c.p.given += int64(n)
	c.p.mu.Unlock()
	return n, err
}

// failing ends with an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
