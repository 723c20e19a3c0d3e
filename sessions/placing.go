package sessions

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// QueueConfig is how the owner wants the queue to go.
type QueueConfig struct {
	Order    Order
	Strategy Strategy
	Quotas   Quotas // at first; see Manager.SetQuotas
	Options  accel.Options
}

// place decides which of the waiting sessions go where, and tells each of the others why it waits. It runs in the
// manager's loop alone. It returns when to look again.
func (m *Manager) place(ctx context.Context, now time.Time, n news) time.Duration {
	m.noteWaiting(n)
	pool := m.Ledger.Version()
	if !n.all && !n.looked && len(n.services)+len(n.sessions) == 0 && pool == m.loop.placed && now.Before(m.loop.again) {
		return m.loop.again.Sub(now) // it would decide what it has decided
	}
	wait := passEvery
	if len(m.loop.waiting) == 0 {
		m.kept = nil
		m.metrics.waiting.Set(0)
	} else {
		wait = m.placeAll(ctx, now)
	}
	m.loop.placed, m.loop.again = pool, now.Add(wait)
	return wait
}

// noteWaiting keeps up with who is pending.
func (m *Manager) noteWaiting(n news) {
	m.mu.Lock()
	defer m.mu.Unlock()
	note := func(id string, r *runner) {
		if r != nil && r.status() == StatusPending {
			m.loop.waiting[id] = true
		} else {
			delete(m.loop.waiting, id)
		}
	}
	if n.all {
		m.loop.waiting = map[string]bool{}
		for id, r := range m.sessions {
			note(id, r)
		}
	}
	for id := range n.sessions {
		note(id, m.sessions[id])
	}
}

// placeAll is place, where any wait.
func (m *Manager) placeAll(ctx context.Context, now time.Time) time.Duration {
	m.mu.Lock()
	maps.DeleteFunc(m.unjoined, func(_ string, u unjoined) bool { return !u.until.After(now) })
	m.mu.Unlock()
	for id := range m.loop.waiting {
		m.views.add("", id) // their order may be another one
	}
	q, waiting := m.queue()
	if len(waiting) == 0 {
		m.kept = nil
		m.metrics.waiting.Set(0)
		return passEvery
	}
	q.LastNode, q.Kept = m.lastNode, m.kept
	started := time.Now()
	d := Place(q, now)
	m.metrics.placement.Observe(time.Since(started).Seconds())
	m.kept, m.lastNode = d.Kept, d.LastNode
	m.mu.Lock()
	m.order = d.Order
	m.mu.Unlock()
	for _, p := range d.Placed {
		m.commit(p, waiting[p.Session], now)
	}
	for _, p := range d.Preempt {
		m.mu.Lock()
		victim := m.sessions[p.Victim]
		m.mu.Unlock()
		if victim == nil {
			continue
		}
		m.Log.Info("preempted", "session", p.Victim, "for", p.For, "reason", p.Reason)
		for _, r := range m.containersOf(victim) {
			r.giveWay(p.Reason)
		}
	}
	for id, why := range d.Waits {
		for _, r := range waiting[id] {
			r.waits(ctx, why, now)
		}
	}
	m.metrics.waiting.Set(float64(len(d.Waits)))
	if d.Next.IsZero() {
		return passEvery
	}
	return min(passEvery, max(d.Next.Sub(now), time.Millisecond))
}

// unjoined is a session for which there was no network among its boxes.
type unjoined struct {
	why   error
	until time.Time // then it is tried again
}

// joinAgain is how long a session for which there was no network waits for another try.
const joinAgain = 30 * time.Second

// blocked is what keeps a session that the pool would have room for. The caller holds mu.
func (m *Manager) blocked(id string) []Wait {
	u, is := m.unjoined[id]
	if !is {
		return nil
	}
	return []Wait{{Predicate: PredicateNetwork, Sentence: "there is room, and no network for its containers: " + u.why.Error(), Would: "it is looked at again every " + joinAgain.String()}}
}

// commit takes claims for all containers of a session that waits, or none, and hands them over. Where the pool or the
// session has changed meanwhile that change asks for the next pass: asking for it here as well could go on for ever. Where no network is
// left for them, the next pass gives what was theirs to others, and tells them why they wait.
func (m *Manager) commit(p Placement, containers []*runner, now time.Time) {
	claims := append([]accel.Claim{p.Claim}, p.Others...)
	main, _ := containers[0].snapshot()
	net, err := m.netFor(p, main)
	if err != nil {
		m.Log.Warn("a place was not taken: its containers would not reach each other", "session", p.Session, "error", err)
		m.mu.Lock()
		m.unjoined[p.Session] = unjoined{err, now.Add(joinAgain)}
		m.mu.Unlock()
		m.plans.add("", p.Session)
		m.poke() // which ends: it does not get that far in the next pass
		return
	}
	at := make([]place, len(claims))
	for i, claim := range claims {
		if err := m.Ledger.Take(claim); err != nil {
			m.Log.Info("a place was gone before it was taken", "session", claim.Session, "error", err)
			for _, taken := range claims[:i] {
				m.Ledger.Drop(taken.Session)
			}
			return
		}
		at[i].claim, at[i].net = claim, net
	}
	run, failures := inStep(containers)
	for i, r := range containers {
		at[i].run, at[i].failures, at[i].why = run, failures, p.Why
		if !r.offer(at[i]) {
			m.Ledger.Drop(r.id) // it is being ended, and so are the others
		}
	}
}

// queue is the snapshot that Place works on, and the runners of those that wait in it: of each all containers, the main
// one first.
func (m *Manager) queue() (Queue, map[string][]*runner) {
	claims := m.Ledger.Claims()
	held := make(map[string]accel.Entry, len(claims))
	for _, c := range claims {
		held[c.Session] = c
	}
	q := Queue{
		Pool: m.open(m.Ledger.Pool()), Reach: m.reaches(), Unasked: m.unasked(), Options: m.Queueing.Options, Order: m.Queueing.Order, Strategy: m.Queueing.Strategy,
	}
	waiting := map[string][]*runner{}
	clusters := map[string][]container{}
	m.mu.Lock()
	defer m.mu.Unlock()
	q.Quotas = m.quotas
	for id, r := range m.sessions {
		s, _ := r.snapshot()
		claim, holds := held[id]
		if of := s.clusterID(); of != "" && (s.Alive() || !holds) {
			clusters[of] = append(clusters[of], container{r, s, claim, holds})
			delete(held, id)
			continue
		}
		switch {
		case holds:
			q.Running = append(q.Running, m.heldOf(s, claim, r.leaving()))
			delete(held, id)
		case s.Status == StatusPending && r.stopping.Err() == nil:
			q.Waiting = append(q.Waiting, m.waitingOf(s))
			waiting[id] = []*runner{r}
		}
	}
	for id, containers := range clusters {
		if runners := m.queueCluster(&q, containers); runners != nil {
			waiting[id] = runners
		}
	}
	for id, claim := range held { // of instances that nobody knows, until they are gone
		q.Running = append(q.Running, Held{ID: id, Name: id, Claim: claim.Claim, Leaving: true})
	}
	return q, waiting
}

// heldOf is what Place sees of a session that holds a claim. The caller holds mu.
func (m *Manager) heldOf(s Session, c accel.Entry, leaving bool) Held {
	sv := m.services[s.ServiceID]
	return Held{
		ID: s.ID, Name: s.Name, Project: s.Project, Owner: s.CreatedBy, ServiceID: s.ServiceID, ServiceName: m.nameOf(s.ServiceID),
		Type: s.Type, Priority: s.Demand.Priority, Preemptible: s.Demand.Preemptible, MinRuntime: s.Demand.MinRuntime,
		StartedAt: s.StartedAt, Claim: c.Claim, Leaving: c.State == accel.ClaimLeaving || leaving,
		Array: s.Task.array().ID, Passing: sv != nil && (s.Revision != sv.Revision || m.moving(s) != ""),
	}
}

// waitingOf is what Place sees of a session that waits. The caller holds mu.
func (m *Manager) waitingOf(s Session) Waiting {
	w := Waiting{
		ID: s.ID, Name: s.Name, Project: s.Project, Owner: s.CreatedBy, ServiceID: s.ServiceID, ServiceName: m.nameOf(s.ServiceID),
		Type: s.Type, Priority: s.Demand.Priority, Since: s.CreatedAt, StartsAt: s.Demand.StartsAt, Slots: s.Demand.Slots,
		Selector: s.Demand.Selector, Preempts: s.Type == TypeInference, Array: s.Task.array().ID, ArrayLimit: s.Task.array().Limit,
	}
	if sv := m.services[s.ServiceID]; sv != nil {
		w.Priority = sv.Priority // as it is now, not as it was when the route was asked for
	}
	for _, id := range s.Demand.DependsOn {
		d := Dependency{ID: id, Name: id}
		if r := m.sessions[id]; r != nil {
			other, _ := r.snapshot()
			d.Name, d.Status, d.Result = other.Name, other.Status, other.Result
		}
		w.DependsOn = append(w.DependsOn, d)
	}
	return w
}

func (m *Manager) nameOf(serviceID string) string {
	if sv := m.services[serviceID]; sv != nil {
		return sv.Name
	}
	return ""
}

// broken lists the devices that are known to be broken, by node and device, with a sentence. One that merely cannot be
// seen for the moment is none of them: what runs on it may well go on.
func (m *Manager) broken() map[string]string {
	suspect := slices.ContainsFunc(m.Ledger.Pool(), func(s accel.State) bool {
		return slices.ContainsFunc(s.Node().Devices, func(d accel.Device) bool { return d.Fault != "" })
	})
	if !suspect {
		return nil
	}
	out := map[string]string{}
	for _, status := range m.Ledger.Status() {
		for _, d := range status.State.Node().Devices {
			if d.Fault != "" && status.Health[d.ID].State == accel.HealthFenced {
				out[status.State.Name()+"/"+d.ID] = fmt.Sprintf("its device %s:%d is broken: %s", d.Family, d.Index, d.Fault)
			}
		}
	}
	return out
}

// Overuse ends a session that holds more of a device than its part, where the owner wants that. It does not wait for
// it: the next pass does it.
func (m *Manager) Overuse(session, reason string) {
	m.mu.Lock()
	if r := m.sessions[session]; r != nil {
		if s, _ := r.snapshot(); s.Type == TypeInference && s.IsSub() {
			session = s.clusterID() // its route ends
		}
	}
	m.mu.Unlock()
	m.fault(session, stopRequest{reason: reason})
}

// fault has a session ended for what it has done, or another container of it. It does not wait for it: the next pass does it.
func (m *Manager) fault(session string, req stopRequest) {
	m.mu.Lock()
	m.faults[session] = req
	m.mu.Unlock()
	m.poke()
}

// endFaulty ends those that are to end for a fault. A route would do the same again: that is a failed start, and is
// counted before a plan could replace it. The caller holds writing.
func (m *Manager) endFaulty(ctx context.Context) {
	m.mu.Lock()
	faults := m.faults
	m.faults = map[string]stopRequest{}
	m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(faults)) {
		m.mu.Lock()
		r, req := m.sessions[id], faults[id]
		m.mu.Unlock()
		if r == nil || r.ends() || req.cause == nil && r.leaving() {
			continue
		}
		r.end(req, false)
		s, _ := r.snapshot()
		sv := m.services[s.ServiceID]
		if sv == nil || sv.Lifecycle != LifecycleActive || s.Revision != sv.Revision || req.cause != nil && settledIn(s) {
			continue
		}
		if err := m.countFailure(ctx, sv, req.cause == nil || !s.HealthyAt.IsZero(), failureOf(s, req.reason)); err != nil {
			m.Log.Error("failed start was not counted", "service", sv.ID, "session", id, "error", err)
		}
	}
}

// Queue lists the sessions that wait, in the order in which they are tried.
func (m *Manager) Queue() []Waiting {
	q, _ := m.queue()
	m.mu.Lock()
	rank := make(map[string]int, len(m.order))
	for i, id := range m.order {
		rank[id] = i + 1
	}
	m.mu.Unlock()
	last := len(rank) + 1 // who has come since
	slices.SortFunc(q.Waiting, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(cmp.Or(rank[a.ID], last), cmp.Or(rank[b.ID], last)), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return q.Waiting
}
