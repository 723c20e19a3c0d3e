package holder

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestScrollback(t *testing.T) {
	var s scrollback
	var all bytes.Buffer
	for i := 0; all.Len() < 3*Scrollback; i++ {
		p := []byte(strings.Repeat("x", i%5000) + fmt.Sprintf("%d\n", i))
		s.add(p)
		all.Write(p)
		if i%300 != 0 {
			continue
		}
		kept := all.Bytes()[max(0, all.Len()-Scrollback):]
		got := make([]byte, Scrollback+1)
		if n := s.read(s.first(), got); !bytes.Equal(got[:n], kept) {
			t.Fatalf("after %d bytes, %d are kept and are others", all.Len(), n)
		}
		again := s.replay()
		if !bytes.HasSuffix(kept, again) || len(again) < len(kept)-longestLine {
			t.Fatalf("%d bytes are shown again of %d", len(again), len(kept))
		}
		if len(again) < len(kept) && kept[len(kept)-len(again)-1] != '\n' {
			t.Fatal("it does not begin with a line")
		}
	}
}

func TestQuestionsAreNotAskedAgain(t *testing.T) {
	for shown, want := range map[string]string{
		"a\x1b[cb": "ab", "a\x1b[>0cb": "ab", "a\x1b[6nb": "ab", "a\x1b[?25$pb": "ab", "a\x1b[>qb": "ab", "a\x1b]11;?\x07b": "ab", "a\x1b]4;1;?\x1b\\b": "ab", "a\x1bP+q544e\x1b\\b": "ab", "a\x05b": "ab",
		"\x1b[31mred\x1b[0m": "\x1b[31mred\x1b[0m", "\x1b]0;a title\x07x": "\x1b]0;a title\x07x", "\x1b[2J\x1b[?1049h": "\x1b[2J\x1b[?1049h", "next c n": "next c n",
	} {
		if got := string(withoutQuestions([]byte(shown))); got != want {
			t.Errorf("%q becomes %q", shown, got)
		}
	}
}
