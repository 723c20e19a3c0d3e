package variants

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Tune is how an engine is to be sized. What is zero stays as it is.
type Tune struct {
	Context   int // tokens of each sequence
	Sequences int // at once
	Devices   int // that the model is spread over
}

// Tuned says an engine its size: by the arguments or variables in which it is told already, else by an argument where the variant
// takes further ones, else by a variable. Neither env nor words is changed. What the engine has no name for is left out.
func (v Variant) Tuned(env map[string]string, words []string, t Tune) (map[string]string, []string) {
	env, words = maps.Clone(env), slices.Clone(words)
	if env == nil {
		env = make(map[string]string)
	}
	if v.Sizing == nil {
		return env, words
	}
	_, _, takes := v.MoreArguments(nil)
	tell := func(names []string, value int) {
		if value <= 0 || len(names) == 0 {
			return
		}
		words = told(env, words, v.alsoCalled(names), strconv.Itoa(value), takes)
	}
	if context := t.Context; v.Sizing.Family == "llama-cpp" { // it is told the sum of all sequences
		tell(v.Sizing.Context, context*max(1, t.Sequences))
	} else {
		tell(v.Sizing.Context, context)
	}
	tell(v.Sizing.Sequences, t.Sequences)
	said := command{names: *v.Sizing, args: words, env: func(name string) string { return env[name] }}
	if t.Devices > 1 || said.number(v.alsoCalled(v.Sizing.Tensor)) > 1 { // alone is what it does unsaid
		tell(v.Sizing.Tensor, t.Devices/max(1, said.number(v.alsoCalled(v.Sizing.Pipeline))))
	}
	return env, words
}

// alsoCalled adds the variables that become one of these arguments.
func (v Variant) alsoCalled(names []string) []string {
	names = slices.Clone(names)
	for _, a := range v.EnvArguments {
		if a.Flag != "" && slices.Contains(names, a.Flag) {
			names = append(names, a.Env)
		}
	}
	return names
}

// told sets a value under one of several names.
func told(env map[string]string, words, names []string, value string, takes bool) []string {
	for i, word := range words {
		flag, _, joined := strings.Cut(word, "=")
		if !strings.HasPrefix(flag, "-") || !slices.Contains(names, spelled(flag)) {
			continue
		}
		if joined {
			words[i] = flag + "=" + value
		} else if i+1 < len(words) {
			words[i+1] = value
		}
		return words
	}
	long := ""
	for _, name := range names {
		switch _, set := env[name]; {
		case set:
			env[name] = value
			return words
		case strings.HasPrefix(name, "--") && long == "":
			long = name
		}
	}
	if takes && long != "" {
		return append(words, long, value)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "-") {
			env[name] = value
			return words
		}
	}
	return words
}
