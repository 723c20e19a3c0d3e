package pipeline

import "errors"

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	// ErrInvalid is the kind of what is wrong with a pipeline or with what is asked of it.
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	ErrState    = errors.New("not possible now")
	ErrConflict = errors.New("changed meanwhile")
)
