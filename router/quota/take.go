package quota

import (
	"strconv"
	"time"
)

// Payers are the subjects that one request counts for: its token, its service's project, the person who issued its token. Nil
// ones have no limits.
type Payers [3]*Subject

// None tells that nothing is limited: nothing has to be taken.
func (p Payers) None() bool { return p[0] == nil && p[1] == nil && p[2] == nil }

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
	prompt   int64   // of reserved
	counter  Counter // that let it in; nil: the payers themselves
}

// Reserved is how many tokens are held for the request.
func (g *Grant) Reserved() int64 { return g.reserved }

// Take lets a request in, for all payers or for none, or says why not. Nothing waits.
func (p Payers) Take(now time.Time, ask Ask) (Grant, Refusal, bool) {
	payers, n := p.distinct()
	if n == 0 {
		return Grant{}, Refusal{}, true
	}
	// Always in this order, the token, its project, the person, so that no two wait for each other.
	for _, one := range payers[:n] {
		one.mu.Lock()
	}
	g, r, ok := payers.take(n, now, ask)
	for _, one := range payers[:n] {
		one.mu.Unlock()
	}
	return g, r, ok
}

// distinct are the n subjects among the payers.
func (p Payers) distinct() (payers Payers, n int) {
	for _, one := range p {
		if one != nil && one != payers[0] && one != payers[1] {
			payers[n] = one
			n++
		}
	}
	return payers, n
}

// take is Take for the first n, whose locks are held.
func (p Payers) take(n int, now time.Time, ask Ask) (g Grant, r Refusal, ok bool) {
	g.payers = p
	g.prompt, g.reserved = ask.expect(p[0].typical)
	refused := false
	for _, one := range p[:n] {
		one.advance(now)
		if why, is := one.refuses(now, g.reserved); is && (!refused || why.RetryAfter > r.RetryAfter) {
			r, refused = why, true
		}
	}
	if refused {
		return Grant{}, r, false
	}
	for _, one := range p[:n] {
		one.take(g.reserved)
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
	if g.counter != nil {
		g.counter.Settle(now, Settlement{Payers: g.payers, Reserved: g.reserved, Used: used, Answer: answer})
		*g = Grant{}
		return
	}
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
	Boxes      int       // more than 1: the limit is of so many boxes, which count apart now, and Share of it is this one's
	Share      int64
}

// Message is what to tell the client: what is limited, how it stands, what to do.
func (r Refusal) Message() string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	wait := " Try again in " + n(int64((r.RetryAfter+time.Second-1)/time.Second)) + " s."
	if r.Boxes > 1 {
		wait = " For the moment " + n(int64(r.Boxes)) + " boxes count apart, and " + n(r.Share) + " of it is the share of this one." + wait
	}
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
