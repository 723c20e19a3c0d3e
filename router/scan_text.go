package router

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// plainRun is the number of bytes at the start of p that stand for themselves within a JSON string.
func plainRun(p []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	i := 0
	for ; i+8 <= len(p); i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// Bytes below 0x20, quotes and backslashes have their high bit set here. A borrow can set
		// one too many above a true one, never below: the lowest is always right.
		hit := ((w - ones*0x20) &^ w) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
		if hit &= highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(p); i++ {
		if c := p[i]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func (s *modelScanner) beginString(after scanState, keep bool) {
	s.state, s.after, s.keep = inString, after, keep
	s.keeps, s.tooLong = 0, false
}

func (s *modelScanner) keepBytes(p []byte) {
	most := maxModelLen
	if s.after == atColon {
		most = maxKeyLen
	}
	if s.tooLong = s.tooLong || s.keeps+len(p) > most; !s.tooLong {
		s.keeps += copy(s.kept[s.keeps:], p)
	}
}

func (s *modelScanner) stepString(c byte) error {
	if s.state == inString && c == '"' {
		s.state = s.after
		if s.keep {
			return s.endKept()
		}
		return nil
	}
	if s.keep {
		s.keepBytes([]byte{c})
	}
	switch s.state {
	case inString:
		if c != '\\' {
			return errNotJSON // a control character: the rest were skipped in a run
		}
		s.state = inEscape
	case inEscape:
		switch {
		case shortEscape[c]:
			s.state = inString
		case c == 'u':
			s.state, s.hex = inHex, 4
		default:
			return errNotJSON
		}
	case inHex:
		if !isHex(c) {
			return errNotJSON
		}
		if s.hex--; s.hex == 0 {
			s.state = inString
		}
	}
	return nil
}

// shortEscape has the characters that make an escape of two.
var shortEscape = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// endKept looks at a string that was kept: a top-level key, or the model.
func (s *modelScanner) endKept() error {
	s.keep = false
	kept := s.kept[:s.keeps]
	if s.state == atColon {
		s.isModel = !s.tooLong && (string(kept) == "model" || escaped(kept) && unquote(kept) == "model")
		return nil
	}
	if s.tooLong {
		return errModelTooLong
	}
	name := unquote(kept)
	if s.found && name != s.model {
		s.conflict = true
		return nil
	}
	s.model, s.found = name, true
	return nil
}

// escaped tells whether a string does not simply stand for itself.
func escaped(raw []byte) bool {
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			return true
		}
	}
	return false
}

// unquote resolves the escapes of a string whose grammar was checked.
func unquote(raw []byte) string {
	if !escaped(raw) {
		return string(raw)
	}
	var v string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &v) != nil {
		return string(raw)
	}
	return v
}

// stepNumber takes a byte within a number; more is false where c is no part of it.
func (s *modelScanner) stepNumber(c byte) (more bool, err error) {
	digit := '0' <= c && c <= '9'
	switch s.state {
	case inMinus:
		switch {
		case c == '0':
			s.state = inZero
		case digit:
			s.state = inDigits
		default:
			return false, errNotJSON
		}
		return true, nil
	case inPoint, inESign, inE:
		if s.state == inE && (c == '+' || c == '-') {
			s.state = inESign
			return true, nil
		}
		if !digit {
			return false, errNotJSON
		}
		if s.state == inPoint {
			s.state = inFraction
		} else {
			s.state = inExponent
		}
		return true, nil
	}
	// The rest may end here.
	switch {
	case digit && s.state != inZero:
	case c == '.' && (s.state == inZero || s.state == inDigits):
		s.state = inPoint
	case (c == 'e' || c == 'E') && s.state != inExponent:
		s.state = inE
	default:
		return false, nil
	}
	return true, nil
}
