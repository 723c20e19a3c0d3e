package scan

import "golang.org/x/sys/cpu"

// mark adds the marks of p. The 64 bytes that end where p does must be there to be read.
func (m *marks) mark(at []uint16, p []byte, ends byte) {
	if cpu.X86.HasAVX2 && cpu.X86.HasBMI2 && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT {
		markAVX2(m, &at[0], p, ends, &classes)
		return
	}
	m.markGo(at, p, ends)
}

// classes are low and high together.
var classes = [2][16]byte{low, high}

// markAVX2 is markGo, 32 bytes at a time.
//
//go:noescape
func markAVX2(m *marks, at *uint16, p []byte, ends byte, classes *[2][16]byte)

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

// integers is integersGo of whole blocks of 32 bytes.
func integers(p []byte) int {
	if !cpu.X86.HasAVX2 {
		return integersGo(p)
	}
	return integersAVX2(p)
}

//go:noescape
func integersAVX2(p []byte) int
