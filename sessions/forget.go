package sessions

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	keepEndedPerService = 10             // ended sessions of a service whose logs stay readable
	keepEndedFor        = 24 * time.Hour // of services that are gone
	// Of people: their results are asked for days later, by other sessions and by themselves.
	keepPersonal      = 1000
	keepPersonalLeast = time.Hour // however many there are: an array alone may be 1000, and somebody waits for each
	keepPersonalFor   = 7 * 24 * time.Hour
)

// forgetOld removes the ended sessions that nobody needs any more, beside the loop that decides: taking a
// large log away may take a while.
func (m *Manager) forgetOld(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sweeping {
		return
	}
	old := m.expired(now)
	if len(old) == 0 {
		return
	}
	m.sweeping = true
	m.wg.Go(func() {
		for _, r := range old {
			m.forget(m.ctx, r)
		}
		m.mu.Lock()
		m.sweeping = false
		m.mu.Unlock()
	})
}

// expired returns the ended sessions that nobody needs any more: beyond the newest few of each
// service, and those that ended long ago of services that are gone, or of people. The caller holds mu.
func (m *Manager) expired(now time.Time) []*runner {
	type old struct {
		*runner
		at time.Time
		of string // the session of several containers that it is one of; "": it has but one
	}
	ended, needed, going := map[string][]old{}, map[string]bool{}, map[string]bool{}
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		if of := s.clusterID(); of != "" && s.Alive() {
			going[of] = true // what its containers may do goes by how others of it ended
		}
		if s.Status == StatusPending {
			for _, id := range s.Demand.DependsOn {
				needed[id] = true // how it ended decides whether this one starts
			}
		}
		select {
		case <-r.done:
		default:
			continue
		}
		if s.Status.Terminal() {
			ended[s.ServiceID] = append(ended[s.ServiceID], old{r, s.EndedAt, s.clusterID()})
		}
	}
	var out []*runner
	which := map[string]int{} // by session: the how many-th from the newest it is; its containers count as one
	for id, rs := range ended {
		slices.SortFunc(rs, func(a, b old) int { return b.at.Compare(a.at) })
		clear(which)
		for _, r := range rs {
			session := cmp.Or(r.of, r.id)
			i, known := which[session]
			if !known {
				i = len(which)
				which[session] = i
			}
			beyond, long := i >= keepEndedPerService, m.services[id] == nil && now.Sub(r.at) > keepEndedFor
			if id == "" {
				beyond, long = i >= keepPersonal && now.Sub(r.at) > keepPersonalLeast, now.Sub(r.at) > keepPersonalFor
			}
			if (beyond || long) && !needed[r.id] && !going[r.of] {
				out = append(out, r.runner)
			}
		}
	}
	return out
}

// forget removes an ended session with its log. It is tried again at the next pass if it fails.
func (m *Manager) forget(ctx context.Context, r *runner) {
	ctx, cancel := context.WithTimeout(ctx, m.Timeouts.Save)
	defer cancel()
	if err := m.Runtime.Remove(ctx, r.id); err != nil {
		m.Log.Error("old session was not removed; it will be", "session", r.id, "error", err)
		return
	}
	if m.Earlier != nil {
		if err := m.Earlier.Forget(r.id); err != nil {
			m.Log.Error("old session's earlier logs were not removed; they will be", "session", r.id, "error", err)
			return
		}
	}
	if s, _ := r.snapshot(); m.Checkpoints != nil && s.main() {
		if err := m.Checkpoints.Forget(r.id); err != nil {
			m.Log.Error("old session's checkpoints were not removed; they will be", "session", r.id, "error", err)
			return
		}
	}
	if err := m.Store.DeleteSession(ctx, r.id); err != nil {
		m.Log.Error("old session's row was not removed; it will be", "session", r.id, "error", err)
		return
	}
	m.mu.Lock()
	delete(m.sessions, r.id)
	delete(m.grouped, r.id)
	m.mu.Unlock()
	m.mark("", r.id)
}
