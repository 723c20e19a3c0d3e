package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Adopt reads what is wanted from the store and what runs from the runtime, and brings them together:
// sessions that run are watched again, those that ended meanwhile are seen, and instances that nobody
// knows are stopped. It must return before Run and before anything is asked of the manager.
func (m *Manager) Adopt(ctx context.Context) error {
	services, err := m.Store.Services(ctx)
	if err != nil {
		return err
	}
	for _, sv := range services {
		revisions, err := m.Store.Revisions(ctx, sv.ID)
		if err != nil {
			return err
		}
		m.services[sv.ID] = &service{Service: sv, revisions: revisions}
	}
	sessions, err := m.Store.Sessions(ctx)
	if err != nil {
		return err
	}
	instances, err := m.Runtime.List(ctx)
	if err != nil {
		return err
	}
	running := map[string]*Instance{}
	for i := range instances {
		running[instances[i].ID] = &instances[i]
	}
	orphans := maps.Clone(running)
	for i := range sessions {
		s := &sessions[i]
		if !s.Status.Terminal() {
			delete(orphans, s.ID)
			s.Claim = m.claimOf(*s, running[s.ID])
			if in := running[s.ID]; in != nil && s.Task.Cluster.spread() && s.Task.Cluster.Net == nil { // its row is older
				s.Task.Cluster = s.Task.Cluster.withNet(netOfInstance(*in))
			}
		} else if in := orphans[s.ID]; in != nil && !in.Running {
			delete(orphans, s.ID) // its log is kept; one that runs has ended by its row, and is nobody's
		}
	}
	m.restore(sessions, running)
	if m.Clusters != nil {
		var live []string
		for i := range sessions {
			if id := sessions[i].clusterID(); id != "" && sessions[i].Alive() {
				live = append(live, id)
			}
		}
		if err := m.Clusters.Keep(live); err != nil {
			m.Log.Error("what containers of ended sessions shared was not removed; it will be", "error", err)
		}
	}
	if m.Loads != nil {
		past, err := m.Loads.LoadTimes(ctx)
		if err != nil {
			return err
		}
		m.loads.add(past...)
	}
	m.mu.Lock()
	for _, s := range sessions { // the oldest first
		m.adopt(s, running[s.ID])
		if sv := m.services[s.ServiceID]; sv != nil && s.main() && over(s) {
			sv.broken = s.HealthyAt.IsZero() && s.Result == ResultFailure
		}
	}
	m.mu.Unlock()
	m.sweep(slices.Collect(maps.Values(orphans)))
	m.publish()
	return nil
}

// startedWith is what an instance was started with; nil where it holds nothing, or where its label cannot be read.
func startedWith(in Instance) *accel.Claim {
	var claim accel.Claim
	if json.Unmarshal([]byte(in.Labels[LabelClaim]), &claim) != nil || claim.Session != in.ID {
		return nil
	}
	return &claim
}

// claimOf is what a session holds: what its instance was started with, else what its row says.
func (m *Manager) claimOf(s Session, in *Instance) *accel.Claim {
	claim := s.Claim
	if in != nil {
		claim = cmp.Or(startedWith(*in), claim)
	}
	return m.here(claim)
}

// here is a claim by the name that this box has now. It may have had another one when the claim was taken, and what
// runs on it holds its devices all the same.
func (m *Manager) here(claim *accel.Claim) *accel.Claim {
	pool := m.Ledger.Pool()
	if claim == nil || len(pool) != 1 || claim.Node == pool[0].Name() {
		return claim
	}
	m.Log.Warn("the box had another name when this was placed", "session", claim.Session, "then", claim.Node, "now", pool[0].Name())
	moved := *claim
	moved.Node = pool[0].Name()
	return &moved
}

// restore tells the ledger who holds what, before anybody can ask it for more: what runs holds what it holds, whether a
// row knows it or not. What does not run holds what its row says, where that is not somebody else's by now: a row is as
// old as the store's last good write.
func (m *Manager) restore(sessions []Session, instances map[string]*Instance) {
	rows := map[string]*Session{}
	for i := range sessions {
		rows[sessions[i].ID] = &sessions[i]
	}
	for _, id := range slices.Sorted(maps.Keys(instances)) {
		in := instances[id]
		claim := m.here(startedWith(*in))
		if s := rows[id]; s != nil && !s.Status.Terminal() {
			claim = s.Claim
		}
		if claim == nil || !in.Running {
			continue
		}
		for _, conflict := range m.Ledger.Restore(*claim) {
			m.Log.Error("more is held than there is", "conflict", conflict.String())
		}
	}
	for i := range sessions {
		s := &sessions[i]
		if s.Claim == nil || s.Status == StatusPending || s.Status.Terminal() {
			continue
		}
		// One that is being started again, or will be, keeps its place though its last run has ended.
		if in := instances[s.ID]; in != nil && (in.Running || s.Status != StatusRestarting && !s.mayRetry()) {
			continue
		}
		if err := m.Ledger.Take(*s.Claim); err != nil {
			m.Log.Warn("its place is another's by now", "session", s.ID, "status", s.Status, "error", err)
			requeue(s, err)
		}
	}
}

// requeue puts a session that has not been started back into the queue; its place is gone.
func requeue(s *Session, why error) {
	switch s.Status {
	case StatusScheduled, StatusPreparing, StatusPulling, StatusPrepared, StatusCreating, StatusRestarting:
		s.Status, s.Reason, s.Claim, s.PlacedAt = StatusPending, backToQueue+why.Error(), nil, time.Time{}
		s.Task.Cluster = s.Task.Cluster.withNet(nil) // others may have it
	}
}

// adopt takes one recorded session over. The caller holds mu.
func (m *Manager) adopt(s Session, in *Instance) {
	r := newRunner(m.runnerDeps(), s)
	m.enter(r)
	if r.told = over(s); s.Status.Terminal() {
		close(r.done)
		return
	}
	switch s.Status {
	case StatusPending, StatusScheduled, StatusPreparing, StatusPulling, StatusPrepared, StatusCreating:
		// It may run already: its row is as old as the store's last good write.
		r.adopted = in
	case StatusRunning:
		if in != nil && in.Running {
			r.session.PID, r.session.Address = in.PID, routeAddress(s, *in)
			r.health = remembered(s, time.Now())
		}
	case StatusRestarting:
		if in != nil && in.Labels[LabelRun] == runOf(s) {
			r.adopted = in // the next run: that it began was not written any more
		}
	case StatusTerminating:
		r.stop = &stopRequest{reason: s.Reason}
	}
	if sv := m.services[s.ServiceID]; sv != nil {
		if s.main() {
			sv.routes = append(sv.routes, r)
		}
	} else if s.Type == TypeInference {
		r.end(stopRequest{reason: "its service is gone"}, false)
	}
	m.launch(r)
}

// remembered is the health of a session that has been healthy before the daemon restarted: it gets
// traffic at once, for a restart is no reason to refuse requests, and loses it at the first probe that
// fails. One that was unhealthy stays so until a probe passes.
func remembered(s Session, now time.Time) Health {
	if s.HealthyAt.IsZero() {
		return Health{}
	}
	if !s.UnhealthySince.IsZero() {
		return Health{State: HealthUnhealthy, Since: s.UnhealthySince, FirstAt: s.HealthyAt, Detail: "unhealthy before the daemon restarted"}
	}
	h := Health{State: HealthPassing, Since: now, FirstAt: s.HealthyAt, Detail: "healthy before the daemon restarted"}
	if s.Launch.Health != nil {
		h.Failures = s.Launch.Health.MaxRetries
	}
	return h
}

// sweep ends and removes instances that no row knows, such as one whose row could not be written, or that runs though
// its row has ended. It tries
// until the daemon stops: what nobody knows nobody else would end.
func (m *Manager) sweep(orphans []*Instance) {
	for _, in := range orphans {
		m.Log.Warn("an instance that nobody knows is removed", "session", in.ID)
		m.wg.Go(func() {
			for try := 1; ; try++ {
				err := m.removeOrphan(in.ID)
				if err == nil {
					return
				}
				m.Log.Error("an instance that nobody knows was not removed; it will be", "session", in.ID, "error", err)
				if !pause(m.ctx, Backoff(try, 0)) {
					return
				}
			}
		})
	}
}

func (m *Manager) removeOrphan(id string) error {
	// As with a runner's stop, the daemon's end does not cut it short.
	ctx, cancel := asking(m.ctx, m.Runtime, m.Timeouts.Stop+m.Timeouts.StopGrace)
	defer cancel()
	if err := m.Runtime.Stop(ctx, id, m.Timeouts.StopGrace); err != nil && !errors.Is(err, ErrNoInstance) {
		return fmt.Errorf("stopping it: %w", err)
	}
	m.Ledger.Leave(id) // whether or not the rest of it can be taken away
	if err := m.Runtime.Remove(ctx, id); err != nil {
		return fmt.Errorf("removing it: %w", err)
	}
	return nil
}
