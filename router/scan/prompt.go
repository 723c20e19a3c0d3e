package scan

import "slices"

// parts are the members that engines render into a prompt, in the order in which they do.
var parts = []string{"system", "instructions", "tools", "messages", "prompt", "input"}

// Prompt yields the conversation of a request in pieces, as it is written: requests whose conversations begin alike
// yield the same bytes at first, however their members are ordered. These are the texts of system, messages, prompt and
// input; tools, and prompts in numbers, come as they stand. body is whole and was found to be JSON; of anything else
// nothing sensible comes. It ends early when yield returns false.
func Prompt(body []byte, yield func(text []byte) bool) {
	var found [6][]byte
	topLevel(body, func(key, value []byte) {
		if i := slices.Index(parts, string(key)); i >= 0 {
			found[i] = value
		}
	})
	for i, value := range found {
		switch {
		case len(value) == 0:
		case parts[i] == "tools":
			if !yield(value) {
				return
			}
		case !texts(value, yield):
			return
		}
	}
}

// cursor goes from mark to mark of something that is held whole.
type cursor struct {
	marks marks
	at    [windowLen + spill]uint16
	p     []byte
	base  int // of the next window
	k     int
}

// next is the place of the next quote or bracket, or -1.
func (c *cursor) next() int {
	for c.k == c.marks.n {
		if c.base >= len(c.p) {
			return -1
		}
		window := c.p[c.base:min(c.base+windowLen, len(c.p))]
		c.marks.take(c.at[:], window, isQuote|isBracket)
		c.base, c.k = c.base+len(window), 0
	}
	c.k++
	return (c.base-1)/windowLen*windowLen + int(c.at[c.k-1])
}

// quote is the place of the quote that ends a string, or -1.
func (c *cursor) quote() int {
	for {
		if i := c.next(); i < 0 || c.p[i] == '"' {
			return i
		}
	}
}

// names tells whether what follows a string is a colon, so that it is a key.
func (c *cursor) names(end int) bool {
	for _, b := range c.p[end+1:] {
		if !space(b) {
			return b == ':'
		}
	}
	return false
}

// topLevel visits those members of an object whose values are strings, arrays or objects; strings without their quotes.
func topLevel(body []byte, visit func(key, value []byte)) {
	c := cursor{p: body}
	depth, from := 0, 0
	var key []byte
	for i := c.next(); i >= 0; i = c.next() {
		switch body[i] {
		case '"':
			end := c.quote()
			if end < 0 {
				return
			}
			if depth != 1 {
				continue
			}
			if c.names(end) {
				key = body[i+1 : end]
				continue
			}
			visit(key, body[i+1:end])
		case '{', '[':
			if depth++; depth == 2 {
				from = i
			}
		default:
			if depth--; depth == 1 {
				visit(key, body[from:i+1])
			}
		}
	}
}

// texts yields the strings in a value that are no keys; a value without any comes as it is.
func texts(value []byte, yield func([]byte) bool) bool {
	if value[0] != '[' && value[0] != '{' {
		return yield(value)
	}
	c := cursor{p: value}
	some := false
	for i := c.next(); i >= 0; i = c.next() {
		if value[i] != '"' {
			continue
		}
		end := c.quote()
		if end < 0 {
			break
		}
		if c.names(end) {
			continue
		}
		some = true
		if !yield(value[i+1 : end]) {
			return false
		}
	}
	return some || yield(value)
}
