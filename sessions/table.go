package sessions

import "maps"

// table is who can answer, as it was shown last, with what is counted of it. A service's row is derived of its sessions as a whole; it
// is derived anew when the service is marked, and whenever the time alone changes it.
type table struct {
	rows     map[string]tableRow     // by service
	personal map[string]Status       // of people's sessions that live, by session
	live     map[Status]int          // sessions that live
	count    map[routesOfStatus]int  // routes that live
	coming   map[string]bool         // services whose rows change with the time
	touched  map[routesOfStatus]bool // what of count is to be shown
}

// tableRow is one service in the table.
type tableRow struct {
	routes *ServiceRoutes      // never changed
	live   map[Status]int      // its sessions
	count  map[RouteStatus]int // its routes
	coming bool                // when its first route will answer is a matter of time
	gone   bool                // it is in the table no more
}

// routesOfStatus are the routes of a status of all services of one name, in several projects: so they are counted.
type routesOfStatus struct {
	service string
	status  RouteStatus
}

// put replaces a service's row; the one before is not counted any more.
func (t *table) put(id string, row tableRow) {
	was, known := t.rows[id]
	if known {
		t.add(was, -1)
		delete(t.rows, id)
		delete(t.coming, id)
	}
	if row.gone {
		for status := range was.count { // what is shown of it goes with it
			delete(t.touched, routesOfStatus{was.routes.Name, status})
		}
		return
	}
	t.add(row, 1)
	t.rows[id] = row
	if row.coming {
		t.coming[id] = true
	}
}

// add counts a row in, or out.
func (t *table) add(row tableRow, by int) {
	for status, n := range row.live {
		t.live[status] += by * n
	}
	for status, n := range row.count {
		of := routesOfStatus{row.routes.Name, status}
		t.count[of] += by * n
		t.touched[of] = true
	}
}

// setPersonal counts a session of a person by its status; "": it is none that lives.
func (t *table) setPersonal(id string, status Status) {
	if was, known := t.personal[id]; known {
		t.live[was]--
		delete(t.personal, id)
	}
	if status != "" {
		t.live[status]++
		t.personal[id] = status
	}
}

// update derives anew what is marked, and reports whether anything of it was. The caller holds publishing and mu.
func (m *Manager) update() bool {
	t := &m.table
	services, all := m.views.takeServices()
	sessions := m.views.takeSessions()
	t.touched = map[routesOfStatus]bool{}
	if all {
		*t = table{
			rows: map[string]tableRow{}, coming: map[string]bool{}, personal: map[string]Status{}, live: map[Status]int{}, count: map[routesOfStatus]int{}, touched: t.touched,
		}
		for id, s := range m.services {
			t.put(id, m.rowOf(s))
		}
		for id, r := range m.sessions {
			t.setPersonal(id, r.personalStatus())
		}
		return true
	}
	if len(services)+len(sessions)+len(t.coming) == 0 {
		return false
	}
	if services == nil {
		services = map[string]bool{}
	}
	maps.Copy(services, t.coming)
	for id := range services {
		if s := m.services[id]; s != nil {
			t.put(id, m.rowOf(s))
		}
	}
	for id := range sessions {
		if r := m.sessions[id]; r != nil {
			t.setPersonal(id, r.personalStatus())
		} else {
			t.setPersonal(id, "")
		}
	}
	return true
}

// personalStatus is the status of a person's session that lives; "": it is none.
func (r *runner) personalStatus() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session.Personal() && r.session.Alive() {
		return r.session.Status
	}
	return ""
}

// services are all rows, for whoever keeps them.
func (t *table) services() []*ServiceRoutes {
	out := make([]*ServiceRoutes, 0, len(t.rows))
	for _, row := range t.rows {
		out = append(out, row.routes)
	}
	return out
}

// comes reports whether none of a service's routes can answer and one is on its way: when it will is a matter of time. The caller
// holds mu.
func (s *service) comes() bool {
	coming := false
	for _, r := range s.routes {
		ses, health := r.snapshot()
		if health.State == HealthPassing && !ses.Leaving() {
			return false
		}
		coming = coming || !ses.Leaving() && ses.HealthyAt.IsZero()
	}
	return coming
}
