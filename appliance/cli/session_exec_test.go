package cli

import (
	"strings"
	"testing"
)

func TestDetachKeys(t *testing.T) {
	for _, tt := range []struct {
		typed, passed string
		left          bool
	}{
		{"ls\r", "ls\r", false},
		{"a\x10|\x11b", "a", true},
		{"\x10\x10\x11", "\x10", true},
		{"\x10a\x11", "\x10a\x11", false},
		{"\x11\x10", "\x11", false}, // it may be the first of the two
		{"\x10\x10|\x10a", "\x10\x10\x10a", false},
	} {
		var d detachKeys
		passed, left := "", false
		for part := range strings.SplitSeq(tt.typed, "|") {
			if !left {
				var p []byte
				p, left = d.pass([]byte(part))
				passed += string(p)
			}
		}
		if passed != tt.passed || left != tt.left {
			t.Errorf("%q: %q, %t", tt.typed, passed, left)
		}
	}
}
