package signals

import (
	"bytes"
	"strconv"
)

// Bounds of a line. What is beyond them is no sample.
const (
	longestName = 256
	mostLabels  = 64
)

// sample is one line of a page. Its bytes are those of the line, and hold until the next one.
type sample struct {
	labels []label
	value  float64
}

// label is one pair of a line, its value as it stands between the quotes.
type label struct{ name, value []byte }

// cutName gives the name that a line begins with, and what follows it; nil where it begins with none.
func cutName(line []byte) (name, rest []byte) {
	for i, b := range line {
		switch {
		case isLetter(b) || b == ':' || i > 0 && isDigit(b):
		case i > 0 && (b == '{' || b == ' ' || b == '\t'):
			return line[:i], line[i:]
		default:
			return nil, nil
		}
	}
	return nil, nil
}

// rest reads what follows a name: labels, value, perhaps a time and an exemplar. It reports whether it is a sample's.
func (s *sample) rest(b []byte) bool {
	s.labels = s.labels[:0]
	b = trim(b)
	if len(b) > 0 && b[0] == '{' {
		var ok bool
		if b, ok = s.pairs(b[1:]); !ok {
			return false
		}
	}
	text, b := word(b)
	var ok bool
	if s.value, ok = number(text); !ok {
		return false
	}
	if text, b = word(b); len(text) == 0 {
		return true
	}
	if text[0] == '#' { // an exemplar: none of our business
		return true
	}
	if _, ok = number(text); !ok { // the time; pages are read as of now
		return false
	}
	text, _ = word(b)
	return len(text) == 0 || text[0] == '#'
}

// pairs reads labels up to the closing brace, and gives what follows it.
func (s *sample) pairs(b []byte) ([]byte, bool) {
	for {
		b = trim(b)
		if len(b) == 0 {
			return nil, false
		}
		if b[0] == '}' {
			return b[1:], true
		}
		n := 0
		for n < len(b) && (isLetter(b[n]) || n > 0 && isDigit(b[n])) {
			n++
		}
		name, after := b[:n], trim(b[n:])
		if n == 0 || len(after) == 0 || after[0] != '=' {
			return nil, false
		}
		after = trim(after[1:])
		if len(after) == 0 || after[0] != '"' || len(s.labels) == mostLabels {
			return nil, false
		}
		value, after, ok := quoted(after[1:])
		if !ok {
			return nil, false
		}
		s.labels = append(s.labels, label{name, value})
		b = trim(after)
		if len(b) > 0 && b[0] == ',' {
			b = b[1:]
		} else if len(b) == 0 || b[0] != '}' {
			return nil, false
		}
	}
}

// quoted gives a value up to its closing quote, and what follows that.
func quoted(b []byte) (value, after []byte, ok bool) {
	for at := 0; ; {
		end := bytes.IndexByte(b[at:], '"')
		if end < 0 {
			return nil, nil, false
		}
		end += at
		slash := bytes.IndexByte(b[at:end], '\\')
		if slash < 0 {
			return b[:end], b[end+1:], true
		}
		at += slash + 2 // what is escaped is not looked at
		if at > len(b) || !(b[at-1] == '\\' || b[at-1] == '"' || b[at-1] == 'n') {
			return nil, nil, false
		}
	}
}

// unescape gives a label's value as it is meant.
func unescape(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
			if b[i] == 'n' {
				out = append(out, '\n')
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}

// word gives what stands before the next blank, and what follows it.
func word(b []byte) (text, rest []byte) {
	b = trim(b)
	for i, c := range b {
		if c == ' ' || c == '\t' {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// number reads a value. Small whole ones, which most are, take no detour.
func number(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > 64 {
		return 0, false
	}
	n, i := uint64(0), 0
	for i < len(b) && i < 15 && isDigit(b[i]) {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	if i == len(b) || i > 0 && len(b) == i+2 && b[i] == '.' && b[i+1] == '0' { // "12" and "12.0"
		return float64(n), true
	}
	for _, c := range b {
		if c == '_' || c == 'p' || c == 'P' || c == 'x' || c == 'X' { // Go's own ways to write a number
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' }
func isDigit(b byte) bool  { return b >= '0' && b <= '9' }
