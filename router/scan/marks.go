package scan

import (
	"encoding/binary"
	"math/bits"
)

const (
	blockLen  = 64
	windowLen = 2 << 10 // how much is marked at most at once: it and its marks stay in the first cache
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
// The places of the marks stand in memory of the caller.
type marks struct {
	carry uint64 // 1: the last byte was a backslash that escapes the next one
	n     int    // how many marks there are in the window
}

// spill is how much longer than a window the memory for its marks must be: eight places are written at once, whether
// there are so many or not.
const spill = 16

// take marks the next window at the bytes of the classes in ends. It writes their places to at, in order, and behind
// them the window's length. at has room for spill more places than the window has bytes.
func (m *marks) take(at []uint16, p []byte, ends byte) {
	at = at[:len(p)+spill]
	m.n = 0
	if len(p) >= blockLen {
		m.mark(at, p, ends)
	} else {
		m.short(at, p, ends)
	}
	at[m.n] = uint16(len(p))
}

// short marks less than a block. Before it there is what mark may read, too.
func (m *marks) short(at []uint16, p []byte, ends byte) {
	var block [blockLen]byte
	copy(block[blockLen-len(p):], p)
	m.mark(at, block[blockLen-len(p):], ends)
}

// markGo does the work of mark on machines for which there is no faster way: eight bytes at a time.
func (m *marks) markGo(at []uint16, p []byte, ends byte) {
	for base := 0; base < len(p); base += blockLen {
		if rest := len(p) - base; rest >= blockLen {
			m.add(at, base, m.block((*[blockLen]byte)(p[base:]), blockLen, ends))
		} else {
			var last [blockLen]byte
			copy(last[:], p[base:])
			m.add(at, base, m.block(&last, rest, ends))
		}
	}
}

// add takes the marks of the block at base.
func (m *marks) add(at []uint16, base int, hits uint64) {
	for ; hits != 0; hits &= hits - 1 {
		at[m.n] = uint16(base + bits.TrailingZeros64(hits))
		m.n++
	}
}

// block gives the marks of a block of which n bytes count.
func (m *marks) block(p *[blockLen]byte, n int, ends byte) uint64 {
	var end, slash uint64
	for i := range blockLen / 8 {
		w := binary.LittleEndian.Uint64(p[8*i:])
		hit := zeros(w ^ ones*'"')
		if ends&isControl != 0 {
			hit |= zeros(w & (ones * 0xe0))
		}
		if ends&isBracket != 0 { // the square ones are 0x20 below the curly ones
			hit |= zeros((w|ones*0x20)^ones*'{') | zeros((w|ones*0x20)^ones*'}')
		}
		end |= gather(hit) << (8 * i)
		slash |= gather(zeros(w^ones*'\\')) << (8 * i)
	}
	inside := ^uint64(0) >> (blockLen - n)
	if slash &= inside; slash|m.carry != 0 {
		var escaped, short uint64
		escaped, m.carry = escapes(slash, m.carry)
		for w := escaped & inside; w != 0; w &= w - 1 {
			if i := bits.TrailingZeros64(w); classOf(p[i])&isShort != 0 {
				short |= 1 << i
			}
		}
		if end = end&^short | escaped&^short; n < blockLen {
			m.carry = escaped >> n & 1
		}
	}
	return end & inside
}

const ones = 0x0101010101010101

// zeros has the highest bit of each byte of w set that is 0.
func zeros(w uint64) uint64 {
	const low = ones * 0x7f
	return ^((w&low + low) | w | low)
}

// gather makes a byte of the highest bits of eight.
func gather(w uint64) uint64 { return (w >> 7) * 0x0102040810204080 >> 56 }

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
