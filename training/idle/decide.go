package idle

import (
	"fmt"
	"strings"
	"time"
)

// Limits are what an interactive session may do for how long. A length of 0 is none.
type Limits struct {
	// Timeout is how long nobody may use it; an open connection is use.
	Timeout time.Duration `yaml:"timeout"`
	// Lifetime is how long it may run.
	Lifetime time.Duration `yaml:"max_lifetime"`
	// Utilization ends one that does too little with what it holds.
	Utilization Utilization `yaml:"utilization"`
	// Warning is how long before its end its owner is told.
	Warning time.Duration `yaml:"warning"`
}

// Utilization says what is too little: parts of what is held, 0 to 1, in the mean of a window. What a session holds none
// of, and what has no threshold, is left out.
type Utilization struct {
	Window time.Duration `yaml:"window"` // 0: it is not looked at
	CPU    float64       `yaml:"cpu"`
	Memory float64       `yaml:"memory"`
	Device float64       `yaml:"device"`
	// Any ends it when one of them is below its threshold; else all must be.
	Any bool `yaml:"any"`
}

// within are the narrower of two.
func (l Limits) within(o Limits) Limits {
	narrow := func(a *time.Duration, b time.Duration) {
		if b > 0 && (*a == 0 || b < *a) {
			*a = b
		}
	}
	narrow(&l.Timeout, o.Timeout)
	narrow(&l.Lifetime, o.Lifetime)
	return l
}

// Observation is what is known of a session.
type Observation struct {
	Started time.Time
	Used    time.Time // last; zero: not since it began
	Open    int       // connections
	// Of the window, as parts of what is held; nil: it holds none, or has not been looked at for the whole window.
	CPU, Memory, Device *float64
	// LowSince is since when it has been seen to do too little; zero: not before.
	LowSince time.Time
}

// Verdict is what comes of it.
type Verdict struct {
	Ends   time.Time // when the session ends if nothing changes; zero: it does not
	Kind   Kind
	Reason string // why
	Warn   bool   // its owner is to be told now
	End    bool   // it is to be ended now
}

// Kind says which limit it is.
type Kind string

// The kinds.
const (
	KindLifetime    Kind = "lifetime"
	KindAccess      Kind = "access"
	KindUtilization Kind = "utilization"
)

// Decide says whether and when a session is to end. In order, the earliest counts:
//  1. It has run for its lifetime.
//  2. Nobody has used it for the timeout; nobody is connected.
//  3. It has done too little for the window, and still does when its owner has been warned for as long as that takes.
func Decide(l Limits, o Observation, now time.Time) Verdict {
	var v Verdict
	at := func(kind Kind, ends time.Time, reason string) {
		if v.Ends.IsZero() || ends.Before(v.Ends) {
			v.Kind, v.Ends, v.Reason = kind, ends, reason
		}
	}
	if l.Lifetime > 0 { // 1
		at(KindLifetime, o.Started.Add(l.Lifetime), "it has run for its lifetime of "+l.Lifetime.String())
	}
	if l.Timeout > 0 && o.Open == 0 { // 2
		last := o.Started
		if o.Used.After(last) {
			last = o.Used
		}
		if last.After(now) {
			last = now // the clock was set back
		}
		at(KindAccess, last.Add(l.Timeout), "nobody has used it for "+l.Timeout.String())
	}
	if idle, reason := l.Utilization.idle(o); idle { // 3
		since := o.LowSince
		if since.IsZero() {
			since = now
		}
		at(KindUtilization, since.Add(l.Warning), reason) // its owner is told before
	}
	if v.Ends.IsZero() {
		return v
	}
	v.End = !now.Before(v.Ends)
	v.Warn = !v.End && v.Ends.Sub(now) <= l.Warning
	return v
}

// idle reports whether a session does too little, and what.
func (u Utilization) idle(o Observation) (bool, string) {
	if u.Window <= 0 {
		return false, ""
	}
	var low []string
	looked := 0
	for _, part := range []struct {
		name      string
		got       *float64
		threshold float64
	}{{"cpu", o.CPU, u.CPU}, {"memory", o.Memory, u.Memory}, {"accelerators", o.Device, u.Device}} {
		if part.got == nil || part.threshold <= 0 {
			continue
		}
		if looked++; *part.got < part.threshold {
			low = append(low, fmt.Sprintf("%.1f%% of its %s, less than %.1f%%", *part.got*100, part.name, part.threshold*100))
		}
	}
	if len(low) == 0 || !u.Any && len(low) < looked {
		return false, ""
	}
	return true, "in " + u.Window.String() + " it has used " + strings.Join(low, " and ")
}
