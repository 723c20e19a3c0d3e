package autoscaler

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/autoscaler/cron"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// check looks at one rule by itself.
func (r *Rule) check(found *Problems, at string) {
	switch r.Kind {
	case KindStep:
		r.checkMetric(found, at)
		r.checkStep(found, at)
	case KindTarget:
		r.checkMetric(found, at)
		r.checkTarget(found, at)
	case KindSchedule:
		r.checkSchedule(found, at)
	default:
		found.add(at+".kind", "step, target or schedule", "%q is no kind of rule", r.Kind)
		return
	}
	r.checkStrangers(found, at)
	for _, b := range [...]struct {
		field string
		n     *int
	}{{".min_replicas", r.MinReplicas}, {".max_replicas", r.MaxReplicas}} {
		if b.n != nil && (*b.n < 0 || *b.n > mostReplicas) {
			found.add(at+b.field, "from 0 to "+strconv.Itoa(mostReplicas), "is %d", *b.n)
		}
	}
	if r.MinReplicas != nil && r.MaxReplicas != nil && *r.MinReplicas > *r.MaxReplicas {
		found.add(at+".min_replicas", "raise max_replicas or lower min_replicas", "%d is over max_replicas, %d", *r.MinReplicas, *r.MaxReplicas)
	}
}

// checkStrangers finds fields that another kind of rule has: what is set and does nothing is a mistake that nobody sees.
func (r *Rule) checkStrangers(found *Problems, at string) {
	for _, f := range [...]struct {
		name string
		set  bool
		of   []Kind
	}{
		{"metric", r.Metric != Metric{}, []Kind{KindStep, KindTarget}},
		{"comparator", r.Comparator != "", []Kind{KindStep}},
		{"threshold", r.Threshold != nil, []Kind{KindStep}},
		{"min_threshold", r.MinThreshold != nil, []Kind{KindStep}},
		{"max_threshold", r.MaxThreshold != nil, []Kind{KindStep}},
		{"step_size", r.StepSize != 0, []Kind{KindStep}},
		{"cooldown", r.Cooldown != 0, []Kind{KindStep}},
		{"target", r.Target != 0, []Kind{KindTarget}},
		{"auto", r.Auto, []Kind{KindTarget}},
		{"stable_window", r.StableWindow != 0, []Kind{KindTarget}},
		{"panic_window", r.PanicWindow != 0, []Kind{KindTarget}},
		{"panic_at", r.PanicAt != 0, []Kind{KindTarget}},
		{"start", r.Start != "", []Kind{KindSchedule}},
		{"end", r.End != "", []Kind{KindSchedule}},
		{"timezone", r.Zone != "", []Kind{KindSchedule}},
	} {
		mine := false
		for _, k := range f.of {
			mine = mine || k == r.Kind
		}
		if f.set && !mine {
			found.add(at+"."+f.name, "leave it out, or set kind to "+string(f.of[0]), "does not belong to a rule of kind %s", r.Kind)
		}
	}
}

func (r *Rule) checkMetric(found *Problems, at string) {
	at += ".metric"
	m := r.Metric
	switch m.Source {
	case SourceRouter, SourceKernel:
		if lookUp(m) == nil {
			found.add(at, metricHint(m), "%s has no metric %q", m.Source, m.Name)
		}
	case SourceEngine:
		if !isName(m.Name) {
			found.add(at, "an engine's metric is letters, digits, _ and : such as vllm:num_requests_waiting, or one of running, waiting, kv_usage, ttft, tokens_per_second", "%q is no name of a metric", m.Name)
		}
	case SourcePrometheus:
		if strings.TrimSpace(m.Name) == "" || len(m.Name) > 4096 {
			found.add(at, "the name is the query, such as sum(rate(jobs_total[1m]))", "has no query, or one of more than 4096 letters")
		}
	case "":
		found.add(at, metricHint(m), "is missing")
	default:
		found.add(at, "router, inference_framework, kernel or prometheus", "%q is no source of metrics", m.Source)
	}
}

// metricHint says which metric may be meant.
func metricHint(m Metric) string {
	for _, w := range vocabulary {
		if w.name == m.Name && m.Name != "" {
			return "it is a metric of " + string(w.source) + ": " + Metric{w.source, w.name}.String()
		}
	}
	if strings.ContainsRune(m.Name, ':') && isName(m.Name) {
		return "an engine's own metrics have the source inference_framework"
	}
	of := names(cmp.Or(m.Source, SourceRouter))
	return cmp.Or(spelling.DidYouMean(m.Name, of), "one of "+strings.Join(of, ", "))
}

func isName(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func (r *Rule) checkStep(found *Problems, at string) {
	ranged := r.MinThreshold != nil || r.MaxThreshold != nil
	single := r.Comparator != "" || r.Threshold != nil
	switch {
	case ranged && single:
		found.add(at+".threshold", "keep comparator and threshold, or min_threshold and max_threshold", "both forms of threshold are set")
	case !ranged && !single:
		found.add(at+".threshold", "set comparator and threshold, or min_threshold, max_threshold or both", "is missing")
	case single && r.Comparator == "":
		found.add(at+".comparator", "greater_than, greater_than_or_equal, less_than or less_than_or_equal", "is missing")
	case single && r.Threshold == nil:
		found.add(at+".threshold", "the value that the metric is compared with", "is missing")
	}
	switch r.Comparator {
	case "", LessThan, LessThanOrEqual, GreaterThan, GreaterThanOrEqual:
	default:
		found.add(at+".comparator", "greater_than, greater_than_or_equal, less_than or less_than_or_equal", "%q is no comparator", r.Comparator)
	}
	r.checkThreshold(found, at+".threshold", r.Threshold)
	r.checkThreshold(found, at+".min_threshold", r.MinThreshold)
	r.checkThreshold(found, at+".max_threshold", r.MaxThreshold)
	if a, b := r.MinThreshold, r.MaxThreshold; a != nil && b != nil && *a >= *b {
		found.add(at+".min_threshold", "between them nothing happens: min_threshold must be the smaller", "%s is not under max_threshold, %s", number(*a), number(*b))
	}
	switch n := r.StepSize; {
	case n == 0 || n > mostReplicas || n < -mostReplicas:
		found.add(at+".step_size", "how many routes to add; negative with a comparator to remove", "is %d", n)
	case ranged && n < 0:
		found.add(at+".step_size", "the threshold that is crossed says which way", "is %d: with min_threshold and max_threshold it has no sign", n)
	}
	if d := r.Cooldown; d < 0 || d > longest {
		found.add(at+".cooldown", "from 0s to 720h; 300s is usual", "is %s", d)
	}
}

func (r *Rule) checkThreshold(found *Problems, at string, v *float64) {
	if v == nil {
		return
	}
	switch w := lookUp(r.Metric); {
	case math.IsNaN(*v) || math.IsInf(*v, 0):
		found.add(at, "write it in digits", "is no number")
	case w != nil && *v < 0:
		found.add(at, "0 is the least that the metric can be", "%s is under 0", number(*v))
	case w != nil && w.unit == "share" && *v > 1:
		found.add(at, "the metric is a share from 0 to 1: "+number(*v/100)+" for "+number(*v)+" %", "%s is over 1", number(*v))
	}
}

func (r *Rule) checkTarget(found *Problems, at string) {
	w := lookUp(r.Metric)
	if r.Auto && r.Metric != concurrency() && r.Metric != (Metric{SourceEngine, "running"}) {
		found.add(at+".auto", "auto is for router:concurrency and inference_framework:running: of others, set target", "what was measured says nothing of %s", r.Metric)
	}
	if r.Auto && r.Target == 0 { // it will be measured
	} else if !(r.Target > 0) || math.IsInf(r.Target, 0) {
		found.add(at+".target", "a number over 0: how much of the metric one route is to have", "is %s", number(r.Target))
	} else {
		r.checkThreshold(found, at+".target", &r.Target)
	}
	if w != nil && !w.busier {
		found.add(at+".metric", "use a step rule for it, and a target for concurrency", "%s does not fall when routes are added: no number of them keeps a target", r.Metric)
	}
	if d := r.StableWindow; d < 6*time.Second || d > Depth {
		found.add(at+".stable_window", "from 6s to 10m; 60s is usual", "is %s", d)
	}
	if d := r.PanicWindow; d < time.Second || d > r.StableWindow {
		found.add(at+".panic_window", "from 1s to stable_window; 6s is usual", "is %s", d)
	}
	if v := r.PanicAt; !(v > 1 && v <= 1000) {
		found.add(at+".panic_at", "over 1 and up to 1000: how many times what the ready routes are to carry; 2 is usual", "is %s", number(v))
	}
}

func (r *Rule) checkSchedule(found *Problems, at string) {
	zone, err := cron.Zone(r.Zone)
	if err != nil {
		found.add(at+".timezone", "an IANA name such as Europe/Berlin, Asia/Seoul or UTC", "%q is no time zone", r.Zone)
		zone = time.UTC
	}
	for _, c := range [...]struct{ field, text string }{{".start", r.Start}, {".end", r.End}} {
		switch t, err := cron.Parse(c.text, zone); {
		case c.text == "":
			found.add(at+c.field, "a cron expression: 0 8 * * 1-5 is 8:00 from Monday to Friday", "is missing")
		case err != nil:
			found.add(at+c.field, "a cron expression: 0 8 * * 1-5 is 8:00 from Monday to Friday; Sunday is 0", "%q %s", c.text, err)
		case t.Next(reference()).IsZero():
			found.add(at+c.field, "is there such a day in that month?", "%q never comes", c.text)
		}
	}
	if r.Start != "" && strings.Join(strings.Fields(r.Start), " ") == strings.Join(strings.Fields(r.End), " ") {
		found.add(at+".end", "say when the window closes", "is the same as start")
	}
	if r.MinReplicas == nil && r.MaxReplicas == nil {
		found.add(at+".min_replicas", "set min_replicas, max_replicas or both: what holds while the window is open", "the window changes nothing")
	}
}

// reference is the day from which on windows are tried: any will do, but always the same, so that what was once accepted is.
func reference() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }
