package quota

import (
	"strconv"
	"time"
)

// Payers are the subjects that one request counts for: its token, its project. Nil ones have no limits.
type Payers [2]*Subject

// None tells that nothing is limited: nothing has to be taken.
func (p Payers) None() bool { return p[0] == nil && p[1] == nil }

// Ask is what a request may use.
type Ask struct {
	Bytes  int64 // of its body, as far as that is known: a bound of its prompt is guessed from it. 0: it uses no tokens
	Answer int64 // the most tokens that its answer may have; less than 0: it did not say
}

// How tokens are guessed before an engine has counted them.
const (
	bytesPerToken = 4
	longestGuess  = 32 << 10 // tokens: what is longer has pictures or sound in it more often than text
	typicalAnswer = 256      // tokens, until it is known better
)

// Grant is that a request was let in, and what is reserved for it. It has to be settled once, whatever
// becomes of the request. The zero value holds nothing.
type Grant struct {
	payers   Payers
	reserved int64
	prompt   int64 // of reserved
}

// Reserved is how many tokens are held for the request.
func (g *Grant) Reserved() int64 { return g.reserved }

// Take lets a request in, for all payers or for none, or says why not. Nothing waits.
func (p Payers) Take(now time.Time, ask Ask) (Grant, Refusal, bool) {
	a, b := p[0], p[1]
	if a == nil {
		a, b = b, nil
	}
	if a == nil {
		return Grant{}, Refusal{}, true
	}
	if a == b {
		b = nil
	}
	// Always in this order, the token before its project, so that no two wait for each other.
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	g := Grant{payers: Payers{a, b}}
	g.prompt, g.reserved = ask.expect(a.typical)
	r, refused := a.refuses(now, g.reserved)
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.advance(now)
		if also, is := b.refuses(now, g.reserved); is && (!refused || also.RetryAfter > r.RetryAfter) {
			r, refused = also, true
		}
	}
	if refused {
		return Grant{}, r, false
	}
	a.take(g.reserved)
	if b != nil {
		b.take(g.reserved)
	}
	return g, Refusal{}, true
}

// expect is how many tokens are to be reserved, and how many of them for the prompt.
func (a Ask) expect(typical int64) (prompt, all int64) {
	if a.Bytes <= 0 {
		return 0, 0
	}
	prompt = min(a.Bytes/bytesPerToken+1, longestGuess)
	if a.Answer < 0 {
		return prompt, prompt + typical/256
	}
	return prompt, prompt + bounded(a.Answer)
}

// Settle ends the request, which has used that many tokens (0 where it came to nothing). It may be
// called again: only the first call of the same Grant counts.
func (g *Grant) Settle(now time.Time, used int64) {
	used = bounded(used)
	answer := max(used-g.prompt, 0)
	for _, s := range g.payers {
		if s != nil {
			s.settle(now, g.reserved, used, answer)
		}
	}
	*g = Grant{}
}

// Kind of a limit.
type Kind uint8

// The kinds of limits.
const (
	Requests   Kind = iota + 1 // a minute
	Tokens                     // a minute
	Concurrent                 // requests at a time
	Budget                     // tokens in a window
)

func (k Kind) String() string {
	switch k {
	case Requests:
		return nameRequests
	case Tokens:
		return nameTokens
	case Concurrent:
		return nameConcurrent
	case Budget:
		return nameBudget
	}
	return "none"
}

// A refused client is to wait at least and at most so long.
const (
	soonest = time.Second
	latest  = time.Minute
)

// Refusal is that a request does not fit.
type Refusal struct {
	Kind       Kind
	Subject    string // as it was named
	Limit      int64
	Left       int64 // of Limit, now
	Asked      int64 // tokens that the request may use
	RetryAfter time.Duration
	Window     Window    // of a budget
	Until      time.Time // of a budget that is spent: when there is more; zero: never, or when those in flight have ended
}

// Message is what to tell the client: what is limited, how it stands, what to do.
func (r Refusal) Message() string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	wait := " Try again in " + n(int64((r.RetryAfter+time.Second-1)/time.Second)) + " s."
	switch r.Kind {
	case Requests:
		return "Rate limit reached for " + r.Subject + ": " + n(r.Limit) + " requests per minute." + wait
	case Concurrent:
		return "Too many requests at a time for " + r.Subject + ": at most " + n(r.Limit) + "." + wait
	case Tokens:
		return "Rate limit reached for " + r.Subject + ": " + n(r.Limit) + " tokens per minute, of which " + n(r.Left) +
			" are left, and this request may use " + n(r.Asked) + "." + wait
	case Budget:
		window, more := "", " Ask the owner for more."
		if r.Window != Ever {
			window = " for one " + string(r.Window)
		}
		if !r.Until.IsZero() {
			more = " There is more from " + r.Until.Format(time.RFC3339) + "."
		} else if r.RetryAfter < latest {
			more = wait
		}
		return "The budget of " + r.Subject + " does not suffice: " + n(r.Limit) + " tokens" + window + ", of which " + n(r.Left) +
			" are left, and this request may use " + n(r.Asked) + "." + more
	}
	return ""
}
