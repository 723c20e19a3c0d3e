package repeat

import "time"

// shelf keeps answers, in order of use. Its zero value is empty.
type shelf struct {
	byKey       map[Key]*entry
	first, last *entry // used last, and not used longest
	bytes       int64
}

type entry struct {
	key        Key
	answer     *Answer
	prev, next *entry
}

// find gives the answer of key, or nil, and counts that as a use.
func (s *shelf) find(key Key) *Answer {
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	s.unlink(e)
	s.link(e)
	return e.answer
}

func (s *shelf) add(key Key, a *Answer) {
	s.remove(key)
	if s.byKey == nil {
		s.byKey = map[Key]*entry{}
	}
	e := &entry{key: key, answer: a}
	s.byKey[key] = e
	s.bytes += a.size()
	s.link(e)
}

func (s *shelf) remove(key Key) {
	if e := s.byKey[key]; e != nil {
		s.unlink(e)
		delete(s.byKey, key)
		s.bytes -= e.answer.size()
	}
}

// link puts e first.
func (s *shelf) link(e *entry) {
	e.prev, e.next = nil, s.first
	if s.first == nil {
		s.last = e
	} else {
		s.first.prev = e
	}
	s.first = e
}

func (s *shelf) unlink(e *entry) {
	if e.prev == nil {
		s.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		s.last = e.prev
	} else {
		e.next.prev = e.prev
	}
}

// shrink lets go of what was not used longest, until the rest takes no more than most bytes.
func (s *shelf) shrink(most int64) {
	for s.bytes > most && s.last != nil {
		s.remove(s.last.key)
	}
}

// expire lets go of all that was complete at before, or sooner.
func (s *shelf) expire(before time.Time) {
	for key, e := range s.byKey {
		if !e.answer.At.After(before) {
			s.remove(key)
		}
	}
}

func (s *shelf) empty() bool { return len(s.byKey) == 0 }

func (s *shelf) count() int { return len(s.byKey) }
