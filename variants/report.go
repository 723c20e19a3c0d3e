package variants

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// WriteText writes the report for a person: what would run, then warnings, then errors.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	what := r.Path
	if r.Definition != "" {
		what = r.Definition
	}
	fmt.Fprintf(&b, "%s: ", what)
	switch {
	case !r.OK:
		fmt.Fprintf(&b, "will not start (%s)\n", count(r.Errors, "error"))
	case len(r.Warnings) > 0:
		fmt.Fprintf(&b, "good, with %s\n", count(r.Warnings, "warning"))
	default:
		b.WriteString("good\n")
	}
	for _, p := range slices.Concat(r.Errors, r.Warnings) {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	if len(r.Processes) > 0 {
		r.writeLaunch(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func count(ps catalog.Problems, noun string) string {
	if len(ps) == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", len(ps), noun)
}

func line(b *strings.Builder, label, format string, args ...any) {
	fmt.Fprintf(b, "  %-14s%s\n", label, fmt.Sprintf(format, args...))
}

func (r Report) writeLaunch(b *strings.Builder) {
	b.WriteString("\n")
	line(b, "variant", "%s", r.Variant)
	if r.Metadata.Title != "" {
		line(b, "title", "%s", r.Metadata.Title)
	}
	name := r.ModelName
	if name == CheckServiceName {
		name = "the service's name"
	}
	line(b, "asked for as", "%s", name)
	line(b, "model folder", "%s, read-only", r.Mount)
	if len(r.Scratch) > 0 {
		line(b, "writable", "%s", strings.Join(r.Scratch, ", "))
	}
	line(b, "port", "%d", r.Port)
	line(b, "health", "%s", r.HealthCheck)
	writeEnv(b, r.Environment)
	if len(r.DataOnly) > 0 {
		line(b, "not started", "%s (data only)", strings.Join(r.DataOnly, ", "))
	}
	for _, p := range r.Processes {
		p.write(b)
	}
}

func writeEnv(b *strings.Builder, env map[string]string) {
	label := "environment"
	for _, name := range slices.Sorted(maps.Keys(env)) {
		line(b, label, "%s=%s", name, quote(env[name]))
		label = ""
	}
}

// String is one sentence.
func (h *ReportedHealth) String() string {
	if h == nil {
		return "no checks: healthy once the port accepts"
	}
	return fmt.Sprintf("GET %s gives %d within %gs, every %gs; unhealthy after %d failures in a row, of which none counts in its first %gs",
		h.Path, h.ExpectedStatus, h.MaxWaitTime, h.Interval, h.MaxRetries+1, h.InitialDelay)
}

func (p ReportedProcess) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n  %s\n", p.Name)
	for i, a := range p.PreStartActions {
		label := ""
		if i == 0 {
			label = "first"
		}
		line(b, label, "%d. %s", i+1, describe(a))
	}
	switch {
	case len(p.Argv) == 0:
		line(b, "command", "the image's own")
	case p.Shell != "":
		script := strings.Split(strings.TrimRight(p.Argv[len(p.Argv)-1], "\n"), "\n")
		line(b, "command", "%s", strings.Join(script, "\n                "))
		shell := p.Shell + " -c"
		if p.ShellFallback != "" {
			shell += ", or " + p.ShellFallback + " where the image has no bash"
		}
		line(b, "shell", "%s", shell)
	default:
		words := make([]string, len(p.Argv))
		for i, word := range p.Argv {
			words[i] = quote(word)
		}
		line(b, "command", "%s", strings.Join(words, " "))
		line(b, "shell", "none")
	}
	if p.WorkingDirectory != "" {
		line(b, "directory", "%s", p.WorkingDirectory)
	}
	line(b, "port", "%d", p.Port)
	writeEnv(b, p.Environment)
}

// describe says in words what an action does.
func describe(a catalog.Action) string {
	switch a.Name {
	case "run_command":
		words := make([]string, len(a.Args.Command))
		for i, word := range a.Args.Command {
			words[i] = quote(word)
		}
		text := "run " + strings.Join(words, " ")
		if a.Args.IgnoreError {
			text += " (may fail)"
		}
		return text
	case "write_file", "write_tempfile":
		verb := "write"
		if a.Args.Append {
			verb = "append to"
		}
		lines := fmt.Sprintf("%d lines", len(a.Args.Body))
		if len(a.Args.Body) == 1 {
			lines = "1 line"
		}
		return fmt.Sprintf("%s %s (%s, mode %s)", verb, quote(a.Args.Filename), lines, a.Args.Mode)
	case "mkdir":
		return "make directory " + quote(a.Args.Path)
	default:
		return a.Name + " " + quote(a.Args.Message)
	}
}

var needsNoQuotes = regexp.MustCompile(`^[\w@%+=:,./{}\[\]-]+$`)

// quote writes a word so that it can be pasted into a shell.
func quote(word string) string {
	if needsNoQuotes.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
