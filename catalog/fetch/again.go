package fetch

import (
	"context"
	"crypto/sha1" //nolint:gosec // git calls files by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// Bounds of waiting for a place.
const (
	firstWait = 500 * time.Millisecond
	mostWait  = 30 * time.Second
	mostLater = 10 * time.Minute // that a place may ask for
)

// ours is an error of the box, not of the place: to try again would not help.
type ours struct{ error }

func (o *ours) Unwrap() error { return o.error }

// delay says how long to wait before a download is tried again, after so many tries that brought nothing; is is false where it
// is not to be.
func delay(err error, tries, most int) (wait time.Duration, is bool) {
	for _, kind := range []error{ErrNotFound, ErrDenied, ErrChanged, ErrChecksum, ErrNoSpace, ErrNoRange, ErrTooLong, ErrRefused, ErrRef, context.Canceled} {
		if errors.Is(err, kind) {
			return 0, false
		}
	}
	if _, is := errors.AsType[*ours](err); is || tries+1 >= most {
		return 0, false
	}
	if later, is := errors.AsType[*Later](err); is {
		return max(later.After, firstWait), later.After <= mostLater
	}
	wait = min(mostWait, firstWait<<min(tries, 16))
	return wait*3/4 + rand.N(wait/2), true // so that connections do not come back all at once
}

// checkGit compares a file with the name that git has for it.
func checkGit(ctx context.Context, part *blobs.Part, f File) error {
	h := sha1.New() //nolint:gosec // see above
	fmt.Fprintf(h, "blob %d\x00", part.Size())
	buffer := make([]byte, bufferSize)
	for at := int64(0); at < part.Size(); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := part.ReadAt(buffer[:min(bufferSize, part.Size()-at)], at)
		if n == 0 && err != nil {
			return fmt.Errorf("reading back what came: %w", err)
		}
		_, _ = h.Write(buffer[:n]) // never fails
		at += int64(n)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != f.Git {
		return Say(ErrChecksum, "the file at its place is damaged: tell who keeps it", "git calls it %s, and it should be %s", sum, f.Git)
	}
	return nil
}

// cut ends a stream with an error once it is longer than it may be.
type cut struct {
	r    io.Reader
	left int64
	err  error
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, c.err
	}
	return n, err
}
