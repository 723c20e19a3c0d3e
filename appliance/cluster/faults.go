package cluster

import (
	"errors"
	"syscall"

	"github.com/palisade-run/palisade/sessions"
)

// kinds are the errors of runtimes that others tell apart, by the words that go to other boxes. They may not change. Of an error that
// is of several the first is told.
func kinds() []kind {
	return []kind{
		{"no_instance", sessions.ErrNoInstance}, {"instance_exists", sessions.ErrInstanceExists}, {"not_supported", sessions.ErrNotSupported},
		{"no_image", sessions.ErrNoImage}, {"image_denied", sessions.ErrImageDenied}, {"image_platform", sessions.ErrImagePlatform},
		{"runtime_down", sessions.ErrRuntimeDown}, {"shared_network", sessions.ErrSharedNetwork}, {"nobody_listens", sessions.ErrRefused},
		{"connection_refused", syscall.ECONNREFUSED}, {"exists", sessions.ErrExists}, {"not_found", sessions.ErrNotFound},
		{"invalid", sessions.ErrInvalid}, {"forbidden", sessions.ErrForbidden}, {"unavailable", sessions.ErrUnavailable},
	}
}

type kind struct {
	word string
	err  error
}

// KindOf is the word for an error; "": it is of no kind.
func KindOf(err error) string {
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			return k.word
		}
	}
	return ""
}

// FaultOf is an error as it is told to another box.
func FaultOf(err error) *Fault {
	f := &Fault{Kind: KindOf(err), Text: err.Error()}
	if hint, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		f.Hint = hint.Hint()
	}
	return f
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Unwrap is the error of sessions that it stands for.
func (f *Fault) Unwrap() error {
	for _, k := range kinds() {
		if k.word == f.Kind {
			return k.err
		}
	}
	return nil
}

// Remote is what an error of another box is here: with its kind, its text and, where it has one, its hint.
func (f *Fault) Remote() error {
	if f.Hint == "" {
		return f
	}
	return hinted{f}
}

type hinted struct{ *Fault }

func (h hinted) Hint() string  { return h.Fault.Hint }
func (h hinted) Unwrap() error { return h.Fault }
