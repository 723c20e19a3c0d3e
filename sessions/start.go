package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
)

// start is a route that is planned: its session, which is several where it has several containers, the main one first.
type start struct {
	of    *service
	ranks []Session
	event Event
}

// startsAtOnce is how many sessions are written in one transaction at most, about: so many take tens of milliseconds, and one
// transaction each, of those of a rack that died, seconds.
const startsAtOnce = 100

// mostRefused is how many are tried alone where none of them is taken.
const mostRefused = 8

// draftStart makes ready what begin writes: one more route of the action's revision. The caller holds writing.
func (m *Manager) draftStart(ctx context.Context, s *service, a PlanAction) error {
	rev := s.revision(a.Revision)
	if rev == nil {
		return fmt.Errorf("revision %d of %s: %w", a.Revision, s.Name, ErrNotFound)
	}
	id := newID("ses")
	ses := Session{
		ID: id, Name: sessionName(s.Name, id), Project: s.Project, Type: TypeInference, CreatedBy: s.CreatedBy,
		CreatedAt: time.Now().UTC(), ServiceID: s.ID, Revision: rev.Number, Image: rev.Recipe.Image, Launch: rev.Launch,
		Status: StatusPending, Reason: a.Reason, Result: ResultUndefined, TrafficRatio: 1,
	}
	var err error
	if ses.Demand, err = demandOf(s.Service, rev.Recipe); err != nil { // an earlier release may have let it pass
		return m.startRefused(ctx, s, err)
	}
	if ses.Limits, err = limitsOf(rev.Recipe); err != nil {
		return m.startRefused(ctx, s, err)
	}
	if ses.Mounts, err = m.mountsOf(ctx, folders.Who{Person: s.CreatedBy, Project: s.Project}, rev.Recipe, rev.Launch.Mount); err != nil {
		return m.startRefused(ctx, s, err)
	}
	if err = ses.Demand.atHome(ses.Mounts); err != nil {
		return m.startRefused(ctx, s, err)
	}
	one := start{of: s, ranks: []Session{ses}, event: Event{ServiceID: s.ID, SessionID: id, Kind: "started", Message: a.Reason}}
	if cluster := rev.Recipe.cluster(rev.Launch); cluster != nil {
		ses.Name = sessionName(s.Name[:min(len(s.Name), 64-longestRank)], id)
		one.ranks = ses.members(cluster)
		one.event.Message = fmt.Sprintf("%s, in %d containers", a.Reason, cluster.Size)
	}
	m.starts = append(m.starts, one)
	return nil
}

// startRefused counts a start that could not even be tried, such as of a folder that is gone.
func (m *Manager) startRefused(ctx context.Context, s *service, why error) error {
	m.event(ctx, Event{ServiceID: s.ID, Kind: "failed", Message: why.Error()})
	return m.countFailure(ctx, s, false, why.Error())
}

// begin records what was drafted and hands it to runners; what fails is planned anew by the next pass. False: the store is away.
// The caller holds writing.
func (m *Manager) begin(ctx context.Context) bool {
	all := m.starts
	m.starts = nil
	there := true
	for len(all) > 0 {
		n, ranks := 0, 0
		for n < len(all) && (n == 0 || ranks+len(all[n].ranks) <= startsAtOnce) {
			ranks += len(all[n].ranks)
			n++
		}
		for _, some := range m.beginOr(ctx, all[:n], &there) {
			m.plans.add(some.of.ID, "")
		}
		all = all[n:]
	}
	return there
}

// beginOr begins some at once, and where the store refuses that, which may be for one of them, each alone, unless
// none of the first is taken: then it is for something else, such as a full disk. It returns those that were not begun. there becomes
// false where the store is away: then nothing more is tried.
func (m *Manager) beginOr(ctx context.Context, some []start, there *bool) (not []start) {
	if !*there {
		return some
	}
	err := m.beginAll(ctx, some)
	if err == nil {
		return nil
	}
	away := errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
	if len(some) > 1 && !away {
		for i := range some {
			if not = append(not, m.beginOr(ctx, some[i:i+1], there)...); len(not) == mostRefused && i == mostRefused-1 {
				return append(not, some[i+1:]...)
			}
		}
		return not
	}
	*there = *there && !away
	m.Log.Error("starts could not be recorded; they will be tried again", "routes", len(some), "first", some[0].of.ID, "error", err)
	return some
}

// beginAll writes the sessions of starts, all or none, and hands them to runners.
func (m *Manager) beginAll(ctx context.Context, some []start) error {
	var drafts []Session
	var events []Event
	for _, one := range some {
		drafts, events = append(drafts, one.ranks...), append(events, one.event)
	}
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	if err := m.Store.AddSessions(saving, drafts); err != nil {
		return errors.Join(err, m.unmake(ctx, drafts))
	}
	m.mu.Lock()
	for _, one := range some {
		for _, ses := range one.ranks {
			r := newRunner(m.runnerDeps(), ses)
			m.enter(r)
			if ses.main() {
				one.of.routes = append(one.of.routes, r)
			}
			m.launch(r)
		}
	}
	m.mu.Unlock()
	m.event(ctx, events...)
	return nil
}

// dropStarts forgets what was drafted: the store is away, and it is planned anew.
func (m *Manager) dropStarts() {
	for _, one := range m.starts {
		m.plans.add(one.of.ID, "")
	}
	m.starts = slices.Delete(m.starts, 0, len(m.starts))
}
