//go:build !amd64

package scan

// mark gives the marks of the whole blocks of p, and the carry after them.
func mark(p []byte, at *[windowLen / blockLen]uint64, carry uint64, ends byte) uint64 {
	return markGo(p, at, carry, ends)
}

func findName(p []byte) int { return findNameGo(p) }
