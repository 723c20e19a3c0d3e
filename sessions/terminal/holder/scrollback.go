package holder

import (
	"bytes"
	"regexp"
)

// Scrollback is how many bytes of what a terminal has shown are kept.
const Scrollback = 256 << 10

// scrollback is the last of what a terminal has shown. Offsets count from its first byte ever.
type scrollback struct {
	ring  []byte
	shown int64 // bytes in all
}

func (s *scrollback) add(p []byte) {
	if s.ring == nil {
		s.ring = make([]byte, Scrollback)
	}
	for len(p) > 0 {
		n := copy(s.ring[s.shown%Scrollback:], p)
		p = p[n:]
		s.shown += int64(n)
	}
}

// first is the offset of the oldest byte that is kept.
func (s *scrollback) first() int64 { return max(0, s.shown-Scrollback) }

// read copies from an offset that is kept.
func (s *scrollback) read(from int64, p []byte) int {
	n := 0
	for n < len(p) && from < s.shown {
		at := from % Scrollback
		k := copy(p[n:], s.ring[at:min(Scrollback, at+s.shown-from)])
		n += k
		from += int64(k)
	}
	return n
}

// longestLine is how far the beginning of a line is looked for where the oldest was overwritten.
const longestLine = 4 << 10

// replay is what who comes now is shown first. Where the oldest was overwritten it begins with a line, for the middle of a
// character or of a sequence would garble the rest.
func (s *scrollback) replay() []byte {
	p := make([]byte, s.shown-s.first())
	s.read(s.first(), p)
	if s.first() > 0 {
		if i := bytes.IndexByte(p[:min(longestLine, len(p))], '\n'); i >= 0 {
			p = p[i+1:]
		}
	}
	return withoutQuestions(p)
}

// questions are what programs ask a terminal: what it is, where its cursor is, its colours. One that is asked again, by
// old text, would type the answer into the shell of now.
var questions = regexp.MustCompile(`\x1b\[[>=?]?[0-9;]*[cn]|\x1b\[\??[0-9;]*\$p|\x1b\[>[0-9]*q|\x1b\][0-9;]*;\?(?:\x07|\x1b\\)|\x1bP[+$]q[^\x1b]*\x1b\\|\x1bZ|\x05`)

func withoutQuestions(p []byte) []byte { return questions.ReplaceAll(p, nil) }
