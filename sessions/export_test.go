package sessions

import (
	"fmt"
	"maps"
	"reflect"
	"time"
)

// Overlooked is what nobody has marked though it has changed: rows of the table that would be others if they were derived now, plans
// that would do something, sessions that wait unseen. It is asked when nothing moves.
func (m *Manager) Overlooked() (all []string) {
	m.publishing.Lock()
	defer m.publishing.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.writing) > 0 { // somebody waits for the store
		return nil
	}
	now, live := time.Now(), map[Status]int{}
	for id, s := range m.services {
		fresh, shown := m.rowOf(s), m.table.rows[id]
		for status, n := range fresh.live {
			live[status] += n
		}
		for _, row := range []*tableRow{&fresh, &shown} {
			routes := ServiceRoutes{}
			if row.routes != nil {
				routes = *row.routes
			}
			routes.ReadyAt = time.Time{}
			row.routes = &routes
		}
		if !m.views.has(id) && !fresh.gone && !reflect.DeepEqual(fresh, shown) {
			all = append(all, fmt.Sprintf("%s is shown as %+v, and is %+v", s.Name, shown, fresh))
		}
		if m.plans.has(id) || !s.again.IsZero() && !s.again.After(now) {
			continue
		}
		state := m.stateOf(s)
		for _, r := range s.routes {
			if !r.settled() {
				state.Service.Lifecycle = "" // its end marks it
			}
		}
		if actions, _ := Plan(state, now); state.Service.Lifecycle != "" && len(actions) > 0 {
			all = append(all, fmt.Sprintf("of %s nobody has planned: %v", s.Name, actions))
		}
	}
	for id, r := range m.sessions {
		if status := r.personalStatus(); status != "" {
			live[status]++
		}
		if pending := r.status() == StatusPending; pending != m.loop.waiting[id] && !m.plans.has(id) {
			all = append(all, fmt.Sprintf("%s waits: %t, and is taken to: %t", id, pending, !pending))
		}
	}
	counted := maps.Clone(m.table.live)
	maps.DeleteFunc(counted, func(_ Status, n int) bool { return n == 0 })
	if !maps.Equal(live, counted) && len(m.views.services)+len(m.views.sessions) == 0 && !m.views.all {
		all = append(all, fmt.Sprintf("%v live, and %v are counted", live, counted))
	}
	return all
}

// has reports whether something is marked.
func (k *marks) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all || k.services[id] || k.sessions[id]
}
