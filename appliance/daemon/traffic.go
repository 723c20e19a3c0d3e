package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/waiting"
	"github.com/palisade-run/palisade/sessions"
)

// traffic is the router as sessions see it, together with those who still answer requests of before.
type traffic struct {
	*router.Router
	elders *elders

	// wakes tells whether a request that waits for a service at zero has a route of it started; nil: for none.
	wakes func(serviceID, scaledBy string, scaledAt time.Time) bool
	// told is handed what sessions say; nil: nobody else wants to know.
	told func([]*sessions.ServiceRoutes)
	// In a cluster: where this box is, where routes are, and who tells the other boxes. Nil where this box is one alone.
	site      *site
	located   func(session, addr string) (node, own string)
	publisher *fleet.Publisher

	applying sync.Mutex // before mu
	last     []*sessions.ServiceRoutes
	rows     fleet.Rows

	mu    sync.Mutex
	table []router.Service
	seen  map[string]bool // routes that were ever in it
}

var _ sessions.Traffic = (*traffic)(nil)

func newTraffic(r *router.Router, e *elders) *traffic {
	return &traffic{Router: r, elders: e, seen: map[string]bool{}}
}

// Apply says in the router's words who can answer.
func (t *traffic) Apply(services []*sessions.ServiceRoutes) {
	t.applying.Lock()
	defer t.applying.Unlock()
	t.last = services
	t.apply()
	if t.told != nil {
		t.told(services)
	}
}

// again says it once more, where wakes says something else by now.
func (t *traffic) again() {
	t.applying.Lock()
	defer t.applying.Unlock()
	t.apply()
}

// apply is Apply. The caller holds applying.
func (t *traffic) apply() {
	services := t.last
	if t.publisher != nil {
		rows := t.rows.Of(services, t.isWoken, t.located)
		t.publisher.Publish(rows)
		t.route(rows)
		return
	}
	table := make([]router.Service, len(services))
	for i, s := range services {
		table[i] = serviceOf(s, t.isWoken(s))
	}
	t.set(table)
	t.elders.follow(standsOf(table))
}

func (t *traffic) isWoken(s *sessions.ServiceRoutes) bool {
	return t.wakes != nil && t.wakes(s.ID, s.ScaledBy, s.ScaledAt)
}

// route has this box route by rows.
func (t *traffic) route(rows map[string]*cluster.Row) {
	table := tableFor(rows, *t.site)
	t.set(table)
	t.elders.follow(standsOf(table))
}

// standing is what those who answer requests of before must know of a service as it is now: who can answer, and what
// is known of the rest.
type standing struct {
	routes []router.Route
	outlook
}

// outlook is what is known of routes that are not there yet, as router.Service says it.
type outlook struct {
	ReadyAt time.Time `json:"ready_at,omitzero"`
	Broken  string    `json:"broken,omitempty"`
	RetryAt time.Time `json:"retry_at,omitzero"`
	Held    string    `json:"held,omitempty"`
}

func (t *traffic) set(table []router.Service) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table = table
	for _, s := range table {
		for _, r := range s.Routes {
			t.seen[r.ID] = true
		}
	}
	t.SetServices(table)
}

// follow takes over who can answer from who decides it now. What services are is as it was: it is for requests that
// came by then.
func (t *traffic) follow(stands map[string]standing) {
	t.take(stands)
	t.elders.follow(stands)
}

// take is follow for this process's own requests.
func (t *traffic) take(stands map[string]standing) {
	t.mu.Lock()
	var table []router.Service
	for _, s := range t.table {
		if now, there := stands[s.ID]; there {
			s.Routes, s.ReadyAt, s.Broken, s.RetryAt, s.Held = now.routes, now.ReadyAt, now.Broken, now.RetryAt, now.Held
			table = append(table, s)
		}
	}
	t.mu.Unlock()
	t.set(table)
}

// InFlight implements sessions.Traffic.
func (t *traffic) InFlight(route string) int {
	return t.Router.InFlight(route) + t.elders.flying(route)
}

// WaitIdle implements sessions.Traffic.
func (t *traffic) WaitIdle(ctx context.Context, route string) error {
	if err := t.Router.WaitIdle(ctx, route); err != nil {
		return err
	}
	return waitFor(ctx, func() bool { return t.elders.flying(route) == 0 })
}

// held is how many requests wait for a route, by service: here, and with those who answer requests of before.
func (t *traffic) held() map[string]int {
	out := t.elders.waiting()
	for _, s := range t.Snapshot() {
		if s.Waiting > 0 {
			out[s.ID] += s.Waiting
		}
	}
	return out
}

// flying is what is in flight, by route.
func (t *traffic) flying() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]int{}
	for id := range t.seen {
		if n := t.InFlight(id); n > 0 {
			out[id] = n
		}
	}
	return out
}

// idle tells whether no request is left here, not even one that waits for a route.
func (t *traffic) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.seen {
		if t.Router.InFlight(id) > 0 {
			return false
		}
	}
	for _, s := range t.Snapshot() {
		if s.InFlight > 0 {
			return false
		}
	}
	return true
}

// settled tells whether none is left here nor with anybody before.
func (t *traffic) settled() bool { return t.idle() && len(t.elders.present()) == 0 }

// trafficOf says in the router's words how requests find a service's routes. In vain: nobody waits, for no route is
// on its way, nor is one started for who waits.
func trafficOf(s *sessions.ServiceRoutes, vain bool) router.Traffic {
	r := s.Routing
	kind, _ := balance.ParseKind(r.Balance) // it was checked when it was set
	t := router.Traffic{
		Balance:        balance.Settings{Policy: kind, Limit: r.MaxInFlight},
		AffinityHeader: r.AffinityHeader, AffinityCookie: r.AffinityCookie,
		Repeat: repeat.Settings{Window: r.RepeatWindow}, AskUsage: r.Usage != sessions.UsageOff, Capture: r.Capture,
	}
	if !vain {
		t.Hold = waiting.Settings{Most: r.Held(), Timeout: r.HoldTimeout}
	}
	return t
}
