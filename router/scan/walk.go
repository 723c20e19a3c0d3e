package scan

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
func (s *Request) walk(p []byte) (int, error) {
	i, from := 0, 0 // from: where what is kept begins in p
	state := s.state
	for i < len(p) {
		c := p[i]
		switch state {
		case inString:
			at := s.marks.next(i)
			if at >= len(p) {
				i = len(p)
				continue
			}
			switch i = at + 1; p[at] {
			case '"':
				state = s.after
				if s.keep {
					if err := s.endString(p[from:at]); err != nil {
						return at, err
					}
				}
			case 'u':
				s.hex, state = 4, inHex
			default:
				return at, ErrNotJSON // a control character, or no escape
			}
			continue
		case inHex:
			if !isHex(c) {
				return i, ErrNotJSON
			}
			if s.hex--; s.hex == 0 {
				state = inString
			}
			i++
			continue
		case atFirstKey, atKey:
			if c == '"' {
				state, s.after = inString, atColon
				s.keep = s.depth <= s.keys
				i++
				from = i
				continue
			}
			if c == '}' && state == atFirstKey {
				state = s.close()
				i++
				continue
			}
		case atColon:
			if c == ':' {
				state = atValue
				i++
				continue
			}
		case atValue, atFirstItem:
			if c == '"' {
				state, s.after = inString, atNext
				if s.value != none {
					s.beginValue(c, i)
					from = i + 1
				}
				i++
				continue
			}
			if c == ']' && state == atFirstItem {
				state = s.close()
				i++
				continue
			}
			if next := valueStart[c]; next != 0 {
				if s.value != none {
					s.beginValue(c, i)
					from = i
				}
				i++
				switch next {
				case atFirstKey, atFirstItem:
					if s.depth == maxDepth {
						return i - 1, ErrTooDeep
					}
					s.open(c)
				case inLiteral:
					s.rest = restOf(c)
				}
				state = next
				continue
			}
		case atNext:
			switch c {
			case ',':
				if state = atKey; s.inArray() {
					state = atValue
				}
				i++
				continue
			case '}', ']':
				if s.inArray() != (c == ']') {
					return i, ErrNotJSON
				}
				state = s.close()
				i++
				continue
			}
		case inLiteral:
			if c != s.rest[0] {
				return i, ErrNotJSON
			}
			if s.rest = s.rest[1:]; s.rest == "" {
				state = atNext
			}
			i++
			continue
		case atStart:
			if c == '{' {
				s.keys = 1
				s.root = s.offset + int64(i)
				s.open(c)
				state = atFirstKey
				i++
				continue
			}
			if valueStart[c] != 0 || c == '"' {
				return i, ErrNotObject
			}
		case atEnd:
		default:
			next := number(state, c)
			if next == 0 {
				return i, ErrNotJSON
			}
			if state = next; state == atNext {
				if s.keep {
					s.endNumber(p[from:i])
				}
				continue
			}
			i++
			continue
		}
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return i, ErrNotJSON
		}
		i++
	}
	s.state = state
	if s.keep {
		s.hold(p[from:])
	}
	return i, nil
}
