package goods

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// ErrAway is that no box that can be reached has what is needed. It may pass.
var ErrAway = errors.New("no box that can be reached has it")

// fault is an error with a kind to test for, and with what to do.
type fault struct {
	kind error // or nil
	text string
	hint string
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

// Hint says what to do.
func (f *fault) Hint() string { return f.hint }

// away says that no box can be asked, which passes when one of them is back: a session is tried again.
func away(hint, text string) error {
	return &fault{kind: errors.Join(ErrAway, sessions.ErrRuntimeDown), text: text, hint: hint}
}

// whatFailed says that something failed by what other boxes have said, with the kinds and the hint of that. Where one could not be
// asked, that counts: it passes. So may what is of no kind, but the box that said it is there.
func whatFailed(err error, what, hint string) error {
	out := &fault{text: fmt.Sprintf("%s: %v", what, err), hint: hint}
	f, is := errors.AsType[*fault](err)
	switch {
	case !is || errors.Is(err, ErrAway):
		out.kind = errors.Join(ErrAway, sessions.ErrRuntimeDown)
	case f.kind == nil:
		out.kind = sessions.ErrRuntimeDown
	default:
		out.kind, out.hint = f.kind, cmp.Or(f.hint, hint)
	}
	return out
}

// said is an error as it goes to another box.
type said struct {
	Kind string `json:"kind,omitempty"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// kinds are the errors that others tell apart, by the words that go to other boxes. They may not change.
func kinds() []kind {
	return []kind{ // the first one counts that an error is
		{"away", ErrAway}, {"refused", fetch.ErrRefused}, {"checksum", fetch.ErrChecksum}, {"disk", fetch.ErrNoSpace},
		{"not_found", folders.ErrNotFound}, {"exists", folders.ErrExists}, {"in_use", folders.ErrInUse}, {"denied", folders.ErrDenied},
		{"changed", folders.ErrChanged}, {"quota", folders.ErrQuota}, {"no_space", folders.ErrNoSpace}, {"digest", folders.ErrChecksum},
		{"offset", folders.ErrOffset}, {"invalid", folders.ErrInvalid}, {"session", sessions.ErrInvalid}, {"down", sessions.ErrRuntimeDown},
	}
}

// kind is an error that others tell apart, by its word.
type kind struct {
	word string
	is   error
}

func saidOf(err error) *said {
	out := &said{Text: err.Error()}
	if h, is := errors.AsType[interface {
		error
		Hint() string
	}](err); is {
		out.Hint = h.Hint()
	}
	for _, k := range kinds() {
		if errors.Is(err, k.is) {
			out.Kind = k.word
			break
		}
	}
	return out
}

// remote is what another box said, as an error here.
func (s said) remote() error {
	out := &fault{text: s.Text, hint: s.Hint}
	for _, k := range kinds() {
		if k.word == s.Kind {
			out.kind = k.is
		}
	}
	if s.Kind == "away" {
		out.kind = errors.Join(ErrAway, sessions.ErrRuntimeDown)
	}
	return out
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, folders.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrAway):
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}
