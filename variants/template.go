package variants

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"
)

var (
	plainName  = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*(?:\[[0-9]+\])?)\}`)
	dollarName = regexp.MustCompile(`^\$\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\[[0-9]+\])?)\s*\}\}`)
)

// piece of a template: literal text, or a name that stands for a value.
type piece struct{ text, name string }

// cut takes a template to pieces. At each place, in this order:
//
//  1. ${{ name }} is a name.
//  2. ${...}, with all the braces in it, is the shell's.
//  3. {{ is a literal brace, and opens a pair that }} closes.
//  4. {name} is a name.
//  5. { opens a pair that } closes; both stay as they are.
//  6. }} is a literal brace, unless the innermost open pair is a single one: the end of {"a": {"b": 1}}
//     is two braces.
//
// Anything else stays as it is.
func cut(s string) []piece {
	var pieces []piece
	var text strings.Builder
	var doubled []bool // the open pairs, innermost last
	closing := closingBraces(s)
	whole := len(s)
	name := func(n string) {
		if text.Len() > 0 {
			pieces = append(pieces, piece{text: text.String()})
			text.Reset()
		}
		pieces = append(pieces, piece{name: n})
	}
	for len(s) > 0 {
		taken := 1
		switch {
		case strings.HasPrefix(s, "${"):
			if m := dollarName.FindStringSubmatch(s); m != nil { // 1
				name(m[1])
				taken = len(m[0])
				break
			}
			if !strings.HasPrefix(s, "${{") { // 2
				// A ${ that is never closed is no more than these two characters.
				taken = max(len("${"), closing[whole-len(s)+1]+1-(whole-len(s)))
			}
			text.WriteString(s[:taken])
		case strings.HasPrefix(s, "{{"): // 3
			doubled = append(doubled, true)
			text.WriteByte('{')
			taken = 2
		case s[0] == '{':
			if m := plainName.FindStringSubmatch(s); m != nil { // 4
				name(m[1])
				taken = len(m[0])
				break
			}
			doubled = append(doubled, false) // 5
			text.WriteByte('{')
		case s[0] == '}':
			open := len(doubled) - 1
			if strings.HasPrefix(s, "}}") && (open < 0 || doubled[open]) { // 6
				taken = 2
			}
			if open >= 0 && (taken == 2 || !doubled[open]) {
				doubled = doubled[:open]
			}
			text.WriteByte('}')
		default:
			text.WriteByte(s[0])
		}
		s = s[taken:]
	}
	if text.Len() > 0 {
		pieces = append(pieces, piece{text: text.String()})
	}
	return pieces
}

// closingBraces leads from the index of each { to the index of the } that closes it; 0 where none does.
func closingBraces(s string) []int {
	closing := make([]int, len(s))
	var open []int
	for i := range len(s) {
		switch {
		case s[i] == '{':
			open = append(open, i)
		case s[i] == '}' && len(open) > 0:
			closing[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	return closing
}

// expand replaces names by their values. Names that have none are returned, once each; they stay in the
// text as {name}.
func expand(s string, values map[string]string) (text string, unknown []string) {
	var b strings.Builder
	for _, p := range cut(s) {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value, ok := values[p.name]
		if !ok {
			value = "{" + p.name + "}"
			if !slices.Contains(unknown, p.name) {
				unknown = append(unknown, p.name)
			}
		}
		b.WriteString(value)
	}
	return b.String(), unknown
}

// expandWords splits a line like a POSIX shell does and replaces names afterwards: a value with blanks
// or quotes in it stays one word.
func expandWords(line string, values map[string]string) (words, unknown []string, err error) {
	// Neither the line nor a value can hold NUL: it marks where the values go.
	const mark = "\x00"
	var b strings.Builder
	var names []string
	for _, p := range cut(strings.ReplaceAll(line, mark, "")) {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		b.WriteString(mark + strconv.Itoa(len(names)) + mark)
		names = append(names, p.name)
	}
	words, err = splitWords(b.String())
	if err != nil {
		return nil, nil, err
	}
	for i, word := range words {
		parts := strings.Split(word, mark)
		for j := 1; j < len(parts); j += 2 {
			n, _ := strconv.Atoi(parts[j])
			value, ok := values[names[n]]
			if !ok {
				value = "{" + names[n] + "}"
				if !slices.Contains(unknown, names[n]) {
					unknown = append(unknown, names[n])
				}
			}
			parts[j] = value
		}
		words[i] = strings.Join(parts, "")
	}
	return words, unknown, nil
}

// splitWords splits like a POSIX shell, without expanding anything. Line ends of any system divide words.
func splitWords(line string) ([]string, error) {
	return shellquote.Split(strings.ReplaceAll(line, "\r\n", "\n"))
}
