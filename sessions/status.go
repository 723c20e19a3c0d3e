package sessions

import (
	"cmp"
	"fmt"
	"time"
)

// routeStatus derives what the balance may do with a session.
func routeStatus(s Session, h Health) RouteStatus {
	switch {
	case over(s) && s.Result == ResultFailure && s.HealthyAt.IsZero():
		return RouteFailedToStart
	case s.Status.Terminal():
		return RouteTerminated
	case s.Leaving():
		return RouteDraining
	case s.Status != StatusRunning || h.State == HealthUnknown:
		return RouteProvisioning
	case h.State == HealthPassing:
		return RouteHealthy
	default:
		return RouteUnhealthy
	}
}

// serviceStatus derives the word for a service, and one sentence that says why.
func serviceStatus(s ServiceState, now time.Time) (ServiceStatus, string) {
	sv := s.Service
	count := map[RouteStatus]int{}
	for _, r := range s.Routes {
		count[r.Status]++
	}
	healthy := count[RouteHealthy]
	progress := fmt.Sprintf("%d of %d routes healthy", healthy, sv.Replicas) + queued(s)
	trouble := ""
	if sv.Failures > 0 {
		trouble = fmt.Sprintf("; %s failed in a row, the last: %s", plural(sv.Failures, "start"), sv.LastError)
		if wait := sv.RetryAt.Sub(now); wait > 0 {
			trouble += fmt.Sprintf("; next try in %s", wait.Round(time.Second))
		}
	} else if sv.LastError != "" && healthy < sv.Replicas {
		trouble = "; " + sv.LastError
	}
	switch {
	case sv.Lifecycle == LifecycleDestroyed:
		return ServiceDestroyed, "removed"
	case sv.Lifecycle == LifecycleDestroying:
		left := plural(len(s.Routes), "route")
		if s.Ending > 0 {
			left += fmt.Sprintf(" and %s of others", plural(s.Ending, "container"))
		}
		return ServiceDestroying, left + " left to end"
	case sv.Replicas == 0 && healthy == 0:
		return ServiceIdle, "scaled to zero"
	case healthy >= sv.Replicas:
		return ServiceHealthy, progress + rolling(s)
	case healthy > 0:
		return ServiceDegraded, progress + trouble
	case sv.Failures == 0 && count[RouteUnhealthy] == 0 && (sv.GoodRevision == 0 || count[RouteProvisioning] > 0):
		return ServiceProvisioning, progress + starting(s)
	default:
		if trouble == "" {
			for _, r := range s.Routes {
				if r.Detail != "" {
					trouble = "; " + r.Detail
				}
			}
		}
		return ServiceUnhealthy, progress + trouble
	}
}

// queued tells of routes that have no place yet.
func queued(s ServiceState) string {
	n, why := 0, ""
	for _, r := range s.Routes {
		if r.Waiting {
			n++
			why = cmp.Or(why, r.Detail)
		}
	}
	if n == 0 {
		return ""
	}
	text := "; 1 route waits: " + why
	if n > 1 {
		text = fmt.Sprintf("; %d routes wait: %s", n, why)
	}
	if rolling(s) != "" && s.Service.Policy.MaxUnavailable == 0 {
		text += "; with max_unavailable 1 an older route would make room for it"
	}
	return text
}

// starting tells of routes that have a place and are not up yet.
func starting(s ServiceState) string {
	n := 0
	for _, r := range s.Routes {
		if r.Status == RouteProvisioning && !r.Waiting {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return "; " + plural(n, "route") + " starting"
}

// rolling tells of an update under way.
func rolling(s ServiceState) string {
	old := 0
	for _, r := range s.Routes {
		if r.Revision != s.Service.Revision && !r.leaving() {
			old++
		}
	}
	if old == 0 {
		return ""
	}
	return fmt.Sprintf("; rolling to revision %d, %s left", s.Service.Revision, plural(old, "older route"))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
