//go:build !amd64

package scan

// mark adds the marks of p.
func (m *marks) mark(at []uint16, p []byte, ends byte) { m.markGo(at, p, ends) }

func findName(p []byte) int { return findNameGo(p) }

func integers(p []byte) int { return integersGo(p) }
