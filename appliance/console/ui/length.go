package ui

import (
	"strconv"
	"strings"
)

// Length writes a number of seconds as people type it: 90m, 8h, 2d, 1h30m; "0" for none.
func Length(seconds float64) string {
	left := int64(seconds + 0.5)
	if left <= 0 {
		return "0"
	}
	var out strings.Builder
	for _, unit := range []struct {
		of   int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}} {
		if n := left / unit.of; n > 0 {
			out.WriteString(strconv.FormatInt(n, 10) + unit.name)
			left -= n * unit.of
		}
	}
	return out.String()
}
