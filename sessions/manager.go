package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/variants"
)

// Deps are what a manager needs of others.
type Deps struct {
	Store    Store
	Loads    LoadTimeStore // nil: how long loads took is forgotten with the manager
	Runtime  Runtime
	Observer Observer
	Traffic  Traffic
	Folders  FolderFinder
	// Glimpse makes a directory of what is to be known of the files of a folder of another box: small ones, the heads of large
	// ones, and the sizes of all. Nil: there is no other box.
	Glimpse  func(ctx context.Context, f folders.Folder) (dir string, err error)
	Variants *variants.Table
	Probe    Prober                // nil: Probe
	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger
	Timeouts Timeouts // zero fields get defaults
	Policy   Policy   // of services whose owner says nothing; zero: DefaultPolicy
	// Destroyed takes with a service what else belongs to it. It is called before the service's row goes, and
	// again if it fails. May be nil.
	Destroyed func(ctx context.Context, serviceID string) error
	// Guess is how long a route of a service takes to come up, where nothing like it has been loaded here: as one of an earlier
	// revision did when it was measured. 0 where that is not known either. It is called with locks held, and may not wait; nil: nobody guesses.
	Guess func(serviceID string) time.Duration
	// Earlier keeps what sessions wrote in earlier runs; nil: only the last run's log is there.
	Earlier EarlierLogs
	// Nets are what networks there can be between boxes; zero: none.
	Nets ClusterNets
	// Clusters keep what the containers of one session share; nil: sessions have one container each.
	Clusters ClusterFiles
	// Checkpoints are there in all runs of a session; nil: there are none.
	Checkpoints Checkpoints
	// Ledger knows what the boxes have and who holds it; nil: one box of boundless cores and memory, without devices.
	Ledger *accel.Ledger
	// Closed says why nothing new is placed on a box; nil, or "": it is. It may not wait.
	Closed func(node string) string
	// Away says what is to become of what runs on a box; nil: nothing is. It may not wait.
	Away func(node string) Vacancy
	// Grant says how a session is given the devices that it holds; nil: there are none.
	Grant    func(accel.Claim) (accel.Grant, error)
	Queueing QueueConfig
	// Secret is the value of a secret by its name: see SecretPrefix. Nil: values that look so are left as they are.
	Secret func(ctx context.Context, name string) (string, error)
}

// FolderFinder finds a folder that somebody has, by id or name. *folders.Keeper is one.
type FolderFinder interface {
	Reach(ctx context.Context, w folders.Who, ref string, want folders.Permission) (folders.Reached, error)
}

// Timeouts bound what has no other bound.
type Timeouts struct {
	Pull      time.Duration // an image; default 6 h
	Start     time.Duration // Runtime.Start; default 2 min
	StopGrace time.Duration // SIGTERM to SIGKILL, after the drain; default 10 s
	// PreemptGrace is the same for a session that gives way to another: time for a checkpoint; default 60 s.
	PreemptGrace time.Duration
	Stop         time.Duration // beyond the grace, until everything is gone; default 1 min
	Save         time.Duration // one write to the store; default 10 s
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&t.Pull, 6*time.Hour)
	set(&t.Start, 2*time.Minute)
	set(&t.StopGrace, 10*time.Second)
	set(&t.PreemptGrace, time.Minute)
	set(&t.Stop, time.Minute)
	set(&t.Save, 10*time.Second)
	return t
}

// Manager keeps services as their owners want them. It is the only writer of services; each
// session's runner is the only writer of the session's status.
//
// Services are changed by whoever holds writing, and only that one waits for the store: what is in memory
// changes under mu as well, which nobody holds while waiting for anything. So a store that hangs keeps
// nobody from looking, and no dead route in the balance. What is changed under both may be read under either.
//
// Lock order: writing, then publishing, then mu, then a runner's own.
type Manager struct {
	Deps
	metrics *metrics
	poked   chan struct{} // of size 1: look again now
	plans   marks         // what has changed since the loop looked
	views   marks         // what has changed since the table was shown
	looked  atomic.Bool   // what Closed or Away say has changed
	wg      sync.WaitGroup
	ctx     context.Context // of Run; runners live in it
	cancel  context.CancelFunc

	writing chan struct{} // holds one while somebody changes services; see take
	starts  []start       // drafted by the plan that is carried out; guarded by writing

	mu       sync.Mutex
	services map[string]*service
	sessions map[string]*runner // all that are kept, ended ones too
	grouped  map[string]*runner // those of them that are one container of several
	closing  bool
	sweeping bool // old sessions are being removed
	// Of the loop alone: what Place wants to be told of its last decision.
	lastNode string
	kept     []Reservation
	order    []string               // of those that wait, as they were tried last; guarded by mu
	unjoined map[string]unjoined    // by session; guarded by mu
	faults   map[string]stopRequest // who is to be ended for what it has done, and why; guarded by mu
	clusters map[string]int         // those that live, or lived in this daemon's time: the run that was let go on, -1 for none. Of the loop alone
	loop     loopState              // of the loop alone

	loads  loadTimes // guarded by mu
	quotas Quotas    // guarded by mu; what they hold is never changed

	asked      atomic.Int64 // how often publish was called
	publishing sync.Mutex
	shown      int64         // which of those calls have been done; guarded by publishing
	showNext   time.Time     // not before then; guarded by publishing
	table      table         // guarded by publishing
	change     chan struct{} // closed and replaced at every change; guarded by mu
}

// service is what the manager holds of one service.
type service struct {
	Service
	revisions []Revision // oldest first
	routes    []*runner  // live ones, oldest first
	// broken: the start that failed last never came up. One that came up and crashed is another matter: who waits for
	// its successor has some hope.
	broken bool
	loads  map[int]LoadTime // by revision, as they were asked for; guarded by the manager's mu
	capped string           // how the autoscaler was told last that a limit keeps it from more routes; guarded by writing
	short  string           // the same in words, where it has none at all; guarded by mu
	again  time.Time        // when its plan asks for another look though nothing changes; zero: it does not. Of the loop alone
}

func (s *service) revision(number int) *Revision {
	for i := range s.revisions {
		if s.revisions[i].Number == number {
			return &s.revisions[i]
		}
	}
	return nil
}

// NewManager returns a manager that knows nothing yet: Adopt comes first, then Run.
func NewManager(d Deps) *Manager {
	if d.Probe == nil {
		d.Probe = Probe
	}
	if d.Policy == (Policy{}) {
		d.Policy = DefaultPolicy()
	}
	d.Timeouts = d.Timeouts.withDefaults()
	if d.Ledger == nil {
		d.Ledger = accel.NewLedger()
		d.Ledger.SetNode(accel.Node{Name: "box", CPU: 1 << 40, Memory: 1 << 60})
	}
	if d.Grant == nil {
		d.Grant = func(accel.Claim) (accel.Grant, error) { return accel.Grant{}, nil }
	}
	m := &Manager{
		Deps: d, metrics: newMetrics(d.Registry), poked: make(chan struct{}, 1),
		services: map[string]*service{}, sessions: map[string]*runner{}, grouped: map[string]*runner{}, change: make(chan struct{}),
		quotas: d.Queueing.Quotas, writing: make(chan struct{}, 1), faults: map[string]stopRequest{}, unjoined: map[string]unjoined{}, clusters: map[string]int{},
		loop: loopState{away: map[string]Vacancy{}, waiting: map[string]bool{}},
	}
	m.markAll()
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Run decides until ctx ends; then it waits until every runner has let go of its session. Sessions go
// on running.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	defer m.cancel()
	defer m.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := m.Ledger.Changed() // asked before the pass: what changes while it goes on is seen after it
		timer.Reset(m.pass(ctx, time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-m.poked:
		case <-changed:
		case <-timer.C:
		}
	}
}

func (m *Manager) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
}

// poke asks for a pass soon. A pass looks at all that is marked by then, so one that is already asked for is enough.
func (m *Manager) poke() {
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// take waits for the right to change services; give returns it. It is held for as long as a few writes
// take, each bounded by Timeouts.Save.
func (m *Manager) take(ctx context.Context) error {
	select {
	case m.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting until an earlier change is written: %w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (m *Manager) give() { <-m.writing }

// planOf is what Plan says of a service, nothing while an end is not accounted for: the runner pokes when
// it is.
func (m *Manager) planOf(s *service, now time.Time) (actions []PlanAction, again time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.routes = slices.DeleteFunc(s.routes, func(r *runner) bool { ses, _ := r.snapshot(); return r.settled() && ses.Status.Terminal() })
	if slices.ContainsFunc(s.routes, func(r *runner) bool { return !r.settled() }) {
		return nil, time.Time{}
	}
	return Plan(m.stateOf(s), now)
}

// stateOf is what Plan and people see of a service. The caller holds mu.
func (m *Manager) stateOf(s *service) ServiceState {
	state := ServiceState{Service: s.Service, Routes: make([]RouteState, 0, len(s.routes))}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		if ses.Alive() {
			state.Routes = append(state.Routes, m.routeState(ses, health))
		}
	}
	if s.Lifecycle != LifecycleActive {
		state.Ending = m.ending(s)
	}
	return state
}

// ending counts containers of a service's routes that have not ended though the main one has. The caller holds mu.
func (m *Manager) ending(s *service) (count int) {
	goesOn := map[string]bool{}
	for _, r := range s.routes {
		if ses, _ := r.snapshot(); ses.Alive() {
			goesOn[ses.clusterID()] = true
		}
	}
	for _, r := range m.grouped {
		if r.service != s.ID {
			continue
		}
		if ses, _ := r.snapshot(); ses.IsSub() && ses.Alive() && !goesOn[ses.clusterID()] {
			count++
		}
	}
	return count
}

func (m *Manager) routeState(s Session, h Health) RouteState {
	since := h.Since
	if since.IsZero() {
		since = latest(s.CreatedAt, s.PlacedAt) // time in the queue is no time of the start
	}
	detail := h.Detail
	if s.Status != StatusRunning {
		detail = s.Reason
	}
	return RouteState{
		ID: s.ID, Revision: s.Revision, Status: routeStatus(s, h), Since: since, HealthyAt: s.HealthyAt,
		InFlight: m.Traffic.InFlight(s.ID), Detail: detail, Waiting: s.Status == StatusPending, Moving: m.moving(s),
	}
}

// enter takes a runner in among those that are kept. The caller holds mu.
func (m *Manager) enter(r *runner) {
	m.sessions[r.id] = r
	if r.session.clusterID() != "" {
		m.grouped[r.id] = r
	}
	m.mark(r.session.ServiceID, r.id)
}

// launch runs a runner in its own goroutine, unless the manager is closing. The caller holds mu.
func (m *Manager) launch(r *runner) {
	if m.closing {
		return
	}
	m.wg.Go(func() { r.run(m.ctx) })
}

func (m *Manager) runnerDeps() runnerDeps {
	return runnerDeps{
		store: m.Store, runtime: m.Runtime, observe: m.Observer, earlier: m.Earlier, points: m.Checkpoints, clusters: m.Clusters, whole: m.whole, traffic: m.Traffic, probe: m.Probe, metrics: m.metrics,
		limits: m.Timeouts, ledger: m.Ledger, grant: m.Grant, variants: m.Variants, secret: m.Secret, policy: m.policyOf, loaded: m.loaded, mark: m.mark, unshown: m.views.add, changed: m.changed, show: m.publish, poke: m.poke, ended: m.ended, log: m.Log,
	}
}

func (m *Manager) policyOf(serviceID string) Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[serviceID]; s != nil {
		return s.Policy
	}
	return m.Policy
}

// changed is called when what has changed is marked: the table follows at once, and the plan is looked at again.
func (m *Manager) changed() {
	m.publish()
	m.poke()
}
