package http1

import (
	"encoding/binary"
	"math/bits"
)

// tokenByte has the characters of methods and header names.
var tokenByte = setOf("!#$%&'*+-.^_`|~")

// hostByte has the characters of a Host: a name, an address, a port.
var hostByte = setOf("!$%&'()*+-.:;=[]_~")

// setOf is a set of letters, digits and others.
func setOf(others string) (set [256]bool) {
	for c := range 256 {
		set[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digit(byte(c))
	}
	for _, c := range others {
		set[c] = true
	}
	return set
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// all tells whether all of b are in a set.
func all(b []byte, set *[256]bool) bool {
	for _, c := range b {
		if !set[c] {
			return false
		}
	}
	return true
}

// Eight bytes at a time: what is in every byte of a word.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// control is the index of the first control character of b, from an index on, that is no tab; len(b) where
// there is none. In a head that is what ends a line, or does not belong there.
func control(b []byte, from int) int {
	i := from
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		del := w ^ ones*0x7f
		// The high bit of each byte below 0x20, and of 0x7f. The lowest one is right; a borrow from it may
		// set another.
		if found := ((w-ones*0x20)&^w | (del-ones)&^del) & highs; found != 0 {
			if i += bits.TrailingZeros64(found) / 8; b[i] != '\t' {
				return i
			}
			i -= 7 // so that the next word begins behind the tab
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' && c != '\t' || c == 0x7f {
			break
		}
	}
	return i
}

// visible tells whether all of b are visible characters of ASCII.
func visible(b []byte) bool {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		// The high bit of a byte below 0x21, or above 0x7e. A carry may set one too many: then all are looked at.
		if ((w-ones*0x21)|w|(w+ones))&highs != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// trim takes spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// AppendField writes a header line.
func AppendField[N, V ~string | ~[]byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// Token tells whether s can be a method.
func Token(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}
