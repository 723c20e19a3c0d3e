package backup

import (
	"errors"

	"github.com/palisade-run/palisade/catalog/folders"
)

// Kinds of errors of this package. Test with errors.Is.
var (
	// ErrNotBackup: the file is something else.
	ErrNotBackup = errors.New("this is no backup")
	// ErrNewer: a newer palisade made it.
	ErrNewer = errors.New("backup of a newer version")
	// ErrBroken: it was cut off, or altered.
	ErrBroken = errors.New("the backup is damaged")
	// ErrKey: what was given does not open it.
	ErrKey = errors.New("the backup is sealed to another key")
	// ErrNoKey: nothing was said to seal it to.
	ErrNoKey = errors.New("a backup holds all secrets of the appliance, and there is nothing to seal it to")
	// ErrSeal: what was said to seal it to is nothing of the kind.
	ErrSeal = errors.New("a backup cannot be sealed so")
	// ErrNotFound: there is none of that name.
	ErrNotFound = errors.New("backup not found")
	// ErrBusy: one is being made.
	ErrBusy = errors.New("a backup is being made")
	// ErrNoSpace: the disk has too little room.
	ErrNoSpace = folders.ErrNoSpace
)

// Error is one of these, with what was found and what to do.
type Error struct {
	Kind error
	Err  error
	hint string
}

// Error prints "the backup is damaged: its checksum is another one".
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + e.Err.Error()
}

// Unwrap makes errors.Is find the kind as well as the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

func broken(err error) error {
	return &Error{ErrBroken, err, "nothing was changed; copy the file again from where it was made, or take another one"}
}
