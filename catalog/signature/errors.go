package signature

import (
	"errors"
	"fmt"
)

// Kinds of errors. Test with errors.Is; the text that wraps them is for people, and carries a Hint() string.
var (
	ErrUnsigned  = errors.New("not signed")
	ErrInvalid   = errors.New("not valid")             // a key or a signature that cannot be read
	ErrUntrusted = errors.New("signer is not trusted") // the signature is of a key that the owner does not trust
	ErrAltered   = errors.New("altered")               // a trusted key signed something else
	ErrPassword  = errors.New("wrong password")        // of a secret key
)

// Error is an error of this package with what to do about it.
type Error struct {
	Kind error
	Text string
	hint string
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Kind }

// Hint says what to do; it may be empty.
func (e *Error) Hint() string { return e.hint }

func invalid(what, why string) error {
	return &Error{Kind: ErrInvalid, Text: fmt.Sprintf("this is not %s: %s", what, why)}
}
