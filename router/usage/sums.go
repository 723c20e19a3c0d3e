package usage

import (
	"strings"
	"time"
)

// Other stands in the place of a token or a model where there were too many of them to keep apart.
const Other = "(other)"

// Key says whose use it was, and of what. Project and Service go with ServiceID: keys that differ in them alone are one.
type Key struct {
	Token     string // its id; "" without one
	Project   string // of the service
	ServiceID string
	Service   string // its name
	Model     string // as the client named it; "" where it named none
}

// clone is a copy that shares no memory with k, whose text may lie in a request's buffer. One allocation.
func (k *Key) clone() Key {
	all := strings.Join([]string{k.Token, k.Project, k.ServiceID, k.Service, k.Model}, "")
	next := func(n int) (part string) {
		part, all = all[:n], all[n:]
		return part
	}
	return Key{
		Token: next(len(k.Token)), Project: next(len(k.Project)), ServiceID: next(len(k.ServiceID)),
		Service: next(len(k.Service)), Model: next(len(k.Model)),
	}
}

// Sample is what one request used.
type Sample struct {
	At         time.Time     // when it ended: the hour that it counts in
	Status     int           // HTTP
	Aborted    bool          // the client went before the answer was complete
	Cut        bool          // the route broke off an answer that had begun
	Prompt     int64         // tokens, those of Cached among them
	Completion int64         // tokens
	Cached     int64         // tokens of Prompt that the engine had in its cache
	Estimated  bool          // Completion was counted from events: the engine said nothing
	First      time.Duration // to the first bytes of a streamed answer; 0: it was not streamed
	Took       time.Duration // to the end of the answer
}

// Class is how requests ended.
type Class uint8

// The classes. Numbers are kept in stores and never change their meaning.
const (
	ClassAborted Class = iota // the client went
	Class1xx                  // switched to another protocol
	Class2xx
	Class3xx
	Class4xx
	Class5xx
	ClassCut // began well and was cut off by the route
	classes
)

// String is "aborted", "1xx" to "5xx", or "cut".
func (c Class) String() string {
	names := [classes]string{"aborted", "1xx", "2xx", "3xx", "4xx", "5xx", "cut"}
	if int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// Failed reports whether requests of the class did not get what they asked for, the client not being the one who went.
func (c Class) Failed() bool { return c == Class4xx || c == Class5xx || c == ClassCut }

func (s *Sample) class() Class {
	switch {
	case s.Aborted:
		return ClassAborted
	case s.Cut:
		return ClassCut
	}
	return Class(min(max(s.Status/100, 1), 5))
}

// Sums are what requests used together.
type Sums struct {
	Requests   int64
	Prompt     int64 // tokens
	Completion int64 // tokens
	Cached     int64 // tokens, of Prompt
	Estimated  int64 // tokens of Completion that nobody but the router has counted
	Streams    int64 // requests in First
	First      int64 // microseconds to first bytes, over Streams
	Took       int64 // microseconds, over Requests
}

// most bounds what one request may add, since engines may say anything: sums must not run over in a century.
const most = 1 << 32

func bounded(n int64) int64 { return min(max(n, 0), most) }

func (u *Sums) sample(s *Sample) {
	u.Requests++
	u.Prompt += bounded(s.Prompt)
	u.Completion += bounded(s.Completion)
	u.Cached += bounded(min(s.Cached, s.Prompt))
	if s.Estimated {
		u.Estimated += bounded(s.Completion)
	}
	if s.First > 0 {
		u.Streams++
		u.First += s.First.Microseconds()
	}
	u.Took += max(s.Took.Microseconds(), 0)
}

// Add adds what o has.
func (u *Sums) Add(o *Sums) {
	u.Requests += o.Requests
	u.Prompt += o.Prompt
	u.Completion += o.Completion
	u.Cached += o.Cached
	u.Estimated += o.Estimated
	u.Streams += o.Streams
	u.First += o.First
	u.Took += o.Took
}

// Row is what was used in one hour, by one key, ending in one way.
type Row struct {
	Hour time.Time // its beginning, UTC
	Key
	Class Class
	Sums
}

const hourSeconds = 3600

// bucket is what a Row's sums are summed by.
type bucket struct {
	token, serviceID, model string
	when                    int64 // hours since 1970 UTC, times 8, and the class: one number hashes faster than two
}

func newBucket(k *Key, hour int64, c Class) bucket {
	return bucket{token: k.Token, serviceID: k.ServiceID, model: k.Model, when: hour<<3 | int64(c)}
}

// entry is what a bucket's sums are kept with.
type entry struct {
	Key
	hour  int64 // since 1970 UTC
	class Class
	place int // of its sums in the journal's area; 0: it has none yet
	Sums
}

func (e *entry) row() Row {
	return Row{Hour: time.Unix(e.hour*hourSeconds, 0).UTC(), Key: e.Key, Class: e.class, Sums: e.Sums}
}
