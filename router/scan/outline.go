package scan

// piece is how much an outline looks at at once. One is kept for each stream that is open, so it is small.
const piece = 256

// maxObject is how long an object with counts may be where it comes in pieces; a longer one counts nothing.
const maxObject = 4 << 10

// name is a member of an answer that is looked for: at the top level, or in response or message there.
type name uint8

const (
	nothing name = iota
	usage        // of nearly all engines
	timings      // of llama.cpp
	meta         // of rerankers
	nested       // response or message, which hold in events what is at the top level elsewhere
	choices
	failure // error
)

func nameOf(key []byte) name {
	switch string(key) {
	case "usage":
		return usage
	case "timings":
		return timings
	case "meta":
		return meta
	case "response", "message":
		return nested
	case "choices":
		return choices
	case "error":
		return failure
	}
	return nothing
}

const maxName = len("response")

// outline finds what an answer used in a JSON value that comes in pieces. It goes by strings and brackets alone and
// checks nothing: what engines say is not refused. What stands in a string, or anywhere but where engines write it, is
// not taken for it, so that nobody can write a bill into a conversation.
type outline struct {
	marks    marks
	at       [piece + spill]uint16
	depth    int
	inside   bool // response or message is open, at depth 2
	inString bool
	keep     bool // the string that is read may be a name
	words    int  // of its beginning in word, from earlier windows
	word     [maxName + 1]byte
	after    name // the last string, while only white space and a colon came after it
	colon    bool
	capture  name   // whose object is open
	upTo     int    // the depth at which it ends
	object   []byte // its beginning, from earlier windows

	opened bool // the array of choices, and nothing came in it yet
	seen   seen
}

// seen is what an outline found.
type seen struct {
	counts    counts
	usage     bool // there is a usage that is an object
	choices   bool // there are choices, and not an empty array of them
	noChoices bool // there is an empty array of choices
	failed    bool // there is an error
}

// reset makes o ready for another value.
func (o *outline) reset() {
	o.marks.carry, o.depth, o.inside, o.inString, o.keep, o.words = 0, 0, false, false, false, 0
	o.after, o.capture, o.object, o.opened, o.seen = nothing, nothing, o.object[:0], false, seen{}
}

func (o *outline) feed(p []byte) {
	for len(p) > 0 {
		window := p[:min(len(p), piece)]
		o.marks.take(o.at[:], window, isQuote|isBracket)
		o.walk(window)
		p = p[len(window):]
	}
}

// walk goes from mark to mark.
func (o *outline) walk(p []byte) {
	from := 0 // of the string, or what comes after one
	object := 0
	for _, at := range o.at[:o.marks.n] {
		i := int(at)
		c := p[i]
		if o.inString {
			if c == '"' {
				o.inString = false
				if o.keep {
					o.endString(p[from:i])
					from = i + 1
				}
			}
			continue
		}
		if o.after != nothing {
			o.gap(p[from:i])
		}
		switch c {
		case '"':
			o.begin(c)
			o.inString, from = true, i+1
			o.keep = o.capture == nothing && (o.depth == 1 || o.depth == 2 && o.inside)
		case '{', '[':
			if o.begin(c) {
				object = i
			}
			o.depth++
		case '}', ']':
			o.end(c)
			if o.capture != nothing && o.depth == o.upTo {
				o.endObject(p[object : i+1])
			}
		}
	}
	switch {
	case o.inString && o.keep:
		o.words += copy(o.word[o.words:], p[from:])
	case !o.inString && o.after != nothing:
		o.gap(p[from:])
	}
	if o.capture != nothing && len(o.object) <= maxObject {
		o.object = append(o.object, p[object:]...)
	}
}

// endString looks at a string that may be a name.
func (o *outline) endString(p []byte) {
	o.keep = false
	if o.words > 0 {
		o.words += copy(o.word[o.words:], p)
		p, o.words = o.word[:o.words], 0
	}
	if len(p) <= maxName {
		o.after, o.colon = nameOf(p), false
	}
}

// gap looks at what is between a name and the next mark. Only a colon makes it the name of what follows.
func (o *outline) gap(p []byte) {
	for _, c := range p {
		switch {
		case c == ' ', c == '\n', c == '\r', c == '\t':
		case c == ':' && !o.colon:
			o.colon = true
		default:
			o.after = nothing
			return
		}
	}
}

// begin takes the first byte of a string, an object or an array. It tells whether that is an object to be kept.
func (o *outline) begin(c byte) bool {
	if o.opened {
		o.seen.choices, o.opened = true, false
	}
	named := o.after
	o.after = nothing
	if named == nothing || !o.colon {
		return false
	}
	switch named {
	case choices:
		o.opened = c == '['
		o.seen.choices = o.seen.choices || c != '['
	case failure:
		o.seen.failed = true
	case nested:
		o.inside = c == '{' && o.depth == 1
	case usage, timings, meta:
		if c == '{' {
			o.capture, o.upTo, o.object = named, o.depth, o.object[:0]
			return true
		}
	}
	return false
}

// end takes a closing bracket.
func (o *outline) end(c byte) {
	if o.opened && c == ']' {
		o.seen.noChoices, o.opened = true, false
	}
	o.after = nothing
	if o.depth > 0 {
		o.depth--
	}
	if o.depth <= 1 {
		o.inside = false
	}
}

// endObject counts a kept object, of which p is the end or all.
func (o *outline) endObject(p []byte) {
	kind := o.capture
	o.capture = nothing
	if len(o.object) > maxObject {
		return
	}
	if len(o.object) > 0 {
		o.object = append(o.object, p...)
		p = o.object
	}
	o.seen.usage = o.seen.usage || kind == usage
	o.seen.counts.take(kind, p)
}
