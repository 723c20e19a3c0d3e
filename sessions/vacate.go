package sessions

import (
	"maps"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

// Vacancy is what is to become of what runs on a box.
type Vacancy struct {
	Why  string // one sentence, for people; "": nothing is to become of it
	Gone bool   // the box is heard of no more, and what ran there is not to be waited for. Else it is to move when it can
	// Keep are those that stay for now though the box is gone: they may still run there, under the id that they would be
	// started again with. May be nil.
	Keep func(Session) bool
}

// open are the boxes of a pool on which something new may be placed.
func (m *Manager) open(pool accel.Pool) accel.Pool {
	if m.Closed == nil {
		return pool
	}
	return slices.DeleteFunc(slices.Clone(pool), func(s accel.State) bool { return m.Closed(s.Name()) != "" })
}

// moving is why another route is to take the place of one; "": none is.
func (m *Manager) moving(s Session) string {
	if m.Away == nil || s.Claim == nil {
		return ""
	}
	for _, node := range s.nodes() {
		if v := m.Away(node); v.Why != "" && !v.Gone { // else it is not waited for: see moveAway
			return v.Why
		}
	}
	return ""
}

// nodes are those on which a session that has its place has containers.
func (s Session) nodes() []string {
	nodes := []string{s.Claim.Node}
	if c := s.Task.Cluster; c != nil && c.Net != nil {
		for _, box := range c.Net.Boxes {
			if box.Name != s.Claim.Node {
				nodes = append(nodes, box.Name)
			}
		}
	}
	return nodes
}

// lookAround finds out what has become of the boxes that anything is on, where that may have changed, and has all services planned
// where routes of theirs are to move.
func (m *Manager) lookAround(n *news) {
	if m.Away == nil || !n.all && !n.looked {
		return
	}
	away := map[string]Vacancy{}
	m.mu.Lock()
	for _, r := range m.sessions {
		if node := r.node(); node != "" {
			if _, asked := away[node]; !asked {
				away[node] = m.Away(node)
			}
		}
	}
	m.mu.Unlock()
	n.all = n.all || movesAny(m.loop.away) || movesAny(away)
	m.loop.away = away
}

// movesAny reports whether something is to move that a plan must bring about.
func movesAny(away map[string]Vacancy) bool {
	for _, v := range away {
		if v.Why != "" && !v.Gone {
			return true
		}
	}
	return false
}

// node is where the session is; "": nowhere, or it has ended.
func (r *runner) node() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session.Claim == nil || !r.session.Alive() {
		return ""
	}
	return r.session.Claim.Node
}

// moveAway takes sessions off devices that are broken, and off boxes that are to be empty: a route ends and another one takes
// its place elsewhere, anything else goes back to the queue. What a person has fenced goes on, until that person ends it. A
// route on a box that still answers goes when another has come up: see moving.
func (m *Manager) moveAway(n news) {
	all := n.all || n.looked
	if pool := m.Ledger.Version(); pool != m.loop.pool || n.all {
		broken := m.broken()
		all = all || !maps.Equal(broken, m.loop.broken)
		m.loop.pool, m.loop.broken = pool, broken
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	some := n.sessions
	if all {
		if len(m.loop.broken) == 0 && !m.anyAway() {
			return
		}
		some = make(map[string]bool, len(m.sessions))
		for id := range m.sessions {
			some[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(some)) {
		if r := m.sessions[id]; r != nil {
			m.moveOne(r)
		}
	}
}

// anyAway reports whether anything is to become of what runs on any box.
func (m *Manager) anyAway() bool {
	for _, v := range m.loop.away {
		if v.Why != "" {
			return true
		}
	}
	return false
}

// moveOne is moveAway of one session. The caller holds mu.
func (m *Manager) moveOne(r *runner) {
	node := r.node()
	if node == "" {
		return
	}
	v := m.vacancy(node)
	if v.Why == "" && len(m.loop.broken) == 0 {
		return
	}
	s, _ := r.snapshot()
	if s.Claim == nil || !s.Alive() || v.Why != "" && m.vacate(r, s, v) || s.Leaving() {
		return
	}
	for _, share := range s.Claim.Shares {
		why, is := m.loop.broken[s.Claim.Node+"/"+share.Device]
		if !is {
			continue
		}
		if s.Type == TypeInference {
			endWhole(m.membersOf(r, s), stopRequest{reason: why + "; another route takes its place"}, false)
		} else {
			r.giveWay(why)
		}
		break
	}
}

// vacancy is what is to become of what runs on a box, as it was asked last.
func (m *Manager) vacancy(node string) Vacancy {
	v, asked := m.loop.away[node]
	if asked || m.Away == nil {
		return v
	}
	v = m.Away(node)
	m.loop.away[node] = v
	return v
}

// vacate has a session leave its box, and reports whether it does. The caller holds mu.
func (m *Manager) vacate(r *runner, s Session, v Vacancy) bool {
	switch {
	case v.Gone && v.Keep != nil && v.Keep(s):
		return false
	case s.Type == TypeInference && v.Gone:
		endWhole(m.membersOf(r, s), stopRequest{reason: v.Why + "; another route takes its place"}, true)
	case s.Type == TypeInference: // the plan does it: another one comes first
		return false
	default:
		r.giveWay(v.Why)
	}
	return true
}

// Look has the manager look again soon: what Closed or Away say has changed.
func (m *Manager) Look() {
	m.looked.Store(true)
	m.poke()
}
