//go:build !amd64

package scan

// mark adds the marks of p.
func (m *marks) mark(p []byte, ends byte) { m.markGo(p, ends) }

func findName(p []byte) int { return findNameGo(p) }
