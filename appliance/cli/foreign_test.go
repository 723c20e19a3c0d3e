package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// TestWordsOfOthersAreSafe: what a server says went wrong reaches no terminal as a command to it.
func TestWordsOfOthersAreSafe(t *testing.T) {
	var out strings.Builder
	a := &app{Program: Program{Stderr: &out, LookupEnv: func(string) (string, bool) { return "", false }}, ended: func() error { return nil }}
	problem := api.NewProblem(api.KindNotFound, 404, "no branch %s", "main\x1b]0;owned\a\u009b2J")
	problem.Hint = "it has \x1b[31mred\r\nand more"
	a.report(problem)
	a.report(errors.New("two\nlines\x1b[2J"))
	a.notef("%s was left out", "a\x1b[1A\x1b[2K")
	if got := out.String(); strings.ContainsAny(got, "\x1b\a\r\u009b") || !strings.Contains(got, "two\nlines[2J") {
		t.Errorf("%q", got)
	}
}
