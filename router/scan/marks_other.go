//go:build !amd64

package scan

// mark adds the marks of the blocks of p, which begins at base.
func (m *marks) mark(p []byte, base int, ends byte) { m.markGo(p, base, ends) }

func findName(p []byte) int { return findNameGo(p) }
