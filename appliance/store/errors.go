package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// Kinds of errors of this package. Test with errors.Is; the text that wraps them is for people.
// What a room's interface promises (sessions.ErrConflict, ...) comes as that room's error instead.
var (
	// ErrInvalidDSN: the database's address cannot be understood.
	ErrInvalidDSN = errors.New("invalid database address")
	// ErrNewerData: a newer palisade has written this database. Nothing in it was touched.
	ErrNewerData = errors.New("data of a newer version")
	// ErrForeignData: the database holds tables of something else.
	ErrForeignData = errors.New("database of something else")
	// ErrFull: no space left. Nothing that was saved before is lost.
	ErrFull = folders.ErrNoSpace
	// ErrReadOnly: the file, its disk or the server takes no writes.
	ErrReadOnly = errors.New("database is read-only")
	// ErrCorrupt: the file is no database, or a broken one.
	ErrCorrupt = errors.New("database is damaged")
	// ErrDenied: wrong password, unknown user, missing rights.
	ErrDenied = errors.New("database refuses access")
	// ErrUnavailable: it cannot be reached, or does not answer, now.
	ErrUnavailable error = unavailable{}
	// ErrExists: another row has that id or hash.
	ErrExists = errors.New("exists already")
	// ErrTaken: another palisade works on the database.
	ErrTaken = errors.New("another palisade works on this database")
	// ErrDeposed: another box of the cluster decides by now.
	ErrDeposed = errors.New("another box decides by now")
	// ErrHalf: a move to this database was broken off. What it was moved from is as it was.
	ErrHalf = errors.New("database of a move that is not over")
	// ErrNotEmpty: rows cannot be moved to where there is something already.
	ErrNotEmpty = errors.New("database is not empty")
	// ErrUnfit: a row is in the database that another kind of database does not take.
	ErrUnfit = errors.New("rows that the other database cannot hold")
	// ErrDifferent: what was read back is not what was there.
	ErrDifferent = errors.New("the copy is not the same")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// unavailable is the kind of each room that asks whether it is to try again later.
type unavailable struct{}

func (unavailable) Error() string { return "database is not available" }

func (unavailable) Unwrap() []error {
	return []error{sessions.ErrUnavailable, autoscaler.ErrUnavailable}
}

// Error is an error of the database, with its kind and with what a person can do about it.
type Error struct {
	Kind error  // one of the Err values above
	Op   string // "saving a service"; "" where there is none
	Err  error  // what the database said
	hint string
}

// Error prints "saving a service: no space left: database or disk is full (13)".
func (e *Error) Error() string {
	msg := e.Kind.Error()
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	if e.Op != "" {
		msg = e.Op + ": " + msg
	}
	return msg
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

// wrap names the operation and translates what a driver said into a kind of this package. Errors of
// the rooms pass with the operation's name.
func (s *Store) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*Error](err); ok {
		if own.Op == "" {
			own = &Error{Kind: own.Kind, Op: op, Err: own.Err, hint: own.hint} // it may be another caller's as well
		}
		return own
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, errNoAnswer) {
			return &Error{Kind: ErrUnavailable, Op: op, Err: cause, hint: s.onward(ErrUnavailable, s.dialect.downHint)}
		}
		return fmt.Errorf("%s: %w", op, cause)
	}
	if s.closed.Load() {
		return &Error{Kind: ErrClosed, Op: op}
	}
	if hint, kind := s.dialect.kind(err); kind != nil {
		return &Error{Kind: kind, Op: op, Err: err, hint: s.onward(kind, hint)}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// goesOn is added to hints about what passes.
const goesOn = "; palisade goes on by itself then"

// onward is a hint with what comes after it: who has opened the database goes on by itself, and who could not is to be started
// again.
func (s *Store) onward(kind error, hint string) string {
	if s.opened.Load() && (errors.Is(kind, ErrFull) || hint == postgresDown) {
		return hint + goesOn
	}
	return hint
}

// fileError translates what the operating system said about the database's file.
func fileError(op, path string, err error) error {
	e := &Error{Kind: ErrUnavailable, Op: op, Err: err,
		hint: "check that " + path + " can be read and written by the user that runs palisade"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.hint = "make the directory first, or choose another with --data or --database"
	case errors.Is(err, fs.ErrPermission):
		e.Kind = ErrDenied
	case errors.Is(err, syscall.EROFS):
		e.Kind, e.hint = ErrReadOnly, readOnlyHint(path)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind, e.hint = ErrFull, fullHint(path)
	}
	return e
}

func readOnlyHint(path string) string {
	return "the disk of " + path + ", or the file itself, is read-only: make it writable, or choose another place with --data"
}

func fullHint(path string) string {
	return "free space on the disk of " + path + "; what was saved before is safe"
}

// RetryAfter is when to ask again where another box decides by now: the box that was asked knows who does by then. 0: nobody knows.
func (e *Error) RetryAfter() time.Duration {
	if errors.Is(e.Kind, ErrDeposed) {
		return 2 * time.Second
	}
	return 0
}
