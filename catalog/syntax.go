package catalog

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlAnchor = regexp.MustCompile(`unknown anchor '([^']*)'`)
)

// syntax reports an error of the YAML library in our form. The library gives a line at best, counts
// it from 0 where its grammar found the error and from 1 where its scanner did, and leaves it
// out for the first one.
func (d *Document) syntax(err error, src []byte) {
	text := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
		if strings.HasPrefix(text, "did not find expected") {
			line++
		}
	}
	text = strings.TrimPrefix(text, "yaml: ")
	lines := bytes.SplitAfter(src, []byte("\n"))
	line = brokenLine(lines, min(line, len(lines)))
	at := place{line, firstCharacter(lines[line-1])}
	hint := ""
	switch {
	case strings.Contains(text, "unknown anchor"):
		if m := yamlAnchor.FindStringSubmatch(text); m != nil {
			if i := bytes.Index(src, []byte("*"+m[1])); i >= 0 {
				at = placeOf(src, i)
			}
			hint = "quote a value that begins with *"
		}
	case strings.Contains(text, "control characters"):
		if i := bytes.IndexFunc(src, isControl); i >= 0 {
			at = placeOf(src, i)
		}
	case bytes.ContainsRune(indentation(lines[line-1]), '\t'):
		at.column = 1 + bytes.IndexByte(lines[line-1], '\t')
		hint = "YAML is indented with spaces, never with tabs"
	case strings.Contains(text, "cannot start any token"):
		hint = "quote a value that begins with @, ` or %"
	case strings.Contains(text, "mapping values are not allowed"):
		hint = `check the indentation; quote a value that has ": " in it`
	case strings.Contains(text, "did not find expected key"), strings.Contains(text, "could not find expected ':'"):
		hint = "check the indentation of this line and of the ones before it"
	case strings.Contains(text, "unexpected end of stream"):
		hint = "a quote is opened and never closed"
	case strings.Contains(text, "',' or"):
		hint = "a bracket is opened and never closed"
	}
	d.fail(at, hint, "not valid YAML: %s", text)
}

// brokenLine narrows the library's line down. It often names the line where the list or map began in
// which it gave up, far above the culprit. What stands before the culprit is good YAML by itself, so the
// last beginning of the file that can be parsed ends right before it, or before an opened quote.
func brokenLine(lines [][]byte, reported int) int {
	const mostLines, mostBytes = 400, 32 << 10 // what follows is quadratic
	last := min(len(lines), reported+mostLines)
	whole := bytes.Join(lines[:last], nil)
	if len(whole) > mostBytes {
		return reported
	}
	size, good := 0, -1
	for i, l := range lines[:last] {
		if i >= reported-1 && parses(whole[:size]) {
			good = i
		}
		size += len(l)
	}
	if good < 0 || parses(whole) {
		return reported
	}
	return good + 1
}

// parses reports whether src is good YAML, or nothing at all.
func parses(src []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(src))
	for {
		var n yaml.Node
		if err := decodeSafely(decoder, &n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

func isControl(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == utf8.RuneError
}

func indentation(line []byte) []byte {
	return line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
}

// firstCharacter is the column of the first one that is not blank.
func firstCharacter(line []byte) int {
	return 1 + len(indentation(line))
}

func placeOf(src []byte, offset int) place {
	before := src[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return place{1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])}
}
