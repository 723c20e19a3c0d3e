package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError makes a usage error of pflag's words, with the nearest flag as a hint.
func flagError(cmd *cobra.Command, err error) error {
	if given := cmd.Flags().Args(); cmd.HasSubCommands() && len(given) > 0 {
		return unknownCommand(cmd, given[0]) // a flag of a command that is none cannot be known
	}
	e := &usageError{message: err.Error()}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	if _, word, ok := strings.Cut(e.message, "unknown flag: "); ok {
		e.hint = cmp.Or(otherWord(cmd, word), didYouMean(word, known))
		e.message = fmt.Sprintf("unknown flag %s for %q", word, cmd.CommandPath())
	} else if letter, ok := shorthand(e.message); ok {
		e.message = fmt.Sprintf("unknown flag %s for %q", letter, cmd.CommandPath())
		e.hint = otherWord(cmd, letter)
	} else if negative(e.message) {
		e.hint = "write -- before a value that begins with '-': " + cmd.CommandPath() + " -- ..."
	}
	if e.hint == "" {
		e.hint = "see: " + cmd.CommandPath() + " --help"
	}
	return e
}

// shorthand is the flag of one letter that pflag did not know, with its dash.
func shorthand(message string) (letter string, ok bool) {
	rest, ok := strings.CutPrefix(message, "unknown shorthand flag: '")
	if !ok || negative(message) {
		return "", false
	}
	letter, _, ok = strings.Cut(rest, "'")
	return "-" + letter, ok
}

// negative reports whether pflag took a negative number for a flag.
func negative(message string) bool {
	_, in, ok := strings.Cut(message, " in ")
	return ok && strings.HasPrefix(message, "unknown shorthand flag") && len(in) > 1 && in[0] == '-' && in[1] >= '0' && in[1] <= '9'
}

// words checks how many words a command got. names are what it wants, as in "NAME [COUNT]".
func words(names string, least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		e := &usageError{line: cmd.UseLine()}
		if len(args) < least {
			missing := strings.Fields(names)[len(args):least]
			e.message = commandName(cmd) + " needs " + strings.Join(missing, " and ")
		} else {
			e.message = fmt.Sprintf("%s: %q is one word too many", commandName(cmd), args[most])
			e.hint = cmp.Or(otherWord(cmd, oneTooMany), "quote a value that has spaces in it")
		}
		return e
	}
}

// pairs reads K=V words; where says which flag they came from. A K alone takes V from lookup.
func pairs(where string, values []string, lookup func(string) (string, bool)) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, word := range values {
		k, v, ok := strings.Cut(word, "=")
		if !ok && lookup != nil && k != "" {
			if v, ok = lookup(k); !ok {
				return nil, &usageError{
					message: fmt.Sprintf("%s %s: there is no %s in this environment to pass on", where, word, k),
					hint:    fmt.Sprintf("give the value: %s %s=VALUE", where, k),
				}
			}
		}
		if !ok || k == "" {
			return nil, &usageError{
				message: fmt.Sprintf("%s %q: must be NAME=VALUE", where, word),
				hint:    fmt.Sprintf("for example: %s %s", where, pairExample(where)),
			}
		}
		if _, twice := out[k]; twice {
			return nil, &usageError{message: fmt.Sprintf("%s %s: given twice", where, k)}
		}
		out[k] = v
	}
	return out, nil
}

func pairExample(flag string) string {
	switch flag {
	case "-r":
		return "mem=4g"
	case "--resource-opts":
		return "shmem=2g"
	case "--selector":
		return "zone=a"
	}
	return "VLLM_TP_SIZE=2"
}

// commandName is a command's path without the program's own name.
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}
