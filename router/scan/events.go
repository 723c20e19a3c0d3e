package scan

import "bytes"

// maxHeld is how much of an event is held back to see whether it is to be hidden. A longer one is not.
const maxHeld = 64 << 10

// lines is where a stream of events is.
type lines struct {
	events, pieces int64
	done           bool

	quiet  bool // the event's name says that it carries no output
	read   bool // its data was read
	only   bool // the event carries usage and nothing else
	passed bool // the event's beginning was passed on
	inLine bool // a line began in an earlier piece
	heads  int  // of it in head
	head   [32]byte
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
		a.quiet, a.read, a.only, a.passed = false, false, false, false
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
	a.out = append(out, p[from:]...)
	return a.out
}

// mayHide tells whether the event that is read may still turn out to be one that is hidden.
func (a *Answer) mayHide() bool {
	return a.only || !a.read && !(a.inLine && a.outline.seen.choices)
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

// line reads a line to its end, and tells whether it is the blank one that ends an event.
func (a *Answer) line(p []byte) (blank bool) {
	whole := !a.inLine
	if !whole {
		a.part(p)
		a.inLine = false
		p = a.head[:a.heads]
	}
	if n := len(p); n > 0 && p[n-1] == '\r' {
		p = p[:n-1]
	}
	if len(p) == 0 {
		return true
	}
	switch {
	case bytes.HasPrefix(p, []byte("data:")):
		a.data(bytes.TrimPrefix(p[len("data:"):], []byte(" ")), whole)
	case p[0] == '{': // events that are lines of JSON
		a.data(p, whole)
	case bytes.HasPrefix(p, []byte("event:")):
		a.named(bytes.TrimPrefix(p[len("event:"):], []byte(" ")))
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

// data takes an event's data; of one that came in pieces it is the beginning, and the outline has seen all.
func (a *Answer) data(p []byte, whole bool) {
	a.read = true
	if string(p) == "[DONE]" {
		a.done = true
		return
	}
	a.events++
	if !a.quiet {
		a.pieces++
	}
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
	a.only = found.usage && found.noChoices && !found.choices
}

// worth tells whether an event may say something that an outline finds.
func worth(p []byte) bool {
	if bytes.HasPrefix(p, []byte(`{"error"`)) {
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
