package console

import (
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// advice is what to say of a service that does not do what it is wanted to, and what helps.
type advice struct {
	Key   string // of the text that says how it is; "": all is well
	Tone  string // of the box it stands in
	Cause string // in the appliance's own words
	Next  string // key of the text that says what to do
	At    *time.Time
	Retry bool // it is waited with the next start: it may be tried at once
	Back  int  // the revision to roll back to; 0: none
	Wake  bool // it has no routes: one may be asked for
	Logs  bool
}

// adviseOn says what to do about a service:
//  1. one that goes: nothing.
//  2. starts fail: the cause, to try again at once, and, where an earlier revision was healthy, to go back to it.
//  3. routes run and do not answer: their reason, and the log.
//  4. it starts: when it is expected; what waits for a place says for what.
//  5. it has no routes because nobody wants any: one can be asked for.
func adviseOn(s *api.Service, e *api.ServiceErrors) advice {
	a := advice{Cause: s.Reason}
	if s.GoodRevision > 0 && s.GoodRevision != s.Revision {
		a.Back = s.GoodRevision
	}
	switch {
	case s.Status == "HEALTHY":
		return advice{}
	case s.Status == "DESTROYING" || s.Status == "DESTROYED": // 1
		return advice{Key: "destroying", Tone: "info", Cause: s.Reason, Next: "destroying_next"}
	case e.Failures > 0: // 2
		a.Key, a.Tone, a.Next, a.Retry, a.Logs, a.At = "failing", "danger", "failing_next", true, true, e.NextRetry
		if e.LastError != "" {
			a.Cause = e.LastError
		}
		if s.HealthyRoutes > 0 {
			a.Tone = "warning"
		}
	case s.Status == "UNHEALTHY" || s.Status == "DEGRADED" && len(e.Routes) > 0: // 3
		a.Key, a.Tone, a.Next, a.Logs = "silent", "danger", "silent_next", true
		if s.HealthyRoutes > 0 {
			a.Key, a.Tone = "degraded", "warning"
		}
		if len(e.Routes) > 0 && e.Routes[0].Reason != "" {
			a.Cause = e.Routes[0].Reason
		}
	case s.Status == "PROVISIONING" || s.Status == "DEGRADED": // 4
		a.Key, a.Tone, a.Next, a.At, a.Logs, a.Back = "starting", "info", "starting_next", s.ReadyAt, true, 0
		for _, r := range s.Routes {
			if r.SessionStatus == "PENDING" && r.Reason != "" {
				a.Key, a.Cause, a.Next, a.Logs = "queued", r.Reason, "queued_next", false
			}
		}
	case s.Status == "IDLE": // 5
		a.Key, a.Tone, a.Next, a.Wake, a.Back = "idle", "info", "idle_next", true, 0
		if s.Autoscaling != nil && s.Autoscaling.IdleAfter != nil && *s.Autoscaling.IdleAfter > 0 && !s.AutoscalingPaused {
			a.Next = "idle_wakes"
		}
	default:
		a.Key, a.Tone, a.Next = "other", "secondary", "other_next"
	}
	return a
}
