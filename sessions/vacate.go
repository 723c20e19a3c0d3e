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

// vacancies asks about each box that anything is on, once in a pass.
func (m *Manager) vacancies() map[string]Vacancy {
	out := map[string]Vacancy{}
	if m.Away == nil {
		return out
	}
	asked := map[string]bool{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		if s.Claim == nil || !s.Alive() || asked[s.Claim.Node] {
			continue
		}
		asked[s.Claim.Node] = true
		if v := m.Away(s.Claim.Node); v.Why != "" {
			out[s.Claim.Node] = v
		}
	}
	return out
}

// moveAway takes sessions off devices that are broken, and off boxes that are to be empty: a route ends and another one takes
// its place elsewhere, anything else goes back to the queue. What a person has fenced goes on, until that person ends it. A
// route on a box that still answers goes when another has come up: see moving.
func (m *Manager) moveAway() {
	broken, away := m.broken(), m.vacancies()
	if len(broken) == 0 && len(away) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		r := m.sessions[id]
		s, _ := r.snapshot()
		if s.Claim == nil || !s.Alive() {
			continue
		}
		if v, is := away[s.Claim.Node]; is && m.vacate(r, s, v) || s.Leaving() {
			continue
		}
		for _, share := range s.Claim.Shares {
			why, is := broken[s.Claim.Node+"/"+share.Device]
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
func (m *Manager) Look() { m.poke() }
