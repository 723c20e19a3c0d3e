package bundle

import (
	"errors"
	"fmt"
)

// Kinds of errors. Test with errors.Is; the text that wraps them is for people, and may carry a Hint() string.
var (
	ErrNotBundle = errors.New("not a bundle")
	ErrRefused   = errors.New("bundle refused") // cut off, altered, or made to do harm: nothing of it was taken
	ErrUnsigned  = errors.New("bundle is not signed by a key that is trusted")
	ErrNoSpace   = errors.New("no space")
	ErrNotFound  = errors.New("no such bundle")
	ErrInUse     = errors.New("bundle is in use")
	ErrGone      = errors.New("less of the bundle is here") // than was left out
)

const hintAgain = "it was cut off or altered on its way: copy it again, and compare with palisade bundle verify FILE where it was made"

// sentence is an error of a kind, with what to do about it.
type sentence struct {
	kind          error
	message, hint string
}

func (s *sentence) Error() string { return s.message }
func (s *sentence) Unwrap() error { return s.kind }

// Hint says what to do.
func (s *sentence) Hint() string { return s.hint }

// refused is the error for a bundle of which nothing is taken; an empty hint is the usual one.
func refused(hint, format string, values ...any) error {
	if hint == "" {
		hint = hintAgain
	}
	return &sentence{ErrRefused, "the bundle is refused: " + fmt.Sprintf(format, values...), hint}
}
