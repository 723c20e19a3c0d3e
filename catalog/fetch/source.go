package fetch

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// Kinds of errors of places. Test with errors.Is; the text that wraps them is for people, and may carry a Hint() string.
var (
	ErrNotFound  = errors.New("not found")             // the model, the revision or the file
	ErrDenied    = errors.New("access denied")         // no credentials, wrong ones, or a licence that was not accepted
	ErrChanged   = errors.New("changed while fetched") // what is there now is not what was listed
	ErrChecksum  = blobs.ErrChecksum                   // never repaired by trying again
	ErrNoSpace   = blobs.ErrNoSpace                    // on the box
	ErrNoRange   = errors.New("no ranges")             // Open at an offset is not possible: begin at 0
	ErrTruncated = errors.New("cut off")               // fewer bytes than said: goes on from there
	ErrTooLong   = errors.New("longer than said")
	ErrRefused   = errors.New("refused") // for good, and for no reason above: the same request will be refused again
)

// Later is an error that says when it is worth trying again (429 and 503 with Retry-After). It unwraps to its cause.
type Later struct {
	After time.Duration
	Err   error
}

func (l *Later) Error() string { return l.Err.Error() }
func (l *Later) Unwrap() error { return l.Err }

// File is one file of a model at its place.
type File struct {
	Name   string // relative, with slashes, valid for fs.ValidPath: Listing's maker refuses others
	Bytes  int64  // -1: not known before it is fetched
	SHA256 string // 64 lower-case hexadecimal digits; empty: the place does not say
	Git    string // git's SHA-1 of the blob, 40 digits, where a place says only that
	At     string // how its Source finds it: a URL, a digest, a path; of the Source's own making
	ETag   string // of the answer that At gives; empty: not known
	Run    bool   // it may be run
	Unpack string // tar, tar+gzip or tar+zstd: the file holds others, which take its place once it is here whole; globs are about those
}

// Listing is what there is at a place at one moment.
type Listing struct {
	Ref      Ref    // as asked
	Revision string // what does not change: a commit, a manifest's digest; empty where the place has no such thing
	Files    []File // by name, no name twice
}

// Source is a kind of place. All calls may be made at once.
type Source interface {
	// List says what there is. Globs of the Ref are not its business: the caller picks.
	List(ctx context.Context, ref Ref) (Listing, error)
	// Open reads length bytes of a file from offset; length -1: to its end. ErrNoRange when only offset 0 can be had.
	// ErrChanged when what is there is not what was listed (another ETag, another size). The reader may end early with
	// io.ErrUnexpectedEOF; what was read until then is good.
	Open(ctx context.Context, in Listing, f File, offset, length int64) (io.ReadCloser, error)
}
