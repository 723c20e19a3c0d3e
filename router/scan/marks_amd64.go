package scan

import "golang.org/x/sys/cpu"

// mark gives the marks of the whole blocks of p, and the carry after them.
func mark(p []byte, at *[windowLen / blockLen]uint64, carry uint64, ends byte) uint64 {
	if !cpu.X86.HasAVX2 {
		return markGo(p, at, carry, ends)
	}
	return markAVX2(p, at, carry, ends, &low, &high)
}

// markAVX2 is markGo, 32 bytes at a time. It reads no byte after the last whole block.
//
//go:noescape
func markAVX2(p []byte, at *[windowLen / blockLen]uint64, carry uint64, ends byte, low, high *[16]byte) uint64

// findName is findNameGo.
func findName(p []byte) int {
	if len(p) < 34 || !cpu.X86.HasAVX2 {
		return findNameGo(p)
	}
	return findNameAVX2(p)
}

// findNameAVX2 is findNameGo for 34 bytes and more.
//
//go:noescape
func findNameAVX2(p []byte) int
