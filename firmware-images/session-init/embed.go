// Package sessioninit carries the programs that run beside sessions: palisade-init, the first process of every
// container (sessions/pid1), and palisade-supervise, which holds a session of plain processes (sessions/process).
// Both are static, for the processor that this program is for. `make session-init` builds them to where they are
// carried from; what `go build` alone makes carries none.
package sessioninit

import (
	"embed"
	"io"
)

//go:embed all:build
var built embed.FS

// Program returns palisade-init, read where it lies: twelve megabytes of both are no heap's. nil where none was built.
func Program() *io.SectionReader { return program("palisade-init") }

// Supervisor returns palisade-supervise in the same way; nil where none was built.
func Supervisor() *io.SectionReader { return program("palisade-supervise") }

func program(name string) *io.SectionReader {
	f, err := built.Open("build/" + name)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	at, ok := f.(io.ReaderAt)
	if err != nil || !ok {
		return nil
	}
	return io.NewSectionReader(at, 0, info.Size())
}
