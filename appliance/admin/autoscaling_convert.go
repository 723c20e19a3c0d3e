package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/sessions"
)

// policyEdit is a policy on its way from a request to what is kept, with what is wrong with it.
type policyEdit struct {
	policy autoscaler.Policy
	fresh  bool             // it begins with the default
	only   int              // index of the one rule that the request is about; -1: it is about the policy
	wrong  []api.FieldError // found while reading
	failed error            // there is nothing to go on with
}

// lay puts what a request says over the policy. A rule that comes with the id of one of before stays that rule.
func (e *policyEdit) lay(in *api.Autoscaling, before []autoscaler.Rule) {
	lay(&e.policy.Min, in.MinReplicas)
	if lay(&e.policy.Max, in.MaxReplicas); in.MaxReplicas != nil && *in.MaxReplicas == 0 {
		e.refuse("max_replicas", "to end all routes: palisade service scale NAME 0", "0: must be 1 or more")
	}
	e.seconds("idle_after", in.IdleAfter, &e.policy.IdleAfter)
	if e.fresh && e.policy.IdleAfter > 0 && in.MinReplicas == nil {
		e.policy.Min = 0 // to say when it goes to zero says that it may
	}
	e.someSeconds("scale_down_delay", in.ScaleDownDelay, &e.policy.ScaleDownDelay)
	if in.Rules == nil {
		return
	}
	e.policy.Rules = nil
	for i := range *in.Rules {
		r := &(*in.Rules)[i]
		base := newRule(r)
		if r.ID != nil && slices.ContainsFunc(before, func(b autoscaler.Rule) bool { return b.ID == *r.ID }) {
			base.ID = *r.ID
		}
		e.policy.Rules = append(e.policy.Rules, e.rule(fmt.Sprintf("rules[%d].", i), r, base))
	}
}

// newRule is one of the kind that a request says, or means.
func newRule(in *api.Rule) autoscaler.Rule {
	r := autoscaler.Rule{ID: "rul-" + strings.ToLower(rand.Text()[:12]), Kind: autoscaler.KindStep}
	switch {
	case in.Kind != nil: // whatever it says
	case in.Target != nil, in.TargetAuto != nil:
		r.Kind = autoscaler.KindTarget
	case in.Start != nil, in.End != nil:
		r.Kind = autoscaler.KindSchedule
	}
	return r
}

// rule lays what a request says over a rule; path is where in the request it stands. What the values may be is the
// room's to say.
func (e *policyEdit) rule(path string, in *api.Rule, r autoscaler.Rule) autoscaler.Rule {
	lay(&r.Name, in.Name)
	layWord(&r.Kind, in.Kind)
	layWord(&r.Metric.Source, in.MetricSource)
	lay(&r.Metric.Name, in.MetricName)
	layWord(&r.Comparator, in.Comparator)
	for _, n := range []struct {
		to   **float64
		from *float64
	}{{&r.Threshold, in.Threshold}, {&r.MinThreshold, in.MinThreshold}, {&r.MaxThreshold, in.MaxThreshold}} {
		if n.from != nil {
			*n.to = n.from
		}
	}
	lay(&r.StepSize, in.StepSize)
	e.someSeconds(path+"cooldown_seconds", in.Cooldown, &r.Cooldown)
	if in.Target != nil {
		r.Target, r.Auto = *in.Target, false
	}
	lay(&r.Auto, in.TargetAuto)
	e.someSeconds(path+"stable_window", in.StableWindow, &r.StableWindow)
	e.someSeconds(path+"panic_window", in.PanicWindow, &r.PanicWindow)
	lay(&r.PanicAt, in.PanicAt)
	lay(&r.Start, in.Start)
	lay(&r.End, in.End)
	lay(&r.Zone, in.Timezone)
	if in.MinReplicas != nil {
		r.MinReplicas = in.MinReplicas
	}
	if in.MaxReplicas != nil {
		r.MaxReplicas = in.MaxReplicas
	}
	return r
}

// layWord is lay for a word of a few: GREATER_THAN, as some clients write it, is greater_than.
func layWord[T ~string](to *T, from *string) {
	if from != nil {
		*to = T(strings.ToLower(strings.TrimSpace(*from)))
	}
}

// without is a rule without the fields that a request takes away.
func without(r autoscaler.Rule, gone []string) autoscaler.Rule {
	for _, field := range gone {
		switch field {
		case "name":
			r.Name = ""
		case "metric_source":
			r.Metric.Source = ""
		case "metric_name":
			r.Metric.Name = ""
		case "comparator":
			r.Comparator = ""
		case "threshold":
			r.Threshold = nil
		case "min_threshold":
			r.MinThreshold = nil
		case "max_threshold":
			r.MaxThreshold = nil
		case "step_size":
			r.StepSize = 0
		case "cooldown_seconds":
			r.Cooldown = 0
		case "target":
			r.Target = 0
		case "target_auto":
			r.Auto = false
		case "stable_window":
			r.StableWindow = 0
		case "panic_window":
			r.PanicWindow = 0
		case "panic_at":
			r.PanicAt = 0
		case "start":
			r.Start = ""
		case "end":
			r.End = ""
		case "timezone":
			r.Zone = ""
		case "min_replicas":
			r.MinReplicas = nil
		case "max_replicas":
			r.MaxReplicas = nil
		}
	}
	return r
}

func (e *policyEdit) refuse(field, hint, format string, args ...any) {
	e.wrong = append(e.wrong, api.FieldError{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (e *policyEdit) seconds(field string, from *float64, to *time.Duration) {
	if from == nil {
		return
	}
	if math.IsNaN(*from) || *from < 0 || *from > maxSeconds {
		e.refuse(field, "", "%v: must be a number of seconds, 0 or more", *from)
		return
	}
	*to = time.Duration(*from * float64(time.Second))
}

// someSeconds is seconds for what must be some time: 0 would be taken for nothing said, and get the default.
func (e *policyEdit) someSeconds(field string, from *float64, to *time.Duration) {
	if from != nil && *from == 0 {
		e.refuse(field, "1 is as good as none; null, or leaving it out, means the default", "0: must be more than 0 seconds")
		return
	}
	e.seconds(field, from, to)
}

// check fills in what is left open and says all that is wrong at once; prefix is where in the request the policy stands.
func (e *policyEdit) check(prefix string) error {
	e.policy.Fill()
	return e.problemOf(e.policy.Check(), prefix)
}

// problemOf says in the words of the request what is wrong with a policy; any other error is as it was.
func (e *policyEdit) problemOf(err error, prefix string) error {
	if err != nil && !errors.Is(err, autoscaler.ErrInvalid) {
		return err
	}
	wrong := slices.Clone(e.wrong)
	if problems, ok := errors.AsType[autoscaler.Problems](err); ok {
		for _, q := range problems {
			wrong = append(wrong, api.FieldError{Field: e.fieldName(q.Field), Message: q.Text, Hint: q.Hint})
		}
	} else if err != nil {
		return err
	}
	if len(wrong) == 0 {
		return nil
	}
	for i := range wrong {
		wrong[i].Field = prefix + wrong[i].Field
	}
	first := wrong[0]
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s: %s", first.Field, first.Message)
	if len(wrong) > 1 {
		p.Detail = fmt.Sprintf("%d things are wrong with the autoscaling", len(wrong))
	}
	p.Hint, p.Errors = first.Hint, wrong
	return p
}

// fieldName is what a request calls a field of the policy.
func (e *policyEdit) fieldName(field string) string {
	at := 0
	if before, ok := strings.CutSuffix(field, ".auto"); ok {
		field = before + ".target_auto"
	} else if before, ok := strings.CutSuffix(field, ".cooldown"); ok {
		field = before + ".cooldown_seconds"
	} else if n, _ := fmt.Sscanf(field, "rules[%d].metric", &at); n == 1 && strings.HasSuffix(field, ".metric") {
		switch e.policy.Rules[at].Metric.Source {
		case autoscaler.SourceRouter, autoscaler.SourceEngine, autoscaler.SourceKernel, autoscaler.SourcePrometheus:
			field += "_name"
		default:
			field += "_source"
		}
	}
	if own, ok := strings.CutPrefix(field, fmt.Sprintf("rules[%d].", e.only)); ok {
		return own
	}
	return field
}

func autoscalingOut(k *autoscaler.Kept) api.Autoscaling {
	p := &k.Policy
	return api.Autoscaling{
		MinReplicas: &p.Min, MaxReplicas: &p.Max, IdleAfter: new(p.IdleAfter.Seconds()), ScaleDownDelay: new(p.ScaleDownDelay.Seconds()),
		Rules: new(rulesOut(k)),
	}
}

func rulesOut(k *autoscaler.Kept) []api.Rule {
	out := []api.Rule{}
	for i := range k.Policy.Rules {
		r := ruleOut(&k.Policy.Rules[i])
		r.LastTriggeredAt = timePtr(k.Memory.Fired[*r.ID])
		out = append(out, r)
	}
	return out
}

// ruleOut has the fields that count for the rule's kind.
func ruleOut(r *autoscaler.Rule) api.Rule {
	out := api.Rule{ID: &r.ID, Name: unlessZero(r.Name), Kind: new(string(r.Kind)), MinReplicas: r.MinReplicas, MaxReplicas: r.MaxReplicas}
	if r.Metric != (autoscaler.Metric{}) {
		out.MetricSource, out.MetricName = new(string(r.Metric.Source)), &r.Metric.Name
	}
	switch r.Kind {
	case autoscaler.KindStep:
		out.Comparator, out.Threshold, out.MinThreshold, out.MaxThreshold = unlessZero(string(r.Comparator)), r.Threshold, r.MinThreshold, r.MaxThreshold
		out.StepSize, out.Cooldown = &r.StepSize, new(r.Cooldown.Seconds())
	case autoscaler.KindTarget:
		out.Target, out.TargetAuto, out.PanicAt = unlessZero(r.Target), unlessZero(r.Auto), &r.PanicAt
		out.StableWindow, out.PanicWindow = new(r.StableWindow.Seconds()), new(r.PanicWindow.Seconds())
	case autoscaler.KindSchedule:
		out.Start, out.End, out.Timezone = &r.Start, &r.End, &r.Zone
	}
	return out
}

func unlessZero[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func (s *server) standing(v sessions.ServiceView) api.AutoscalingStanding {
	k := s.policyOf(v)
	out := api.AutoscalingStanding{
		Version: k.Version, Policy: autoscalingOut(&k), EditedBy: k.EditedBy, EditedAt: timePtr(k.EditedAt), Replicas: v.Replicas,
		Signals: []api.Signal{}, LastScaleOut: timePtr(k.Memory.Out), LastScaleIn: timePtr(k.Memory.In), ExcessSince: timePtr(k.Memory.Excess),
	}
	out.On = k.Version != 0 && k.Policy.On()
	if isPaused(v, &k) {
		out.PausedBy, out.PausedAt = v.ScaledBy, timePtr(v.ScaledAt)
	}
	st, ok := s.Autoscaling.Standing(v.ID)
	if !ok {
		return out
	}
	out.LoadTime, out.ETA = st.LoadTime.Seconds(), timePtr(st.ETA)
	if !st.Last.At.IsZero() {
		out.Last = new(decisionOut(&st.Last))
	}
	for _, m := range st.Signals {
		out.Signals = append(out.Signals, api.Signal{
			MetricSource: string(m.Metric.Source), MetricName: m.Metric.Name, Value: m.Value, At: timePtr(m.At), Of: m.Of, Missing: m.Missing,
		})
	}
	return out
}

func decisionOut(d *autoscaler.Decision) api.Decision {
	out := api.Decision{
		At: d.At.UTC(), Was: d.Was, Replicas: d.Replicas, Rule: d.Rule, Reason: d.Reason, Panic: d.Panic, Wishes: []api.Wish{}, Next: timePtr(d.Next),
	}
	out.Seen = api.Seen{
		Ready: d.Seen.Ready, Starting: d.Seen.Starting, Unhealthy: d.Seen.Unhealthy, Leaving: d.Seen.Leaving, Held: d.Seen.Held,
		MinReplicas: d.Seen.Low, MaxReplicas: d.Seen.High, LoadTime: d.Seen.LoadTime.Seconds(), PoolFull: d.Seen.Full, ExcessSince: timePtr(d.Seen.Excess),
	}
	for _, w := range d.Wishes {
		out.Wishes = append(out.Wishes, api.Wish{Rule: w.Rule, Name: w.Name, Want: w.Want, Value: w.Value, Why: w.Why, Silent: w.Silent})
	}
	if s := d.Standoff; s != nil {
		out.Standoff = &api.Standoff{Claimant: s.Claimant, Value: s.Value, Service: s.Service, Routes: s.Routes, Reason: s.Reason, Losers: []api.Verdict{}}
		for _, v := range s.Losers {
			out.Standoff.Losers = append(out.Standoff.Losers, api.Verdict{Service: v.Service, Value: v.Value, Yields: v.Yields, Idle: v.Idle, Why: v.Why})
		}
	}
	return out
}
