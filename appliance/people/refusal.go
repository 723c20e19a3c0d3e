package people

import (
	"errors"
	"fmt"
	"time"
)

// Kinds of errors of who is let in.
var (
	// ErrWrong: name, password or code are not right; it is not told which.
	ErrWrong = errors.New("name or password is wrong")
	// ErrCode: the password is right, and a code of the second factor is needed too.
	ErrCode = errors.New("a code is needed")
	// ErrRefused: the secret is not that of a log-in session that goes on.
	ErrRefused = errors.New("not logged in")
	// ErrExpired is ErrRefused of a session that has run out, or was ended.
	ErrExpired = fmt.Errorf("%w: the log-in has expired", ErrRefused)
	// ErrLocked: too many wrong tries; a *Locked says when the next may come.
	ErrLocked = errors.New("too many tries")
	// ErrBusy: more passwords are being looked at than the box has power for.
	ErrBusy = errors.New("too many log-ins at once")
)

// Locked is ErrLocked with when the next try may come.
type Locked struct {
	After time.Duration // from now
	Again bool          // it was said before, since the last try that was looked at
}

func (l *Locked) Error() string {
	return fmt.Sprintf("too many wrong tries: the next may come in %s", l.After.Round(time.Second))
}

func (l *Locked) Unwrap() error { return ErrLocked }

func invalid(hint, format string, args ...any) error {
	return &Fault{Kind: ErrInvalid, Text: fmt.Sprintf(format, args...), Advice: hint}
}

func unable(hint, format string, args ...any) error {
	return &Fault{Kind: ErrState, Text: fmt.Sprintf(format, args...), Advice: hint}
}
