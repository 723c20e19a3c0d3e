package people

import (
	"maps"
	"slices"
	"time"
)

// LimitKind says whose limits they are.
type LimitKind string

// The kinds.
const (
	LimitProject LimitKind = "project"
	LimitUser    LimitKind = "user" // of what a person has in all projects together
)

// No bound, whatever the settings say: in words, and in numbers.
const (
	Unbounded     = "none"
	UnboundedMost = -1
)

// The names of bounds that are no slots and no words of usage.
const (
	BoundSessions = "sessions"
	BoundServices = "services"
	BoundRoutes   = "routes"
	BoundStorage  = "storage"
)

// The budget and its window are one bound: a budget of a month is another thing than one for ever.
const (
	usageBudget = "token_budget"
	usageWindow = "budget_window"
)

// Limits are what a project, or a person, may have at a time. What is not said (an empty word, 0) is left to the settings.
type Limits struct {
	Slots    map[string]string `json:"slots,omitempty"` // slot to amount, as in a service's resources; 0 is none of it, Unbounded any
	Sessions int               `json:"sessions,omitzero"`
	Services int               `json:"services,omitzero"`
	Routes   int               `json:"routes,omitzero"`  // of all services together
	Storage  int64             `json:"storage,omitzero"` // bytes of all folders together
	Usage    map[string]string `json:"usage,omitempty"`  // of requests to services, in the words of the settings' limits.projects
}

// None reports whether nothing is said.
func (l Limits) None() bool {
	return len(l.Slots) == 0 && l.Sessions == 0 && l.Services == 0 && l.Routes == 0 && l.Storage == 0 && len(l.Usage) == 0
}

func (l Limits) clone() Limits {
	l.Slots, l.Usage = maps.Clone(l.Slots), maps.Clone(l.Usage)
	return l
}

// LimitSource says where a bound comes from.
type LimitSource string

// The sources, the first that says something wins.
const (
	LimitFromRow     LimitSource = "row"     // somebody set it
	LimitFromConfig  LimitSource = "config"  // the settings name this project or person
	LimitFromDefault LimitSource = "default" // the settings' "*"
)

// LimitLayer is what one source says.
type LimitLayer struct {
	Limits

	From LimitSource
}

// Effective are limits that hold. Nothing in them is Unbounded: what has no bound is left out, or 0.
type Effective struct {
	Limits

	From map[string]LimitSource // by bound; also of one that a row has lifted
}

// MergeLimits lets the first layer that says something of a bound win, bound by bound.
func MergeLimits(layers ...LimitLayer) Effective {
	out := Effective{From: map[string]LimitSource{}}
	out.Slots, out.Usage = map[string]string{}, map[string]string{}
	for _, l := range layers {
		first := func(bound string, says bool) bool {
			if !says || out.From[bound] != "" {
				return false
			}
			out.From[bound] = l.From
			return true
		}
		for slot, amount := range l.Slots {
			if first(slot, amount != "") && amount != Unbounded {
				out.Slots[slot] = amount
			}
		}
		for name, word := range l.Usage {
			if name == usageWindow || !first(name, word != "") || word == Unbounded {
				continue
			}
			out.Usage[name] = word
			if window := l.Usage[usageWindow]; name == usageBudget && window != "" {
				out.Usage[usageWindow] = window
			}
		}
		for bound, n := range map[string][2]*int{
			BoundSessions: {&out.Sessions, &l.Sessions}, BoundServices: {&out.Services, &l.Services}, BoundRoutes: {&out.Routes, &l.Routes},
		} {
			if first(bound, *n[1] != 0) {
				*n[0] = max(*n[1], 0)
			}
		}
		if first(BoundStorage, l.Storage != 0) {
			out.Storage = max(l.Storage, 0)
		}
	}
	return out
}

// Everybody names, among the limits of the settings, those of each who has no line there.
const Everybody = "*"

// LimitSettings are what the settings say: parts that each have lines of their own, and an own line of Everybody.
type LimitSettings map[LimitKind][]map[string]Limits

// layers are what the settings say of one.
func (s LimitSettings) layers(kind LimitKind, name string) []LimitLayer {
	var out []LimitLayer
	for _, part := range s[kind] {
		if own, has := part[name]; has && name != Everybody {
			out = append(out, LimitLayer{own, LimitFromConfig})
		} else if rest, has := part[Everybody]; has {
			out = append(out, LimitLayer{rest, LimitFromDefault})
		}
	}
	return out
}

// names are those who have a line.
func (s LimitSettings) names(kind LimitKind) []string {
	var out []string
	for _, part := range s[kind] {
		out = slices.AppendSeq(out, maps.Keys(part))
	}
	return out
}

// LimitRow is what somebody has set.
type LimitRow struct {
	Kind      LimitKind
	Name      string
	Limits    Limits
	ChangedBy string
	ChangedAt time.Time
}
