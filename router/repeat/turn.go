package repeat

import (
	"slices"
	"time"
)

// Turn is what one request is to do: answer with Answer where that is not nil; else ask. While it is answered, Begin,
// Write and End are told what the answer is, and Drop, in any case, that it is over: others may wait for it. All of
// these do nothing where nobody can, and on a nil Turn, as of a service without a guard.
//
// One goroutine uses a Turn.
type Turn struct {
	answer *Answer // to be given

	guard *Guard // nil: not the first, or over
	key   Key
	run   *run
	made  Answer // so far
}

// Answer is what another request was answered; nil where this one is to ask.
func (t *Turn) Answer() *Answer {
	if t == nil {
		return nil
	}
	return t.answer
}

// First tells whether this request's answer is wanted.
func (t *Turn) First() bool { return t != nil && t.guard != nil }

// Begin says how the answer begins. length is that of its body, less than 0 where it is not known. header is kept.
func (t *Turn) Begin(status int, header []Field, length int64) {
	if !t.First() {
		return
	}
	if length > mostAnswer {
		t.Alone()
		return
	}
	t.made.Status, t.made.Header = status, header
	t.made.Body = make([]byte, 0, max(length, 0))
}

// Write says how the body goes on. p is copied.
func (t *Turn) Write(p []byte) {
	if !t.First() {
		return
	}
	if len(t.made.Body)+len(p) > mostAnswer {
		t.Alone()
		return
	}
	t.made.Body = append(t.made.Body, p...)
}

// End says that the answer is complete: those that wait for it get it. One that never began is none.
func (t *Turn) End(now time.Time) {
	if !t.First() {
		return
	}
	if t.made.Status == 0 {
		t.Drop()
		return
	}
	t.made.At = now
	t.made.Body = slices.Clip(t.made.Body)
	a := t.made
	g := t.over()
	g.answer(t.key, t.run, &a)
}

// Alone says that the answer is for this request only, as one that turns out to be a stream: those that wait for it
// go on by themselves.
func (t *Turn) Alone() {
	if t.First() {
		g := t.over()
		g.release(t.key, t.run)
	}
}

// Drop says that there will be no answer: the next one asks. It does nothing after End.
func (t *Turn) Drop() {
	if t.First() {
		g := t.over()
		g.drop(t.key, t.run)
	}
}

func (t *Turn) over() *Guard {
	g := t.guard
	t.guard, t.made = nil, Answer{}
	return g
}
