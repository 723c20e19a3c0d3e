package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// named is a command in a hint: palisade, and small words behind it.
var named = regexp.MustCompile(`\bpalisade((?: [a-z][a-z-]*)+)`)

// TestHintsNameCommandsThatAreThere: what somebody is told to type exists, and what they typed does not.
func TestHintsNameCommandsThatAreThere(t *testing.T) {
	a := &app{now: time.Now, Program: Program{LookupEnv: func(string) (string, bool) { return "", false }}}
	root := a.rootCommand()
	for _, g := range guesses() {
		if g.command != "" {
			of, rest, err := root.Find(strings.Fields(g.command)[1:])
			if err != nil || len(rest) > 0 {
				t.Errorf("%s %s: there is no command %q", g.command, g.word, g.command)
				continue
			}
			if of.HasSubCommands() && !strings.HasPrefix(g.word, "-") {
				if is, rest, err := root.Find(append(strings.Fields(g.command)[1:], g.word)); err == nil && len(rest) == 0 && is != of {
					t.Errorf("%s %s is a command, which nobody is told of another one for", g.command, g.word)
				}
			}
		}
		for _, m := range named.FindAllStringSubmatch(g.hint, -1) {
			words := strings.Fields(m[1])
			of, rest, err := root.Find(words)
			plain := slices.Contains([]string{"is", "waits"}, strings.Join(rest, " ")) // the sentence goes on
			if err != nil || of == root || of.HasSubCommands() && len(rest) > 0 && !plain {
				t.Errorf("%s %s: %q: there is no command %q", g.command, g.word, g.hint, m[0])
			}
		}
	}
}
