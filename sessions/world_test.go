package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
	"github.com/palisade-run/palisade/variants"
)

// memory is a Store for tests. What has been saved is there for the next daemon.
type memory struct {
	mu          sync.Mutex
	services    map[string]sessions.Service
	revisions   map[string][]sessions.Revision
	sessions    map[string]sessions.Session
	transitions map[string][]sessions.Transition
	events      []sessions.Event
	loads       []sessions.LoadTime
	writes      int
	rows        map[string]int // by session: how often its row was written
	failAfter   int            // writes from this one on fail; 0: none
	hangs       bool           // writes wait until their context ends
	lies        bool           // writes are done, and an error is told
	refuses     string         // what ids of services begin with of which no new session is taken; "": there are none
	tried       []int          // how many sessions were to be added at once
	added       []int          // how many were
}

var errDiskFull = errors.New("disk full")

func newMemory() *memory {
	return &memory{
		services: map[string]sessions.Service{}, revisions: map[string][]sessions.Revision{},
		sessions: map[string]sessions.Session{}, transitions: map[string][]sessions.Transition{}, rows: map[string]int{},
	}
}

func (m *memory) write(ctx context.Context, do func()) error {
	m.mu.Lock()
	hangs := m.hangs
	m.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.failAfter > 0 && m.writes >= m.failAfter {
		return errDiskFull
	}
	do()
	if m.lies {
		return context.DeadlineExceeded
	}
	return nil
}

// set changes how writes go.
func (m *memory) set(hangs, lies bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hangs, m.lies = hangs, lies
}

func (m *memory) failFrom(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes, m.failAfter = 0, n
}

func (m *memory) Services(context.Context) ([]sessions.Service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sessions.Service
	for _, s := range m.services {
		if s.Lifecycle != sessions.LifecycleDestroyed {
			out = append(out, s)
		}
	}
	return out, nil
}

func (m *memory) SaveService(ctx context.Context, s sessions.Service) (int64, error) {
	conflict := false
	err := m.write(ctx, func() {
		if conflict = m.services[s.ID].Version != s.Version; !conflict {
			s.Version++
			m.services[s.ID] = s
		}
	})
	if conflict {
		return 0, sessions.ErrConflict
	}
	return s.Version, err
}

func (m *memory) SaveRevision(ctx context.Context, r sessions.Revision) error {
	return m.write(ctx, func() {
		rs := slices.DeleteFunc(m.revisions[r.ServiceID], func(o sessions.Revision) bool { return o.Number == r.Number })
		m.revisions[r.ServiceID] = append(rs, r)
	})
}

func (m *memory) Revisions(_ context.Context, id string) ([]sessions.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.revisions[id]), nil
}

func (m *memory) Sessions(context.Context) ([]sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.sessions), func(a, b sessions.Session) int { return a.CreatedAt.Compare(b.CreatedAt) }), nil
}

func (m *memory) SaveSession(ctx context.Context, s sessions.Session, went ...sessions.Transition) error {
	return m.write(ctx, func() {
		m.sessions[s.ID] = s
		m.rows[s.ID]++
		m.transitions[s.ID] = append(m.transitions[s.ID], went...)
	})
}

func (m *memory) AddSessions(ctx context.Context, all []sessions.Session) error {
	m.mu.Lock()
	refused := m.refuses != "" && slices.ContainsFunc(all, func(s sessions.Session) bool { return strings.HasPrefix(s.ServiceID, m.refuses) })
	m.tried = append(m.tried, len(all))
	m.mu.Unlock()
	if refused {
		return errDiskFull
	}
	return m.write(ctx, func() {
		m.added = append(m.added, len(all))
		for _, s := range all {
			m.sessions[s.ID] = s
			m.transitions[s.ID] = append(m.transitions[s.ID], s.Recorded())
		}
	})
}

func (m *memory) DeleteSession(ctx context.Context, id string) error {
	return m.write(ctx, func() { delete(m.sessions, id); delete(m.transitions, id) })
}

func (m *memory) Transitions(_ context.Context, id string) ([]sessions.Transition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.transitions[id]), nil
}

func (m *memory) AddEvent(ctx context.Context, all ...sessions.Event) error {
	return m.write(ctx, func() { m.events = append(m.events, all...) })
}

func (m *memory) Events(_ context.Context, id string, limit int) ([]sessions.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sessions.Event
	for _, e := range slices.Backward(m.events) {
		if e.ServiceID == id && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) AddLoadTime(ctx context.Context, t sessions.LoadTime) error {
	return m.write(ctx, func() { m.loads = append(m.loads, t) })
}

func (m *memory) LoadTimes(context.Context) ([]sessions.LoadTime, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.loads), nil
}

// balance is a Traffic that remembers its table and lets tests hold requests.
type balance struct {
	mu       sync.Mutex
	table    map[string]sessions.ServiceRoutes
	inFlight map[string]int
	idle     chan struct{} // closed and replaced when a count falls to 0
}

func newBalance() *balance {
	return &balance{table: map[string]sessions.ServiceRoutes{}, inFlight: map[string]int{}, idle: make(chan struct{})}
}

func (b *balance) Apply(services []*sessions.ServiceRoutes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table = map[string]sessions.ServiceRoutes{}
	for _, s := range services {
		b.table[s.Name] = *s
	}
}

func (b *balance) InFlight(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight[id]
}

func (b *balance) hold(id string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inFlight[id] = n; n == 0 {
		close(b.idle)
		b.idle = make(chan struct{})
	}
}

func (b *balance) WaitIdle(ctx context.Context, id string) error {
	for {
		b.mu.Lock()
		n, idle := b.inFlight[id], b.idle
		b.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// routing of a service in the table of the moment.
func (b *balance) routing(name string) sessions.Routing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table[name].Routing
}

// row is all that is said of a service in the table of the moment.
func (b *balance) row(name string) sessions.ServiceRoutes {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table[name]
}

// targets of a service in the table of the moment.
func (b *balance) targets(name string) []sessions.RouteTarget {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table[name].Routes
}

// routes of a service that get traffic, and those that drain.
func (b *balance) routes(name string) (up, draining []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.table[name].Routes {
		if r.Draining {
			draining = append(draining, r.ID)
		} else {
			up = append(up, r.ID)
		}
	}
	return up, draining
}

// oneFolder is a FolderFinder with one folder, "model", which is any directory.
type oneFolder struct{ dir string }

func (f oneFolder) Reach(_ context.Context, w folders.Who, ref string, _ folders.Permission) (folders.Reached, error) {
	if ref != "model" {
		return folders.Reached{}, folders.ErrNotFound
	}
	p := folders.Owner
	if w.Project == "guests" {
		p = folders.ReadOnly
	}
	return folders.Reached{Folder: folders.Folder{ID: "model", Name: "model", Path: f.dir}, Permission: p}, nil
}

// world is a box: what survives a daemon (store, runtime) and the daemon of the moment.
type world struct {
	t       *testing.T
	store   *memory
	runtime *runtimetest.Fake
	balance *balance
	dir     string

	destroyed func(ctx context.Context, serviceID string) error
	node      *accel.Node  // what the box has; nil: boundless, without devices
	more      []accel.Node // what other boxes have
	nets      sessions.ClusterNets
	away      func(node string) sessions.Vacancy // nil: no box is, and none is closed
	ledger    *accel.Ledger                      // of the daemon of the moment
	queue     sessions.QueueConfig
	grant     func(accel.Claim) (accel.Grant, error)
	shared    *shared                                 // what containers of one session see; nil: sessions have one each
	wrap      func(sessions.Runtime) sessions.Runtime // nil: the runtime as it is

	mu     sync.Mutex
	sick   map[string]string // address to what a failing probe says
	probes int
	m      *sessions.Manager
	cancel context.CancelFunc
	done   chan struct{}
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: newMemory(), runtime: runtimetest.NewFake(), dir: t.TempDir(), sick: map[string]string{}}
}

func (w *world) probe(_ context.Context, addr string, _ *catalog.HealthCheck) sessions.Verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes++
	for _, key := range []string{addr, "*"} {
		if why, ok := w.sick[key]; ok {
			return sessions.Verdict{Detail: why}
		}
	}
	return sessions.Verdict{OK: true, Detail: "200 OK"}
}

func (w *world) setSick(addr, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why == "" {
		delete(w.sick, addr)
	} else {
		w.sick[addr] = why
	}
}

// closed says that boxes get nothing new that are away.
func (w *world) closed() func(node string) string {
	if w.away == nil {
		return nil
	}
	return func(node string) string { return w.away(node).Why }
}

// boot starts a daemon on the box.
func (w *world) boot() {
	w.t.Helper()
	w.balance = newBalance()
	table, problems := variants.Load("")
	if err := problems.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.ledger = nil
	if w.node != nil {
		w.ledger = accel.NewLedger()
		w.ledger.SetNode(*w.node)
		for _, n := range w.more {
			w.ledger.SetNode(n)
		}
	}
	var runtime sessions.Runtime = w.runtime
	var observer sessions.Observer = w.runtime
	if w.wrap != nil {
		runtime = w.wrap(runtime)
		if o, is := runtime.(sessions.Observer); is {
			observer = o
		}
	}
	var clusters sessions.ClusterFiles
	if w.shared != nil {
		clusters = w.shared
	}
	w.m = sessions.NewManager(sessions.Deps{
		Clusters: clusters, Nets: w.nets, Away: w.away, Closed: w.closed(),
		Ledger: w.ledger, Queueing: w.queue, Grant: w.grant,
		Store: w.store, Loads: w.store, Runtime: runtime, Observer: observer, Traffic: w.balance, Folders: oneFolder{w.dir}, Variants: table,
		Probe: w.probe, Destroyed: w.destroyed, Log: slog.New(slog.DiscardHandler),
	})
	if err := w.m.Adopt(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(w.t.Context())
	w.done = make(chan struct{})
	go func(m *sessions.Manager, done chan struct{}) { defer close(done); _ = m.Run(ctx) }(w.m, w.done)
	synctest.Wait()
}

// halt stops the daemon; sessions go on.
func (w *world) halt() { w.cancel(); <-w.done }

// after lets time pass and everything settle. What has changed by then must have been marked.
func (w *world) after(d time.Duration) {
	time.Sleep(d) // in a synctest bubble: no time passes outside
	synctest.Wait()
	select {
	case <-w.done: // nobody looks any more
	default:
		for _, what := range w.m.Overlooked() {
			w.t.Errorf("overlooked: %s", what)
		}
	}
}

func (w *world) service(name string) sessions.ServiceView {
	w.t.Helper()
	v, err := w.m.Service("default", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) wantStatus(name string, want sessions.ServiceStatus) sessions.ServiceView {
	w.t.Helper()
	v := w.service(name)
	if v.Status != want {
		w.t.Fatalf("%s is %s (%s), want %s", name, v.Status, v.Sentence, want)
	}
	return v
}

func (w *world) wantUp(name string, n int) []string {
	w.t.Helper()
	up, _ := w.balance.routes(name)
	if len(up) != n {
		w.t.Fatalf("%d routes of %s get traffic, want %d", len(up), name, n)
	}
	return up
}

// seed records a service as an earlier daemon would have left it.
func (w *world) seed(name string, replicas int, change ...func(*sessions.Service)) {
	s := sessions.Service{
		ID: "svc-" + name, Name: name, Project: "default", CreatedAt: time.Now(), Lifecycle: sessions.LifecycleActive,
		Replicas: replicas, Revision: 1, Policy: sessions.DefaultPolicy(),
	}
	for _, c := range change {
		c(&s)
	}
	w.store.services[s.ID] = s
	for n := 1; n <= s.Revision; n++ {
		w.store.revisions[s.ID] = append(w.store.revisions[s.ID], sessions.Revision{
			ServiceID: s.ID, Number: n, Recipe: sessions.Recipe{Image: "host", Folder: "model", Variant: "custom"},
			Launch: variants.LaunchSpec{
				Variant: "custom", ModelName: name, Port: 8000, Mount: "/models",
				Health:    &catalog.HealthCheck{Path: "/health", Interval: time.Second, MaxRetries: 3, MaxWait: time.Second, ExpectedStatus: 200, InitialDelay: 10 * time.Second},
				Processes: []variants.Process{{Name: name, Argv: []string{"engine"}, WorkDir: "/models", Port: 8000}},
			},
		})
	}
}
