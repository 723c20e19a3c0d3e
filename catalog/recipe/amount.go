package recipe

import (
	"math"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// scale is the letters that a number may end in.
type scale []unit

type unit struct {
	end    string
	factor float64
}

var (
	// sizes are bytes. Longer ends come first: GiB ends in B too.
	sizes = scale{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
	}
	// counts are of parameters.
	counts = scale{{"T", 1e12}, {"B", 1e9}, {"M", 1e6}, {"K", 1e3}, {"k", 1e3}}
)

// read is a number with one of the ends, or without, as a whole number of at least 0.
func (s scale) read(text string) (int64, bool) {
	text, factor := strings.TrimSpace(text), 1.0
	for _, u := range s {
		if number, is := strings.CutSuffix(text, u.end); is {
			text, factor = strings.TrimSpace(number), u.factor
			break
		}
	}
	if factor == 1 {
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return whole, whole >= 0 && whole <= math.MaxInt64/8
		}
	}
	if text == "" || strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n*factor > math.MaxInt64/8 {
		return 0, false
	}
	return int64(math.Round(n * factor)), true
}

// amount is a number of something; 0 where it is not given.
func (r *reader) amount(f catalog.Field, s scale, example string) int64 {
	text, ok := f.Scalar()
	if !ok {
		return 0
	}
	n, ok := s.read(text)
	if !ok {
		f.Error("for example "+example, "%q is not a number that is wanted here", spelling.Short(text))
	}
	return n
}
