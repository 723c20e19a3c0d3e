package bytesize_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 108 << 20: "108 MiB", 193<<20 + 614<<10: "193.6 MiB",
		1<<20 - 1: "1 MiB", 1<<30 - 1: "1 GiB", 20 << 30: "20 GiB", 3<<29 + 1: "1.5 GiB", 1000 << 30: "1000 GiB", 5 << 40: "5 TiB", 1 << 50: "1 PiB",
		math.MaxInt64: "8 EiB", -7: "-7 B", -1536: "-1.5 KiB", math.MinInt64: "-8 EiB",
	} {
		if got := bytesize.Format(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// FuzzFormat: what is written is what it is, to a twentieth of the unit, and never 1024 of a unit where there is a larger one.
func FuzzFormat(f *testing.F) {
	for _, n := range []int64{0, 1023, 1024, 1<<20 - 1, 1<<20 - 53, 1<<30 + 1<<29, -1, math.MaxInt64} {
		f.Add(n)
	}
	units := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50, "EiB": 1 << 60}
	f.Fuzz(func(t *testing.T, n int64) {
		text := bytesize.Format(n)
		number, unit, _ := strings.Cut(text, " ")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || units[unit] == 0 || math.Abs(v) >= 1024 {
			t.Fatalf("%d: %q", n, text)
		}
		if off := math.Abs(v*units[unit] - float64(n)); off > units[unit]*0.0501 {
			t.Fatalf("%d: %q is off by %g", n, text, off)
		}
	})
}
