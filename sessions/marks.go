package sessions

import "sync"

// marks are what has changed since it was looked at last. Whoever changes something marks it, and only then asks for the look: who
// looks goes by what is marked, and not by ten thousand sessions of which one has changed. All is looked at now and then all the same,
// for time changes things, too.
//
// Its lock is the innermost one: marks may be made whatever else is held.
type marks struct {
	mu       sync.Mutex
	all      bool
	services map[string]bool // by id
	sessions map[string]bool // by id
}

// add marks a service and a session, each of which may be "".
func (k *marks) add(service, session string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if service != "" {
		if k.services == nil {
			k.services = map[string]bool{}
		}
		k.services[service] = true
	}
	if session != "" {
		if k.sessions == nil {
			k.sessions = map[string]bool{}
		}
		k.sessions[session] = true
	}
}

// everything marks all there is.
func (k *marks) everything() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = true
}

// takeServices returns what is marked but for the sessions, and takes the marks away.
func (k *marks) takeServices() (services map[string]bool, all bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	services, all = k.services, k.all
	k.services, k.all = nil, false
	return services, all
}

// takeSessions returns the sessions that are marked, and takes the marks away.
func (k *marks) takeSessions() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	sessions := k.sessions
	k.sessions = nil
	return sessions
}

// mark notes that a service or a session has changed in a way by which plans go, or that others see; either may be "". What asks
// for a look comes after it.
func (m *Manager) mark(service, session string) {
	m.plans.add(service, session)
	m.views.add(service, session)
}

// markAll notes that anything may have changed.
func (m *Manager) markAll() {
	m.plans.everything()
	m.views.everything()
}
