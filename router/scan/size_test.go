package scan

import (
	"testing"
	"unsafe"
)

// An Answer lives as long as its stream, and there may be ten thousand of them.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Answer{}); n > 1<<10 {
		t.Errorf("an Answer takes %d bytes", n)
	}
	if n := unsafe.Sizeof(Request{}); n > 6<<10 {
		t.Errorf("a Request takes %d bytes", n)
	}
}
