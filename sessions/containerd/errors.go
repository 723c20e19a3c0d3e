package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/containerd/errdefs"

	"github.com/palisade-run/palisade/sessions"
)

// Error is an error that says what to do about it.
type Error struct {
	Err  error
	What string // the hint
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.What }

// down makes an error of a call to containerd an ErrRuntimeDown where it says that containerd is away for
// the moment, not that the call was refused.
func down(err error) error {
	_, network := errors.AsType[net.Error](err)
	switch {
	case err == nil, errors.Is(err, sessions.ErrRuntimeDown), errors.Is(err, context.Canceled):
		return err
	case errdefs.IsUnavailable(err), network && !errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err)
	}
	return err
}
