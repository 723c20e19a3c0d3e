package people

import "errors"

// Kinds of errors of this room.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
	// ErrState: not as things stand, such as removing a project that has services.
	ErrState = errors.New("not possible now")
)

// Fault is an error in words for who asked. Its kind is not among them.
type Fault struct {
	Kind   error
	Text   string
	Advice string // what to do; may be empty
}

func (f *Fault) Error() string { return f.Text }
func (f *Fault) Unwrap() error { return f.Kind }

// Hint says what to do.
func (f *Fault) Hint() string { return f.Advice }
