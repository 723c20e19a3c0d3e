package trust

import (
	"maps"
	"sync"
	"time"
)

// Wrong tokens from one address: the first ones are free, then each costs twice the wait of the one before.
const (
	freeAttempts  = 3
	firstWait     = time.Second
	longestWait   = time.Minute
	forgetAttempt = 10 * time.Minute
	mostAddresses = 4096
)

type attempts struct {
	wrong int
	last  time.Time
}

func (a attempts) until() time.Time {
	if a.wrong < freeAttempts {
		return time.Time{}
	}
	return a.last.Add(min(firstWait<<min(a.wrong-freeAttempts, 10), longestWait))
}

// slowdown remembers who came with wrong tokens. In memory: a secret of 160 bits is not found by trying; what is to be
// stopped is a box that asks wrongly for ever.
type slowdown struct {
	mu   sync.Mutex
	from map[string]attempts
}

// wait is how long from has to wait; 0 is not at all.
func (s *slowdown) wait(from string, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.from[from].until().Sub(now), 0)
}

func (s *slowdown) wrong(from string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == nil {
		s.from = map[string]attempts{}
	}
	a := s.from[from]
	if now.Sub(a.last) > forgetAttempt {
		a.wrong = 0
	}
	if _, known := s.from[from]; !known && len(s.from) >= mostAddresses {
		maps.DeleteFunc(s.from, func(_ string, a attempts) bool { return now.Sub(a.last) > longestWait })
		if len(s.from) >= mostAddresses {
			clear(s.from) // somebody has more addresses than we have memory for
		}
	}
	s.from[from] = attempts{wrong: a.wrong + 1, last: now}
}
