package signals

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// Status tells of each metric that a service wants what it said last, or why nothing is known of it.
func (c *Collector) Status(serviceID string) []autoscaler.SignalStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[serviceID]
	if s == nil {
		return nil
	}
	now := time.Now()
	out := make([]autoscaler.SignalStatus, 0, len(s.spec.Wanted))
	for _, m := range s.spec.Wanted {
		st := autoscaler.SignalStatus{Metric: m}
		last, ok := s.series[m].live.Last()
		if ok {
			st.At = last.At
		}
		if ok && now.Sub(last.At) < c.freshOf(m.Source) {
			st.Value, st.Of = new(last.Each()), last.Of
			// That one of several routes is missing is not nothing: it is told beside the value.
			if m.Source == autoscaler.SourceEngine {
				st.Missing = c.whyEngine(s, m.Name, now, true)
			}
		} else {
			st.Missing = c.why(s, m, st.At, now)
		}
		out = append(out, st)
	}
	return out
}

// freshOf is for how long a sample is what is known now.
func (c *Collector) freshOf(of autoscaler.Source) time.Duration {
	switch of {
	case autoscaler.SourcePrometheus:
		if c.asker != nil {
			return 3 * c.asker.config.Interval
		}
	case autoscaler.SourceEngine:
		return c.fresh()
	case autoscaler.SourceRouter, autoscaler.SourceKernel:
	}
	return 15 * time.Second // whoever tells does so every few seconds
}

// why says in a sentence why nothing is known of a metric.
func (c *Collector) why(s *service, m autoscaler.Metric, last, now time.Time) string {
	switch m.Source {
	case autoscaler.SourceEngine:
		return c.whyEngine(s, m.Name, now, false)
	case autoscaler.SourcePrometheus:
		q := s.queries[m]
		switch {
		case c.asker == nil:
			return "no Prometheus server is set: see autoscaler.prometheus in the settings"
		case q != nil && q.err != nil:
			return plain(q.err.Error())
		}
		return "it was not asked yet"
	case autoscaler.SourceRouter, autoscaler.SourceKernel:
	}
	if last.IsZero() {
		return "it was not told yet"
	}
	return "it was not told since " + last.UTC().Format(time.TimeOnly) + " UTC"
}

// mostRoutes is how many routes a sentence names.
const mostRoutes = 3

// whyEngine says it of an engine's metric, route by route. beside: only of routes of which something is to be said, as
// others told it.
func (c *Collector) whyEngine(s *service, name string, now time.Time, beside bool) string {
	if len(s.spec.Routes) == 0 {
		return "there is no route"
	}
	type said struct {
		why    string
		routes []string
	}
	var all []said
	for i := range s.spec.Routes {
		r := &s.spec.Routes[i]
		why := c.whyRoute(s, r, name, now)
		if why == "" || beside && !r.Ready {
			continue
		}
		at := slices.IndexFunc(all, func(o said) bool { return o.why == why })
		if at < 0 {
			all = append(all, said{why: why})
			at = len(all) - 1
		}
		all[at].routes = append(all[at].routes, r.ID)
	}
	slices.SortStableFunc(all, func(a, b said) int { return cmp.Compare(len(b.routes), len(a.routes)) })
	var out []string
	for i, one := range all {
		if i == mostRoutes {
			out = append(out, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		ids := strings.Join(one.routes[:min(len(one.routes), mostRoutes)], ", ")
		if more := len(one.routes) - mostRoutes; more > 0 {
			ids += fmt.Sprintf(" and %d more", more)
		}
		noun := "route "
		if len(one.routes) > 1 {
			noun = "routes "
		}
		out = append(out, noun+ids+": "+one.why)
	}
	return strings.Join(out, "; ")
}

// whyRoute says why one route did not tell a metric; "" where it did.
func (c *Collector) whyRoute(s *service, r *Route, name string, now time.Time) string {
	t := s.targets[r.ID]
	switch {
	case !r.Ready:
		return "it is not ready"
	case r.URL == "":
		return "its engine has no page of metrics"
	case t == nil || t.tried.IsZero() && t.err == nil:
		return "it was not looked at yet"
	case t.err != nil:
		return plain(t.err.Error())
	case now.Sub(t.at) >= c.fresh():
		return "it was looked at last at " + t.at.UTC().Format(time.TimeOnly) + " UTC"
	}
	got, asked := t.reading(name)
	switch {
	case !asked:
		return "it was not looked at yet"
	case got.ok:
		return ""
	case got.why == again:
		return "it takes a second look"
	case got.why == silent:
		return "nothing came within " + brief(c.config.Window)
	case got.why == noValue:
		return "it says no number"
	}
	return "it has no such metric" + near(name, t.names)
}
