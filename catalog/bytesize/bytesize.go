// Package bytesize owns how a number of bytes is written, of memory, disks, files and what goes over the wire alike, so that two
// numbers that belong together can be compared by who reads them. It knows nothing of what the bytes are.
package bytesize

import (
	"math"
	"strconv"
	"strings"
)

// Format writes a number of bytes in the largest binary unit of which there is one, rounded to a tenth of it: "20 GiB", "1.5 GiB",
// "512 MiB", "7 B". Less than nothing has a minus.
func Format(n int64) string {
	if -1024 < n && n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), 0
	for ; math.Abs(v) >= 1023.95 && unit < 6; unit++ { // 1023.95 would be written 1024
		v /= 1024
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[unit]
}
