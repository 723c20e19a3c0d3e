package index

import (
	"errors"
	"fmt"
)

// Kinds of errors. Test with errors.Is; the text that wraps them is for people, and carries a Hint() string. Those of
// catalog/signature come through as they are.
var (
	ErrNotFound    = errors.New("not found")               // a catalog or a key that nobody added
	ErrExists      = errors.New("exists already")          // one of that name, or that key
	ErrInvalid     = errors.New("invalid")                 // what was asked for
	ErrInUse       = errors.New("in use")                  // a key that catalogs are signed with
	ErrUnreachable = errors.New("cannot be reached")       // nothing came, or not all of it
	ErrBroken      = errors.New("not a catalog")           // what came cannot be used
	ErrOlder       = errors.New("older than what is here") // or another one of the same number
	ErrOtherKey    = errors.New("signed by another key")   // than the one before
	ErrChecksum    = errors.New("not what its index says") // a file of a signed or pinned catalog
	ErrPinned      = errors.New("not what the catalog is pinned to")
)

// fault is an error with what to do about it.
type fault struct {
	kind  error
	text  string
	hint  string
	cause error
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.text + ": " + f.cause.Error()
	}
	return f.text
}

func (f *fault) Unwrap() []error {
	if f.cause != nil {
		return []error{f.kind, f.cause}
	}
	return []error{f.kind}
}

// Hint is what to do: the fault's own word for it, or its cause's.
func (f *fault) Hint() string {
	if f.hint != "" {
		return f.hint
	}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](f.cause); ok {
		return h.Hint()
	}
	return ""
}

func invalid(text, hint string) error { return &fault{kind: ErrInvalid, text: text, hint: hint} }

func broken(format string, values ...any) error {
	return &fault{kind: ErrBroken, text: fmt.Sprintf(format, values...), hint: "its maker can mend it: palisade catalog lint and palisade catalog sign"}
}
