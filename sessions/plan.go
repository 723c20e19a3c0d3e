package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ServiceState is all that Plan looks at.
type ServiceState struct {
	Service Service
	Routes  []RouteState // of sessions that have not ended, in the order of their creation
	// Ending are containers of routes whose main one has ended, and which have not yet. It is counted of a service that should go.
	Ending int
}

// RouteState is one live session of a service, as the balance sees it.
type RouteState struct {
	ID        string
	Revision  int
	Status    RouteStatus
	Since     time.Time // since when it is in Status
	HealthyAt time.Time // of its first passing probe; zero: none yet
	InFlight  int       // requests
	Detail    string    // what the last probe said
	Waiting   bool      // it is in the queue: it has no place yet
	Moving    string    // why another one is to take its place, elsewhere; "": none is
}

// ready reports whether the route can answer.
func (r RouteState) ready() bool { return r.Status == RouteHealthy }

// leaving reports whether the route is on its way out: it may still be cleaned up.
func (r RouteState) leaving() bool {
	return r.Status == RouteDraining || r.Status == RouteFailedToStart || r.Status == RouteTerminated
}

// PlanAction is one thing that should be done for a service, with the reason for it.
type PlanAction struct {
	Kind     PlanKind
	Revision int    // PlanStart, PlanRollBack (to), PlanAccept
	Route    string // PlanRetire, PlanGiveUp
	Reason   string // one sentence for people
}

// String prints the action as the sentence that goes to the log.
func (a PlanAction) String() string {
	switch {
	case a.Route != "":
		return fmt.Sprintf("%s %s: %s", a.Kind, a.Route, a.Reason)
	case a.Revision != 0:
		return fmt.Sprintf("%s revision %d: %s", a.Kind, a.Revision, a.Reason)
	}
	return fmt.Sprintf("%s: %s", a.Kind, a.Reason)
}

// PlanKind names what should be done.
type PlanKind string

// The kinds of action.
const (
	PlanStart    PlanKind = "start"     // one more session of Revision
	PlanRetire   PlanKind = "retire"    // drain Route, then stop it
	PlanGiveUp   PlanKind = "give up"   // stop Route and count it as a failed start
	PlanAccept   PlanKind = "accept"    // Revision has proved itself: the one to go back to
	PlanRollBack PlanKind = "roll back" // the newest revision does not come up: run Revision again
	PlanSettle   PlanKind = "settle"    // forget failures: all has been well for a while
	PlanDestroy  PlanKind = "destroy"   // nothing of a service that should go is left
)

const (
	// rollBackAfter is how many starts of a revision that never was healthy may fail before the one
	// before it is run again.
	rollBackAfter = 2
	// settledAfter is how long a route must be healthy before failures are forgotten. A shorter life
	// counts as a failed start: an engine that crashes on its first request must meet the back-off.
	settledAfter = time.Minute
)

// Plan says what to do for one service now, and when to look again even if nothing happens (zero:
// no need). It is the whole of what the manager decides; it only reads its arguments. In order:
//  1. A service that should go loses all its routes; when none is left it is destroyed.
//  2. A revision with a healthy route is accepted; failures are forgotten after a settled minute.
//  3. A new revision that keeps failing while an older one is good is rolled back.
//  4. Routes that have been unhealthy for longer than the policy bears are given up.
//  5. Routes of other revisions, and those that are to move, go as those of the wanted one come up (max_surge, max_unavailable).
//  6. Missing routes are started, unless the back-off says to wait; after a failure one at a time.
//  7. Routes too many are retired: those in the queue first, then not yet healthy, then unhealthy, then the least busy.
func Plan(s ServiceState, now time.Time) (actions []PlanAction, again time.Time) {
	p := planner{ServiceState: s, now: now}
	if s.Service.Lifecycle != LifecycleActive { // 1
		p.destroy()
		return p.actions, time.Time{}
	}
	if p.rollBack() { // 3; the next look goes on with the older revision
		return p.actions, time.Time{}
	}
	p.accept()      // 2
	p.giveUp()      // 4
	p.rollForward() // 5
	p.start()       // 6
	p.shrink()      // 7
	return p.actions, p.again
}

type planner struct {
	ServiceState
	now     time.Time
	gone    []string // routes that this plan already ends
	actions []PlanAction
	again   time.Time
}

func (p *planner) do(kind PlanKind, route string, revision int, format string, args ...any) {
	p.actions = append(p.actions, PlanAction{Kind: kind, Route: route, Revision: revision, Reason: fmt.Sprintf(format, args...)})
	if route != "" {
		p.gone = append(p.gone, route)
	}
}

// lookAgain asks for another look at t at the latest.
func (p *planner) lookAgain(t time.Time) {
	if p.again.IsZero() || t.Before(p.again) {
		p.again = t
	}
}

// staying returns the routes that are not on their way out, nor ended by this plan.
func (p *planner) staying(keep func(RouteState) bool) []RouteState {
	var rs []RouteState
	for _, r := range p.Routes {
		if !r.leaving() && !slices.Contains(p.gone, r.ID) && keep(r) {
			rs = append(rs, r)
		}
	}
	return rs
}

func (p *planner) current(r RouteState) bool {
	return r.Revision == p.Service.Revision && r.Moving == ""
}
func (p *planner) outdated(r RouteState) bool { return !p.current(r) }
func anyRoute(RouteState) bool                { return true }

func (p *planner) destroy() {
	if len(p.Routes) == 0 && p.Ending == 0 {
		p.do(PlanDestroy, "", 0, "no route is left")
		return
	}
	for _, r := range p.staying(anyRoute) {
		p.do(PlanRetire, r.ID, 0, "the service is being removed")
	}
}

func (p *planner) accept() {
	settled := false
	for _, r := range p.staying(p.current) {
		if !r.ready() {
			continue
		}
		if p.Service.GoodRevision != p.Service.Revision {
			p.do(PlanAccept, "", p.Service.Revision, "it has a healthy route")
			p.Service.GoodRevision = p.Service.Revision
		}
		switch at := r.HealthyAt.Add(settledAfter); {
		case p.Service.Failures == 0: // there is nothing to forget: a look for each route that has settled would be for nothing
		case at.After(p.now):
			p.lookAgain(at)
		default:
			settled = true
		}
	}
	if settled && !p.now.Before(p.Service.RetryAt) && p.allReady() {
		p.do(PlanSettle, "", 0, "all routes have been healthy for a while")
	}
}

func (p *planner) allReady() bool {
	ready := p.staying(func(r RouteState) bool { return r.ready() && p.current(r) })
	return len(ready) >= p.Service.Replicas
}

func (p *planner) rollBack() bool {
	s := p.Service
	if s.GoodRevision == 0 || s.GoodRevision == s.Revision || s.Failures < rollBackAfter {
		return false
	}
	if len(p.staying(func(r RouteState) bool { return p.current(r) && r.ready() })) > 0 {
		return false
	}
	p.do(PlanRollBack, "", s.GoodRevision, "revision %d never became healthy: %s", s.Revision, s.LastError)
	return true
}

func (p *planner) giveUp() {
	policy := p.Service.Policy
	for _, r := range p.staying(func(r RouteState) bool { return r.Status == RouteUnhealthy }) {
		if policy.OnUnhealthy == OnUnhealthyHold {
			continue
		}
		if at := r.Since.Add(policy.UnhealthyTTL); at.After(p.now) {
			p.lookAgain(at)
			continue
		}
		p.do(PlanGiveUp, r.ID, 0, "unhealthy for %s: %s", p.now.Sub(r.Since).Round(time.Second), r.Detail)
	}
	for _, r := range p.staying(func(r RouteState) bool { return r.Status == RouteProvisioning && !r.Waiting }) {
		if at := r.Since.Add(policy.StartTimeout); at.After(p.now) {
			p.lookAgain(at)
			continue
		}
		p.do(PlanGiveUp, r.ID, 0, "not healthy %s after its start: %s", p.now.Sub(r.Since).Round(time.Second), r.Detail)
	}
}

// rollForward ends routes of other revisions as far as the healthy ones that remain allow.
func (p *planner) rollForward() {
	for _, r := range p.staying(p.outdated) {
		if !r.ready() { // it serves nobody
			p.do(PlanRetire, r.ID, 0, "%s", p.outdatedWhy(r))
		}
	}
	old := p.staying(p.outdated)
	if len(old) == 0 {
		return
	}
	ready := len(p.staying(RouteState.ready))
	least := p.Service.Replicas - p.Service.Policy.MaxUnavailable
	slices.SortStableFunc(old, removalOrder)
	for _, r := range old[:min(len(old), max(0, ready-least))] {
		p.do(PlanRetire, r.ID, 0, "%s; enough routes are healthy without it", p.outdatedWhy(r))
	}
}

func (p *planner) outdatedWhy(r RouteState) string {
	if r.Revision == p.Service.Revision {
		return r.Moving
	}
	return fmt.Sprintf("revision %d is wanted, this is %d", p.Service.Revision, r.Revision)
}

func (p *planner) start() {
	s := p.Service
	current, outdated := p.staying(p.current), p.staying(p.outdated)
	missing := s.Replicas - len(current)
	if len(outdated) > 0 { // rolling: no more at once than the policy lets
		missing = min(missing, s.Replicas+s.Policy.MaxSurge-len(current)-len(outdated))
	}
	if missing <= 0 {
		return
	}
	if s.Failures > 0 {
		if s.RetryAt.After(p.now) {
			p.lookAgain(s.RetryAt)
			return
		}
		if slices.ContainsFunc(current, func(r RouteState) bool { return r.Status == RouteProvisioning }) {
			return // one at a time until one has come up
		}
		missing = 1
	}
	for range missing {
		p.do(PlanStart, "", s.Revision, "%s", p.startReason(len(current), len(outdated)))
	}
}

func (p *planner) startReason(current, outdated int) string {
	s := p.Service
	switch {
	case outdated > 0 && slices.ContainsFunc(p.Routes, func(r RouteState) bool { return r.Moving != "" && r.Revision == s.Revision }):
		return "it takes the place of a route that is to move"
	case outdated > 0:
		return fmt.Sprintf("revision %d replaces an older one", s.Revision)
	case s.Failures > 0:
		return fmt.Sprintf("%d of %d routes run; %d failed before: %s", current, s.Replicas, s.Failures, s.LastError)
	}
	return fmt.Sprintf("%d of %d routes run", current, s.Replicas)
}

func (p *planner) shrink() {
	current := p.staying(p.current)
	if len(p.staying(p.outdated)) > 0 && p.Service.Replicas > 0 {
		return // rollForward is at work
	}
	extra := len(current) - p.Service.Replicas
	if extra <= 0 {
		return
	}
	slices.SortStableFunc(current, removalOrder)
	for _, r := range current[:extra] {
		p.do(PlanRetire, r.ID, 0, "%s wanted, %d run", plural(p.Service.Replicas, "route"), len(current))
	}
}

// removalOrder sorts those to go first to the front: without a place, not yet healthy, unhealthy, least in flight;
// among equals the youngest.
func removalOrder(a, b RouteState) int {
	rank := func(r RouteState) int {
		switch {
		case r.Waiting: // it has cost nothing yet
			return -1
		case r.Status == RouteProvisioning:
			return 0
		case r.Status == RouteUnhealthy:
			return 1
		default:
			return 2
		}
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.InFlight, b.InFlight), b.Since.Compare(a.Since))
}

// Backoff is how long to wait after that many failed starts in a row: 1 s, doubled each time, at most
// 5 min, with jitter in [0,1) spreading it over the last fifth so that services that failed together
// do not start together.
func Backoff(failures int, jitter float64) time.Duration {
	const first, most = time.Second, 5 * time.Minute
	wait := most
	if failures < 10 {
		wait = min(most, first<<max(0, failures-1))
	}
	return wait - time.Duration(jitter*float64(wait)/5)
}
