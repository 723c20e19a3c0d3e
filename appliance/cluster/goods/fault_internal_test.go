package goods

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// An error is of the same kind on the other box.
func TestKindsThatGoToOtherBoxes(t *testing.T) {
	words := map[string]bool{}
	for _, k := range kinds() {
		if words[k.word] {
			t.Errorf("%s stands for two", k.word)
		}
		words[k.word] = true
		if got := saidOf(fmt.Errorf("doing it: %w", k.is)).remote(); !errors.Is(got, k.is) {
			t.Errorf("%s: %v is %v there", k.word, k.is, got)
		}
	}
	for _, err := range []error{sessions.ErrInvalid, sessions.ErrRuntimeDown} {
		if got := saidOf(err).remote(); !errors.Is(got, err) || errors.Is(got, ErrAway) {
			t.Errorf("%v is %v there", err, got)
		}
	}
}

// What another box said is that, and no more; one that could not be asked may be tomorrow.
func TestWhatFailed(t *testing.T) {
	plain := errors.New("it broke")
	for what, c := range map[string]struct {
		err        error
		away, down bool
		kind       error
		hint       string
	}{
		"nothing was said":                   {err: plain, away: true, down: true, hint: "usual"},
		"time was up":                        {err: context.DeadlineExceeded, away: true, down: true, hint: "usual"},
		"said, with a kind":                  {err: fmt.Errorf("fetching: %w", said{Kind: "denied", Text: "no", Hint: "ask ann"}.remote()), kind: folders.ErrDenied, hint: "ask ann"},
		"said, without a hint":               {err: said{Kind: "not_found", Text: "gone"}.remote(), kind: folders.ErrNotFound, hint: "usual"},
		"said, of no kind":                   {err: said{Text: "its disk does not answer"}.remote(), down: true, hint: "usual"},
		"said that others are away":          {err: said{Kind: "away", Text: "away"}.remote(), away: true, down: true, hint: "usual"},
		"one said no, the other said naught": {err: errors.Join(said{Kind: "denied", Text: "no"}.remote(), away("", "it broke")), away: true, down: true, hint: "usual"},
	} {
		got := whatFailed(c.err, "bringing x broke off", "usual")
		f, is := errors.AsType[*fault](got)
		if !is || f.Hint() != c.hint || errors.Is(got, ErrAway) != c.away || errors.Is(got, sessions.ErrRuntimeDown) != c.down || c.kind != nil && !errors.Is(got, c.kind) {
			t.Errorf("%s: %v", what, got)
		}
	}
}
