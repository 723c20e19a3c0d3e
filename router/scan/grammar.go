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

// isHex has the digits of \uXXXX.
var isHex = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true,
}
