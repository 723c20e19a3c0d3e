// Package sessioninit carries the program that runs first in every container: sessions/pid1/palisade-init,
// static, for the processor that this program is for. `make session-init` builds it to where it is carried
// from; what `go build` alone makes carries none.
package sessioninit

import "embed"

//go:embed all:build
var built embed.FS

// Program returns the executable; nil where none was built.
func Program() []byte {
	b, err := built.ReadFile("build/palisade-init")
	if err != nil {
		return nil
	}
	return b
}
