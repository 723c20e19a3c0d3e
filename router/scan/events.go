package scan

import "bytes"

// maxHeld is how much of an event is held back to see whether it is to be hidden. A longer one is not.
const maxHeld = 64 << 10

// lines is where a stream of events is.
type lines struct {
	events, pieces int64
	done           bool

	quiet  bool // the event's name says that it carries no output
	datas  int  // lines of data that were read of it
	only   bool // the event carries usage and nothing else
	passed bool // the event's beginning was passed on
	inLine bool // a line began in an earlier piece
	heads  int  // of it in head
	head   [64]byte
	held   []byte // the event's beginning, not passed on
	out    []byte // what is passed on where that is no part of what came
}

func (l *lines) reset() {
	*l = lines{held: spare(l.held), out: spare(l.out)}
}

// spare is a buffer to use again, unless it grew large.
func spare(b []byte) []byte {
	if cap(b) > maxHeld {
		return nil
	}
	return b[:0]
}

// feedLines reads a piece of a stream.
func (a *Answer) feedLines(p []byte) []byte {
	out, from, start := a.out[:0], 0, 0 // p[from:] is not in out, and the event began at p[start]
	for i := 0; i < len(p); {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			a.part(p[i:])
			break
		}
		blank := a.line(p[i : i+n])
		if i += n + 1; !blank {
			continue
		}
		if a.only && a.hide && !a.passed {
			out = append(out, p[from:start]...)
			from = i
			a.held = a.held[:0]
		} else if len(a.held) > 0 {
			out = append(out, a.held...)
			a.held = a.held[:0]
		}
		a.quiet, a.datas, a.only, a.passed = false, 0, false, false
		start = i
	}
	if !a.hide {
		return p
	}
	tail := p[start:]
	if !a.passed && a.mayHide() && len(a.held)+len(tail) <= maxHeld {
		a.held = append(a.held, tail...)
		p = p[:start]
	} else {
		out = append(out, a.held...)
		a.held = a.held[:0]
		a.passed = a.passed || len(tail) > 0
	}
	if a.out = out; len(out) == 0 {
		return p[from:]
	}
	a.out = append(a.out, p[from:]...)
	return a.out
}

// mayHide tells whether the event that is read may still turn out to be one that is hidden.
func (a *Answer) mayHide() bool {
	return a.only || a.datas == 0 && !(a.inLine && a.outline.seen.choices)
}

// part reads a line that does not end in this piece.
func (a *Answer) part(p []byte) {
	if !a.inLine {
		a.inLine, a.heads = true, 0
		a.outline.reset()
	}
	a.heads += copy(a.head[a.heads:], p)
	a.outline.feed(p)
}

// line reads a line to its end, and tells whether it is the blank one that ends an event. What kind of line it is shows
// in its beginning, however it came.
func (a *Answer) line(p []byte) (blank bool) {
	head := p[:min(len(p), len(a.head))]
	if a.inLine {
		a.part(p)
		head = a.head[:a.heads]
	}
	whole := !a.inLine
	a.inLine = false
	if n := len(head); n > 0 && head[n-1] == '\r' {
		head = head[:n-1]
	}
	if len(head) == 0 {
		return true
	}
	switch {
	case bytes.HasPrefix(head, []byte("data:")):
		if a.data(bytes.TrimPrefix(head[len("data:"):], []byte(" "))) {
			a.count(p, whole)
		}
	case head[0] == '{': // events that are lines of JSON
		a.data(head)
		a.count(p, whole)
	case bytes.HasPrefix(head, []byte("event:")):
		a.named(bytes.TrimPrefix(head[len("event:"):], []byte(" ")))
	}
	return false
}

// named takes an event's name.
func (a *Answer) named(name []byte) {
	a.quiet = string(name) != "content_block_delta" && !bytes.HasSuffix(name, []byte(".delta"))
	switch string(name) {
	case "message_stop", "response.completed", "response.incomplete", "response.failed":
		a.done = true
	case "error":
		a.failed = true
	}
}

// data takes the beginning of an event's data, and tells whether it is more than the end of a stream.
func (a *Answer) data(head []byte) bool {
	a.datas++
	a.only = false
	if string(head) == "[DONE]" {
		a.done = true
		return false
	}
	a.events++
	if !a.quiet {
		a.pieces++
	}
	return true
}

// count takes a line of data: where it is not whole, the outline has seen it.
func (a *Answer) count(p []byte, whole bool) {
	if whole {
		if !worth(p) {
			return
		}
		a.outline.reset()
		a.outline.feed(p)
	}
	found := &a.outline.seen
	a.counts.merge(&found.counts)
	a.failed = a.failed || found.failed
	a.only = a.datas == 1 && found.usage && found.noChoices && !found.choices
}

// worth tells whether a line may say something that an outline finds.
func worth(p []byte) bool {
	if i := bytes.IndexByte(p[:min(len(p), 8)], '{'); i >= 0 && bytes.HasPrefix(p[i+1:], []byte(`"error"`)) {
		return true
	}
	for {
		i := findName(p)
		if i < 0 {
			return false
		}
		p = p[i:]
		if bytes.HasPrefix(p, []byte(`"timings"`)) {
			return true
		}
		if rest, ok := bytes.CutPrefix(p, []byte(`"usage"`)); ok && !bytes.HasPrefix(rest, []byte(`:null`)) {
			return true
		}
		p = p[1:]
	}
}

// findNameGo is the first place in p where "us or "ti stand with their quote, or -1: where the name of a member that
// counts may begin.
func findNameGo(p []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], '"')
		if i < 0 || from+i+3 > len(p) {
			return -1
		}
		i += from
		if p[i+1] == 'u' && p[i+2] == 's' || p[i+1] == 't' && p[i+2] == 'i' {
			return i
		}
		from = i + 1
	}
}
