package cluster

import (
	"errors"

	"github.com/palisade-run/palisade/sessions"
)

// kinds are the errors of runtimes that others tell apart, by the words that go to other boxes. They may not change.
func kinds() map[string]error {
	return map[string]error{
		"no_instance": sessions.ErrNoInstance, "instance_exists": sessions.ErrInstanceExists, "not_supported": sessions.ErrNotSupported,
		"no_image": sessions.ErrNoImage, "image_denied": sessions.ErrImageDenied, "image_platform": sessions.ErrImagePlatform,
		"runtime_down": sessions.ErrRuntimeDown,
	}
}

// KindOf is the word for an error; "": it is of no kind.
func KindOf(err error) string {
	for word, kind := range kinds() {
		if errors.Is(err, kind) {
			return word
		}
	}
	return ""
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Unwrap is the error of sessions that it stands for.
func (f *Fault) Unwrap() error { return kinds()[f.Kind] }

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
