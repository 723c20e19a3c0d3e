package people

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is the margin of a QR code, which readers need.
const quiet = 4

// Picture is the URL as a QR code, an SVG without colours and sizes of its own: what is dark is drawn in the text's colour, so
// that whoever shows it says on what.
func (t TOTP) Picture() (string, error) {
	code, err := qr.Encode(t.URL, qr.M)
	if err != nil {
		return "", fmt.Errorf("drawing the second factor: %w", err)
	}
	var b strings.Builder
	side := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img"><path fill="currentColor" d="`, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			begin := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > begin {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", begin+quiet, y+quiet, x-begin, x-begin)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}
