package autoscaler

import "time"

// Policy is what an owner wants of one service's scaling. One without rules and IdleAfter scales nothing: see On.
type Policy struct {
	Min int `json:"min_replicas"` // never fewer; 0 allows zero
	Max int `json:"max_replicas"` // never more

	// IdleAfter is how long no request may have been there before the service goes to zero; 0: it never does by itself.
	IdleAfter time.Duration `json:"idle_after,omitempty"`
	// ScaleDownDelay is how long there must have been too many routes before one goes, and again before the next one.
	ScaleDownDelay time.Duration `json:"scale_down_delay"`

	Rules []Rule `json:"rules,omitempty"`
}

// On reports whether the autoscaler decides the number of routes; else a person does.
func (p *Policy) On() bool { return p.IdleAfter > 0 || len(p.Rules) > 0 }

// Kind is what sort of rule it is.
type Kind string

// The kinds of rule.
const (
	KindStep     Kind = "step"     // a step where a metric crosses a threshold: Backend.AI's
	KindTarget   Kind = "target"   // as many routes as keep a metric of each at a target
	KindSchedule Kind = "schedule" // other bounds in a window of time
)

// Comparator says on which side of a threshold a step rule fires.
type Comparator string

// The comparators, as Backend.AI writes them.
const (
	LessThan           Comparator = "less_than"
	LessThanOrEqual    Comparator = "less_than_or_equal"
	GreaterThan        Comparator = "greater_than"
	GreaterThanOrEqual Comparator = "greater_than_or_equal"
)

// Rule is one reason to have more or fewer routes. Which fields count depends on Kind; Check refuses others.
type Rule struct {
	ID   string `json:"id"`             // "rul-" and 12 characters
	Name string `json:"name,omitempty"` // for people; else it is called by its metric or window
	Kind Kind   `json:"kind"`

	// Of step and target.
	Metric Metric `json:"metric,omitzero"`

	// Of step: one of the two forms. Values are of one route on average; see Metric.
	Comparator   Comparator    `json:"comparator,omitempty"`
	Threshold    *float64      `json:"threshold,omitempty"`
	MinThreshold *float64      `json:"min_threshold,omitempty"` // below it: StepSize fewer
	MaxThreshold *float64      `json:"max_threshold,omitempty"` // above it: StepSize more
	StepSize     int           `json:"step_size,omitempty"`     // signed with a comparator
	Cooldown     time.Duration `json:"cooldown,omitempty"`      // after it fired and what it asked for is ready

	// Of target.
	Target       float64       `json:"target,omitempty"`        // of one route
	Auto         bool          `json:"auto,omitempty"`          // as many at once as were measured; Target until something was, 0: silent
	StableWindow time.Duration `json:"stable_window,omitempty"` // 60 s
	PanicWindow  time.Duration `json:"panic_window,omitempty"`  // 6 s
	PanicAt      float64       `json:"panic_at,omitempty"`      // 2: times what the ready routes are to carry

	// Of schedule: the window opens at Start and closes at End, both cron expressions of five fields, in Zone.
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
	Zone  string `json:"timezone,omitempty"` // IANA name; UTC

	// Bounds of what the rule wishes; of a schedule, the service's bounds while the window is open. nil: the policy's.
	MinReplicas *int `json:"min_replicas,omitempty"`
	MaxReplicas *int `json:"max_replicas,omitempty"`
}

// Source is where a metric comes from.
type Source string

// The sources.
const (
	SourceRouter     Source = "router"              // the router's own counters: exact, and there at zero
	SourceEngine     Source = "inference_framework" // the engines' own /metrics
	SourceKernel     Source = "kernel"              // containers' and accelerators' statistics
	SourcePrometheus Source = "prometheus"          // a query to a Prometheus server
)

// Metric names a signal. It is comparable.
type Metric struct {
	Source Source `json:"source"`
	Name   string `json:"name"` // of Prometheus: the query
}

// String is the metric as people write it: source:name.
func (m Metric) String() string { return string(m.Source) + ":" + m.Name }
