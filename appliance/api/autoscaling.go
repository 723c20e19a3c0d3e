package api

import "time"

// Autoscaling is what an owner wants of a service's number of routes. One without rules and idle_after decides nothing.
// In a request, what is left out keeps its value, or takes the default.
type Autoscaling struct {
	MinReplicas    *int     `json:"min_replicas,omitempty"`     // never fewer; 0 allows zero
	MaxReplicas    *int     `json:"max_replicas,omitempty"`     // never more
	IdleAfter      *float64 `json:"idle_after,omitempty"`       // seconds without a request until it goes to zero; 0: it never does
	ScaleDownDelay *float64 `json:"scale_down_delay,omitempty"` // seconds of too many routes until one goes, and again until the next does
	Rules          *[]Rule  `json:"rules,omitempty"`            // all of them
}

// Rule is one reason to have more or fewer routes. Which fields count depends on kind; others are refused. In a request,
// what is left out keeps its value, or takes the default; null takes a field away.
type Rule struct {
	ID   *string `json:"id,omitempty"`   // made here; one that is sent along keeps the rule's place in the history
	Name *string `json:"name,omitempty"` // for people; else it is called by its metric or window
	Kind *string `json:"kind,omitempty"` // step, target or schedule; where it is left out, the other fields say it

	// Of step and target.
	MetricSource *string `json:"metric_source,omitempty"` // router, inference_framework, kernel or prometheus
	MetricName   *string `json:"metric_name,omitempty"`   // of prometheus: the query

	// Of step: threshold with comparator, or min_threshold and max_threshold. Values are of one route on average.
	Comparator   *string  `json:"comparator,omitempty"` // less_than, less_than_or_equal, greater_than, greater_than_or_equal
	Threshold    *float64 `json:"threshold,omitempty"`
	MinThreshold *float64 `json:"min_threshold,omitempty"`    // below it: step_size fewer
	MaxThreshold *float64 `json:"max_threshold,omitempty"`    // above it: step_size more
	StepSize     *int     `json:"step_size,omitempty"`        // signed with a comparator
	Cooldown     *float64 `json:"cooldown_seconds,omitempty"` // after it fired and what it asked for is ready

	// Of target.
	Target       *float64 `json:"target,omitempty"`        // of one route
	TargetAuto   *bool    `json:"target_auto,omitempty"`   // the knee that was measured; target until something was, and without one nothing
	StableWindow *float64 `json:"stable_window,omitempty"` // seconds that the metric is averaged over
	PanicWindow  *float64 `json:"panic_window,omitempty"`  // seconds in which a burst is seen
	PanicAt      *float64 `json:"panic_at,omitempty"`      // a burst: so many times what the ready routes are to carry

	// Of schedule: cron expressions of five fields, in timezone.
	Start    *string `json:"start,omitempty"`
	End      *string `json:"end,omitempty"`
	Timezone *string `json:"timezone,omitempty"` // IANA name; UTC

	MinReplicas *int `json:"min_replicas,omitempty"` // bounds of what it wishes; of a schedule, the service's while its window is open
	MaxReplicas *int `json:"max_replicas,omitempty"`

	LastTriggeredAt *time.Time `json:"last_triggered_at,omitempty"` // of answers; not looked at in requests
}

// AutoscalingStanding is a service's policy of scaling, and how it stands.
type AutoscalingStanding struct {
	Version  int64       `json:"version"` // counts edits of policy; the ETag. 0: it was never edited
	Policy   Autoscaling `json:"policy"`
	EditedBy string      `json:"edited_by,omitempty"`
	EditedAt *time.Time  `json:"edited_at,omitempty"`

	On       bool       `json:"on"`                  // rules and bounds decide the number of routes; else a person does
	PausedBy string     `json:"paused_by,omitempty"` // whose number of routes stands until the policy is edited, or resumed
	PausedAt *time.Time `json:"paused_at,omitempty"`
	Replicas int        `json:"replicas"` // wanted now

	Last         *Decision  `json:"last,omitempty"`           // the newest decision
	Signals      []Signal   `json:"signals"`                  // the metrics of rules
	LastScaleOut *time.Time `json:"last_scale_out,omitempty"` // and
	LastScaleIn  *time.Time `json:"last_scale_in,omitempty"`
	ExcessSince  *time.Time `json:"excess_since,omitempty"` // there have been too many routes since
	LoadTime     float64    `json:"load_time,omitempty"`    // seconds until a route is ready, as was measured
	ETA          *time.Time `json:"eta,omitempty"`          // when the first of the starting routes is expected
}

// Decision is how many routes there were to be, and why.
type Decision struct {
	At       time.Time  `json:"at"`
	Was      int        `json:"was"`
	Replicas int        `json:"replicas"`
	Rule     string     `json:"rule,omitempty"` // id of the rule that won, or "idle", "held", "bounds", "yield"
	Reason   string     `json:"reason"`         // one sentence
	Panic    bool       `json:"panic,omitempty"`
	Wishes   []Wish     `json:"wishes"`             // of every rule
	Seen     Seen       `json:"seen"`               // what else it was decided by
	Next     *time.Time `json:"next,omitempty"`     // it is looked at again by then
	Standoff *Standoff  `json:"standoff,omitempty"` // of the one that asked for another's place, and of the one that gave it
}

// Seen is what a decision went by, beside its rules' metrics.
type Seen struct {
	Ready       int        `json:"ready"` // routes that could answer
	Starting    int        `json:"starting,omitempty"`
	Unhealthy   int        `json:"unhealthy,omitempty"`
	Leaving     int        `json:"leaving,omitempty"`
	Held        int        `json:"held,omitempty"` // requests that waited for a route
	MinReplicas int        `json:"min_replicas"`   // the bounds in force, those of windows too
	MaxReplicas int        `json:"max_replicas"`
	LoadTime    float64    `json:"load_time,omitempty"`    // seconds that a route takes to be ready, as was measured
	PoolFull    string     `json:"pool_full,omitempty"`    // why a route waited for a place
	ExcessSince *time.Time `json:"excess_since,omitempty"` // since when there had been too many routes
}

// Standoff is who gave way to a service one of whose routes found no place, and how all others were judged. Those of other
// projects have no names: "service 2 of another project".
type Standoff struct {
	Claimant string    `json:"claimant"`          // who asked
	Value    float64   `json:"value"`             // what a place is worth to it: requests a minute on each route x seconds to load / GiB
	Service  string    `json:"service,omitempty"` // who gave way; left out: nobody
	Routes   int       `json:"routes,omitempty"`  // how many routes it gave up
	Reason   string    `json:"reason"`            // one sentence
	Losers   []Verdict `json:"losers"`            // every other service, by name
}

// Verdict is how a service was judged whose place another one asked for.
type Verdict struct {
	Service string  `json:"service"`
	Value   float64 `json:"value"`
	Yields  bool    `json:"yields,omitempty"` // it would give way; of those that would, one does
	Idle    bool    `json:"idle,omitempty"`   // nobody had asked it for long enough
	Why     string  `json:"why"`              // one sentence
}

// Wish is what one rule wants, and why.
type Wish struct {
	Rule   string   `json:"rule"` // its id, or "idle", "held", "bounds"
	Name   string   `json:"name"` // as people call it
	Want   int      `json:"want"`
	Value  *float64 `json:"value,omitempty"`  // what its metric said; left out: nothing
	Why    string   `json:"why"`              // one sentence; also where it wishes nothing
	Silent bool     `json:"silent,omitempty"` // it wishes nothing: no data, cooling down, window closed
}

// Signal is what a metric of a rule told last.
type Signal struct {
	MetricSource string     `json:"metric_source"`
	MetricName   string     `json:"metric_name"`
	Value        *float64   `json:"value,omitempty"` // of one route on average; left out where it is missing
	At           *time.Time `json:"at,omitempty"`
	Of           int        `json:"of"`                // how many routes told it; 0: it is of the service as a whole
	Missing      string     `json:"missing,omitempty"` // why it told nothing
}

// Metric is one that rules can look at.
type Metric struct {
	MetricSource string `json:"metric_source"`
	MetricName   string `json:"metric_name"`
	Unit         string `json:"unit"`
	Description  string `json:"description"` // one sentence
	Totals       bool   `json:"totals"`      // routes' values add up, and a rule looks at their sum for each ready route; else at their mean
	Target       bool   `json:"target"`      // more routes make it smaller: a rule can keep it at a target
}
