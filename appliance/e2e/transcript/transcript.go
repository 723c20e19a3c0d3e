// Package transcript owns what a written-down walk through a shell looks like: a Markdown document whose console blocks
// have commands and what they print. It reads such a document, says where what is printed now differs from what is
// written, and writes a document anew. It runs nothing, and knows nothing of what the commands are about.
//
// A command's line begins with "$ ", and those on which it goes on with "> ". What stands below, to the next command, is
// what it prints. In that, "..." stands for what differs from run to run: alone on a line for any number of lines, in a
// word for any letters of that word. How many spaces are between two words makes no difference: columns are as wide as
// what is in them.
package transcript

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Step is one command of a document with what it prints.
type Step struct {
	Line    int      // of the command in the document, from 1
	Command string   // without "$ " and "> "; of several lines where it has them
	Output  []string // lines, without the spaces at their ends
	end     int      // the document's lines of the output are those from Line plus the command's to before end, from 1
}

const (
	opening, closing = "```console", "```"
	prompt, goingOn  = "$ ", "> "
	ellipsis         = "..."
)

// Parse reads the steps of a document. An error says in which line something is that has no meaning.
func Parse(document string) ([]Step, error) {
	lines := strings.Split(document, "\n")
	var steps []Step
	inside, command, began := false, false, 0 // command: its own lines may go on
	for i, line := range lines {
		at := i + 1
		switch {
		case !inside:
			if line == opening {
				inside, command, began = true, false, len(steps)
			}
		case line == closing:
			if len(steps) == began {
				return nil, fmt.Errorf("line %d: the block ends and has no command", at)
			}
			inside = false
			steps[len(steps)-1].finish(at)
		case strings.HasPrefix(line, prompt):
			if len(steps) > began {
				steps[len(steps)-1].finish(at)
			}
			steps = append(steps, Step{Line: at, Command: line[len(prompt):]})
			command = true
		case len(steps) == began:
			return nil, fmt.Errorf("line %d: the block begins with %q; it has to begin with a command, %q", at, line, prompt)
		case command && (strings.HasPrefix(line, goingOn) || line == strings.TrimSpace(goingOn)):
			steps[len(steps)-1].Command += "\n" + strings.TrimPrefix(strings.TrimPrefix(line, ">"), " ")
		default:
			command = false
			s := &steps[len(steps)-1]
			s.Output = append(s.Output, trimmed(line))
		}
	}
	if inside {
		return nil, fmt.Errorf("line %d: the last block does not end", len(lines))
	}
	return steps, nil
}

// finish ends a step before a line of the document. Empty lines before that are there for the eye.
func (s *Step) finish(line int) {
	s.end = line
	for len(s.Output) > 0 && s.Output[len(s.Output)-1] == "" {
		s.Output = s.Output[:len(s.Output)-1]
	}
}

// Lines are those of what a command has printed, as they are compared: without spaces at their ends, and without empty
// lines at the end of all.
func Lines(printed string) []string {
	lines := strings.Split(strings.ReplaceAll(printed, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = trimmed(lines[i])
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Rewrite is the document with other outputs, one for each of its steps as Parse has them. What is written and still true
// stays, each "..." with it.
func Rewrite(document string, steps []Step, outputs [][]string) string {
	lines := strings.Split(document, "\n")
	var out []string
	done := 0 // lines of the document that are in out
	for i, s := range steps {
		first := s.Line + strings.Count(s.Command, "\n") // lines up to the end of the command
		out = append(out, lines[done:first]...)
		if Same(s.Output, outputs[i]) {
			out = append(out, lines[first:s.end-1]...)
		} else {
			out = append(out, merge(s.Output, outputs[i])...)
		}
		done = s.end - 1
	}
	return strings.Join(append(out, lines[done:]...), "\n")
}

// Writable reports whether an output can be written below a command and be read as that again.
func Writable(output []string) bool {
	return len(output) == 0 || !strings.HasPrefix(output[0], strings.TrimSpace(goingOn)) &&
		!slices.ContainsFunc(output, func(line string) bool { return line == closing || strings.HasPrefix(line, prompt) })
}

func trimmed(line string) string { return strings.TrimRightFunc(line, unicode.IsSpace) }
