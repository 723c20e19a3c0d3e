package quota

import "time"

// Counter lets requests in for several boxes together, in the place of Payers.Take.
type Counter interface {
	// Take is Payers.Take over all boxes. It may wait, for no longer than the counter's bound: where the others cannot be
	// asked in time, it decides with what this box knows.
	Take(now time.Time, p Payers, ask Ask) (Grant, Refusal, bool)
	// Settle counts out what Take let in: Grant.Settle calls it. It does not wait.
	Settle(now time.Time, s Settlement)
	// Charge counts tokens that a request has used which another process of this box let in, for distinct payers, unless that one has
	// told the others itself.
	Charge(now time.Time, p Payers, used int64)
}

// Settlement is the end of a request that a Counter let in.
type Settlement struct {
	Payers         Payers // distinct, nil ones last
	Reserved, Used int64  // tokens
	Answer         int64  // tokens of Used that were the answer's; 0: not known
}

// Call is a request that a Counter is to decide.
type Call struct {
	Payers   Payers // distinct ones; the first N are there
	N        int
	Reserved int64 // tokens that the request may use
	prompt   int64
}

// Call makes of an ask what a Counter needs of it.
func (p Payers) Call(ask Ask) Call {
	c := Call{}
	if c.Payers, c.N = p.distinct(); c.N == 0 {
		return c
	}
	first := c.Payers[0]
	first.mu.Lock()
	defer first.mu.Unlock()
	c.prompt, c.Reserved = ask.expect(first.typical)
	return c
}

// CountIn counts a call in that was let in elsewhere, and gives the grant that has it settled by by.
func (c *Call) CountIn(now time.Time, by Counter) Grant {
	for _, s := range c.Payers[:c.N] {
		s.mu.Lock()
		s.advance(now)
		s.take(c.Reserved)
		s.mu.Unlock()
	}
	return Grant{payers: c.Payers, reserved: c.Reserved, prompt: c.prompt, counter: by}
}

// CountOut is the end of a request in what its subjects count themselves.
func (s *Settlement) CountOut(now time.Time) {
	for _, one := range s.Payers {
		if one != nil {
			one.settle(now, s.Reserved, s.Used, s.Answer)
		}
	}
}

// Refuse makes of what the others said a refusal for the i-th payer: it knows the subject's name and limits.
func (c *Call) Refuse(i int, kind Kind, used int64, after time.Duration, until time.Time) Refusal {
	s := c.Payers[i]
	l := s.Limits()
	r := Refusal{Kind: kind, Subject: s.name, Asked: c.Reserved, RetryAfter: min(max(after, soonest), latest)}
	switch kind {
	case Requests:
		r.Limit = l.RequestsPerMinute
	case Tokens:
		r.Limit = l.TokensPerMinute
	case Concurrent:
		r.Limit = l.Concurrent
	case Budget:
		r.Limit, r.Window, r.Until = l.Budget, l.Window, until
	}
	r.Left = max(r.Limit-used, 0)
	return r
}
