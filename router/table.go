package router

import (
	"cmp"
	"slices"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/waiting"
)

// Service is what the router must know of one service.
type Service struct {
	ID        string
	Name      string // /services/NAME/ and the model id that always works; its own within its project
	Project   string
	Aliases   []string // other model names that mean it: what its engine calls the model
	Public    bool     // no token needed
	CreatedAt time.Time
	Status    string    // told to clients that find no route: PROVISIONING, UNHEALTHY, ...; "" says nothing
	Zero      bool      // no route is wanted: none is on its way
	Wakes     bool      // though it is at zero, a request that waits has one started
	ReadyAt   time.Time // when a route is expected to answer, where none does; zero: not known
	Broken    string    // starts fail, and none is under way: the engine's last words; "": they do not
	RetryAt   time.Time // of the next start, where Broken says something; zero: not known
	Held      string    // what keeps its routes from starting, told to clients that find none; "": nothing is known
	EngineKey string    // sent to its engine as bearer token; "": none
	Traffic   Traffic
	Routes    []Route // those that may get traffic, and those that drain
}

// Traffic is how requests find a service's routes. The zero value is round robin, and nobody waits.
type Traffic struct {
	Balance        balance.Settings
	AffinityHeader string           // names the session, for balance.SessionAffinity; "" none
	AffinityCookie string           // where there is no such header; "" none. Then the body's user
	Hold           waiting.Settings // of those that find no route
	Repeat         repeat.Settings  // an identical request of a token is answered from the first one's answer
	AskUsage       bool             // streams are asked to tell what they used
	Capture        int              // the last so many requests are kept
}

// Route is one place that answers.
type Route struct {
	ID       string  // never used again for another place
	Addr     string  // host:port
	Weight   float64 // share of the traffic; 0 takes it out of the balance
	Draining bool    // finishes what it has, gets nothing new
	Far      bool    // on another box: asked only when no route that is not far can take the request
	Lost     bool    // its box is silent: it gets nothing new, and what it has not begun to answer others do, where that may be
}

// service is one row of a table: what was said of it, and what outlives the table.
type service struct {
	Service
	*live
	metrics *serviceMetrics
	routes  []*route // as Service.Routes
	figures *record.LiveService
	capture *record.Ring
	payer   *quota.Subject // its project's limits
}

// table answers which service is meant. It is never changed once it is published.
type table struct {
	services []*service            // sorted by name, the oldest of a name first
	byName   map[string][]*service // the oldest first
	byHost   map[string][]*service // by folded name
	byModel  map[string][]*service // those of that name first, then those with the alias, by name
	anyOpen  bool                  // at least one service needs no token
}

// newTable builds the look-ups. clashes are the names of services that share an address with an older one, of another
// project or of a name that folds to the same: see choose.
func newTable(services []*service) (t *table, clashes []string) {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b *service) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	t = &table{
		byName:  make(map[string][]*service, len(services)),
		byHost:  make(map[string][]*service, len(services)),
		byModel: make(map[string][]*service, len(services)),
	}
	t.services = services
	for _, s := range services {
		first := t.byName[s.Name] == nil
		t.byName[s.Name] = append(t.byName[s.Name], s)
		t.byModel[s.Name] = append(t.byModel[s.Name], s)
		t.anyOpen = t.anyOpen || s.Public && first
		if label := FoldHost(s.Name); label != "" {
			t.byHost[label] = append(t.byHost[label], s)
		}
	}
	for _, same := range t.byHost {
		slices.SortStableFunc(same, func(a, b *service) int { return a.CreatedAt.Compare(b.CreatedAt) })
		for _, s := range same[1:] {
			clashes = append(clashes, s.Name)
		}
	}
	slices.Sort(clashes)
	for _, s := range t.services {
		for _, alias := range s.Aliases {
			if alias != "" && !slices.Contains(t.byModel[alias], s) {
				t.byModel[alias] = append(t.byModel[alias], s)
			}
		}
	}
	return t, clashes
}

// find gives the services that a call for model may mean, best first; empty where there is none.
func (t *table) find(a Address, model string) []*service {
	switch a.Kind {
	case ByModel:
		return t.byModel[model]
	case ByName:
		return t.byName[a.Name]
	case ByHost:
		return t.byHost[a.Name]
	}
	return nil
}
