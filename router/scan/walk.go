package scan

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
	inString
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
		c    byte
		next state
		from int // where the string or number that is kept begins
		i    int
		k    int // of the next mark
		at   int // where it is
	)
	array := s.depth > 0 && s.inArray()
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
	case inString:
		goto text
	case inHex:
		goto hex
	case inLiteral:
		goto literal
	default:
		next = s.state
		goto number
	}

firstKey:
	if i == len(p) {
		s.state = atFirstKey
		return i, nil
	}
	if p[i] == '}' {
		goto shut
	}
	if p[i] <= ' ' && space(p[i]) {
		i++
		goto firstKey
	}

key:
	if i == len(p) {
		s.state = atKey
		return i, nil
	}
	if c = p[i]; c != '"' {
		if !space(c) {
			return i, ErrNotJSON
		}
		i++
		goto key
	}
	i++
	from, s.after, s.keep = i, atColon, s.depth <= s.keys

text: // of a key or a value
	for at = int(s.marks.at[k]); at < i; at = int(s.marks.at[k]) {
		k++ // marks outside of strings, and the quote that opened this one
	}
	if at >= len(p) {
		goto cutText
	}
	i = at + 1
	if c = p[at]; c != '"' {
		if c != 'u' {
			return at, ErrNotJSON // a control character, or no escape
		}
		s.hex = 4
		goto hex
	}
	if s.keep {
		if err := s.endString(p[from:at]); err != nil {
			return at, err
		}
	}
	if s.after == atNext {
		goto next
	}

colon:
	if i == len(p) {
		s.state = atColon
		return i, nil
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
	if i == len(p) {
		s.state = atValue
		return i, nil
	}
	c = p[i]
	if s.value != none && !space(c) {
		s.beginValue(c, i)
		from = i
	}
	if c == '"' {
		i++
		from, s.after = i, atNext
		goto text
	}
	switch next = valueStart[c]; next {
	case atFirstKey, atFirstItem:
		if s.depth == maxDepth {
			return i, ErrTooDeep
		}
		s.open(c)
		i++
		if array = c == '['; !array {
			goto firstKey
		}
	case inLiteral:
		s.rest = restOf(c)
		i++
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
	if i == len(p) {
		s.state = atFirstItem
		return i, nil
	}
	if p[i] == ']' {
		goto shut
	}
	if !space(p[i]) {
		goto value
	}
	i++
	goto firstItem

next:
	if i == len(p) {
		s.state = atNext
		return i, nil
	}
	switch c = p[i]; c {
	case ',':
		i++
		if array {
			goto value
		}
		goto key
	case '}', ']':
		if array != (c == ']') {
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
	if s.close(); s.depth > 0 {
		array = s.inArray()
		goto next
	}

end:
	for ; i < len(p); i++ {
		if !space(p[i]) {
			return i, ErrNotJSON
		}
	}
	s.state = atEnd
	return i, nil

number:
	for ; i < len(p); i++ {
		if c = p[i]; next == inDigits && '0' <= c && c <= '9' {
			continue
		}
		switch next = number(next, c); next {
		case atStart:
			return i, ErrNotJSON
		case atNext:
			if s.keep {
				s.endNumber(p[from:i])
			}
			goto next
		}
	}
	if s.state = next; s.keep {
		s.hold(p[from:])
	}
	return i, nil

literal:
	for ; s.rest != ""; s.rest = s.rest[1:] {
		if i == len(p) {
			s.state = inLiteral
			return i, nil
		}
		if p[i] != s.rest[0] {
			return i, ErrNotJSON
		}
		i++
	}
	goto next

hex: // of \uXXXX
	for ; s.hex > 0; s.hex-- {
		if i == len(p) {
			s.state = inHex
			goto cut
		}
		if !isHex[p[i]] {
			return i, ErrNotJSON
		}
		i++
	}
	goto text

cutText:
	s.state = inString
cut:
	if s.keep {
		s.hold(p[from:])
	}
	return len(p), nil

start:
	for ; i < len(p) && space(p[i]); i++ {
	}
	if i == len(p) {
		return i, nil
	}
	if c = p[i]; c != '{' {
		if valueStart[c] != 0 || c == '"' {
			return i, ErrNotObject
		}
		return i, ErrNotJSON
	}
	s.root, s.keys = s.offset+int64(i), 1
	s.open(c)
	i++
	goto firstKey
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
