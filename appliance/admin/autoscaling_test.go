package admin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// scaledBox is a box with a service named demo.
func scaledBox(t *testing.T) *box {
	t.Helper()
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	return b
}

func TestPolicyOfAService(t *testing.T) {
	b := scaledBox(t)
	var st api.AutoscalingStanding
	b.do("GET", "/services/demo/autoscaling", "", 200, &st)
	if st.On || st.Version != 0 || *st.Policy.MinReplicas != 1 || *st.Policy.MaxReplicas != 8 || *st.Policy.ScaleDownDelay != 120 || len(*st.Policy.Rules) != 0 || st.Last != nil {
		t.Errorf("before anything was said: %+v", st)
	}

	b.do("PUT", "/services/demo/autoscaling", `{"min_replicas":0,"max_replicas":4,"idle_after":600.5,
		"rules":[{"metric_source":"ROUTER","metric_name":"concurrency","target":8},
			{"name":"by hand","kind":"step","metric_source":"inference_framework","metric_name":"vllm_num_requests_waiting","comparator":"GREATER_THAN","threshold":2.5,"step_size":2},
			{"name":"nights","start":"0 22 * * *","end":"0 6 * * *","max_replicas":1}]}`, 200, &st)
	rules := *st.Policy.Rules
	if !st.On || st.Version != 1 || st.EditedBy != "me" || *st.Policy.IdleAfter != 600.5 || *st.Policy.MinReplicas != 0 || len(rules) != 3 {
		t.Fatalf("%+v", st)
	}
	if r := rules[0]; *r.Kind != "target" || *r.MetricSource != "router" || *r.Target != 8 || *r.StableWindow != 60 || *r.PanicWindow != 6 || *r.PanicAt != 2 || r.Cooldown != nil || r.Name != nil || !strings.HasPrefix(*r.ID, "rul-") {
		t.Errorf("%+v", r)
	}
	if r := rules[1]; *r.Kind != "step" || *r.Comparator != "greater_than" || *r.Threshold != 2.5 || *r.StepSize != 2 || *r.Cooldown != 300 || r.MinThreshold != nil || r.Target != nil || r.LastTriggeredAt != nil {
		t.Errorf("%+v", r)
	}
	if r := rules[2]; *r.Kind != "schedule" || *r.Timezone != "UTC" || *r.MaxReplicas != 1 || r.MinReplicas != nil || r.MetricName != nil {
		t.Errorf("%+v", r)
	}

	// What is left out of a change stays; what is left out of a whole policy takes its default. What was read may be sent back.
	b.do("PATCH", "/services/demo/autoscaling", `{"max_replicas":6}`, 200, &st)
	if *st.Policy.MaxReplicas != 6 || *st.Policy.IdleAfter != 600.5 || len(*st.Policy.Rules) != 3 || st.Version != 2 {
		t.Errorf("%+v", st)
	}
	body := b.serve(b.request("GET", "/services/demo", "")).Body.String()
	policy := body[strings.Index(body, `"autoscaling":`)+len(`"autoscaling":`):]
	policy = policy[:strings.Index(policy, `},"routes"`)+1]
	before := *st.Policy.Rules
	b.do("PUT", "/services/demo/autoscaling", policy, 200, &st)
	if d := cmp.Diff(before, *st.Policy.Rules); d != "" {
		t.Errorf("sent back as it was read:\n%s", d)
	}
	b.do("PUT", "/services/demo/autoscaling", `{"rules":[{"id":"rul-of-another","metric_source":"router","metric_name":"queued","target":1}]}`, 200, &st)
	if r := (*st.Policy.Rules)[0]; *r.ID == "rul-of-another" || *st.Policy.IdleAfter != 0 || *st.Policy.MaxReplicas != 8 {
		t.Errorf("%+v of %+v", r, st)
	}
	b.do("DELETE", "/services/demo/autoscaling", "", 200, &st)
	if st.On || len(*st.Policy.Rules) != 0 {
		t.Errorf("%+v", st)
	}
}

func TestPolicyVersions(t *testing.T) {
	b := scaledBox(t)
	edit := func(match string) *http.Request {
		r := b.request("PATCH", "/services/demo/autoscaling", `{"idle_after":60}`)
		if match != "" {
			r.Header.Set("If-Match", match)
		}
		return r
	}
	for _, match := range []string{`"0"`, `"1"`, "*", ""} {
		if w := b.serve(edit(match)); w.Code != 200 {
			t.Errorf("%s: %d %s", match, w.Code, w.Body)
		}
	}
	if w := b.serve(b.request("GET", "/services/demo/autoscaling", "")); w.Header().Get("ETag") != `"4"` {
		t.Errorf("ETag %s", w.Header().Get("ETag"))
	}
	if p := problem(t, b.serve(edit(`"3"`))); p.Kind() != api.KindPrecondition || !strings.Contains(p.Detail, "at version 4") {
		t.Errorf("%+v", p)
	}
	// One that comes between is no reason to refuse an edit that names no version, unless there is no end of them.
	b.Scaling.Conflicts = 2
	if w := b.serve(edit("")); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.Scaling.Conflicts = 100
	for _, match := range []string{"", `"5"`} {
		if p := problem(t, b.serve(edit(match))); p.Kind() != api.KindConflict {
			t.Errorf("%+v", p)
		}
	}
}

func TestRulesOfAService(t *testing.T) {
	b := scaledBox(t)
	var rule api.Rule
	// As a client of Backend.AI writes it. The bounds of the first are those of the policy.
	b.do("POST", "/services/demo/rules", `{"name":"load","metric_source":"kernel","metric_name":"cpu_util","threshold":80,"comparator":"greater_than_or_equal","step_size":1,
		"cooldown_seconds":60,"min_replicas":0,"max_replicas":12}`, 201, &rule)
	var st api.AutoscalingStanding
	b.do("GET", "/services/demo/autoscaling", "", 200, &st)
	if !st.On || *st.Policy.MaxReplicas != 12 || *st.Policy.MinReplicas != 0 {
		t.Errorf("%+v", st)
	}
	w := b.serve(b.request("POST", "/services/demo/rules", `{"metric_source":"router","metric_name":"queued","min_threshold":1,"max_threshold":5.5}`))
	if w.Code != 201 || !strings.Contains(w.Header().Get("Location"), "/rules/rul-") || w.Header().Get("ETag") != `"2"` {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	var page api.Page[api.Rule]
	b.do("GET", "/services/demo/rules", "", 200, &page)
	if len(page.Items) != 2 || *page.Items[0].Name != "load" || *page.Items[1].MaxThreshold != 5.5 || *page.Items[1].StepSize != 1 {
		t.Errorf("%+v", page)
	}
	b.do("GET", "/services/demo/rules/load", "", 200, &rule)
	b.do("GET", "/services/demo/rules/"+*rule.ID, "", 200, &rule)

	// Null takes a field away: here one form of thresholds gives way to the other.
	b.do("PATCH", "/services/demo/rules/load", `{"comparator":null,"threshold":null,"min_threshold":20,"max_threshold":90,"name":"busy","cooldown_seconds":null}`, 200, &rule)
	if rule.Comparator != nil || rule.Threshold != nil || *rule.MaxThreshold != 90 || *rule.Name != "busy" || *rule.Cooldown != 300 || *rule.MaxReplicas != 12 {
		t.Errorf("%+v", rule)
	}
	b.do("PATCH", "/services/demo/rules/busy", `{"max_replicas":null,"id":"`+*rule.ID+`"}`, 200, &rule)
	if rule.MaxReplicas != nil || *rule.MinReplicas != 0 {
		t.Errorf("%+v", rule)
	}

	// A rule of another kind keeps what both have; here its name, id and metric.
	other := rule
	b.do("PATCH", "/services/demo/rules/busy", `{"kind":"target","target":50}`, 200, &rule)
	if *rule.Kind != "target" || *rule.MetricName != "cpu_util" || rule.MaxThreshold != nil || *rule.ID != *other.ID || *rule.MinReplicas != 0 {
		t.Errorf("%+v", rule)
	}
	b.do("PATCH", "/services/demo/rules/busy", `{"kind":null,"min_threshold":20,"max_threshold":90}`, 200, &rule)
	if *rule.Kind != "step" || rule.Target != nil || *rule.MaxThreshold != 90 {
		t.Errorf("%+v", rule)
	}

	for _, c := range []struct{ method, path, body, kind, word string }{
		{"PATCH", "/rules/busy", `{"kind":"oracle"}`, api.KindInvalid, "oracle"},
		{"PATCH", "/rules/busy", `{"metric_source":"routr"}`, api.KindInvalid, "metric_source: "},
		{"PATCH", "/rules/busy", `{"metric_source":"router"}`, api.KindInvalid, "metric_name: "},
		{"PUT", "/autoscaling", `{"rules":[{"metric_source":"routr","metric_name":"queued","target":1},{"metric_source":"router","target":1}]}`, api.KindInvalid, "rules[0].metric_source"},
		{"PATCH", "/rules/busy", `{"target":8}`, api.KindInvalid, "target"},
		{"GET", "/rules/buzy", "", api.KindNotFound, `did you mean "busy"?`},
		{"DELETE", "/rules/nothing-like-it", "", api.KindNotFound, "palisade service rule list demo"},
		{"PATCH", "/rules/busy", `{"id":"rul-other"}`, api.KindInvalid, "keeps its own"},
		{"PATCH", "/rules/busy", `{"treshold":3}`, api.KindInvalid, `did you mean "threshold"?`},
		{"PATCH", "/rules/busy", `{"threshold":"high"}`, api.KindInvalid, "must be a number, not a string"},
		{"POST", "/rules", `{"id":"rul-1"}`, api.KindInvalid, "gets its own"},
		{"POST", "/rules", `{"metric_source":"router","metric_name":"queued","target":3,"stable_window":0,"panic_window":-1}`, api.KindInvalid, "2 things"},
		{"PATCH", "/autoscaling", `{"min_replicas":5,"max_replicas":2}`, api.KindInvalid, "min_replicas"},
		{"PATCH", "/autoscaling", `{"max_replicas":0}`, api.KindInvalid, "palisade service scale NAME 0"},
		{"PUT", "/autoscaling", `{"rules":[{"target":1},{"cooldown_seconds":1e300}]}`, api.KindInvalid, "rules[1].cooldown_seconds"},
		{"POST", "/rules?dry=true", `{}`, api.KindInvalid, "?dry"},
	} {
		p := problem(t, b.serve(b.request(c.method, "/services/demo"+c.path, c.body)))
		if text := p.Error() + p.Hint; p.Kind() != c.kind || !strings.Contains(text, c.word) {
			t.Errorf("%s %s %s: %s", c.method, c.path, c.body, text)
		}
	}
	var after api.AutoscalingStanding
	b.do("GET", "/services/demo/autoscaling", "", 200, &after)
	if after.Version != 6 {
		t.Errorf("what was refused was kept: version %d", after.Version)
	}

	if p := problem(t, b.serve(b.request("PATCH", "/services/demo/rules/"+*page.Items[1].ID, `{"name":"busy"}`))); !strings.HasPrefix(p.Detail, "name: ") {
		t.Errorf("%+v", p)
	}
	b.do("DELETE", "/services/demo/rules/"+*rule.ID, "", 204, nil)
	b.do("GET", "/services/demo/rules", "", 200, &page)
	if len(page.Items) != 1 {
		t.Errorf("%+v", page)
	}
}

func TestServiceWithAPolicy(t *testing.T) {
	b := newBox(t)
	var s api.Service
	b.do("POST", "/services", `{"name":"demo","image":"host","autoscaling":{"min_replicas":2,"max_replicas":4,"rules":[{"metric_source":"router","metric_name":"concurrency","target":8}]}}`, 201, &s)
	if s.Replicas != 2 || s.Autoscaling == nil || *s.Autoscaling.MaxReplicas != 4 || len(*s.Autoscaling.Rules) != 1 {
		t.Errorf("%+v", s)
	}
	b.do("PATCH", "/services/demo", `{"autoscaling":{"min_replicas":0,"idle_after":60}}`, 200, &s)
	if *s.Autoscaling.MinReplicas != 0 || *s.Autoscaling.IdleAfter != 60 || len(*s.Autoscaling.Rules) != 1 || s.Revision != 1 {
		t.Errorf("%+v", s)
	}
	b.do("POST", "/services", `{"name":"wide","image":"host","replicas":20,"autoscaling":{"idle_after":60}}`, 201, &s)
	if s.Replicas != 20 || *s.Autoscaling.MaxReplicas != 20 {
		t.Errorf("%d replicas of %d", s.Replicas, *s.Autoscaling.MaxReplicas)
	}
	b.do("POST", "/services", `{"name":"plain","image":"host"}`, 201, &s)
	if s.Autoscaling != nil {
		t.Errorf("%+v", s.Autoscaling)
	}
	// What is wrong with the policy makes no service.
	p := problem(t, b.serve(b.request("POST", "/services", `{"name":"bad","image":"host","autoscaling":{"min_replicas":5,"max_replicas":4,"rules":[{"target":1,"stable_window":0}]}}`)))
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	if text := strings.Join(fields, " "); p.Kind() != api.KindInvalid || !strings.Contains(text, "autoscaling.min_replicas") || !strings.Contains(text, "autoscaling.rules[0].stable_window") {
		t.Errorf("%+v", p)
	}
	b.do("GET", "/services/bad", "", 404, nil)
	// One that cannot be kept leaves the service, and says so.
	b.Scaling.Broken = errors.New("secret detail of the box")
	if p := problem(t, b.serve(b.request("POST", "/services", `{"name":"half","image":"host","autoscaling":{"idle_after":60}}`))); p.Status != 500 || !strings.Contains(p.Hint, "palisade service autoscale half") {
		t.Errorf("%+v", p)
	}
}

func TestPauseAndDecisions(t *testing.T) {
	b := scaledBox(t)
	if p := problem(t, b.serve(b.request("POST", "/services/demo/autoscaling/resume", ""))); p.Kind() != api.KindState || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	b.do("PUT", "/services/demo/autoscaling", `{"max_replicas":4,"rules":[{"metric_source":"router","metric_name":"concurrency","target":8},
		{"metric_source":"inference_framework","metric_name":"waiting","target":2}]}`, 200, nil)
	var st api.AutoscalingStanding
	for _, end := range []struct{ method, path, body string }{
		{"POST", "/services/demo/autoscaling/resume", ""}, {"PATCH", "/services/demo/autoscaling", `{"max_replicas":5}`},
	} {
		b.do("POST", "/services/demo/scale", `{"to":3}`, 200, nil)
		b.do("GET", "/services/demo/autoscaling", "", 200, &st)
		if st.PausedBy != "me" || st.PausedAt == nil || st.Replicas != 3 || !st.On {
			t.Errorf("%+v", st)
		}
		b.do(end.method, end.path, end.body, 200, &st)
		if st.PausedBy != "" || st.PausedAt != nil {
			t.Errorf("%+v", st)
		}
	}

	var s api.Service
	b.do("GET", "/services/demo", "", 200, &s)
	for i := range 3 {
		b.Scaling.Decide(s.ID, time.Now().Add(time.Duration(i-3)*time.Hour))
	}
	b.do("GET", "/services/demo/autoscaling", "", 200, &st)
	if st.Last == nil || len(st.Last.Wishes) != 2 || len(st.Signals) != 2 || *st.Signals[0].Value != 18.5 || st.Signals[1].Value != nil || st.Signals[1].Missing == "" || st.LoadTime != 90 || st.LastScaleOut == nil {
		t.Errorf("%+v", st)
	}
	if r := (*st.Policy.Rules)[0]; r.LastTriggeredAt == nil || *r.ID != st.Last.Rule {
		t.Errorf("%+v", r)
	}
	// The manager tells of the change too; with its decision it is told once.
	if _, err := b.Manager.ScaleService(t.Context(), s.Project, s.ID, sessions.Scale{To: 4, Auto: true, Reason: st.Last.Reason}); err != nil {
		t.Fatal(err)
	}
	b.Scaling.Decide(s.ID, time.Now())
	var decisions api.Page[api.Decision]
	b.do("GET", "/services/demo/decisions?limit=2", "", 200, &decisions)
	if len(decisions.Items) != 2 || !decisions.Items[0].At.After(decisions.Items[1].At) || !decisions.Items[1].Wishes[1].Silent {
		t.Errorf("%+v", decisions)
	}
	if s := decisions.Items[0].Standoff; s == nil || s.Service != "seldom" || len(s.Losers) != 2 || s.Losers[0].Value != 80 || !s.Losers[1].Idle {
		t.Errorf("%+v", s)
	}

	// Decisions are among the events, in the order of time.
	for path, want := range map[string]string{
		"/services/demo/events":                         "autoscaled scaled scaled created autoscaled autoscaled autoscaled",
		"/services/demo/events?kind=autoscaled&limit=2": "autoscaled autoscaled",
		"/services/demo/events?kind=scaled&limit=1":     "scaled",
		"/services/demo/events?kind=scaled":             "scaled scaled",
		"/services/demo/events?limit=4":                 "autoscaled scaled scaled created",
		"/services/demo/events?kind=none":               "",
	} {
		var events api.Page[api.Event]
		b.do("GET", path, "", 200, &events)
		var kinds []string
		for _, e := range events.Items {
			kinds = append(kinds, e.Kind)
			if (e.Kind == "autoscaled") != (e.Decision != nil) {
				t.Errorf("%+v", e)
			}
		}
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestMetricsThatRulesMayName(t *testing.T) {
	b := newBox(t)
	var page api.Page[api.Metric]
	b.do("GET", "/autoscaling/metrics", "", 200, &page)
	found := false
	for _, m := range page.Items {
		found = found || m.MetricSource == "router" && m.MetricName == "concurrency" && m.Totals && m.Target && m.Description != ""
	}
	if !found {
		t.Errorf("%+v", page.Items)
	}
}
