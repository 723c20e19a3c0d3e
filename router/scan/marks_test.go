package scan

import (
	"math/rand/v2"
	"slices"
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
		p := make([]byte, 1+chance.IntN([]int{blockLen, 3 * blockLen, windowLen}[chance.IntN(3)]))
		few := chance.IntN(40)
		for i := range p {
			if p[i] = likely[chance.IntN(len(likely))]; chance.IntN(40) < few {
				p[i] = byte(chance.IntN(256))
			}
		}
		ends := []byte{isQuote | isControl, isQuote | isBracket}[chance.IntN(2)]
		before := chance.IntN(2) == 1
		want, after := marked(p, before, ends)
		carry := map[bool]uint64{true: 1}[before]
		fast, slow := marks{carry: carry}, marks{carry: carry}
		var at, slowAt [windowLen + spill]uint16
		fast.take(at[:], p, ends)
		slow.markGo(slowAt[:], p, ends)
		var places []uint16
		for i := range p {
			if want[i] {
				places = append(places, uint16(i))
			}
		}
		if !slices.Equal(at[:fast.n], places) || int(at[fast.n]) != len(p) {
			t.Fatalf("%q: marks at %d, want %d", p, at[:fast.n+1], places)
		}
		if !slices.Equal(slowAt[:slow.n], places) {
			t.Fatalf("%q: marks in Go at %d, want %d", p, slowAt[:slow.n], places)
		}
		if fast.carry == 1 != after || slow.carry == 1 != after {
			t.Fatalf("%q: carry %d, in Go %d, want %v", p, fast.carry, slow.carry, after)
		}
	}
}

func BenchmarkMarks(b *testing.B) {
	for _, c := range []struct{ name, text string }{{"plain", "abcdefgh"}, {"escapes", `abcdef\n`}} {
		p := []byte(strings.Repeat(c.text, windowLen/8))
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var m marks
			var at [windowLen + spill]uint16
			for b.Loop() {
				m.take(at[:], p, isQuote|isControl)
			}
		})
		b.Run(c.name+"-go", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var m marks
			var at [windowLen + spill]uint16
			for b.Loop() {
				m.n = 0
				m.markGo(at[:], p, isQuote|isControl)
			}
		})
	}
}
