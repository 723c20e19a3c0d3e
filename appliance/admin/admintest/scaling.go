package admintest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// Scaling keeps policies as the real thing does, and decides nothing: Decide puts a decision down as if it had been made.
type Scaling struct {
	has func(serviceID string) bool

	mu        sync.Mutex
	kept      map[string]autoscaler.Kept
	decisions map[string][]autoscaler.Decision // newest first
	signals   map[string][]autoscaler.SignalStatus
	// Conflicts is how many edits more are told that another came first.
	Conflicts int
	// Broken is what keeping a policy fails with.
	Broken error
}

func newScaling(has func(serviceID string) bool) *Scaling {
	return &Scaling{
		has: has, kept: map[string]autoscaler.Kept{},
		decisions: map[string][]autoscaler.Decision{}, signals: map[string][]autoscaler.SignalStatus{},
	}
}

// Policy implements admin.Autoscaling.
func (s *Scaling) Policy(id string) (autoscaler.Kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[id]
	return k, ok
}

// SetPolicy implements admin.Autoscaling.
func (s *Scaling) SetPolicy(_ context.Context, id string, p autoscaler.Policy, by string, version int64) (autoscaler.Kept, error) {
	if !s.has(id) {
		return autoscaler.Kept{}, fmt.Errorf("service %s: %w", id, autoscaler.ErrNotFound)
	}
	p.Fill()
	if err := p.Check(); err != nil {
		return autoscaler.Kept{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Broken != nil {
		return autoscaler.Kept{}, s.Broken
	}
	k := s.kept[id]
	if s.Conflicts > 0 || k.Version != version {
		s.Conflicts = max(0, s.Conflicts-1)
		return autoscaler.Kept{}, fmt.Errorf("the policy of service %s is at version %d: %w", id, k.Version, autoscaler.ErrConflict)
	}
	p.Rules = slices.Clone(p.Rules)
	k = autoscaler.Kept{ServiceID: id, Policy: p, Version: version + 1, EditedBy: by, EditedAt: time.Now().UTC(), Memory: k.Memory}
	s.kept[id] = k
	return k, nil
}

// Resume implements admin.Autoscaling.
func (s *Scaling) Resume(_ context.Context, id, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[id]
	if !ok {
		return fmt.Errorf("a policy of this service: %w", autoscaler.ErrNotFound)
	}
	k.Version, k.EditedBy, k.EditedAt = k.Version+1, by, time.Now().UTC()
	s.kept[id] = k
	return nil
}

// Standing implements admin.Autoscaling.
func (s *Scaling) Standing(id string) (autoscaler.Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[id]
	if !ok {
		return autoscaler.Standing{}, false
	}
	st := autoscaler.Standing{On: k.Policy.On(), Signals: s.signals[id], LoadTime: 90 * time.Second}
	if len(s.decisions[id]) > 0 {
		st.Last = s.decisions[id][0]
	}
	return st, true
}

// Decisions implements admin.Autoscaling.
func (s *Scaling) Decisions(_ context.Context, id string, limit int) ([]autoscaler.Decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.decisions[id]
	return slices.Clone(all[:min(limit, len(all))]), nil
}

// Decide puts down a scale-out of a service by the first of its rules, at now: that rule's metric says 37, those of the
// others nothing. It has the place of another service.
func (s *Scaling) Decide(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[id]
	d := autoscaler.Decision{At: now, Was: 2, Replicas: 4, Reason: "2 -> 4: 37 in flight, target 8 per route", Panic: true, Next: now.Add(time.Second)}
	var signals []autoscaler.SignalStatus
	for i, r := range k.Policy.Rules {
		w := autoscaler.Wish{Rule: r.ID, Name: r.Name, Silent: true, Why: "no data"}
		if w.Name == "" {
			w.Name = r.Metric.String()
		}
		status := autoscaler.SignalStatus{Metric: r.Metric, Missing: "no route has told it yet"}
		if i == 0 {
			w.Silent, w.Want, w.Value, w.Why = false, 4, new(18.5), "37 in flight, target 8 per route, panic since 12:03:05"
			status = autoscaler.SignalStatus{Metric: r.Metric, Value: new(18.5), At: now, Of: 2}
			d.Rule = r.ID
			k.Memory.Fired = map[string]time.Time{r.ID: now}
		}
		d.Wishes = append(d.Wishes, w)
		if r.Metric.Name != "" {
			signals = append(signals, status)
		}
	}
	d.Standoff = &autoscaler.Standoff{
		Claimant: "demo", Value: 90, Service: "seldom", Routes: 1, Reason: "seldom gives up 1 route for demo", Losers: []autoscaler.Verdict{
			{Service: "often", Value: 80, Why: "in use, and worth 80, half of the claimant's or more"}, {Service: "seldom", Yields: true, Idle: true, Why: "idle for 1h"},
		},
	}
	k.Memory.Out = now
	d.Memory = k.Memory
	s.kept[id], s.signals[id] = k, signals
	s.decisions[id] = slices.Insert(s.decisions[id], 0, d)
}

// Yield puts down that a service gives a route up for claimant, which is another's name, and that a third would have.
func (s *Scaling) Yield(id, claimant string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const why = "idle for 5m"
	d := autoscaler.Decision{At: now, Was: 1, Rule: autoscaler.RuleYield, Reason: "1 -> 0: yields to " + claimant + ": " + why, Memory: s.kept[id].Memory}
	d.Wishes = []autoscaler.Wish{{Rule: autoscaler.RuleYield, Name: "yield", Why: why}}
	d.Standoff = &autoscaler.Standoff{
		Claimant: claimant, Value: 12.5, ServiceID: id, Service: "giver", Routes: 1, Reason: "giver gives up 1 route for " + claimant + ": " + why,
		Losers: []autoscaler.Verdict{
			{Service: "fixed", Value: 0.25, Why: "it has no autoscaling"}, {Service: "giver", Yields: true, Idle: true, Why: why},
			{Service: "lower", Value: 3, Yields: true, Why: "its priority is lower: 1 under 10"},
		},
	}
	s.decisions[id] = slices.Insert(s.decisions[id], 0, d)
}
