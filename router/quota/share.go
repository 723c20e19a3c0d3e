package quota

import "time"

// Elsewhere is what other boxes than this one have counted for a subject.
type Elsewhere struct {
	Requests, Tokens           int64         // in the minute; those reserved are in Tokens
	RequestsReset, TokensReset time.Duration // until all of that has slid out of the minute
	Concurrent                 int64
	Spent, From                int64 // of the budget in the window that began at From, Unix seconds
}

// others are what was last heard from elsewhere.
type others struct {
	Elsewhere
	heard  time.Time
	outage int64 // the last one in which the subject counted alone
	// Of the budget, all in all, when that began, or the window that begins at from did.
	spent, from int64
}

// state adds what others use to what one's own box does. Nil adds nothing.
func (o *others) state(now time.Time, st *State) {
	if o == nil {
		return
	}
	since := now.Sub(o.heard)
	add := func(m *Meter, used int64, reset time.Duration) {
		if m.Limit > 0 && reset > since {
			m.Remaining, m.Reset = max(m.Remaining-used, 0), max(m.Reset, reset-since)
		}
	}
	add(&st.Requests, o.Requests, o.RequestsReset)
	add(&st.Tokens, o.Tokens, o.TokensReset)
	st.InFlight += o.Concurrent
}

// requestsAt and tokensAt are what of the minute is still taken by others, in full until all of it has slid out.
func (o *others) requestsAt(now time.Time) (used int64, free time.Duration) {
	if free = o.RequestsReset - now.Sub(o.heard); free > 0 {
		used = o.Requests
	}
	return used, free
}

func (o *others) tokensAt(now time.Time) (used int64, free time.Duration) {
	if free = o.TokensReset - now.Sub(o.heard); free > 0 {
		used = o.Tokens
	}
	return used, free
}

// Hear notes what other boxes have counted.
func (s *Subject) Hear(now time.Time, e Elsewhere) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	if s.others == nil {
		s.others = &others{}
	}
	s.others.Elsewhere, s.others.heard = e, now
	if b := &s.budget; s.limits.Budget > 0 && e.From == b.from {
		b.spent += e.Spent - b.elsewhere
		b.elsewhere = e.Spent
	}
}

// before is what was spent by others, or by this box before it began.
func (b *budget) before(spent int64) { b.spent, b.elsewhere = bounded(spent), bounded(spent) }

// Keyed gives the subject the name by which all boxes know it; nil stays nil.
func (s *Subject) Keyed(key string) *Subject {
	if s != nil {
		s.key = key
	}
	return s
}

// Claim is what a box tells the others of a subject when it asks to let a request in.
type Claim struct {
	Key         string
	Limits      Limits
	Spent, From int64 // what others are known to have spent of the budget, in the window that began at From
}

// Claim of the subject at now.
func (s *Subject) Claim(now time.Time) Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	return s.claim()
}

// claim is Claim; the lock is held, the counts are at their now.
func (s *Subject) claim() Claim {
	key := s.key
	if key == "" {
		key = s.name
	}
	return Claim{Key: key, Limits: s.limits, Spent: s.budget.elsewhere, From: s.budget.from}
}

// Own is all that a box itself has counted for a subject: what the others are to have of it, whatever they had before.
type Own struct {
	Claim
	Requests, Tokens     [span]int64 // by how many seconds ago: the current one first
	Concurrent, Reserved int64
	OwnSpent             int64 // of the budget, by this box, in the window of Claim
	Told                 bool  // the others have heard of that before, and have answered
}

// Own of the subject at now.
func (s *Subject) Own(now time.Time) Own {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	o := Own{Claim: s.claim()}
	for ago := range int64(span) {
		if at := s.requests.last - ago; s.limits.RequestsPerMinute > 0 && at >= 0 {
			o.Requests[ago] = s.requests.at[at%span]
		}
		if at := s.tokens.last - ago; s.limits.TokensPerMinute > 0 && at >= 0 {
			o.Tokens[ago] = s.tokens.at[at%span]
		}
	}
	o.Concurrent, o.Reserved, o.OwnSpent = s.concurrent, s.reserved, s.budget.spent-s.budget.elsewhere
	o.Told = s.others != nil && !s.others.heard.IsZero() && s.others.From == s.budget.from
	return o
}

// Idle tells that nothing is in flight on this box.
func (s *Subject) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.concurrent == 0
}

// Alone says how a box counts that cannot ask the others.
type Alone struct {
	Boxes  int   // that share the limits, this one among them; less than 1 is 1
	Outage int64 // which time it is that they count apart
}

// share of a limit: rounded up, so that each box lets something in. All shares together are at most a limit and one for each
// box more.
func (a Alone) share(limit int64) int64 {
	boxes := int64(max(a.Boxes, 1))
	return (limit + boxes - 1) / boxes
}

// TakeAlone lets a request in by what this box has counted and its share of the limits. What was heard of the others counts
// until it has slid out of the minute. by settles the grant.
func (c *Call) TakeAlone(now time.Time, a Alone, by Counter) (g Grant, r Refusal, ok bool) {
	for _, s := range c.Payers[:c.N] {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	refused := false
	for _, s := range c.Payers[:c.N] {
		s.advance(now)
		if why, is := s.refusesAlone(now, c.Reserved, a); is && (!refused || why.RetryAfter > r.RetryAfter) {
			r, refused = why, true
		}
	}
	if refused {
		return Grant{}, r, false
	}
	for _, s := range c.Payers[:c.N] {
		s.take(c.Reserved)
	}
	return Grant{payers: c.Payers, reserved: c.Reserved, prompt: c.prompt, counter: by}, Refusal{}, true
}

// refusesAlone is refuses for a share of the limits. The lock is held, the counts are at now.
func (s *Subject) refusesAlone(now time.Time, expect int64, a Alone) (r Refusal, refused bool) {
	if s.others == nil {
		s.others = &others{}
	}
	o, whole := s.others, s.limits
	if o.outage != a.Outage || o.from != s.budget.from {
		o.outage, o.spent, o.from = a.Outage, s.budget.spent, s.budget.from
	}
	note := func(kind Kind, limit, share, used int64, after time.Duration) {
		after = min(max(after, soonest), latest)
		if !refused || after > r.RetryAfter {
			r = Refusal{Kind: kind, Subject: s.name, Limit: limit, Left: max(share-used, 0), Asked: expect, RetryAfter: after, Boxes: a.Boxes, Share: share}
		}
		refused = true
	}
	if share := a.share(whole.Concurrent); share > 0 && s.concurrent >= share {
		note(Concurrent, whole.Concurrent, share, s.concurrent, 0)
	}
	if share := a.share(whole.RequestsPerMinute); share > 0 {
		theirs, free := o.requestsAt(now)
		if over := s.requests.sum + 1 - share; over > 0 {
			note(Requests, whole.RequestsPerMinute, share, s.requests.sum, s.frees(&s.requests, over, now))
		} else if theirs+s.requests.sum >= whole.RequestsPerMinute {
			note(Requests, whole.RequestsPerMinute, share, share, free)
		}
	}
	if expect == 0 {
		return r, refused
	}
	if share := a.share(whole.TokensPerMinute); share > 0 {
		theirs, free := o.tokensAt(now)
		used := s.tokens.sum + s.reserved
		if over := used + min(expect, share) - share; over > 0 {
			note(Tokens, whole.TokensPerMinute, share, used, s.frees(&s.tokens, over, now))
		} else if theirs > 0 && theirs+used+min(expect, whole.TokensPerMinute) > whole.TokensPerMinute {
			note(Tokens, whole.TokensPerMinute, share, share, free)
		}
	}
	until := s.refusesBudgetAlone(now, expect, a, note)
	if r.Kind == Budget {
		r.Window, r.Until = whole.Window, until
	}
	return r, refused
}

// refusesBudgetAlone: of what was left of a budget when the boxes lost each other, this one may spend its share. It gives when
// there is more, where it is not those in flight that are in the way.
func (s *Subject) refusesBudgetAlone(now time.Time, expect int64, a Alone, note func(kind Kind, limit, share, used int64, after time.Duration)) (until time.Time) {
	whole := s.limits.Budget
	if whole == 0 {
		return until
	}
	before := s.others.spent
	share := a.share(max(whole-before, 0))
	spent := s.budget.spent - before
	if share > 0 && spent+s.reserved+min(expect, share) <= share {
		return until
	}
	after := soonest
	if share == 0 || spent+min(expect, share) > share {
		after = latest
		if s.limits.Window != Ever {
			until = time.Unix(s.budget.until, 0).UTC()
			after = until.Sub(now)
		}
	}
	note(Budget, whole, share, spent+s.reserved, after)
	return until
}
