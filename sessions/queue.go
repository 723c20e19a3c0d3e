package sessions

import (
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Queue is all that Place looks at: one moment of the pool, and of those who have or want a place in it.
type Queue struct {
	Pool     accel.Pool    // the nodes with all that is claimed on them
	Options  accel.Options // how devices are shared out
	Waiting  []Waiting
	Running  []Held // whoever holds a claim of Pool, those that are still ending too
	Order    Order
	Strategy Strategy
	LastNode string // Decision.LastNode of the pass before
	// Reach says by which kind of network sessions on a node reach those on other nodes. Nodes of the same kind reach each other; one
	// that is not in it reaches none.
	Reach map[string]string
	// Unasked are nodes of NetHost where nobody has said that sessions are to be on the boxes' own network: no engine whose containers
	// may be on several nodes goes there.
	Unasked map[string]bool
	Quotas  Quotas
	// Kept is Decision.Kept of the pass before: since when who has had room kept. Without it the heads of
	// the queue still get theirs, but never more of it with time.
	Kept []Reservation
	// WidenAfter is how long the head of the queue waits for one node before one more is kept for it; 0: DefaultWidenAfter.
	WidenAfter time.Duration
}

// DefaultWidenAfter is Queue.WidenAfter where it is not set.
const DefaultWidenAfter = 10 * time.Minute

// Waiting is one session that has no place yet.
type Waiting struct {
	ID          string
	Name        string
	Project     string
	Owner       string // the user who is charged
	ServiceID   string // of a route; "" otherwise
	ServiceName string
	Type        Type
	Priority    int       // 0 to 100, higher first
	Since       time.Time // since when it waits
	StartsAt    time.Time // not before; zero: now
	DependsOn   []Dependency
	Slots       accel.Slots       // of each of its containers
	Others      []string          // ids of its other containers, which get their places together with it, or none does
	Spread      bool              // they may be on several nodes that reach each other; else all are on one
	Engine      bool              // they are an engine of a service
	Apart       bool              // on nodes of NetHost each wants a node of its own: all listen on one port
	Selector    map[string]string // labels that its node must have
	Strategy    Strategy          // "": the queue's
	Array       string            // the array that it is one of; "": none
	ArrayLimit  int               // how many of those may have a place at once; 0: all
	Blocked     []Wait            // what else keeps it, of which the pool knows nothing
	Preempts    bool              // may take the place of preemptible sessions of lower priority, as routes of services may
}

// Dependency is a session that must have ended well before another starts.
type Dependency struct {
	ID     string
	Name   string
	Status Status // "": nothing is known of it
	Result Result
}

// met reports whether the dependency has ended well.
func (d Dependency) met() bool { return d.Status == StatusTerminated && d.Result == ResultSuccess }

// Held is one session that holds a claim.
type Held struct {
	ID          string
	Name        string
	Project     string
	Owner       string
	ServiceID   string // of a route; "" otherwise
	ServiceName string
	Type        Type
	Priority    int
	Preemptible bool
	MinRuntime  time.Duration // not preempted before it has run for so long
	StartedAt   time.Time     // zero: it does not run yet
	Claim       accel.Claim
	Others      []accel.Claim // of its other containers: they give way, and end, as one
	Array       string        // the array that it is one of; "": none
	Leaving     bool          // it is being ended: its claim will come free by itself
	Passing     bool          // a route that another one is to take the place of: it ends when that is healthy, or before
}

// Order says who comes first among waiting sessions of one priority.
type Order string

// The orders.
const (
	OrderFIFO Order = "fifo" // who waits longest; the default
	OrderLIFO Order = "lifo" // who came last
	OrderDRF  Order = "drf"  // whose user has the smallest dominant share of the pool
)

// Strategy says which of the nodes that have room is taken.
type Strategy string

// The strategies.
const (
	StrategyDispersed    Strategy = "dispersed"    // where most is left; the default
	StrategyConcentrated Strategy = "concentrated" // where least is left
	StrategyRoundRobin   Strategy = "roundrobin"   // the next by name after the one that was taken last
)

// Quota bounds what one user, or one project, holds together.
type Quota struct {
	Slots    accel.Slots `json:"slots,omitempty"`    // a slot that is not in it has no bound
	Sessions int         `json:"sessions,omitempty"` // 0: no bound
	Services int         `json:"services,omitempty"` // 0: no bound; not of the queue: more are refused
	Routes   int         `json:"routes,omitempty"`   // of all services, those wanted; as Services
}

func (q Quota) none() bool { return len(q.Slots) == 0 && q.Sessions == 0 }

// Quotas are the bounds of all users and projects. Those without an entry have the default.
type Quotas struct {
	User     Quota            `json:"user"`
	Users    map[string]Quota `json:"users,omitempty"`
	Project  Quota            `json:"project"`
	Projects map[string]Quota `json:"projects,omitempty"`
}

func (q Quotas) none() bool {
	return q.User.none() && q.Project.none() && len(q.Users) == 0 && len(q.Projects) == 0
}

func (q Quotas) ofUser(name string) Quota    { return quotaOf(q.Users, name, q.User) }
func (q Quotas) ofProject(name string) Quota { return quotaOf(q.Projects, name, q.Project) }

func quotaOf(named map[string]Quota, name string, otherwise Quota) Quota {
	if q, ok := named[name]; ok {
		return q
	}
	return otherwise
}

// Decision is what Place decided. Everything in it is in the order in which it was decided.
type Decision struct {
	Placed  []Placement // to be committed in this order; a commit that is refused spoils no other one
	Preempt []Preemption
	Order   []string          // all waiting sessions as they were tried, the first first
	Waits   map[string][]Wait // by session: all that keeps it from being placed now; never empty for one that waits
	Kept    []Reservation     // for the next Queue
	// Next is when to look again even if nothing happens; zero: no need.
	Next     time.Time
	LastNode string // for the next Queue
}

// Placement gives a session its place.
type Placement struct {
	Session string
	Claim   accel.Claim
	Others  []accel.Claim // of its other containers: all of it is to be taken, or nothing
	Why     string        // that node and no other, for people; "" where there is one alone
}

// Preemption asks a session to give way to another. Place then waits for its claim.
type Preemption struct {
	Victim string
	For    string
	Reason string // one sentence for the victim's owner
}

// Reservation is room of one node that is kept for a session until it fits there.
type Reservation struct {
	Session string
	Node    string
	Since   time.Time // since when room has been kept for the session, on this node or on another
	Waits   []string  // sessions whose claims must come free first
	// Containers is for how many of the session's containers: all, where it does not go to several nodes.
	Containers int
}

// Predicate names what keeps a session waiting.
type Predicate string

// The predicates, in the order in which they are asked.
const (
	PredicateStartsAt     Predicate = "starts-at"
	PredicateDependencies Predicate = "dependencies"
	PredicateArrayLimit   Predicate = "array-limit"
	PredicateUserLimit    Predicate = "user-limit"
	PredicateProjectLimit Predicate = "project-limit"
	PredicateNetwork      Predicate = "network" // its containers would have places, and not reach each other
	PredicateSelector     Predicate = "selector"
	PredicateCapacity     Predicate = "capacity"  // no node has so much, however empty; or not for so many routes of its service
	PredicateResources    Predicate = "resources" // none has so much free, or what is free is kept for another
)

// Wait is one reason why a session waits.
type Wait struct {
	Predicate Predicate `json:"predicate"`
	Sentence  string    `json:"sentence"`
	Would     string    `json:"would,omitempty"` // what would make it fit, or what it will get
}

// String prints the reason as one sentence.
func (w Wait) String() string {
	if w.Would == "" {
		return w.Sentence
	}
	return w.Sentence + "; " + w.Would
}
