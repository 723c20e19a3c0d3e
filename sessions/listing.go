package sessions

import (
	"cmp"
	"slices"
	"time"
)

// EachSession shows do every session of a project ("" for all) that f chooses, in no order. There may be thousands, and they
// are large: none is copied. What do is shown it may neither change nor keep, and it must ask the manager nothing.
func (m *Manager) EachSession(project string, f SessionFilter, do func(s *Session)) {
	m.each(project, f, func(r *runner) { do(&r.session) })
}

// each calls do with every runner whose session is chosen, and holds its lock and the manager's meanwhile.
func (m *Manager) each(project string, f SessionFilter, do func(r *runner)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.Service != "" {
		if s, err := m.find(project, f.Service); err == nil {
			f.Service = s.ID
		}
	}
	for _, r := range m.sessions {
		r.mu.Lock()
		if (project == "" || r.session.Project == project) && f.Chooses(&r.session) {
			do(r)
		}
		r.mu.Unlock()
	}
}

// Sessions of a project ("" for all) that are kept, newest first.
func (m *Manager) Sessions(project string, f SessionFilter) []Session {
	all, _ := m.NewestSessions(project, f, 0, 0)
	return all
}

// NewestSessions are a part of those that f chooses, newest first, and how many it chooses in all: most of them from the
// offset on; 0 is all.
func (m *Manager) NewestSessions(project string, f SessionFilter, offset, most int) (part []Session, total int) {
	var order Newest[*runner]
	if most > 0 {
		order.Keep = offset + most
	}
	m.each(project, f, func(r *runner) {
		total++
		order.Add(r.session.CreatedAt, r.session.ID, r)
	})
	chosen := order.Rows()
	chosen = chosen[min(offset, len(chosen)):]
	part = make([]Session, 0, len(chosen))
	for _, r := range chosen {
		s, _ := r.snapshot()
		if f.takes(&s) { // it may have gone on since
			part = append(part, s)
		}
	}
	return part, total
}

// Newest puts rows in order as they come, newest first, and keeps no more of them than are wanted. The zero value keeps all.
type Newest[T any] struct {
	Keep int // 0: all
	rows []newestRow[T]
	full bool // rows[:Keep] are in order, and none that is left out is newer than the last of them
}

type newestRow[T any] struct {
	at  time.Time
	id  string
	row T
}

func (a newestRow[T]) compare(b newestRow[T]) int {
	return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.id, b.id))
}

// Add takes a row in; of rows of one moment the ids decide.
func (n *Newest[T]) Add(at time.Time, id string, row T) {
	one := newestRow[T]{at, id, row}
	if n.full && one.compare(n.rows[n.Keep-1]) > 0 {
		return
	}
	if n.rows = append(n.rows, one); n.Keep > 0 && len(n.rows) >= 2*n.Keep+64 { // not for each: most are older
		n.cut()
	}
}

func (n *Newest[T]) cut() {
	slices.SortFunc(n.rows, newestRow[T].compare)
	if n.Keep > 0 && len(n.rows) >= n.Keep {
		clear(n.rows[n.Keep:])
		n.rows, n.full = n.rows[:n.Keep], true
	}
}

// Rows are those that are kept, newest first.
func (n *Newest[T]) Rows() []T {
	n.cut()
	out := make([]T, len(n.rows))
	for i := range n.rows {
		out[i] = n.rows[i].row
	}
	return out
}
