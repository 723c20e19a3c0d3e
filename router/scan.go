package router

import (
	"errors"
	"fmt"
)

// Bounds of what the scanner keeps, whatever is sent.
const (
	maxDepth    = 1024 // open objects and arrays
	maxModelLen = 512  // bytes of the model's name as written
	maxKeyLen   = 64   // a longer key is not "model", however it is escaped
)

// What can be wrong with a body of which the model is wanted.
var (
	errNotJSON       = errors.New("the body is not valid JSON")
	errNotObject     = errors.New("the body is not a JSON object")
	errCutOff        = errors.New("the body ends before its JSON does")
	errNoModel       = errors.New("the body names no model")
	errModelNoText   = errors.New("model is not a string")
	errModelTooLong  = fmt.Errorf("model has more than %d characters", maxModelLen)
	errTooDeep       = fmt.Errorf("the body nests more than %d levels deep", maxDepth)
	errModelConflict = errors.New("the body names two different models")
)

// FindModel gives the top-level string member "model" of a JSON object. It checks the grammar of all
// of body, so that a broken one is refused here, and decodes nothing else. A key that comes twice with
// the same value is let through; with two values the body is refused, since engines disagree on which
// of them counts.
func FindModel(body []byte) (string, error) {
	var s modelScanner
	if err := s.feed(body); err != nil {
		return "", err
	}
	return s.end()
}

// modelScanner finds the model in a body that comes in pieces. Its size is fixed but for a key and a
// name of bounded length. The zero value is ready.
type modelScanner struct {
	state  scanState
	after  scanState // where to go when the string or literal ends
	rest   string    // what must still come of true, false or null
	hex    int       // digits of \uXXXX still to come
	depth  int
	arrays [maxDepth / 64]uint64 // bit d: level d+1 is an array

	keep     bool // the string is copied to kept
	isModel  bool // the value that follows is the model's
	keeps    int  // of kept
	tooLong  bool
	offset   int64 // bytes read
	model    string
	found    bool
	noText   bool
	conflict bool
	kept     [maxModelLen]byte
}

type scanState uint8

const (
	atStart     scanState = iota
	atFirstKey            // after {
	atKey                 // after , in an object
	atColon               //
	atValue               // after : or , in an array
	atFirstItem           // after [
	atNext                // after a value
	atEnd                 // after the object: white space only
	inString
	inEscape
	inHex
	inLiteral
	inMinus // the states of a number, as the grammar has them
	inZero
	inDigits
	inPoint
	inFraction
	inE
	inESign
	inExponent
)

// feed reads the next piece. After an error it must not be used again.
func (s *modelScanner) feed(p []byte) error {
	for i := 0; i < len(p); {
		if s.state == inString {
			n := plainRun(p[i:])
			if s.keep && n > 0 {
				s.keepBytes(p[i : i+n])
			}
			if i += n; i == len(p) {
				break
			}
			if !s.keep { // most of any body: its end and the short escapes at once
				if p[i] == '"' {
					s.state = s.after
					i++
					continue
				}
				if p[i] == '\\' && i+1 < len(p) && shortEscape[p[i+1]] {
					i += 2
					continue
				}
			}
		}
		if err := s.step(p[i]); err != nil {
			if errors.Is(err, errNotJSON) {
				err = fmt.Errorf("%w: unexpected %q at byte %d", err, p[i], s.offset+int64(i))
			}
			return err
		}
		i++
	}
	s.offset += int64(len(p))
	return nil
}

// settled tells that the model is known, so that the rest need not be read for it.
func (s *modelScanner) settled() bool { return s.found }

// end says what was found, once all was fed.
func (s *modelScanner) end() (string, error) {
	switch {
	case s.state != atEnd:
		return "", errCutOff
	case s.conflict:
		return "", errModelConflict
	case s.noText:
		return "", errModelNoText
	case !s.found:
		return "", errNoModel
	}
	return s.model, nil
}

// step takes one byte.
func (s *modelScanner) step(c byte) error {
	switch s.state {
	case inString, inEscape, inHex:
		return s.stepString(c)
	case inLiteral:
		if c != s.rest[0] {
			return errNotJSON
		}
		if s.rest = s.rest[1:]; s.rest == "" {
			s.state = atNext
		}
		return nil
	}
	if s.state >= inMinus {
		if more, err := s.stepNumber(c); more || err != nil {
			return err
		}
		s.state = atNext // c is the byte after the number
	}
	if c == ' ' || c == '\n' || c == '\t' || c == '\r' {
		return nil
	}
	switch s.state {
	case atStart:
		if c != '{' {
			return startError(c)
		}
		return s.open(c)
	case atFirstKey, atKey:
		if c == '}' && s.state == atFirstKey {
			return s.close(c)
		}
		if c != '"' {
			return errNotJSON
		}
		s.beginString(atColon, s.depth == 1)
	case atColon:
		if c != ':' {
			return errNotJSON
		}
		s.state = atValue
	case atFirstItem, atValue:
		if c == ']' && s.state == atFirstItem {
			return s.close(c)
		}
		return s.beginValue(c)
	case atNext:
		return s.next(c)
	case atEnd:
		return errNotJSON
	}
	return nil
}

// startError tells a JSON value of another kind from what is no JSON.
func startError(c byte) error {
	switch {
	case c == '[', c == '"', c == '-', '0' <= c && c <= '9', c == 't', c == 'f', c == 'n':
		return errNotObject
	}
	return errNotJSON
}

func (s *modelScanner) beginValue(c byte) error {
	model := s.isModel
	s.isModel = false
	if model && c != '"' {
		s.noText = true
	}
	switch {
	case c == '{', c == '[':
		return s.open(c)
	case c == '"':
		s.beginString(atNext, model)
	case c == 't':
		s.state, s.rest = inLiteral, "rue"
	case c == 'f':
		s.state, s.rest = inLiteral, "alse"
	case c == 'n':
		s.state, s.rest = inLiteral, "ull"
	case c == '-':
		s.state = inMinus
	case c == '0':
		s.state = inZero
	case '1' <= c && c <= '9':
		s.state = inDigits
	default:
		return errNotJSON
	}
	return nil
}

// next takes the byte after a value.
func (s *modelScanner) next(c byte) error {
	if c == '}' || c == ']' {
		return s.close(c)
	}
	if c != ',' {
		return errNotJSON
	}
	if s.state = atKey; s.inArray() {
		s.state = atValue
	}
	return nil
}

func (s *modelScanner) inArray() bool {
	d := s.depth - 1
	return s.arrays[d/64]>>(d%64)&1 == 1
}

func (s *modelScanner) open(c byte) error {
	if s.depth == maxDepth {
		return errTooDeep
	}
	d := s.depth
	s.depth++
	if c == '[' {
		s.arrays[d/64] |= 1 << (d % 64)
		s.state = atFirstItem
		return nil
	}
	s.arrays[d/64] &^= 1 << (d % 64)
	s.state = atFirstKey
	return nil
}

func (s *modelScanner) close(c byte) error {
	if s.inArray() != (c == ']') {
		return errNotJSON
	}
	if s.state = atNext; s.depth == 1 {
		s.state = atEnd
	}
	s.depth--
	return nil
}
