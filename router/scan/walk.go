package scan

import "encoding/binary"

// state is where in the grammar a piece ended.
type state uint8

const (
	atStart     state = iota
	atFirstKey        // after {
	atKey             // after , in an object
	atColon           //
	atValue           // after : or , in an array
	atFirstItem       // after [
	atNext            // after a value
	atEnd             // after the object: white space only
	inKey
	inText // a string that is a value
	inHex
	inLiteral
	inMinus // the states of a number, as the grammar has them
	inZero
	inDigits
	inPoint
	inFraction
	inE
	inESign
	inExponent
)

// walk goes through a window whose marks are taken. With an error comes where it was found.
//
// It is the grammar of JSON, a label for each place in it, and goes from place to place by goto: so each place has its
// own branches, which the processor learns one by one. A loop around a switch over the state takes three times as long.
// A place where the window ends is the state to go on from.
func (s *Request) walk(p []byte) (int, error) {
	var (
		c      byte
		number state // within a number
		after  state // where to go when a \uXXXX has ended
		from   int   // where the string or number that is kept begins
		i      int
		k      int // of the next mark
		at     int // where it is
	)
	depth, arrays := s.depth, s.arrays
	switch s.state {
	case atStart:
		goto start
	case atFirstKey:
		goto firstKey
	case atKey:
		goto key
	case atColon:
		goto colon
	case atValue:
		goto value
	case atFirstItem:
		goto firstItem
	case atNext:
		goto next
	case atEnd:
		goto end
	case inKey:
		goto keyText
	case inText:
		goto text
	case inHex:
		after = s.after
		goto hex
	case inLiteral:
		goto literal
	default:
		number = s.state
		goto number
	}

firstKey:
	if i >= len(p) {
		s.state = atFirstKey
		goto out
	}
	if p[i] == '}' {
		goto shut
	}
	if p[i] <= ' ' && space(p[i]) {
		i++
		goto firstKey
	}

key:
	if i >= len(p) {
		s.state = atKey
		goto out
	}
	if c = p[i]; c != '"' {
		if !space(c) {
			return i, ErrNotJSON
		}
		i++
		goto key
	}
	if i++; depth <= s.keys {
		from, s.keep = i, true
	}

keyText:
	for at = int(s.at[k]); at < i; at = int(s.at[k]) {
		k++ // marks outside of strings, and the quote that opened this one
	}
	if at >= len(p) {
		s.state = inKey
		goto cut
	}
	i = at + 1
	if c = p[at]; c != '"' {
		if after = inKey; c == 'u' {
			s.hex = 4
			goto hex
		}
		return at, ErrNotJSON // a control character, or no escape
	}
	if s.keep {
		s.endKey(p[from:at])
	}

colon:
	if i >= len(p) {
		s.state = atColon
		goto out
	}
	if c = p[i]; c != ':' {
		if !space(c) {
			return i, ErrNotJSON
		}
		i++
		goto colon
	}
	i++

value:
	if i >= len(p) {
		s.state = atValue
		goto out
	}
	c = p[i]
	if s.value != none && !space(c) {
		s.beginValue(c, i)
		from = i
	}
	if c == '"' {
		i++
		from = i
		goto text
	}
	switch number = valueStart[c]; number {
	case atFirstKey, atFirstItem:
		if depth == maxDepth {
			return i, ErrTooDeep
		}
		i++
		if depth++; depth%64 == 0 {
			s.deep[depth/64] = arrays
		}
		if arrays <<= 1; c == '{' {
			goto firstKey
		}
		arrays |= 1
	case inLiteral:
		i++
		if s.rest = restOf(c); i+len(s.rest) <= len(p) && string(p[i:i+len(s.rest)]) == s.rest {
			i += len(s.rest)
			goto next
		}
		goto literal
	case atStart:
		if !space(c) {
			return i, ErrNotJSON
		}
		i++
		goto value
	default:
		i++
		goto number
	}

firstItem:
	if i >= len(p) {
		s.state = atFirstItem
		goto out
	}
	if p[i] == ']' {
		goto shut
	}
	if !space(p[i]) {
		goto value
	}
	i++
	goto firstItem

text: // of a value
	for at = int(s.at[k]); at < i; at = int(s.at[k]) {
		k++ // marks outside of strings, and the quote that opened this one
	}
	if at >= len(p) {
		s.state = inText
		goto cut
	}
	i = at + 1
	if c = p[at]; c != '"' {
		if after = inText; c == 'u' {
			s.hex = 4
			goto hex
		}
		return at, ErrNotJSON // a control character, or no escape
	}
	if s.keep {
		if err := s.endText(p[from:at]); err != nil {
			return at, err
		}
	}

next:
	if i >= len(p) {
		s.state = atNext
		goto out
	}
	switch c = p[i]; c {
	case ',':
		i++
		if arrays&1 == 1 {
			goto value
		}
		goto key
	case '}', ']':
		if (arrays&1 == 1) != (c == ']') {
			return i, ErrNotJSON
		}
		goto shut
	}
	if !space(c) {
		return i, ErrNotJSON
	}
	i++
	goto next

shut: // p[i] closes an object or array
	i++
	if arrays >>= 1; depth%64 == 0 {
		arrays = s.deep[depth/64]
	}
	if depth--; depth == 1 {
		s.keys, s.inside = 1, none
	}
	if depth > 0 {
		goto next
	}

end:
	for ; i < len(p); i++ {
		if !space(p[i]) {
			return i, ErrNotJSON
		}
	}
	s.state = atEnd
	goto out

number:
	if number == inDigits {
		for i < len(p) && p[i]-'0' <= 9 {
			i++
		}
	}
	if i >= len(p) {
		s.state = number
		goto cut
	}
	if number = afterDigit(number, p[i]); number == atStart {
		return i, ErrNotJSON
	}
	if number != atNext {
		i++
		goto number
	}
	if s.keep {
		s.endNumber(p[from:i])
	}
	if arrays&1 == 1 && p[i] == ',' { // more of them may come
		i++
		i += integers(p[i:])
		goto value
	}
	goto next

literal:
	for ; s.rest != ""; s.rest = s.rest[1:] {
		if i >= len(p) {
			s.state = inLiteral
			goto out
		}
		if p[i] != s.rest[0] {
			return i, ErrNotJSON
		}
		i++
	}
	goto next

hex: // of \uXXXX
	if s.hex == 4 && i+4 <= len(p) && isHex[p[i]] && isHex[p[i+1]] && isHex[p[i+2]] && isHex[p[i+3]] {
		s.hex = 0
		i += 4
		// Texts in most languages are nothing else where a client writes ASCII. Each has one mark.
		for ; i+8 <= len(p) && escape(binary.LittleEndian.Uint64(p[i:])); i += 6 {
			k++
		}
	}
	for ; s.hex > 0; s.hex-- {
		if i >= len(p) {
			s.state, s.after = inHex, after
			goto cut
		}
		if !isHex[p[i]] {
			return i, ErrNotJSON
		}
		i++
	}
	if after == inKey {
		goto keyText
	}
	goto text

start:
	for ; i < len(p) && space(p[i]); i++ {
	}
	if i >= len(p) {
		goto out
	}
	if c = p[i]; c != '{' {
		if valueStart[c] != 0 || c == '"' {
			return i, ErrNotObject
		}
		return i, ErrNotJSON
	}
	s.root, s.keys = s.offset+int64(i), 1
	depth, arrays = 1, 0
	i++
	goto firstKey

cut: // of something that may be kept
	if s.keep {
		s.hold(p[from:])
	}
out:
	s.depth, s.arrays = depth, arrays
	return i, nil
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
