package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

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
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case err == nil, errors.Is(err, sessions.ErrRuntimeDown), errors.Is(err, context.Canceled):
		return err
	case errdefs.IsUnavailable(err), errdefs.IsUnavailable(errgrpc.ToNative(err)), network, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return away(err)
	}
	return err
}

// away is an ErrRuntimeDown with what it was noticed by.
func away(err error) error {
	return &Error{
		Err:  fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err),
		What: "palisade doctor says how containerd is. Sessions that run go on, and all works again once it is back",
	}
}

// hanging is an ErrRuntimeDown of a containerd that is there and does not answer.
func hanging() error {
	return &Error{
		Err:  fmt.Errorf("%w: containerd has not answered in %v", sessions.ErrRuntimeDown, askFor),
		What: "where it stays so, start it again: systemctl restart containerd. Sessions that run go on",
	}
}

// createError says in people's words why containerd, or runc, did not start a container.
func createError(err error) error {
	text := err.Error()
	switch {
	case errors.Is(down(err), sessions.ErrRuntimeDown):
	case strings.Contains(text, "runtime \"io.containerd.runc.v2\"") && strings.Contains(text, "not found"),
		strings.Contains(text, "containerd-shim-runc-v2") && strings.Contains(text, "not found"):
		return &Error{Err: fmt.Errorf("starting the container: containerd does not find its shim: %w", err), What: "containerd-shim-runc-v2 comes with containerd: install it beside it, in its PATH"}
	case strings.Contains(text, "\"runc\": executable file not found"):
		return &Error{Err: errors.New("starting the container: containerd does not find runc"), What: "install it: apt-get install runc"}
	}
	return fmt.Errorf("starting the container: %w", err)
}

// snapshotError says in people's words why a container got no file system.
func snapshotError(err error, snapshotter string) error {
	if noSpace(err) {
		return diskFull()
	}
	return fmt.Errorf("making the container's file system with %s: %w", snapshotter, err)
}
