package scan

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestClassOf(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		want := [5]bool{
			strings.IndexByte(`"\/bfnrt`, c) >= 0, strings.IndexByte("[]{}", c) >= 0, c == '"', c < 0x20, c == '\\',
		}
		for j, class := range [5]byte{isShort, isBracket, isQuote, isControl, isSlash} {
			if got := classOf(c)&class != 0; got != want[j] {
				t.Errorf("%q is of class %#x: %v, want %v", c, class, got, want[j])
			}
		}
	}
}

// marked is the rule of marks, byte by byte.
func marked(p []byte, escaped bool, ends byte) (at []bool, after bool) {
	for _, c := range p {
		class := classOf(c)
		if escaped {
			at = append(at, class&isShort == 0)
			escaped = false
			continue
		}
		at = append(at, class&ends != 0)
		escaped = c == '\\'
	}
	return at, escaped
}

func TestMarks(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	const likely = "\\\\\\\\\"\"{}[]abnu\x01 \xff"
	for range 3000 {
		p := make([]byte, 1+chance.IntN(windowLen))
		few := chance.IntN(40)
		for i := range p {
			if p[i] = likely[chance.IntN(len(likely))]; chance.IntN(40) < few {
				p[i] = byte(chance.IntN(256))
			}
		}
		ends := []byte{isQuote | isControl, isQuote | isBracket}[chance.IntN(2)]
		before := chance.IntN(2) == 1
		want, after := marked(p, before, ends)
		m := marks{carry: map[bool]uint64{true: 1}[before]}
		m.take(p, ends)
		var slow [windowLen / blockLen]uint64
		padded := append(bytes.Clone(p), spaces[:]...)
		markGo(padded[:(len(p)+blockLen-1)/blockLen*blockLen], &slow, map[bool]uint64{true: 1}[before], ends)
		for i := range p {
			if got := m.at[i/64]>>(i%64)&1 == 1; got != want[i] {
				t.Fatalf("%q, byte %d: marked %v, want %v", p, i, got, want[i])
			}
			if got := slow[i/64]>>(i%64)&1 == 1; got != want[i] {
				t.Fatalf("%q, byte %d: marked in Go %v, want %v", p, i, got, want[i])
			}
		}
		if m.carry == 1 != after {
			t.Fatalf("%q: carry %d, want %v", p, m.carry, after)
		}
		for i := range p {
			n := i
			for n < len(p) && !want[n] {
				n++
			}
			if got := m.next(i); got != n {
				t.Fatalf("%q: the mark after %d is at %d, want %d", p, i, got, n)
			}
		}
	}
}

func BenchmarkMarks(b *testing.B) {
	for _, c := range []struct{ name, text string }{{"plain", "abcdefgh"}, {"escapes", `abcdef\n`}} {
		p := []byte(strings.Repeat(c.text, windowLen/8))
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var m marks
			for b.Loop() {
				m.take(p, isQuote|isControl)
			}
		})
		b.Run(c.name+"-go", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var m marks
			for b.Loop() {
				markGo(p, &m.at, 0, isQuote|isControl)
			}
		})
	}
}
