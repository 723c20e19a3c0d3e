package sessions

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// container is one of several of a session, as the queue finds it.
type container struct {
	*runner
	s     Session
	claim accel.Entry
	holds bool
}

// queueCluster puts a session of several containers into the snapshot: as one that waits, where all of them do, with their
// runners; else as one that holds what they hold. The caller holds mu.
func (m *Manager) queueCluster(q *Queue, of []container) (waiting []*runner) {
	slices.SortFunc(of, func(a, b container) int { return a.s.Task.Cluster.Rank - b.s.Task.Cluster.Rank })
	wait, whole := len(of) == of[0].s.Task.Cluster.Size, true
	var holding []container
	for _, c := range of {
		wait = wait && c.s.Status == StatusPending && !c.holds && c.stopping.Err() == nil
		whole = whole && c.s.Alive()
		if c.holds {
			holding = append(holding, c)
		}
	}
	if wait {
		w := m.waitingOf(of[0].s)
		w.Spread, w.Blocked = of[0].s.Task.Cluster.spread(), m.blocked(w.ID)
		w.Engine, w.Apart = w.Type == TypeInference, of[0].s.Launch.FixedPort()
		for _, c := range of {
			if waiting = append(waiting, c.runner); c.id != w.ID {
				w.Others = append(w.Others, c.id)
			}
		}
		q.Waiting = append(q.Waiting, w)
		return waiting
	}
	if len(holding) == 0 {
		return nil
	}
	first := holding[0]
	h := m.heldOf(first.s, first.claim, first.leaving())
	h.Preemptible = h.Preemptible && whole // one that has done its part does not begin anew
	for _, c := range holding[1:] {
		h.Others = append(h.Others, c.claim.Claim)
		h.Leaving = h.Leaving || c.leaving() // the others leave with it
	}
	q.Running = append(q.Running, h)
	return nil
}

// inStep is what containers of one session are to have counted when they start: as many runs as any of them has.
func inStep(containers []*runner) (run, failures int) {
	for _, r := range containers {
		s, _ := r.snapshot()
		run, failures = max(run, s.Task.Restarts), max(failures, s.Task.Failures)
	}
	return run, failures
}

// containersOf are the runners of all containers of a session, of which r is one, those that have ended too; the main one
// first.
func (m *Manager) containersOf(r *runner) []*runner {
	s, _ := r.snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.membersOf(r, s)
}

// membersOf is containersOf where mu is held.
func (m *Manager) membersOf(r *runner, s Session) []*runner {
	id := s.clusterID()
	if id == "" {
		return []*runner{r}
	}
	var all []container
	for _, r := range m.sessions {
		if s, _ := r.snapshot(); s.clusterID() == id {
			all = append(all, container{runner: r, s: s})
		}
	}
	slices.SortFunc(all, func(a, b container) int { return a.s.Task.Cluster.Rank - b.s.Task.Cluster.Rank })
	out := make([]*runner, len(all))
	for i, c := range all {
		out[i] = c.runner
	}
	return out
}

// Containers are the sessions of all containers of a session, the main one first; one that has but one is alone. Those
// that are not kept any more are left out.
func (m *Manager) Containers(project, ref string) ([]Session, error) {
	r, err := m.runnerOf(project, ref)
	if err != nil {
		return nil, err
	}
	var out []Session
	for _, r := range m.containersOf(r) {
		s, _ := r.snapshot()
		out = append(out, s)
	}
	return out, nil
}

// whole reports whether all other containers of a session are there: then it may be run again, and they with it.
func (m *Manager) whole(s Session) bool {
	id := s.clusterID()
	if id == "" {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	others := 0
	for _, r := range m.sessions {
		if other, _ := r.snapshot(); other.clusterID() == id && other.ID != s.ID && !over(other) && r.stopping.Err() == nil {
			others++
		}
	}
	return others == s.Task.Cluster.Size-1
}

// tend keeps the containers of each session together. It runs in the manager's loop alone, as place does, so that it never
// sees half of what place hands out. It returns when to look again.
func (m *Manager) tend(now time.Time) time.Duration {
	wait := passEvery
	clusters, runners := m.membersByCluster()
	for _, id := range slices.Sorted(maps.Keys(clusters)) {
		ms := clusters[id]
		_, known := m.clusters[id]
		live := slices.ContainsFunc(ms, func(x member) bool { return x.Alive() })
		switch {
		case live && !known:
			m.clusters[id] = -1
		case !live && known:
			if err := m.Clusters.Forget(id); err != nil {
				m.Log.Error("what the containers of a session shared was not removed; it will be", "session", id, "error", err)
				continue
			}
			delete(m.clusters, id)
			continue
		case !live:
			continue
		}
		v := fate(ms, now)
		for _, a := range v.acts {
			m.Log.Info("containers of one session stay together", "session", a.id, "of", id, "does", a.kind, "reason", a.reason)
			m.act(runners[a.id], a)
		}
		if !v.next.IsZero() {
			wait = min(wait, max(v.next.Sub(now), time.Millisecond))
		}
		if v.open >= 0 && m.clusters[id] != v.open {
			if err := m.Clusters.Open(id, v.open); err != nil {
				m.Log.Error("the containers of a session were not told that all are there; they will be", "session", id, "error", err)
				wait = min(wait, storeAgain)
				continue
			}
			m.clusters[id] = v.open
			if main := runners[id]; main != nil {
				main.join(joinedAt(ms, now))
			}
		}
	}
	return wait
}

// joinedAt is since when all containers run, as far as that is known: another daemon may have seen it.
func joinedAt(ms []member, now time.Time) time.Time {
	var last time.Time
	for _, m := range ms {
		last = latest(last, m.StartedAt)
	}
	if last.IsZero() || last.After(now) { // by the clock of another box
		return now
	}
	return last
}

func (m *Manager) act(r *runner, a act) {
	switch a.kind {
	case actEnd:
		if s, _ := r.snapshot(); s.Type == TypeInference && a.cause != nil {
			m.fault(a.id, stopRequest{reason: a.reason, cause: a.cause})
			return
		}
		r.end(stopRequest{reason: a.reason, cause: a.cause}, false)
	case actHurry:
		r.force()
	case actYield:
		r.giveWay(a.reason)
	case actAgain:
		select {
		case r.restart <- again{reason: a.reason, run: a.run, failures: a.failures}:
		default: // it was asked for before
		}
	}
}

// membersByCluster are the containers of all sessions that have several.
func (m *Manager) membersByCluster() (map[string][]member, map[string]*runner) {
	clusters, runners := map[string][]member{}, map[string]*runner{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.grouped {
		_, holds := m.Ledger.Claim(id)
		r.mu.Lock()
		of := r.session.clusterID()
		clusters[of] = append(clusters[of], member{Session: r.session, Holds: holds, Stop: r.stop != nil, Yields: r.yields, Hurry: r.forced.Err() != nil})
		r.mu.Unlock()
		runners[id] = r
	}
	return clusters, runners
}

// renameOthers names the other containers of a session after its new name: all, or where a name cannot be, none. What an
// earlier try has written before the store failed it need not write again. The caller holds writing.
func (m *Manager) renameOthers(ctx context.Context, main *runner, name string) error {
	others := map[string]*runner{}
	for _, r := range m.containersOf(main) {
		s, _ := r.snapshot()
		if s.main() {
			continue
		}
		other := memberName(name, s.Task.Cluster.Rank)
		if s.Name == other {
			continue
		}
		if err := CheckSessionName(other); err != nil {
			return err
		}
		if err := m.nameIsFree(s.Project, other, nil); err != nil {
			return err
		}
		others[other] = r
	}
	for _, other := range slices.Sorted(maps.Keys(others)) {
		if err := others[other].edit(ctx, SessionUpdate{Name: &other}); err != nil {
			return err
		}
	}
	return nil
}
