package scan

// Answer counts what an answer used while its body goes by in pieces. The zero value is ready for a JSON answer. It
// must not be used by two at once.
type Answer struct {
	stream  bool
	hide    bool
	outline outline
	counts  counts
	failed  bool
	lines
}

// Reset makes a ready for another answer: a stream of server-sent events, or else JSON. With hide the event that only
// carries usage (its choices are empty) is kept from the client.
func (a *Answer) Reset(stream, hide bool) {
	a.stream, a.hide = stream, stream && hide
	a.counts, a.failed = counts{}, false
	a.outline.reset()
	a.lines.reset() //nolint:staticcheck // of its lines, not of itself
}

// Feed reads the next piece of the body and gives what is to be passed on now: p itself, unless an event is hidden. It
// is valid until the next call.
func (a *Answer) Feed(p []byte) []byte {
	if a.stream {
		return a.feedLines(p)
	}
	a.outline.feed(p)
	return p
}

// Rest is what was held back: the beginning of an event that ended with the stream. It is to be passed on at the end.
func (a *Answer) Rest() []byte {
	rest := a.held
	a.held = nil
	return rest
}

// Usage is what the answer used, as far as it came.
func (a *Answer) Usage() Usage {
	c := a.counts
	if !a.stream { // else a line counts once it is whole
		c.merge(&a.outline.seen.counts)
	}
	u := c.usage()
	if !u.Known {
		u.Completion = a.pieces
	}
	return u
}

// Events is how many events with data came, [DONE] not among them.
func (a *Answer) Events() int64 { return a.events }

// Done tells that a stream said that it is whole: by [DONE], message_stop or response.completed. One that ends without
// was cut off.
func (a *Answer) Done() bool { return a.done }

// Failed tells that the answer, or an event in it, is an error, whatever its status said.
func (a *Answer) Failed() bool { return a.failed || !a.stream && a.outline.seen.failed }
