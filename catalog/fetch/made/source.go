// Package made owns files of models that are not fetched from anywhere: Palisade makes them, the same bytes on every machine. A
// new box has a model to begin with, without a network.
package made

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Makers are the files that can be made, by name. They are small: each is made whole, in memory.
type Makers map[string]func() (io.WriterTo, error)

// Source is a fetch.Source of them, for refs of the form made:NAME.
type Source struct{ makers Makers }

// New makes a source.
func New(makers Makers) *Source { return &Source{maps.Clone(makers)} }

// unknown is a fetch.ErrNotFound with what there is.
type unknown struct{ name, known string }

func (u *unknown) Error() string { return fmt.Sprintf("Palisade makes no %s", u.name) }
func (u *unknown) Hint() string  { return "it makes " + u.known }
func (u *unknown) Unwrap() error { return fetch.ErrNotFound }

func (s *Source) make(name string) ([]byte, error) {
	maker, known := s.makers[name]
	if !known {
		return nil, &unknown{name, strings.Join(slices.Sorted(maps.Keys(s.makers)), ", ")}
	}
	model, err := maker()
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	var b bytes.Buffer
	if _, err := model.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// List makes the file, and says what it is.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	if err := ctx.Err(); err != nil {
		return fetch.Listing{}, err
	}
	src, err := s.make(ref.Where)
	if err != nil {
		return fetch.Listing{}, err
	}
	sum := sha256.Sum256(src)
	digest := hex.EncodeToString(sum[:])
	return fetch.Listing{Ref: ref, Revision: digest, Files: []fetch.File{{Name: ref.Where, Bytes: int64(len(src)), SHA256: digest, At: ref.Where}}}, nil
}

// Open makes the file again, and reads a part of it. A new release that makes other bytes is an ErrChanged.
func (s *Source) Open(ctx context.Context, _ fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	src, err := s.make(f.At)
	if err != nil {
		return nil, err
	}
	if int64(len(src)) != f.Bytes {
		return nil, fmt.Errorf("%s: %w", f.Name, fetch.ErrChanged)
	}
	src = src[min(max(offset, 0), f.Bytes):]
	if length >= 0 {
		src = src[:min(length, int64(len(src)))]
	}
	return io.NopCloser(bytes.NewReader(src)), nil
}
