package scan

import (
	"errors"
	"fmt"
)

// Bounds of what is kept, whatever is sent.
const (
	MaxModel  = 512  // bytes of the model's name, as written and as it is meant
	maxDepth  = 1024 // open objects and arrays
	maxUser   = 256  // bytes of the user
	maxKey    = 64   // a longer key is none of those wanted, unless escaped without need
	maxNumber = 32
)

// What can be wrong with a body of which the model is wanted.
var (
	ErrNotJSON       = errors.New("the body is not valid JSON")
	ErrNotObject     = errors.New("the body is not a JSON object")
	ErrCutOff        = errors.New("the body ends before its JSON does")
	ErrNoModel       = errors.New("the body names no model")
	ErrModelNoText   = errors.New("model is not a string")
	ErrModelTooLong  = fmt.Errorf("model has more than %d characters", MaxModel)
	ErrTooDeep       = fmt.Errorf("the body nests more than %d levels deep", maxDepth)
	ErrModelConflict = errors.New("the body names two different models")
)

// Request looks through the JSON object of a request that comes in pieces. It checks the grammar of all that it is fed,
// so that a broken body is refused before an engine sees it, and keeps the few members that count. The zero value is
// ready. Its size is fixed, about 6 KB, and it allocates nothing but errors.
type Request struct {
	marks  marks
	at     [windowLen + spill]uint16
	offset int64 // of the window in the body
	state  state
	after  state  // where to go when a \uXXXX has ended
	rest   string // what must still come of true, false or null
	hex    int    // digits of \uXXXX still to come
	depth  int
	arrays uint64                  // the lowest bit: the innermost level is an array; above it those around it
	deep   [maxDepth/64 + 1]uint64 // arrays of each 64th level's outside

	keys   int    // in objects up to this depth keys are looked at
	value  member // whose value comes next
	inside member // whose object is open at depth 2
	keep   bool   // the string or number that is read is wanted
	kept   int    // bytes of its beginning in store, from earlier windows
	cut    bool   // it is longer than store

	facts
	name  [MaxModel]byte
	user  [maxUser]byte
	store [MaxModel]byte
}

// Reset makes s ready for another body. What it gave before is not valid any more.
func (s *Request) Reset() {
	s.marks.carry, s.offset, s.state, s.depth = 0, 0, atStart, 0
	s.value, s.inside, s.keep, s.kept, s.cut = none, none, false, 0, false
	s.facts = facts{}
}

// Feed reads the next piece. After an error it must not be fed again. The errors are ErrNotJSON, ErrNotObject,
// ErrTooDeep and ErrModelTooLong.
func (s *Request) Feed(p []byte) error {
	for len(p) > 0 {
		window := p[:min(len(p), windowLen)]
		s.marks.take(s.at[:], window, isQuote|isControl)
		if i, err := s.walk(window); err != nil {
			if errors.Is(err, ErrNotJSON) {
				err = fmt.Errorf("%w: unexpected %q at byte %d", err, window[i], s.offset+int64(i))
			}
			return err
		}
		s.offset += int64(len(window))
		p = p[len(window):]
	}
	return nil
}

// End says what is wrong with the whole body once all was fed: ErrCutOff, or an error of Check.
func (s *Request) End() error {
	if s.state != atEnd {
		return ErrCutOff
	}
	return s.Check()
}

// Check says what is wrong with what came so far: ErrModelConflict, ErrModelNoText, ErrNoModel.
func (s *Request) Check() error {
	switch {
	case s.conflict:
		return ErrModelConflict
	case s.noText:
		return ErrModelNoText
	case !s.named:
		return ErrNoModel
	}
	return nil
}

// Settled tells that the model is known, so that the rest need not be read for it. Other members may still come.
func (s *Request) Settled() bool { return s.named }
