package variants

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// WithMemoryFraction tells the engines of a launch to take no more than a part of each device's memory, from 0 to 1; several
// engines get equal parts of it. What the owner has said himself stays, in whatever place he said it. Engines that have no such
// setting, and are not known, are left as they are: Sizing says afterwards whether there is one.
func (t *Table) WithMemoryFraction(l LaunchSpec, fraction float64) LaunchSpec {
	if !(fraction > 0 && fraction < 1) {
		return l
	}
	var at []int
	for i, p := range l.Processes {
		c, ok := t.engineOf(l, p)
		if ok && c.names.Fraction != nil && c.text(c.names.Fraction.names()) == "" {
			at = append(at, i)
		}
	}
	l.Processes = slices.Clone(l.Processes)
	for _, i := range at {
		c, _ := t.engineOf(l, l.Processes[i])
		l.Processes[i] = c.bounded(l.Processes[i], fraction/float64(len(at)))
	}
	return l
}

// bounded is the process with the setting: as an argument behind the program's name, or as a variable where the command is
// the image's own.
func (c command) bounded(p Process, fraction float64) Process {
	f := c.names.Fraction
	if f.Scale > 0 {
		fraction *= f.Scale
	}
	value := strconv.FormatFloat(max(0.01, math.Floor(fraction*1000+1e-6)/1000), 'f', -1, 64)
	if f.Argument == "" || len(p.Argv) == 0 {
		if f.Env != "" {
			p.Env = maps.Clone(p.Env)
			if p.Env == nil {
				p.Env = make(map[string]string)
			}
			p.Env[f.Env] = value
		}
		return p
	}
	for _, program := range c.names.Programs {
		if at := programIn(p.Argv, program); at >= 0 {
			p.Argv = slices.Insert(slices.Clone(p.Argv), at, f.Argument, value)
			return p
		}
	}
	for i, word := range p.Argv {
		for _, program := range c.names.Programs {
			if line, ok := insertAfter(word, program, f.Argument+" "+value); ok {
				p.Argv = slices.Clone(p.Argv)
				p.Argv[i] = line
				return p
			}
		}
	}
	return p
}

// insertAfter puts text behind a program in a shell's line. Whatever else the line does, the program still gets it; lines
// that are comments do not count.
func insertAfter(line, program, text string) (string, bool) {
	parts := strings.Fields(program)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	name := regexp.MustCompile(`(?:^|[\s;&|(/"'])` + strings.Join(parts, `[ \t]+`) + `(["']?)(?:[\s;&|)]|$)`)
	for at := 0; at < len(line); {
		m := name.FindStringSubmatchIndex(line[at:])
		if m == nil {
			return line, false
		}
		end := at + m[3] // behind a quote that closes
		start := strings.LastIndexByte(line[:at+m[0]+1], '\n') + 1
		if !strings.HasPrefix(strings.TrimSpace(line[start:end]), "#") {
			return line[:end] + " " + text + line[end:], true
		}
		at = end
	}
	return line, false
}
