package scan

import "math/bits"

const (
	blockLen  = 64
	windowLen = 16 * blockLen // how much is marked at once: it and its marks stay in the first cache
)

// What a byte can be, as bits; a byte may be more than one.
const (
	isShort   = 0x0f // follows a backslash in an escape of two characters
	isBracket = 0x10
	isQuote   = 0x20
	isControl = 0x40
	isSlash   = 0x80 // a backslash
)

// low and high say by its halves what a byte is: it is what both of them have in common. Those that may follow a
// backslash are told apart by their upper half, 2, 5, 6 or 7: a bit for each.
var (
	low = [16]byte{
		0x0: isControl, 0x1: isControl, 0x2: isControl | isQuote | 1 | 4 | 8, 0x3: isControl, 0x4: isControl | 8,
		0x5: isControl, 0x6: isControl | 4, 0x7: isControl, 0x8: isControl, 0x9: isControl, 0xa: isControl,
		0xb: isControl | isBracket, 0xc: isControl | isSlash | 2, 0xd: isControl | isBracket, 0xe: isControl | 4,
		0xf: isControl | 1,
	}
	high = [16]byte{0: isControl, 1: isControl, 2: isQuote | 1, 5: isSlash | isBracket | 2, 6: 4, 7: isBracket | 8}
)

// classOf is what c is.
func classOf(c byte) byte { return low[c&15] & high[c>>4] }

// marks tells where in a window to look. Within strings a mark is at the closing quote, at every byte of the classes
// asked for, and at what follows a backslash unless the two make a short escape such as \n: those need no look, and
// escaped quotes are none. Outside of strings the same rule holds, which may mark more than matters.
type marks struct {
	n     int    // bytes in the window
	carry uint64 // 1: the last byte was a backslash that escapes the next one
	at    [windowLen / blockLen]uint64
}

// take marks the next window, up to windowLen bytes, at quotes and at the bytes of the classes in ends.
func (m *marks) take(p []byte, ends byte) {
	whole := len(p) / blockLen
	if whole > 0 {
		m.carry = mark(p[:whole*blockLen], &m.at, m.carry, ends)
	}
	m.n = len(p)
	rest := p[whole*blockLen:]
	if len(rest) == 0 {
		return
	}
	last := spaces
	n := copy(last[:], rest)
	var at [windowLen / blockLen]uint64
	mark(last[:], &at, m.carry, ends)
	// A backslash at the end marks the space behind it.
	m.carry = at[0] >> n & 1
	m.at[whole] = at[0] & (1<<n - 1)
}

var spaces = [blockLen]byte{
	' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
	' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
	' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
}

// next is the first mark at or after i, which is in the window; the window's length where there is none.
func (m *marks) next(i int) int {
	b := i / blockLen
	if hit := m.at[b%len(m.at)] >> (i % blockLen); hit != 0 {
		return i + bits.TrailingZeros64(hit)
	}
	for b++; b*blockLen < m.n; b++ {
		if hit := m.at[b%len(m.at)]; hit != 0 {
			return b*blockLen + bits.TrailingZeros64(hit)
		}
	}
	return m.n
}

// markGo does the work of mark on machines for which there is no faster way.
func markGo(p []byte, at *[windowLen / blockLen]uint64, carry uint64, ends byte) uint64 {
	for b := range len(p) / blockLen {
		var end, slash, short uint64
		for i, c := range p[b*blockLen : (b+1)*blockLen] {
			class := classOf(c)
			end |= bit(class&ends) << i
			slash |= uint64(class>>7) << i
			short |= bit(class&isShort) << i
		}
		if slash|carry != 0 {
			var escaped uint64
			escaped, carry = escapes(slash, carry)
			end = end&^(escaped&short) | escaped&^short
		}
		at[b] = end
	}
	return carry
}

// bit is 1 where c is not 0.
func bit(c byte) uint64 { return (uint64(c) + 255) >> 8 }

// escapes gives the bytes that are escaped. A backslash that is itself escaped escapes nothing, so it is the byte after
// a run of an odd number of them. carry is 1 where the byte before escapes the first one.
func escapes(slash, carry uint64) (escaped, next uint64) {
	const even = 0x5555555555555555
	slash &^= carry
	follows := slash<<1 | carry
	// Runs that start at an odd bit are added to: the sum carries into the byte after their end.
	sum, next := bits.Add64(slash&^even&^follows, slash, 0)
	return (even ^ sum<<1) & follows, next
}
