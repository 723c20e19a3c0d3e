package cli

import (
	"fmt"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// scalingState is how a service's scaling stands, in one word.
func scalingState(st api.AutoscalingStanding) string {
	switch {
	case !st.On:
		return "off"
	case st.PausedBy != "":
		return "paused"
	}
	return "on"
}

func (a *app) showStanding(ref string, st api.AutoscalingStanding) error {
	return a.show(result{quiet: []string{scalingState(st)}, json: st, text: func() error { a.printStanding(ref, st); return nil }})
}

func (a *app) printStanding(ref string, st api.AutoscalingStanding) {
	state := scalingState(st)
	switch state {
	case "off":
		state = "off: the number of routes is a person's to set; to change that: palisade service autoscale " + ref + " --max N --target concurrency=8"
	case "paused":
		state = fmt.Sprintf("paused by %s %s; to go on: palisade service autoscale %s --resume", st.PausedBy, a.agoPtr(st.PausedAt), ref)
	}
	fields := [][2]string{
		{"service", ref}, {"autoscaling", state}, {"routes", fmt.Sprintf("%d wanted, %s allowed", st.Replicas, boundsText(st.Policy))},
		{"to zero", idleText(st.Policy)}, {"scale down", "a route goes when there were too many for " + secondsText(value(st.Policy.ScaleDownDelay))},
	}
	if st.LoadTime > 0 {
		fields = append(fields, [2]string{"load time", secondsText(st.LoadTime) + " until a route is ready, as measured"})
	}
	if st.ETA != nil {
		fields = append(fields, [2]string{"expected", "the next route " + a.ago(*st.ETA)})
	}
	if st.ExcessSince != nil {
		fields = append(fields, [2]string{"too many", "since " + strings.TrimSuffix(a.ago(*st.ExcessSince), " ago")})
	}
	if st.Last != nil {
		fields = append(fields, [2]string{"decided", a.ago(st.Last.At) + ": " + st.Last.Reason})
	}
	if st.EditedBy != "" {
		fields = append(fields, [2]string{"edited", a.agoPtr(st.EditedAt) + " by " + st.EditedBy})
	}
	a.fields(fields...)
	if rules := value(st.Policy.Rules); len(rules) > 0 {
		fmt.Fprintln(a.out)
		a.wishTable(rules, st.Last).write(a.out)
	}
	if len(st.Signals) > 0 {
		fmt.Fprintln(a.out)
		a.signalTable(st.Signals).write(a.out)
	}
}

// wishTable has every rule with what it wished last, then whoever else wished something.
func (a *app) wishTable(rules []api.Rule, last *api.Decision) *table {
	wishes := map[string]api.Wish{}
	if last != nil {
		for _, w := range last.Wishes {
			wishes[w.Rule] = w
		}
	}
	t := newTable("RULE", "WANTS", "WISH", "WHY")
	add := func(id, name, wants string) {
		w, said := wishes[id]
		delete(wishes, id)
		if !said {
			w = api.Wish{Silent: true, Why: "not looked at yet"}
		}
		want := wishWant(w)
		if last != nil && last.Rule == id {
			want += " *"
		}
		t.add(name, wants, want, w.Why)
	}
	for _, r := range rules {
		add(value(r.ID), ruleName(r), ruleText(r))
	}
	if last != nil {
		for _, w := range last.Wishes {
			if _, left := wishes[w.Rule]; left {
				add(w.Rule, w.Name, "-")
			}
		}
	}
	return t
}

func (a *app) signalTable(signals []api.Signal) *table {
	t := newTable("SIGNAL", "VALUE", "FROM", "SEEN", "MISSING")
	for _, s := range signals {
		from := "-"
		switch {
		case s.Of > 0:
			from = plural(s.Of, "route")
		case s.Value != nil:
			from = "the service"
		}
		t.add(s.MetricSource+":"+s.MetricName, figure(s.Value), from, a.agoPtr(s.At), s.Missing)
	}
	return t
}

// boundsText says how many routes a policy allows.
func boundsText(p api.Autoscaling) string {
	return fmt.Sprintf("%d to %d", value(p.MinReplicas), value(p.MaxReplicas))
}

func idleText(p api.Autoscaling) string {
	if idle := value(p.IdleAfter); idle > 0 {
		return "after " + secondsText(idle) + " without a request"
	}
	return "never by itself"
}

// ruleName is what a person calls a rule: its name, else its id.
func ruleName(r api.Rule) string {
	if name := value(r.Name); name != "" {
		return name
	}
	return value(r.ID)
}

// ruleText says what a rule wants, in one line.
func ruleText(r api.Rule) string {
	metric := value(r.MetricSource) + ":" + value(r.MetricName)
	if value(r.MetricSource) == "router" {
		metric = value(r.MetricName)
	}
	var text string
	switch value(r.Kind) {
	case "target":
		text = fmt.Sprintf("%s at %s a route", metric, figure(r.Target))
		switch {
		case value(r.TargetAuto) && r.Target != nil:
			text = fmt.Sprintf("%s at what was measured for a route, else %s", metric, figure(r.Target))
		case value(r.TargetAuto):
			text = metric + " at what was measured for a route"
		}
	case "schedule":
		text = fmt.Sprintf("from %q to %q, %s", value(r.Start), value(r.End), value(r.Timezone))
	default:
		text = stepText(r, metric)
	}
	switch low, high := r.MinReplicas, r.MaxReplicas; {
	case low != nil && high != nil:
		text += fmt.Sprintf(", %d to %d routes", *low, *high)
	case low != nil:
		text += fmt.Sprintf(", at least %s", plural(*low, "route"))
	case high != nil:
		text += fmt.Sprintf(", at most %s", plural(*high, "route"))
	}
	return text
}

func stepText(r api.Rule, metric string) string {
	if r.Comparator != nil {
		return fmt.Sprintf("%s %s %s: %+d", metric, signOf(*r.Comparator), figure(r.Threshold), value(r.StepSize))
	}
	var words []string
	if r.MinThreshold != nil {
		words = append(words, fmt.Sprintf("< %s: -%d", figure(r.MinThreshold), value(r.StepSize)))
	}
	if r.MaxThreshold != nil {
		words = append(words, fmt.Sprintf("> %s: +%d", figure(r.MaxThreshold), value(r.StepSize)))
	}
	return metric + " " + strings.Join(words, ", ")
}

// comparators are the words of the API by the signs that people write.
func comparators() map[string]string {
	return map[string]string{"<": "less_than", "<=": "less_than_or_equal", ">": "greater_than", ">=": "greater_than_or_equal"}
}

func signOf(word string) string {
	for sign, name := range comparators() {
		if name == word {
			return sign
		}
	}
	return word
}

// notePause tells who has just set a number of routes what that means for the service's autoscaling.
func (a *app) notePause(s api.Service) {
	if s.AutoscalingPaused {
		a.notef("its autoscaling is paused: it has %s until the policy is edited, or: palisade service autoscale %s --resume", plural(s.Replicas, "route"), s.Name)
	}
}

// autoWord is a service's scaling in a column: 0..4, paused, or - where a person sets the number of routes.
func autoWord(s api.Service) string {
	p := s.Autoscaling
	if p == nil || len(value(p.Rules)) == 0 && value(p.IdleAfter) == 0 {
		return "-"
	}
	return boundsWord(p.MinReplicas, p.MaxReplicas, s.AutoscalingPaused)
}

// boundsWord is autoWord of bounds; nil where nothing is scaled by itself.
func boundsWord(low, high *int, paused bool) string {
	switch {
	case low == nil || high == nil:
		return "-"
	case paused:
		return "paused"
	}
	return fmt.Sprintf("%d..%d", *low, *high)
}

// scalingLine is a service's scaling in one line; "" where it never had any.
func (a *app) scalingLine(s api.Service) string {
	p := s.Autoscaling
	if p == nil {
		return ""
	}
	rules := value(p.Rules)
	if len(rules) == 0 && value(p.IdleAfter) == 0 {
		return "off"
	}
	if s.AutoscalingPaused {
		return fmt.Sprintf("paused by %s %s; to go on: palisade service autoscale %s --resume", s.ScaledBy, a.agoPtr(s.ScaledAt), s.Name)
	}
	var words []string
	for _, r := range rules {
		words = append(words, ruleText(r))
	}
	if value(p.IdleAfter) > 0 {
		words = append(words, "to zero "+idleText(*p))
	}
	const most = 3
	if more := len(words) - most; more > 0 {
		words = append(words[:most], fmt.Sprintf("%d more", more))
	}
	return boundsText(*p) + " routes: " + strings.Join(words, "; ")
}
