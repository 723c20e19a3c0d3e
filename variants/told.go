package variants

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/fit"
)

// Size is what decides how much memory an engine takes. What is zero is left as it is.
type Size struct {
	Context   int // tokens of one sequence
	Sequences int // at once, for engines that keep room for each
	Devices   int // that the model is spread over
}

// Told is the environment and the further arguments with which the variant's engine goes by a size: what is said there already is
// replaced where it stands, what is not is added. What an engine cannot be told is left out. Neither env nor words is changed.
func (v Variant) Told(env map[string]string, words []string, size Size) (map[string]string, []string) {
	t := &telling{variant: v, env: maps.Clone(env), words: slices.Clone(words)}
	if t.env == nil {
		t.env = make(map[string]string)
	}
	if v.Sizing == nil {
		return t.env, t.words
	}
	context := size.Context
	if fit.Engine(v.Sizing.Family) == fit.LlamaCpp { // its context is that of all its sequences together
		context *= max(1, size.Sequences)
	}
	t.tell(v.Sizing.Context, context)
	t.tell(v.Sizing.Sequences, size.Sequences)
	t.tell(v.Sizing.Tensor, size.Devices)
	return t.env, t.words
}

// telling is one call of Told.
type telling struct {
	variant Variant
	env     map[string]string
	words   []string
}

// tell says a number by the first of these names that stands already, in arguments, in the environment or in what becomes arguments;
// else by a variable that becomes an argument, by an argument, or by a variable.
func (t *telling) tell(names []string, number int) {
	if number <= 0 || len(names) == 0 {
		return
	}
	text := strconv.Itoa(number)
	if t.replaced(names, text) {
		return
	}
	for _, a := range t.variant.EnvArguments {
		if a.Flag != "" && slices.Contains(names, a.Flag) {
			if number > 1 || t.env[a.Env] != "" {
				t.env[a.Env] = text
			}
			return
		}
	}
	for _, name := range names {
		if _, is := t.env[name]; is {
			t.env[name] = text
			return
		}
	}
	_, _, arguments := t.variant.MoreArguments(nil)
	for _, name := range names {
		if arguments && strings.HasPrefix(name, "--") {
			t.words = append(t.words, name, text)
			return
		}
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "-") {
			t.env[name] = text
			return
		}
	}
}

// replaced puts the text in place of what an argument of one of these names has.
func (t *telling) replaced(names []string, text string) (done bool) {
	for i, word := range t.words {
		flag, _, joined := strings.Cut(word, "=")
		if !strings.HasPrefix(flag, "-") || !slices.Contains(names, spelled(flag)) {
			continue
		}
		switch {
		case joined:
			t.words[i], done = flag+"="+text, true
		case i+1 < len(t.words):
			t.words[i+1], done = text, true
		}
	}
	return done
}
