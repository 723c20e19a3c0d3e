package quota

import (
	"sync"
	"time"
)

// Subject is one token or one project with limits. A nil *Subject has none: all its methods may be
// called.
type Subject struct {
	name  string
	key   string
	epoch time.Time

	mu         sync.Mutex // held for some tens of nanoseconds, never while waiting
	limits     Limits
	requests   minute
	tokens     minute
	budget     budget
	concurrent int64
	reserved   int64   // tokens that requests in flight may use
	typical    int64   // tokens that an answer has had of late, 256ths of one
	others     *others // what other boxes have counted; nil where nobody shares
}

// NewSubject is a subject of which spent tokens were used in its budget's window, up to now. name stands in
// what clients are told: `token "ci"`, `project "default"`. Nil where nothing is limited.
func NewSubject(name string, l Limits, spent int64, now time.Time) *Subject {
	if l.Unlimited() {
		return nil
	}
	s := &Subject{name: name, epoch: now, limits: l, typical: typicalAnswer * 256}
	s.budget.advance(l.Window, now)
	s.budget.before(spent)
	return s
}

// Limits of the subject; the zero value for nil.
func (s *Subject) Limits() Limits {
	if s == nil {
		return Limits{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

// SetLimits puts other limits on a subject while requests go on: what was counted counts on, and what is in flight is settled
// here. Of a budget whose window is another one now, or that is new, spent tokens were used. Without limits it refuses nothing.
func (s *Subject) SetLimits(l Limits, spent int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	if l.Budget > 0 && (s.limits.Budget == 0 || s.limits.Window != l.Window) {
		s.budget = budget{}
		s.budget.advance(l.Window, now)
		s.budget.before(spent)
	}
	s.limits = l
}

// advance brings the counts to now. The lock is held.
func (s *Subject) advance(now time.Time) {
	second := s.second(now)
	if s.limits.RequestsPerMinute > 0 {
		s.requests.advance(second)
	}
	if s.limits.TokensPerMinute > 0 {
		s.tokens.advance(second)
	}
	if s.limits.Budget > 0 {
		s.budget.advance(s.limits.Window, now)
	}
}

func (s *Subject) second(now time.Time) int64 { return int64(now.Sub(s.epoch) / time.Second) }

// refuses tells whether a request that may use expect tokens (0: it uses none) does not fit, and by
// which limit: of several, by the one that is longest in the way. The lock is held, the counts are at now.
//
// A request that expects more than a whole limit fits when it has all of the limit for itself: it would
// never be let in otherwise, and what it expects is a bound, not what it will use.
func (s *Subject) refuses(now time.Time, expect int64) (r Refusal, refused bool) {
	l := &s.limits
	note := func(kind Kind, limit, used int64, after time.Duration) {
		after = min(max(after, soonest), latest)
		if !refused || after > r.RetryAfter {
			r = Refusal{Kind: kind, Subject: s.name, Limit: limit, Left: max(limit-used, 0), Asked: expect, RetryAfter: after}
		}
		refused = true
	}
	if l.Concurrent > 0 && s.concurrent >= l.Concurrent {
		note(Concurrent, l.Concurrent, s.concurrent, 0)
	}
	if l.RequestsPerMinute > 0 && s.requests.sum >= l.RequestsPerMinute {
		note(Requests, l.RequestsPerMinute, s.requests.sum, s.frees(&s.requests, s.requests.sum-l.RequestsPerMinute+1, now))
	}
	if expect == 0 {
		return r, refused
	}
	if l.TokensPerMinute > 0 {
		if over := s.tokens.sum + s.reserved + min(expect, l.TokensPerMinute) - l.TokensPerMinute; over > 0 {
			note(Tokens, l.TokensPerMinute, s.tokens.sum+s.reserved, s.frees(&s.tokens, over, now))
		}
	}
	if l.Budget > 0 {
		if used := s.budget.spent + s.reserved; used+min(expect, l.Budget) > l.Budget {
			after, until := soonest, time.Time{}
			if s.budget.spent+min(expect, l.Budget) > l.Budget { // those in flight are not what is in the way
				after = latest
				if l.Window != Ever {
					until = time.Unix(s.budget.until, 0).UTC()
					after = until.Sub(now)
				}
			}
			note(Budget, l.Budget, used, after)
			if r.Kind == Budget {
				r.Window, r.Until = l.Window, until
			}
		}
	}
	return r, refused
}

// frees is how long from now until at least n of m has slid out of the minute.
func (s *Subject) frees(m *minute, n int64, now time.Time) time.Duration {
	return time.Duration(m.last+m.frees(n))*time.Second - now.Sub(s.epoch)
}

// take counts a request in. The lock is held, the counts are at its now.
func (s *Subject) take(expect int64) {
	s.concurrent++
	s.reserved += expect
	if s.limits.RequestsPerMinute > 0 {
		s.requests.add(1)
	}
}

// settle counts out a request that had reserved tokens and has used some.
func (s *Subject) settle(now time.Time, reserved, used, answer int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	s.concurrent--
	s.reserved -= reserved
	if s.limits.TokensPerMinute > 0 {
		s.tokens.add(used)
	}
	if s.limits.Budget > 0 {
		s.budget.spent += used
	}
	if answer > 0 {
		s.typical += (answer*256 - s.typical) / 16
	}
}

// Charge counts tokens that were used by a request that this subject did not let in, such as one that another process
// was answering. It refuses nothing.
func (s *Subject) Charge(now time.Time, used int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	if s.limits.TokensPerMinute > 0 {
		s.tokens.add(bounded(used))
	}
	if s.limits.Budget > 0 {
		s.budget.spent += bounded(used)
	}
}

// State is how a subject stands.
type State struct {
	Limits     Limits
	Requests   Meter
	Tokens     Meter // those reserved count as used
	InFlight   int64
	Spent      int64     // of the budget, without what is reserved
	SpentUntil time.Time // when the budget's next window begins; zero: never
}

// Meter is how a limit a minute stands. Limit is 0 where there is none.
type Meter struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // until all of Limit is there again, if nothing more comes and all in flight has ended
}

// State at now; the zero value for nil.
func (s *Subject) State(now time.Time) State {
	if s == nil {
		return State{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	st := State{Limits: s.limits, InFlight: s.concurrent, Spent: s.budget.spent}
	meter := func(m *minute, limit, held int64) Meter {
		if limit == 0 {
			return Meter{}
		}
		v := Meter{Limit: limit, Remaining: max(limit-m.sum-held, 0)}
		if m.sum > 0 {
			v.Reset = max(s.frees(m, m.sum, now), 0)
		}
		return v
	}
	st.Requests = meter(&s.requests, s.limits.RequestsPerMinute, 0)
	st.Tokens = meter(&s.tokens, s.limits.TokensPerMinute, s.reserved)
	s.others.state(now, &st)
	if s.limits.Budget > 0 && s.limits.Window != Ever {
		st.SpentUntil = time.Unix(s.budget.until, 0).UTC()
	}
	return st
}

func bounded(n int64) int64 { return min(max(n, 0), most) }
