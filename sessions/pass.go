package sessions

import (
	"context"
	"errors"
	"time"
)

// passEvery is how often all is looked at though nothing is known to have happened.
const passEvery = 10 * time.Second

// loopState is what the loop has seen and decided.
type loopState struct {
	all     time.Time          // when it looked at everything
	away    map[string]Vacancy // what Away said last of boxes that anything was on
	pool    uint64             // version of the ledger by which broken was found
	broken  map[string]string  // devices that are broken: see Manager.broken
	waiting map[string]bool    // sessions that are pending
	placed  uint64             // version of the ledger by which it was decided last who of them goes where
	again   time.Time          // when to decide that anew though nothing changes
}

// news is what one pass goes by.
type news struct {
	all      bool
	looked   bool            // what is known of boxes has changed
	services map[string]bool // that have changed, by id
	sessions map[string]bool // the same
}

// pass looks at what has changed, and at everything every passEvery; it does what Plan and Place say, and returns when to look again.
func (m *Manager) pass(ctx context.Context, now time.Time) time.Duration {
	started := time.Now()
	wait, n := passEvery, news{looked: m.looked.Swap(false)}
	n.services, n.all = m.plans.takeServices()
	if n.all = n.all || now.Sub(m.loop.all) >= passEvery; n.all {
		m.loop.all = now
		m.views.everything()
	}
	if m.take(ctx) == nil {
		m.endFaulty(ctx)
		m.lookAround(&n)
		wait = m.decide(ctx, now, n)
		m.give()
	} else {
		m.putBack(n)
	}
	n.sessions = m.plans.takeSessions() // also those that the plan has just made
	m.moveAway(n)
	wait = min(wait, m.tend(now))
	wait = min(wait, m.place(ctx, now, n))
	if n.all {
		m.forgetOld(now)
	}
	m.publish()
	wait = min(wait, max(m.loop.all.Add(passEvery).Sub(now), time.Millisecond))
	m.metrics.pass.Observe(time.Since(started).Seconds())
	return wait
}

// putBack marks again what a pass has not come to.
func (m *Manager) putBack(n news) {
	if n.all {
		m.plans.everything()
	}
	if n.looked {
		m.looked.Store(true)
	}
	for id := range n.services {
		m.plans.add(id, "")
	}
}

// decide does what Plan says of every service that has changed, or whose time has come. A store that is away ends the round: each
// further write would wait for it as long as the first. The caller holds writing.
func (m *Manager) decide(ctx context.Context, now time.Time, n news) time.Duration {
	wait := passEvery
	for _, s := range m.services {
		if n.all || n.services[s.ID] || !s.again.IsZero() && !s.again.After(now) {
			var actions []PlanAction
			actions, s.again = m.planOf(s, now)
			if !m.carryOut(ctx, s, actions, now) {
				m.dropStarts()
				m.putBack(n)
				return min(wait, storeAgain)
			}
		}
		if !s.again.IsZero() {
			wait = min(wait, max(s.again.Sub(now), time.Millisecond))
		}
	}
	if !m.begin(ctx) {
		m.putBack(n)
		wait = min(wait, storeAgain)
	}
	return wait
}

// carryOut does what was planned for a service; what fails is planned anew by the next pass. False: the store is away. The caller
// holds writing.
func (m *Manager) carryOut(ctx context.Context, s *service, actions []PlanAction, now time.Time) bool {
	for _, a := range actions {
		if a.Kind == PlanStart && s.RetryAt.After(now) {
			continue // an earlier action of this plan was a failure
		}
		err := m.apply(ctx, s, a)
		if err == nil {
			continue
		}
		m.plans.add(s.ID, "")
		m.Log.Error("plan could not be carried out; it will be tried again", "service", s.ID, "action", a.String(), "error", err)
		if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			return false
		}
	}
	return true
}

// storeAgain is when to look again after the store was away.
const storeAgain = time.Second
