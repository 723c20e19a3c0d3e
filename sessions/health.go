package sessions

import (
	"fmt"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Health is what probes have told of one session so far. The zero value has been told nothing.
type Health struct {
	State    HealthState
	Since    time.Time // since when it is in State
	FirstAt  time.Time // of the first pass; zero: never passed
	Failures int       // consecutive ones that count
	LastFail time.Time // of the last one that counted
	Detail   string    // what the last probe said
}

// HealthState is what a balance needs to know.
type HealthState string

// The health states.
const (
	HealthUnknown   HealthState = ""          // no probe has passed yet; may still be loading
	HealthPassing   HealthState = "passing"   // gets traffic
	HealthUnhealthy HealthState = "unhealthy" // out of the balance until a probe passes
)

// Verdict is what one probe found.
type Verdict struct {
	OK     bool
	Detail string // "200 OK", "503 Service Unavailable", "connection refused", ...
}

// Observe is the health after one more probe. Rules, in order:
//  1. One pass makes it passing, from whatever state.
//  2. Without a check only the first pass matters: what has once accepted a connection stays passing.
//  3. Failures before the first pass within the initial delay do not count.
//  4. While it starts, probes come faster than the check's interval so that a quick engine is not kept
//     waiting; such failures count at most once per interval, or max_retries would be used up early.
//  5. More than max_retries consecutive failures make it unhealthy.
func (h Health) Observe(v Verdict, check *catalog.HealthCheck, startedAt, now time.Time) Health {
	h.Detail = v.Detail
	switch {
	case v.OK: // 1
		if h.FirstAt.IsZero() {
			h.FirstAt = now
		}
		if h.State != HealthPassing {
			h.State, h.Since = HealthPassing, now
		}
		h.Failures = 0
		return h
	case check == nil: // 2
		return h
	case h.FirstAt.IsZero() && now.Sub(startedAt) < check.InitialDelay: // 3
		return h
	case h.State != HealthPassing && h.Failures > 0 && now.Sub(h.LastFail) < check.Interval: // 4
		return h
	}
	h.Failures++
	h.LastFail = now
	if h.Failures > check.MaxRetries && h.State != HealthUnhealthy { // 5
		h.State, h.Since = HealthUnhealthy, now
	}
	return h
}

// Cadence of probes while an engine starts: quick at first, so that a start of a second is not made longer, slower for
// one that takes its time; but never so slow that those who wait for it notice. A probe costs some 0.3 ms.
const (
	startProbeFirst = 25 * time.Millisecond
	startProbePart  = 20 // of the time that it has taken already
	startProbeMost  = 150 * time.Millisecond
)

// NextProbe says how long to wait before the next probe; ok is false when no more are needed.
func (h Health) NextProbe(check *catalog.HealthCheck, startedAt, now time.Time) (wait time.Duration, ok bool) {
	if h.FirstAt.IsZero() {
		wait = min(max(now.Sub(startedAt)/startProbePart, startProbeFirst), startProbeMost)
		if check != nil && check.Interval > 0 {
			wait = min(wait, check.Interval)
		}
		return wait, true
	}
	if check == nil {
		return 0, false
	}
	// An interval of 0 is allowed by the format; a busy loop is of no use to anybody.
	return max(check.Interval, 100*time.Millisecond), true
}

// sentence tells people what the probes say.
func (h Health) sentence(check *catalog.HealthCheck) string {
	switch {
	case h.State == HealthPassing && h.Failures > 0:
		return fmt.Sprintf("passing, but the last %d of %d allowed probes failed: %s", h.Failures, check.MaxRetries, h.Detail)
	case h.State == HealthPassing:
		return "passing: " + h.Detail
	case h.State == HealthUnhealthy:
		return fmt.Sprintf("%d probes in a row failed: %s", h.Failures, h.Detail)
	case h.Detail == "":
		return "not probed yet"
	default:
		return "starting: " + h.Detail
	}
}
