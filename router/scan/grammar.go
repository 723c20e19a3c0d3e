package scan

// valueStart has where a value goes on after its first byte; strings are not in it.
var valueStart = [256]state{
	'{': atFirstKey, '[': atFirstItem, 't': inLiteral, 'f': inLiteral, 'n': inLiteral, '-': inMinus, '0': inZero,
	'1': inDigits, '2': inDigits, '3': inDigits, '4': inDigits, '5': inDigits, '6': inDigits, '7': inDigits, '8': inDigits,
	'9': inDigits,
}

// restOf is what must follow the first letter of a literal.
func restOf(c byte) string {
	switch c {
	case 't':
		return "rue"
	case 'f':
		return "alse"
	}
	return "ull"
}

// afterDigit is where a number goes on with c: atNext where it ended before c, atStart where c may not come.
func afterDigit(s state, c byte) state {
	if s == inDigits && (c == ',' || c == ']') { // most of all numbers
		return atNext
	}
	digit := '0' <= c && c <= '9'
	switch s {
	case inMinus:
		switch {
		case c == '0':
			return inZero
		case digit:
			return inDigits
		}
		return atStart
	case inE:
		if c == '+' || c == '-' {
			return inESign
		}
		fallthrough
	case inESign:
		if digit {
			return inExponent
		}
		return atStart
	case inPoint:
		if digit {
			return inFraction
		}
		return atStart
	}
	// The rest may end here.
	switch {
	case digit && s != inZero:
		return s
	case c == '.' && (s == inZero || s == inDigits):
		return inPoint
	case (c == 'e' || c == 'E') && s != inExponent:
		return inE
	}
	return atNext
}

// integersGo is how far p, which begins where a value may, is nothing but integers with a comma behind each of them: behind the last
// such comma. What comes next is for the grammar to judge.
func integersGo(p []byte) (n int) {
	begins, zero := true, false
	for i, c := range p {
		switch {
		case c == ',' && !begins:
			n, begins, zero = i+1, true, false
		case c-'0' <= 9 && !zero:
			zero = begins && c == '0'
			begins = false
		default:
			return n
		}
	}
	return n
}

// escape reports whether the eight bytes of w, the first one lowest, begin with a \uXXXX.
func escape(w uint64) bool {
	const each, top = 0x01010101, 0x80808080
	x := uint32(w >> 16)
	letter := x | each*0x20
	// Adding sets the highest bit of each byte from the one that is meant on: at least 0 and not above 9, at least a and not above f.
	digits := (x + each*(0x80-'0')) &^ (x + each*(0x80-'9'-1))
	letters := (letter + each*(0x80-'a')) &^ (letter + each*(0x80-'f'-1))
	return uint16(w) == '\\'|'u'<<8 && x&top == 0 && (digits|letters)&top == top
}

// isHex has the digits of \uXXXX.
var isHex = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true,
}
