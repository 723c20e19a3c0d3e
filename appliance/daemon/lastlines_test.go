package daemon

import (
	"fmt"
	"strings"
	"testing"
)

func TestLastLines(t *testing.T) {
	l := newLastLines()
	if len(l.text()) != 0 {
		t.Error("there are lines before the first")
	}
	for i := range keptLines + 10 {
		if n, err := fmt.Fprintf(l, "line %d\n", i); n < 7 || err != nil {
			t.Fatal(n, err)
		}
	}
	text := string(l.text())
	if strings.Count(text, "\n") != keptLines || !strings.HasPrefix(text, "line 10\n") || !strings.HasSuffix(text, fmt.Sprintf("line %d\n", keptLines+9)) {
		t.Errorf("%.30s ... %d lines", text, strings.Count(text, "\n"))
	}
	if n, err := l.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
		t.Error(n, err)
	}
	if len(l.text()) > len(text)+keptOfLine+4 {
		t.Error("a long line is kept whole")
	}
}
