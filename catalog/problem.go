package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity of a Problem.
type Severity string

// The severities. A warning does not stop a start unless the reader is strict.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one thing that is wrong with an input, with where it is and what to do about it.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`   // 1-based; 0 when there is no place
	Column   int      `json:"column,omitempty"` // 1-based, in characters
	Field    string   `json:"field,omitempty"`  // models[0].service.port
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
}

// String prints "file:line:column: field: message (hint)".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is every problem of one input, in the order of their places. As an error it stands for
// the errors among them: use Err.
type Problems []Problem

// Error lists all problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error when it holds at least one error, else nil.
func (ps Problems) Err() error {
	for _, p := range ps {
		if p.Severity == SeverityError {
			return ps
		}
	}
	return nil
}

// Warnings returns the warnings alone.
func (ps Problems) Warnings() Problems {
	var w Problems
	for _, p := range ps {
		if p.Severity == SeverityWarning {
			w = append(w, p)
		}
	}
	return w
}

// Sorted returns ps in the order of their places; problems of equal places stay in the order they have.
func (ps Problems) Sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
	return out
}

// Strict returns ps with every warning made an error.
func (ps Problems) Strict() Problems {
	out := make(Problems, len(ps))
	for i, p := range ps {
		p.Severity = SeverityError
		out[i] = p
	}
	return out
}
