package router

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/record"
)

// Config is the router's part of the settings. A zero value takes the default.
type Config struct {
	Domain         string        `yaml:"domain"`          // services also answer at NAME.DOMAIN; "" for not
	TrustForwarded bool          `yaml:"trust_forwarded"` // X-Forwarded-* of clients is kept: a proxy of the owner stands before
	BufferLimit    int64         `yaml:"buffer_limit"`    // bytes of a body read to find its model; 64 MiB
	BufferTotal    int64         `yaml:"buffer_total"`    // of all bodies together; 1 GiB
	BodyLimit      int64         `yaml:"body_limit"`      // bytes of any body; 1 GiB, -1 for no limit
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // to a route; 2 s
	Silence        time.Duration `yaml:"silence"`         // without a byte of an answer; 30 min, at least 10
	BodySilence    time.Duration `yaml:"body_silence"`    // without a byte of a request's body; 60 s
}

const minSilence = 600 * time.Second // answers may take that long to begin

// withDefaults fills in what was not said.
func (c Config) withDefaults() Config {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	wait := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.BufferLimit, 64<<20)
	set(&c.BufferTotal, 1<<30)
	if c.BodyLimit == 0 {
		c.BodyLimit = 1 << 30
	}
	wait(&c.ConnectTimeout, 2*time.Second)
	wait(&c.Silence, 30*time.Minute)
	wait(&c.BodySilence, time.Minute)
	c.Silence = max(c.Silence, minSilence)
	c.Domain = strings.ToLower(strings.Trim(c.Domain, "."))
	return c
}

// Router answers for all services. Its table is replaced as a whole; what is counted lives on by the
// ids of services and routes.
type Router struct {
	config   Config
	tokens   *Tokens
	metrics  *metrics
	log      *slog.Logger
	table    atomic.Pointer[table]
	buffered atomic.Int64 // bytes of bodies held to find their model
	buffers  buffers
	gone     *departures
	scans    sync.Pool // of *scan.Request
	records  sync.Pool // of *record.Record
	visitors atomic.Int64

	observers Observers

	mu     sync.Mutex // guards what follows; requests do not take it
	lives  map[string]*live
	routes map[string]*route

	clashes []string // services of the last table whose address an older one has
}

// New makes a router without services and registers its metrics.
func New(c Config, tokens *Tokens, reg prometheus.Registerer, log *slog.Logger) *Router {
	r := &Router{
		config: c.withDefaults(), tokens: tokens, metrics: newMetrics(reg), log: log,
		lives: map[string]*live{}, routes: map[string]*route{}, gone: newDepartures(),
	}
	empty, _ := newTable(nil)
	r.table.Store(empty)
	reg.MustRegister(r)
	return r
}

// Enter notes a call of ServeHTTP that is about to be made; see Gate.Uses.
func (r *Router) Enter() { r.visitors.Add(1) }

// Leave is told when it has been made.
func (r *Router) Leave() { r.visitors.Add(-1) }

// Handles tells whether a request with this host and path is the router's. Ask it before any mux:
// http.ServeMux redirects paths that engines must see as they are.
func (r *Router) Handles(host, path string) bool {
	return ParseAddress(r.config.Domain, host, path).Kind != NotOurs
}

// SetServices replaces the table. When it returns, no new request takes a route that is not in it or
// drains; requests in flight there go on.
func (r *Router) SetServices(services []Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(services)
	lives := make(map[string]*live, len(services))
	kept := make(map[string]bool)
	rows := make([]*service, 0, len(services))
	for _, s := range services {
		if lives[s.ID] != nil {
			r.log.Warn("service is in the table twice, the second is left out", "service", s.Name, "id", s.ID)
			continue
		}
		s.Routes, s.Aliases = slices.Clone(s.Routes), slices.Clone(s.Aliases)
		l := r.liveOf(s)
		row := &service{Service: s, live: l, metrics: l.metrics}
		for _, t := range s.Routes {
			row.routes = append(row.routes, r.routeOf(t))
			kept[t.ID] = true
		}
		lives[s.ID] = row.live
		rows = append(rows, row)
	}
	next, clashes := newTable(rows)
	for _, name := range clashes {
		if !slices.Contains(r.clashes, name) { // tables come often: once is enough
			r.log.Warn("an older service has the address of this one too: only who has a token for this one reaches it there", "service", name)
		}
	}
	r.clashes = clashes
	r.apply(next, rows)
	r.sweep(lives, kept)
	r.metrics.swaps.Inc()
}

// forget drops the counters of services that are gone or have another name, before that name may come
// back with another service. Those of a name that a service of another project goes on with are that one's too.
func (r *Router) forget(services []Service) {
	names := make(map[string]string, len(services))
	for _, s := range services {
		names[s.ID] = s.Name
	}
	stay := map[string]bool{}
	for id, l := range r.lives {
		if l.metrics.name == names[id] {
			stay[l.metrics.name] = true
		}
	}
	for id, l := range r.lives {
		if l.metrics.name != names[id] {
			l.metrics.forget(stay[l.metrics.name])
		}
	}
}

// apply puts the table in force: first who is meant, then whose turn it is, so that what is handed out
// after apply is all by the new table.
func (r *Router) apply(next *table, rows []*service) {
	now := time.Now()
	r.show(now, rows)
	r.table.Store(next)
	for _, s := range rows {
		members := make([]balance.Member, len(s.Routes))
		for i, t := range s.Routes {
			members[i] = balance.Member{Route: s.routes[i].Route, Weight: t.Weight, Far: t.Far}
			if t.Draining || t.Lost { // and what is given to it already goes on, or is given to others below
				members[i].Weight = 0
			}
		}
		s.guard.Set(s.Traffic.Repeat)
		hold := s.Traffic.Hold
		hold.Paced = s.Traffic.Balance.Limit == 0
		s.line.Set(hold)
		s.balance.Set(members, s.Traffic.Balance)
		ready := 0
		for i, t := range s.Routes {
			s.routes[i].setClosed(t.Draining || t.Lost)
			if !t.Draining && !t.Lost && t.Weight > 0 {
				ready++
			}
		}
		for i, t := range s.Routes {
			s.routes[i].upstream.setLost(t.Lost && ready > 0)
		}
		s.outlook.Store(&outlook{&s.Service, ready})
		s.line.Changed(now, ready)
		if ready == 0 && r.observers.Held != nil && s.line.Waiting() {
			r.observers.Held(s.ID)
		}
	}
}

// show tells those who look in what there is to look at.
func (r *Router) show(now time.Time, rows []*service) {
	o := &r.observers
	live, captures := make([]record.LiveRow, len(rows)), map[string]int{}
	for i, s := range rows {
		live[i] = record.LiveRow{ID: s.ID, Name: s.Name, Project: s.Project}
		for _, t := range s.Routes {
			live[i].Routes = append(live[i].Routes, t.ID)
		}
		if s.Traffic.Capture > 0 {
			captures[s.ID] = s.Traffic.Capture
		}
	}
	if o.Live != nil {
		o.Live.Set(now, live)
	}
	if o.Captures != nil {
		o.Captures.Set(captures)
	}
	for _, s := range rows {
		s.payer = r.tokens.Project(s.Project)
		s.figures = o.Live.Of(s.ID)
		for _, t := range s.routes {
			t.figures.Store(s.figures.Route(t.ID()))
		}
		if o.Captures != nil {
			s.capture = o.Captures.Of(s.ID)
		}
	}
}

// sweep ends what the table has no longer. A route with requests in flight is forgotten by a later one.
func (r *Router) sweep(lives map[string]*live, kept map[string]bool) {
	for id, l := range r.lives {
		if lives[id] == nil {
			l.balance.Set(nil, balance.Settings{})
			l.line.Close(errServiceGone)
		}
	}
	r.lives = lives
	maps.DeleteFunc(r.routes, func(id string, t *route) bool {
		if kept[id] {
			return false
		}
		t.setClosed(true)
		t.upstream.leave()
		return t.InFlight() == 0
	})
}

// liveOf finds what lives on of a service.
func (r *Router) liveOf(s Service) *live {
	l := r.lives[s.ID]
	if l == nil {
		l = &live{}
		l.outlook.Store(&outlook{Service: &Service{}})
	}
	if l.metrics == nil || l.metrics.name != s.Name {
		l.metrics = r.metrics.service(s.Name)
	}
	return l
}

func (r *Router) routeOf(t Route) *route {
	have := r.routes[t.ID]
	if have != nil && have.addr == t.Addr {
		return have
	}
	if have != nil { // against the word of Route.ID; its requests go on, uncounted
		have.setClosed(true)
		have.upstream.leave()
	}
	made := newRoute(t.ID, t.Addr, newUpstream(t.Addr, r.config, &r.buffers, r.gone))
	r.routes[t.ID] = made
	return made
}

func (r *Router) route(id string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.routes[id]
}

// InFlight is the number of requests that the route is answering.
func (r *Router) InFlight(routeID string) int {
	if t := r.route(routeID); t != nil {
		return t.InFlight()
	}
	return 0
}

// WaitIdle returns when the route answers none, or with ctx's cause. It keeps nothing from coming:
// drain the route first, or take it out of the table.
func (r *Router) WaitIdle(ctx context.Context, routeID string) error {
	if t := r.route(routeID); t != nil {
		return t.WaitIdle(ctx)
	}
	return nil
}

var errServiceGone = errors.New("the service is gone")

// ServiceLoad is what one service does and did since the daemon started.
type ServiceLoad struct {
	ID       string
	Name     string
	InFlight int
	Waiting  int    // requests that wait for a route
	Total    uint64 // requests that were let through to it
	Errors   uint64 // of those: answered 5xx, broken, or not answered
	Routes   []RouteLoad
}

// Snapshot gives the load of every service in the table, by name.
func (r *Router) Snapshot() []ServiceLoad {
	var out []ServiceLoad
	for _, s := range r.table.Load().services {
		load := ServiceLoad{
			ID: s.ID, Name: s.Name, InFlight: int(s.flying.Load()),
			Waiting: s.line.Depth(),
			Total:   s.total.Load(), Errors: s.errors.Load(),
		}
		for _, t := range s.routes {
			load.Routes = append(load.Routes, t.load())
		}
		out = append(out, load)
	}
	return out
}
