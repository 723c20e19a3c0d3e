package record

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of what is captured.
const (
	MostCaptures = 1000     // of one service
	mostBody     = 64 << 10 // bytes of one body
	mostFields   = 200      // of one head
	mostField    = 8 << 10  // bytes of a field's value
	mostTarget   = 4 << 10
	briefTarget  = 256      // of a list
	mostOfRing   = 16 << 20 // bytes of all bodies of one service: the oldest go first
)

// Captures keeps the last requests of the services that ask for it, with their answers. Secrets are taken out.
type Captures struct {
	number atomic.Int64 // of the last one

	mu    sync.Mutex
	rings map[string]*Ring // by service id
}

// Ring keeps those of one service. Its methods may be called on nil: nothing is kept then.
type Ring struct {
	of    *Captures
	bytes atomic.Int64 // of bodies

	mu   sync.Mutex
	most int
	all  []*Capture // oldest first, those under way too
}

// Capture is one request while it is under way. Its methods may be called on nil, and after newer ones have taken its place.
// They may be called from several goroutines: an answer may come while the request still does.
type Capture struct {
	ring *Ring

	mu   sync.Mutex
	gone bool // newer ones have taken its place
	got  Captured
}

// Captured is one request and its answer, as far as they have come.
type Captured struct {
	Number  int64
	At      time.Time
	Ended   bool
	Did     Record // zero until it has ended
	Method  string
	Target  string // path and query, as the client sent them
	Request Message
	Answer  Message
}

// Message is one side of it.
type Message struct {
	Fields []Field
	Body   []byte
	Size   int64 // of the body that came
	Cut    bool  // Body is not all of it
}

// Field is a field of a head.
type Field struct{ Name, Value string }

// NewCaptures keeps nothing until Set.
func NewCaptures() *Captures { return &Captures{rings: map[string]*Ring{}} }

// Set says how many are kept of each service, by its id. What is kept of others is forgotten.
func (c *Captures) Set(most map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, r := range c.rings {
		if most[id] <= 0 {
			r.resize(0)
			delete(c.rings, id)
		}
	}
	for id, n := range most {
		if n <= 0 {
			continue
		}
		if c.rings[id] == nil {
			c.rings[id] = &Ring{of: c}
		}
		c.rings[id].resize(min(n, MostCaptures))
	}
}

// Of gives the place of a service's requests; nil where none are kept, or no Captures.
func (c *Captures) Of(serviceID string) *Ring {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rings[serviceID]
}

func (r *Ring) resize(most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.trim()
}

// trim drops the oldest that are too many, or too much.
func (r *Ring) trim() {
	for len(r.all) > 0 && (len(r.all) > r.most || r.bytes.Load() > mostOfRing) {
		r.all[0].drop()
		r.all = slices.Delete(r.all, 0, 1)
	}
}

// Begin keeps a request from now on, in the place of the oldest where there are enough.
func (r *Ring) Begin(now time.Time) *Capture {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Capture{ring: r}
	c.got.Number, c.got.At = r.of.number.Add(1), now
	if r.most <= 0 { // captures have just been turned off
		c.gone = true
		return c
	}
	r.all = append(r.all, c)
	r.trim()
	return c
}

func (c *Capture) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring.bytes.Add(-int64(len(c.got.Request.Body) + len(c.got.Answer.Body)))
	c.gone, c.got = true, Captured{}
}

// change changes what is kept, if it still is.
func (c *Capture) change(do func(*Captured)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		do(&c.got)
	}
}

// Line keeps the request's first line.
func (c *Capture) Line(method, target string) {
	c.change(func(g *Captured) { g.Method, g.Target = strings.Clone(method), clip(target, mostTarget) })
}

// Field keeps a field of the request's head.
func (c *Capture) Field(name, value string) {
	c.change(func(g *Captured) { g.Request.field(name, value) })
}

// Body keeps a piece of the request's body.
func (c *Capture) Body(p []byte) { c.change(func(g *Captured) { c.body(&g.Request, p) }) }

// AnswerField keeps a field of the answer's head.
func (c *Capture) AnswerField(name, value string) {
	c.change(func(g *Captured) { g.Answer.field(name, value) })
}

// AnswerBody keeps a piece of the answer's body.
func (c *Capture) AnswerBody(p []byte) { c.change(func(g *Captured) { c.body(&g.Answer, p) }) }

// Head keeps the fields of the request's head.
func (c *Capture) Head(h http.Header) {
	if c == nil {
		return
	}
	for name, values := range h {
		for _, v := range values {
			c.Field(name, v)
		}
	}
}

// End keeps what the request did. Nothing is kept of it after that.
func (c *Capture) End(did *Record) {
	c.change(func(g *Captured) { g.Did, g.Ended = did.Clone(), true })
}

func (m *Message) field(name, value string) {
	if len(m.Fields) < mostFields {
		name = clip(name, mostField)
		m.Fields = append(m.Fields, Field{name, redactField(name, clip(value, mostField))})
	}
}

func (c *Capture) body(m *Message, p []byte) {
	m.Size += int64(len(p))
	whole := len(p)
	p = p[:min(len(p), mostBody-len(m.Body))]
	m.Cut = m.Cut || len(p) < whole
	m.Body = append(m.Body, p...)
	c.ring.bytes.Add(int64(len(p)))
}

func clip(s string, most int) string { return strings.Clone(s[:min(len(s), most)]) }

// List gives what is kept of a service, newest first, without heads, bodies and queries; ok is false where nothing is to be kept.
func (c *Captures) List(serviceID string) (all []Captured, ok bool) {
	r := c.Of(serviceID)
	if r == nil {
		return nil, false
	}
	for _, one := range slices.Backward(r.current()) {
		one.change(func(g *Captured) {
			brief := *g
			path, _, _ := strings.Cut(g.Target, "?")
			brief.Target = string(redactText([]byte(clip(path, briefTarget))))
			brief.Request, brief.Answer = Message{Size: g.Request.Size}, Message{Size: g.Answer.Size}
			all = append(all, brief)
		})
	}
	return all, true
}

func (r *Ring) current() []*Capture {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Get gives one, by its number or its request's id: the newest where several requests have it.
func (c *Captures) Get(serviceID, ref string) (got Captured, ok bool) {
	r := c.Of(serviceID)
	if r == nil {
		return Captured{}, false
	}
	number, _ := strconv.ParseInt(ref, 10, 64)
	for _, one := range slices.Backward(r.current()) {
		one.change(func(g *Captured) {
			if g.Number == number || g.Ended && g.Did.ID == ref {
				got, ok = g.clone(), true
			}
		})
		if ok {
			return got.redacted(), true
		}
	}
	return Captured{}, false
}

// Clear forgets what is kept of a service.
func (c *Captures) Clear(serviceID string) {
	r := c.Of(serviceID)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		one.drop()
	}
	r.all = nil
}

// clone copies what goes on to change.
func (g *Captured) clone() Captured {
	out := *g
	for _, m := range []*Message{&out.Request, &out.Answer} {
		m.Fields, m.Body = slices.Clone(m.Fields), slices.Clone(m.Body)
		slices.SortStableFunc(m.Fields, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

// redacted takes secrets out of what is in pieces while it comes, and takes its time: only what is looked at pays for it.
// Fields that are called after a secret have none any more.
func (g Captured) redacted() Captured {
	g.Target = redactTarget(g.Target)
	for _, m := range []*Message{&g.Request, &g.Answer} {
		m.Body = redactText(m.Body)
		for i := range m.Fields {
			m.Fields[i].Value = string(redactText([]byte(m.Fields[i].Value)))
		}
	}
	return g
}
