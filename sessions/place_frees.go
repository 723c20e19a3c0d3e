package sessions

import (
	"slices"
	"time"
)

// Frees reports whether a waiting route of a service would be placed if the sessions in gone had ended. In order:
//  1. Those of its waiting routes that get a place without that, now or when others have left that are on their way
//     out or asked to go, need nobody to give way.
//  2. Any of the rest is placed in a pass over the same queue without those in gone.
//
// It only reads its arguments. Room that another session is given first is not freed for this service.
func Frees(q Queue, now time.Time, serviceID string, gone []string) bool {
	leaving := map[string]bool{}
	for i := range q.Running {
		leaving[q.Running[i].ID] = q.Running[i].Leaving
	}
	before := Place(q, now)
	served := map[string]bool{} // 1
	for _, p := range before.Placed {
		served[p.Session] = true
	}
	for _, p := range before.Preempt {
		served[p.For] = true
	}
	for _, r := range before.Kept {
		if len(r.Waits) > 0 && !slices.ContainsFunc(r.Waits, func(id string) bool { return !leaving[id] }) {
			served[r.Session] = true
		}
	}
	needs := map[string]bool{}
	for i := range q.Waiting {
		if w := &q.Waiting[i]; w.ServiceID == serviceID && !served[w.ID] {
			needs[w.ID] = true
		}
	}
	if len(needs) == 0 {
		return false
	}
	after := Place(without(q, gone), now) // 2
	return slices.ContainsFunc(after.Placed, func(p Placement) bool { return needs[p.Session] })
}

// without is the queue as if some sessions had ended.
func without(q Queue, gone []string) Queue {
	is := func(id string) bool { return slices.Contains(gone, id) }
	q.Pool = slices.Clone(q.Pool)
	for i := range q.Running {
		if h := &q.Running[i]; is(h.ID) {
			for at, s := range q.Pool {
				if h.on(s.Name()) {
					q.Pool[at] = h.outOf(s)
				}
			}
		}
	}
	q.Running = slices.DeleteFunc(slices.Clone(q.Running), func(h Held) bool { return is(h.ID) })
	q.Waiting = slices.DeleteFunc(slices.Clone(q.Waiting), func(w Waiting) bool { return is(w.ID) })
	return q
}

// Frees reports whether a route of one service that waits in the queue would get a place if n routes of another one
// ended: those that would go first. Where it gets one anyway, as by preemption, or because somebody is leaving, it
// needs nobody to give way, and that is false too.
func (m *Manager) Frees(waiting, giver string, n int) bool {
	q, _ := m.queue()
	m.mu.Lock()
	s := m.services[giver]
	if s == nil || n <= 0 || waiting == giver {
		m.mu.Unlock()
		return false
	}
	state := m.stateOf(s)
	m.mu.Unlock()
	routes := slices.DeleteFunc(state.Routes, RouteState.leaving)
	slices.SortStableFunc(routes, removalOrder)
	var gone []string
	for _, r := range routes[:min(n, len(routes))] {
		gone = append(gone, r.ID)
	}
	return Frees(q, time.Now(), waiting, gone)
}

// PoolWait is why a route of a service waits in the queue, in one sentence; "" where none does.
func (m *Manager) PoolWait(serviceID string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[serviceID]
	if s == nil {
		return ""
	}
	for _, r := range s.routes {
		if ses, _ := r.snapshot(); ses.Status == StatusPending && len(ses.Waits) > 0 {
			return waitReason(ses.Waits)
		}
	}
	return ""
}
