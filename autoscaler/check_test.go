package autoscaler

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func good() Policy {
	p := DefaultPolicy()
	p.Rules = []Rule{
		{ID: "rul-a", Kind: KindTarget, Metric: concurrency(), Target: 8},
		{ID: "rul-b", Name: "queue", Kind: KindStep, Metric: Metric{SourceEngine, "vllm:num_requests_waiting"}, Comparator: GreaterThan, Threshold: new(5.0)},
		{ID: "rul-c", Name: "office", Kind: KindSchedule, Start: "0 8 * * 1-5", End: "0 18 * * 1-5", Zone: "Europe/Berlin", MinReplicas: new(2)},
	}
	p.Fill()
	return p
}

func step(metric Metric, c Comparator, threshold float64, size int) Rule {
	return Rule{Kind: KindStep, Metric: metric, Comparator: c, Threshold: &threshold, StepSize: size, Cooldown: time.Minute}
}

func hours(name, start, end string, low, high int) Rule {
	return Rule{Name: name, Kind: KindSchedule, Start: start, End: end, Zone: "UTC", MinReplicas: &low, MaxReplicas: &high}
}

// TestCheck: what is wrong is found, with its place and with what to do.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*Policy)
		want string // "" good; else parts of what is said, between bars
	}{
		{"good", func(*Policy) {}, ""},
		{"default", func(p *Policy) { *p = DefaultPolicy() }, ""},
		{"min over max", func(p *Policy) { p.Min = 9 }, "min_replicas: 9 is over max_replicas, 8"},
		{"negative", func(p *Policy) { p.Min = -1 }, "min_replicas: is -1"},
		{"idle that never comes", func(p *Policy) { p.IdleAfter = time.Hour }, "idle_after: the service never goes to zero|set min_replicas to 0"},
		{"idle in a window", func(p *Policy) { p.IdleAfter = time.Hour; p.Rules[2].MinReplicas = new(0) }, ""},
		{"no delay", func(p *Policy) { p.ScaleDownDelay = -1 }, "scale_down_delay: is -1ns"},
		{"kind", func(p *Policy) { p.Rules[0].Kind = "goal" }, `rules[0].kind: "goal" is no kind of rule|step, target or schedule`},
		{"unknown metric", func(p *Policy) { p.Rules[0].Metric.Name = "concurency" }, `rules[0].metric: router has no metric "concurency"|did you mean concurrency?`},
		{"metric of another source", func(p *Policy) { p.Rules[0].Metric.Name = "cuda_util" }, "rules[0].metric|kernel:cuda_util"},
		{"engine's metric at the router", func(p *Policy) { p.Rules[0].Metric.Name = "vllm:num_requests_waiting" }, "source inference_framework"},
		{"nothing near", func(p *Policy) { p.Rules[0].Metric.Name = "xxxxxxxxxxx" }, "one of concurrency, queued"},
		{"no metric", func(p *Policy) { p.Rules[0].Metric = Metric{} }, "rules[0].metric: is missing"},
		{"source", func(p *Policy) { p.Rules[0].Metric.Source = "statsd" }, `"statsd" is no source of metrics`},
		{"engine's name", func(p *Policy) { p.Rules[1].Metric.Name = "a b" }, `"a b" is no name of a metric`},
		{"no query", func(p *Policy) { p.Rules[0].Metric = Metric{SourcePrometheus, " "} }, "has no query"},
		{"not a number", func(p *Policy) { p.Rules[1].Threshold = new(math.NaN()) }, "rules[1].threshold: is no number"},
		{"infinite target", func(p *Policy) { p.Rules[0].Target = math.Inf(1) }, "rules[0].target"},
		{"no target", func(p *Policy) { p.Rules[0].Target = 0 }, "rules[0].target"},
		{"a target that is measured", func(p *Policy) { p.Rules[0].Target, p.Rules[0].Auto = 0, true }, ""},
		{"and one until then", func(p *Policy) { p.Rules[0].Auto = true }, ""},
		{"measured of something else", func(p *Policy) { p.Rules[0].Metric.Name, p.Rules[0].Auto = "queued", true }, "rules[0].auto: what was measured says nothing of router:queued"},
		{"measured step", func(p *Policy) { p.Rules[1].Auto = true }, "rules[1].auto: does not belong to a rule of kind step"},
		{"percent for a share", func(p *Policy) { p.Rules[1].Metric, p.Rules[1].Threshold = Metric{SourceEngine, "kv_usage"}, new(80.0) }, "80 is over 1|0.8 for 80 %"},
		{"target that routes do not change", func(p *Policy) { p.Rules[0].Metric.Name, p.Rules[0].Target = "error_rate", 0.1 }, "does not fall when routes are added"},
		{"panic window", func(p *Policy) { p.Rules[0].PanicWindow = time.Hour }, "rules[0].panic_window"},
		{"stable window", func(p *Policy) { p.Rules[0].StableWindow = time.Hour }, "rules[0].stable_window"},
		{"both forms", func(p *Policy) { p.Rules[1].MaxThreshold = new(9.0) }, "both forms of threshold are set"},
		{"no threshold", func(p *Policy) { p.Rules[1].Threshold = nil }, "rules[1].threshold: is missing"},
		{"no comparator", func(p *Policy) { p.Rules[1].Comparator = "" }, "rules[1].comparator: is missing"},
		{"comparator", func(p *Policy) { p.Rules[1].Comparator = ">" }, `">" is no comparator`},
		{"thresholds crossed", func(p *Policy) {
			r := &p.Rules[1]
			r.Comparator, r.Threshold, r.MinThreshold, r.MaxThreshold = "", nil, new(5.0), new(5.0)
		}, "rules[1].min_threshold: 5 is not under max_threshold, 5"},
		{"strangers", func(p *Policy) { p.Rules[0].StepSize, p.Rules[2].Target = 2, 3 }, "rules[0].step_size: does not belong to a rule of kind target|rules[2].target: does not belong"},
		{"cron", func(p *Policy) { p.Rules[2].Start = "0 25 * * *" }, `rules[2].start: "0 25 * * *"|0 8 * * 1-5`},
		{"six fields", func(p *Policy) { p.Rules[2].End = "0 0 18 * * *" }, "has 6 fields instead of five"},
		{"zone in cron", func(p *Policy) { p.Rules[2].End = "TZ=x" }, "only the five fields count"},
		{"never", func(p *Policy) { p.Rules[2].End = "0 0 30 2 *" }, `rules[2].end: "0 0 30 2 *" never comes`},
		{"zone", func(p *Policy) { p.Rules[2].Zone = "Europe/Berln" }, `rules[2].timezone: "Europe/Berln" is no time zone|IANA`},
		{"the box's zone", func(p *Policy) { p.Rules[2].Zone = "Local" }, "is no time zone"},
		{"closes as it opens", func(p *Policy) { p.Rules[2].End = " 0 8  * * 1-5" }, "rules[2].end: is the same as start"},
		{"window without bounds", func(p *Policy) { p.Rules[2].MinReplicas = nil }, "the window changes nothing"},
		{"window over the service's", func(p *Policy) { p.Rules[2].MinReplicas = new(9) }, "9 is over the service's max_replicas, 8|give the window a max_replicas"},
		{"rule never reached", func(p *Policy) { p.Rules = p.Rules[:1]; p.Rules[0].MinReplicas = new(20) }, "it is never reached"},
		{"rule's min over max", func(p *Policy) { p.Rules[0].MinReplicas, p.Rules[0].MaxReplicas = new(3), new(2) }, "rules[0].min_replicas: 3 is over max_replicas, 2"},
		{"one name twice", func(p *Policy) { p.Rules[0].Name = "queue" }, `rules[1].name: "queue" is the name of rules[0] too`},
		{"one id twice", func(p *Policy) { p.Rules[1].ID = "rul-a" }, "rules[1].id: is that of rules[0] too"},
		{"all at once", func(p *Policy) { p.Min, p.Rules[0].Target, p.Rules[2].Zone = 99, -1, "Mars" }, "min_replicas|rules[0].target|rules[2].timezone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := good()
			c.edit(&p)
			err := p.Check()
			told(t, err, c.want)
		})
	}
}

func told(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	found, is := errors.AsType[Problems](err)
	if !is || !errors.Is(err, ErrInvalid) {
		t.Fatalf("%v, not %s", err, want)
	}
	all := found.Error() + " " + found.Hint()
	for part := range strings.SplitSeq(want, "|") {
		if !strings.Contains(all, part) {
			t.Errorf("%s\ndoes not say: %s", all, part)
		}
	}
	for _, p := range found {
		if p.Field == "" || p.Text == "" || p.Hint == "" {
			t.Errorf("%+v is not whole", p)
		}
	}
}

// TestContradictions: two rules that want different things of the same value, or at the same time, are both named.
func TestContradictions(t *testing.T) {
	t.Parallel()
	q, kv := queued(), Metric{SourceEngine, "kv_usage"}
	ranged := Rule{Name: "ranged", Kind: KindStep, Metric: q, MinThreshold: new(2.0), MaxThreshold: new(8.0), StepSize: 1}
	target := Rule{Name: "goal", Kind: KindTarget, Metric: q, Target: 4, StableWindow: time.Minute, PanicWindow: time.Second, PanicAt: 2}
	named := func(name string, r Rule) Rule { r.Name = name; return r }
	for _, c := range []struct {
		name string
		a, b Rule
		want string
	}{
		{"overlap", step(q, GreaterThan, 5, 1), step(q, LessThan, 10, -1), "with router:queued between 5 and 10, rules[0] wants more routes and rules[1] fewer"},
		{"apart", step(q, GreaterThan, 5, 1), step(q, LessThan, 5, -1), ""},
		{"touching", step(q, GreaterThanOrEqual, 5, 1), step(q, LessThanOrEqual, 5, -1), "at 5"},
		{"touching from one side", step(q, GreaterThanOrEqual, 5, 1), step(q, LessThan, 5, -1), ""},
		{"other metrics", step(q, GreaterThan, 5, 1), step(kv, LessThan, 0.5, -1), ""},
		{"both up", step(q, GreaterThan, 5, 1), step(q, GreaterThan, 50, 4), ""},
		{"same stretch", named("a", step(q, GreaterThan, 5, 1)), named("b", step(q, GreaterThan, 6, -2)), `over 6, "a" wants more routes and "b" fewer`},
		{"ranged", ranged, named("down", step(q, LessThan, 9, -1)), `between 8 and 9, "ranged" wants more routes and "down" fewer`},
		{"target and step", target, named("down", step(q, LessThan, 5, -1)), `between 4 and 5, "goal" wants more routes and "down" fewer`},
		{"target and higher step", target, named("more", step(q, GreaterThan, 9, 2)), ""},
		{"two targets", target, named("second", func() Rule { r := target; r.Target = 9; return r }()), "the higher never counts"},
		{"two targets in turn", target, named("second", func() Rule { r := target; r.Target, r.MaxReplicas = 9, new(3); return r }()), ""},
		{"windows", hours("day", "0 8 * * *", "0 18 * * *", 4, 8), hours("lunch", "0 12 * * *", "0 13 * * *", 0, 2), `both "day" (at least 4) and "lunch" (at most 2) are open`},
		{"windows apart", hours("day", "0 8 * * *", "0 18 * * *", 4, 8), hours("night", "0 18 * * *", "0 8 * * *", 0, 2), ""},
		{"windows that agree", hours("day", "0 8 * * *", "0 18 * * *", 2, 8), hours("lunch", "0 12 * * *", "0 13 * * *", 0, 2), ""},
		{"windows once a year", hours("christmas", "0 0 24 12 *", "0 0 27 12 *", 0, 0), hours("mondays", "0 9 * * 1", "0 17 * * 1", 1, 8), "2028-12-25 09:00"}, // the first with a Monday from 2026 on
		{"step by a query and target", step(Metric{SourcePrometheus, "q"}, LessThan, 9, -1), func() Rule { r := target; r.Metric = Metric{SourcePrometheus, "q"}; return r }(), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := Policy{Min: 0, Max: 10, ScaleDownDelay: time.Minute, Rules: []Rule{c.a, c.b}}
			told(t, p.Check(), c.want)
		})
	}
}
