package figures

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// Value is one number of a line. Those of objects within objects have names with dots: train.loss.
type Value struct {
	Name string
	V    float64 // NaN and the infinities too
}

var errMalformed = errors.New("not a JSON object")

// deepest is how far objects and lists may lie in each other.
const deepest = 32

// Parse appends the numbers of a line, a JSON object, to into. Python writes NaN, Infinity and -Infinity bare, which JSON does
// not know: they are taken, as words in quotes too. True and false are 1 and 0; other texts, lists and null are passed over.
// Of a malformed line nothing is appended.
func Parse(line []byte, into []Value) ([]Value, error) {
	s := scanner{b: line, out: into}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != '{' || !s.object("", 1) {
		return into, errMalformed
	}
	if s.space(); s.i != len(s.b) {
		return into, errMalformed
	}
	return s.out, nil
}

type scanner struct {
	b   []byte
	i   int
	out []Value
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r' || s.b[s.i] == '\n') {
		s.i++
	}
}

// next passes over white space and c, if that is what follows.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) object(prefix string, depth int) bool {
	if !s.next('{') || depth > deepest {
		return false
	}
	if s.next('}') {
		return true
	}
	for {
		s.space()
		key, ok := s.text()
		if !ok || !s.next(':') || !s.value(prefix+key, depth) {
			return false
		}
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

func (s *scanner) list(depth int) bool {
	if !s.next('[') || depth > deepest {
		return false
	}
	if s.next(']') {
		return true
	}
	kept := len(s.out)
	for {
		if !s.value("", depth) {
			return false
		}
		s.out = s.out[:kept] // what is in lists has no name
		if s.next(']') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

func (s *scanner) value(name string, depth int) bool {
	s.space()
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '{':
		if len(name) > longestName { // prefixes of prefixes would grow with the square of the line
			name = name[:longestName+1]
		}
		return s.object(name+".", depth+1)
	case '[':
		return s.list(depth + 1)
	case '"':
		text, ok := s.text()
		if v, special := word(text); ok && special {
			s.out = append(s.out, Value{name, v})
		}
		return ok
	}
	begin := s.i
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n,]}", s.b[s.i]) < 0 {
		s.i++
	}
	text := string(s.b[begin:s.i])
	switch text {
	case "null":
		return true
	case "true":
		s.out = append(s.out, Value{name, 1})
		return true
	case "false":
		s.out = append(s.out, Value{name, 0})
		return true
	}
	v, ok := word(text)
	if !ok {
		v, ok = number(text)
	}
	if ok {
		s.out = append(s.out, Value{name, v})
	}
	return ok
}

// word is what is no number, and said all the same.
func word(text string) (v float64, ok bool) {
	if len(text) < len("nan") || len(text) > len("-infinity") {
		return 0, false
	}
	switch strings.ToLower(text) {
	case "nan":
		return math.NaN(), true
	case "inf", "infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

func number(text string) (float64, bool) {
	if strings.Trim(text, "+-0123456789.eE") != "" {
		return 0, false // what Go takes beside these: 0x1p-2, 1_000
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large is infinite
		return 0, false
	}
	return v, true
}

// text reads a string.
func (s *scanner) text() (string, bool) {
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return "", false
	}
	begin, escaped := s.i, false
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			escaped = true
			s.i++
		case '"':
			s.i++
			if !escaped {
				return strings.ToValidUTF8(string(s.b[begin+1:s.i-1]), "\uFFFD"), true
			}
			var out string
			err := json.Unmarshal(s.b[begin:s.i], &out)
			return out, err == nil
		}
	}
	return "", false
}
