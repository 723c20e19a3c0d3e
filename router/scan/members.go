package scan

import (
	"bytes"
	"math"
	"strconv"
)

// member is one that counts.
type member uint8

const (
	none member = iota
	model
	stream
	maxTokens
	maxCompletion
	maxOutput
	predict
	user
	cacheKey
	safetyID
	userID // in metadata
	streamOptions
	includeUsage // in stream_options
	metadata
)

// facts is what came of the members that count. Of one that comes twice the last counts, as it does in the decoders of
// engines; not so for the model.
type facts struct {
	names    int  // bytes of the model's name
	named    bool // it is known, and may be empty
	noText   bool
	conflict bool

	stream bool
	usage  bool
	limits [predict - maxTokens + 1]int64 // 0: not said
	users  int                            // bytes of the user
	userBy member

	// Where to write for AskUsage, in bytes from the body's start.
	root    int64 // of the object's bracket
	options span  // the value of stream_options; of an object only its bracket
	include span  // the value of include_usage; empty where there is none
}

type span struct {
	from, to int64
	first    byte // of the value; 0: there is none
}

// Model is the name that was found, decoded; valid until Reset.
func (s *Request) Model() []byte { return s.name[:s.names] }

// User is who asks, in the client's own words: user, else prompt_cache_key, safety_identifier or metadata.user_id. At
// most 256 bytes, decoded, empty where the client did not say; valid until Reset.
func (s *Request) User() []byte { return s.user[:s.users] }

// Stream tells whether the answer is to come as events.
func (f *facts) Stream() bool { return f.stream }

// MaxTokens is how many tokens the client lets the answer have, -1 where it did not say.
func (f *facts) MaxTokens() int64 {
	for _, m := range []member{maxCompletion, maxOutput, maxTokens, predict} {
		if n := f.limits[m-maxTokens]; n > 0 {
			return n
		}
	}
	return -1
}

// memberOf is the member that key names within inside.
func memberOf(key []byte, inside member) member {
	switch inside {
	case streamOptions:
		if string(key) == "include_usage" {
			return includeUsage
		}
		return none
	case metadata:
		if string(key) == "user_id" {
			return userID
		}
		return none
	}
	switch string(key) {
	case "model":
		return model
	case "stream":
		return stream
	case "max_tokens":
		return maxTokens
	case "max_completion_tokens":
		return maxCompletion
	case "max_output_tokens":
		return maxOutput
	case "n_predict":
		return predict
	case "user":
		return user
	case "prompt_cache_key":
		return cacheKey
	case "safety_identifier":
		return safetyID
	case "stream_options":
		return streamOptions
	case "metadata":
		return metadata
	}
	return none
}

// beginValue takes note of the first byte of a value that counts. The rest of the grammar is checked as it comes.
func (s *Request) beginValue(c byte, i int) {
	at := s.offset + int64(i)
	switch s.value {
	case model:
		s.noText = s.noText || c != '"'
		s.keep = c == '"'
	case user, cacheKey, safetyID, userID:
		s.keep = c == '"'
	case maxTokens, maxCompletion, maxOutput, predict:
		s.limits[s.value-maxTokens] = 0
		s.keep = c == '-' || '0' <= c && c <= '9'
	case stream:
		s.stream = c == 't'
	case streamOptions:
		s.options, s.include, s.usage = span{at, at + 1, c}, span{}, false
		switch c {
		case '{':
			s.keys, s.inside = 2, streamOptions
		case 'n':
			s.options.to = at + 4
		}
	case metadata:
		if c == '{' {
			s.keys, s.inside = 2, metadata
		}
	case includeUsage:
		s.usage = c == 't'
		s.include = span{at, at + 1 + int64(len(restOf(c))), c}
	}
	if !s.keep {
		s.value = none
	}
}

// hold keeps the beginning of what goes on in the next window.
func (s *Request) hold(p []byte) {
	n := copy(s.store[s.kept:], p)
	s.cut = s.cut || n < len(p)
	s.kept += n
}

// whole is what is kept with its end, bounded.
func (s *Request) whole(p []byte) []byte {
	if s.kept == 0 {
		return p
	}
	s.hold(p)
	p, s.kept = s.store[:s.kept], 0
	return p
}

// endKey looks at a key that may be one that counts.
func (s *Request) endKey(p []byte) {
	raw, cut := s.whole(p), s.cut
	s.keep, s.cut, s.value = false, false, none
	if !cut && len(raw) <= maxKey {
		s.value = s.member(raw)
	}
}

// endText takes a string that counts.
func (s *Request) endText(p []byte) error {
	raw, cut := s.whole(p), s.cut
	m := s.value
	s.keep, s.cut, s.value = false, false, none
	if m == model {
		if cut || len(raw) > MaxModel {
			return ErrModelTooLong
		}
		return s.endModel(raw)
	}
	if s.userBy == none || m <= s.userBy {
		s.userBy = m
		s.users = copy(s.user[:], unquote(s.user[:0], raw[:min(len(raw), maxUser)]))
	}
	return nil
}

func (s *Request) member(key []byte) member {
	m := memberOf(key, s.inside)
	if m == none && bytes.IndexByte(key, '\\') >= 0 {
		var decoded [maxKey]byte
		m = memberOf(unquote(decoded[:0], key), s.inside)
	}
	return m
}

// endModel takes the model's name.
func (s *Request) endModel(raw []byte) error {
	if s.named && bytes.Equal(raw, s.Model()) && bytes.IndexByte(raw, '\\') < 0 {
		return nil
	}
	into := s.name[:0]
	if s.named {
		into = nil // to compare
	}
	name := unquote(into, raw)
	switch {
	case len(name) > MaxModel:
		return ErrModelTooLong
	case !s.named:
		s.named, s.names = true, len(name)
	case !bytes.Equal(name, s.Model()):
		s.conflict = true
	}
	return nil
}

// endNumber takes a limit of tokens. Some clients say it as 100.0, and some say -1 for no limit.
func (s *Request) endNumber(p []byte) {
	raw, cut := s.whole(p), s.cut
	m := s.value
	s.keep, s.cut, s.value = false, false, none
	if cut || len(raw) > maxNumber {
		return
	}
	if n, whole := digits(raw); whole {
		s.limits[m-maxTokens] = min(n, math.MaxInt32)
	} else if f, err := strconv.ParseFloat(string(raw), 64); err == nil && f >= 1 {
		s.limits[m-maxTokens] = int64(min(f, math.MaxInt32))
	}
}

// digits reads a number that has nothing but digits.
func digits(p []byte) (n int64, whole bool) {
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), math.MaxInt32)
	}
	return n, true
}
