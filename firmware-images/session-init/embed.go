// Package sessioninit carries the programs that run beside sessions: palisade-init, the first process of every
// container (sessions/pid1), and palisade-supervise, which holds a session of plain processes (sessions/process).
// Both are static, for the processor that this program is for. `make session-init` builds them to where they are
// carried from; what `go build` alone makes carries none.
package sessioninit

import "embed"

//go:embed all:build
var built embed.FS

// Program returns palisade-init; nil where none was built.
func Program() []byte { return program("palisade-init") }

// Supervisor returns palisade-supervise; nil where none was built.
func Supervisor() []byte { return program("palisade-supervise") }

func program(name string) []byte {
	b, err := built.ReadFile("build/" + name)
	if err != nil {
		return nil
	}
	return b
}
