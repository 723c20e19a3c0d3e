package scan

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote appends what a string stands for, whose grammar was checked. What is no UTF-8 and halves of surrogates become
// U+FFFD, as they do in encoding/json. A string that was cut off in an escape loses it.
func unquote(dst, raw []byte) []byte {
	plain := 0
	for ; plain+8 <= len(raw); plain += 8 {
		w := binary.LittleEndian.Uint64(raw[plain:])
		if (w|zeros(w^ones*'\\'))&(ones<<7) != 0 {
			break
		}
	}
	for plain < len(raw) && raw[plain] != '\\' && raw[plain] < utf8.RuneSelf {
		plain++
	}
	dst = append(dst, raw[:plain]...)
	for i := plain; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\':
			r, n := unescape(raw[i:])
			if n == 0 {
				return dst
			}
			dst = utf8.AppendRune(dst, r)
			i += n
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

// unescape decodes the escape that p begins with, and gives its length; 0 where it is cut off.
func unescape(p []byte) (r rune, n int) {
	if len(p) < 2 {
		return 0, 0
	}
	switch p[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if r = hexRune(p); r < 0 {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if pair := utf16.DecodeRune(r, hexRune(p[6:])); pair != utf8.RuneError {
			return pair, 12
		}
		return utf8.RuneError, 6
	}
	return rune(p[1]), 2
}

// hexRune is the value of \uXXXX at the start of p, or -1.
func hexRune(p []byte) rune {
	if len(p) < 6 || p[0] != '\\' || p[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range p[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
