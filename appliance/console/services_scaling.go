package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// scalingTab is how many replicas there are to be, and why.
type scalingTab struct {
	Standing api.AutoscalingStanding
	Metrics  []api.Metric
	Off      bool // nothing is scaled by itself here
	Recent   []api.Decision
	Knee     int // that was measured; 0: it was not
}

func autoscalingTab(v *View, d *servicePage) error {
	ctx, id := v.Context(), v.PathValue("id")
	var calibration api.CalibrationStanding
	err := together(
		func() (err error) { d.Scaling.Standing, err = v.API.Autoscaling(ctx, id); return err },
		func() (err error) { d.Scaling.Metrics, err = v.API.Metrics(ctx); return err },
		func() (err error) { d.Scaling.Recent, err = v.API.Decisions(ctx, id, 20); return err },
		func() (err error) {
			if calibration, err = v.API.Calibration(ctx, id); unsupported(err) {
				err = nil
			}
			return err
		},
	)
	if unsupported(err) {
		d.Scaling.Off = true
		return nil
	}
	if calibration.Last != nil {
		d.Scaling.Knee = calibration.Last.Knee
	}
	return err
}

// RuleForms are the rules as the editor shows them.
func (t *scalingTab) RuleForms() []ruleForm {
	var out []ruleForm
	if t.Standing.Policy.Rules != nil {
		for i := range *t.Standing.Policy.Rules {
			out = append(out, ruleFormOf(strconv.Itoa(i), &(*t.Standing.Policy.Rules)[i], t.Metrics))
		}
	}
	return out
}

// EmptyRule is what a rule that is added begins with; its number is put in by the page's script.
func (t *scalingTab) EmptyRule() ruleForm {
	return ruleForm{Number: "NUMBER", Kind: "target", Metric: "router:concurrency", Metrics: t.Metrics}
}

// ruleForm is a rule in the editor. All values are as they are written.
type ruleForm struct {
	Number                               string // in the names of its fields
	ID, Name, Kind                       string
	Metric, Query                        string // "router:concurrency", or "prometheus:" and a query
	Target                               string
	Auto                                 bool
	StableWindow, PanicWindow, PanicAt   string
	Comparator, Threshold                string
	MinThreshold, MaxThreshold, StepSize string
	Cooldown                             string
	Start, End, Timezone                 string
	MinReplicas, MaxReplicas             string
	Metrics                              []api.Metric
}

func ruleFormOf(number string, r *api.Rule, metrics []api.Metric) ruleForm {
	f := ruleForm{
		Number: number, ID: word(r.ID), Name: word(r.Name), Kind: word(r.Kind), Metrics: metrics,
		Target: decimal(r.Target), Auto: r.TargetAuto != nil && *r.TargetAuto, StableWindow: decimal(r.StableWindow), PanicWindow: decimal(r.PanicWindow), PanicAt: decimal(r.PanicAt),
		Comparator: word(r.Comparator), Threshold: decimal(r.Threshold), MinThreshold: decimal(r.MinThreshold), MaxThreshold: decimal(r.MaxThreshold),
		StepSize: whole(r.StepSize), Cooldown: decimal(r.Cooldown), Start: word(r.Start), End: word(r.End), Timezone: word(r.Timezone),
		MinReplicas: whole(r.MinReplicas), MaxReplicas: whole(r.MaxReplicas),
	}
	if f.Metric = word(r.MetricSource) + ":" + word(r.MetricName); word(r.MetricSource) == "prometheus" {
		f.Metric, f.Query = "prometheus:", word(r.MetricName)
	}
	return f
}

func word(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func whole(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func decimal(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

// policyForm reads what the editor sends.
type policyForm struct {
	values  url.Values
	wrong   []api.FieldError
	message string // of what is no number
}

// ruleField is the name of a field of a rule: rules[3].target.
var ruleField = regexp.MustCompile(`^rules\[(\d{1,4})\]\.`)

// read returns the policy, and the numbers of the rules' forms in the order of the rules: where one was taken away, they are
// not those of the policy's.
func (f *policyForm) read() (api.Autoscaling, []int) {
	out := api.Autoscaling{MinReplicas: f.whole("min_replicas"), MaxReplicas: f.whole("max_replicas"), IdleAfter: f.decimal("idle_after"), ScaleDownDelay: f.decimal("scale_down_delay")}
	if out.IdleAfter == nil {
		out.IdleAfter = new(0.0)
	}
	var numbers []int
	for name := range f.values {
		if m := ruleField.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			if !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	rules := []api.Rule{}
	for _, n := range numbers {
		rules = append(rules, f.rule(fmt.Sprintf("rules[%d].", n)))
	}
	out.Rules = &rules
	return out, numbers
}

// rule reads the fields that count for the rule's kind: those of others may have been written before the kind was chosen.
func (f *policyForm) rule(at string) api.Rule {
	r := api.Rule{ID: f.word(at + "id"), Name: f.word(at + "name"), Kind: f.word(at + "kind"), MinReplicas: f.whole(at + "min_replicas"), MaxReplicas: f.whole(at + "max_replicas")}
	kind := word(r.Kind)
	if kind == "schedule" {
		r.Start, r.End, r.Timezone = f.word(at+"start"), f.word(at+"end"), f.word(at+"timezone")
		return r
	}
	source, name, _ := strings.Cut(f.values.Get(at+"metric"), ":")
	if source == "prometheus" {
		name = strings.TrimSpace(f.values.Get(at + "query"))
	}
	r.MetricSource, r.MetricName = &source, &name
	if kind == "step" {
		r.StepSize, r.Cooldown = f.whole(at+"step_size"), f.decimal(at+"cooldown_seconds")
		if r.Comparator = f.word(at + "comparator"); r.Comparator != nil {
			r.Threshold = f.decimal(at + "threshold")
			return r
		}
		r.MinThreshold, r.MaxThreshold = f.decimal(at+"min_threshold"), f.decimal(at+"max_threshold")
		return r
	}
	r.Target, r.StableWindow, r.PanicWindow, r.PanicAt = f.decimal(at+"target"), f.decimal(at+"stable_window"), f.decimal(at+"panic_window"), f.decimal(at+"panic_at")
	if f.values.Get(at+"target_auto") != "" {
		r.TargetAuto = new(true)
	}
	return r
}

func (f *policyForm) word(name string) *string {
	if w := strings.TrimSpace(f.values.Get(name)); w != "" {
		return &w
	}
	return nil
}

func (f *policyForm) whole(name string) *int {
	w := f.word(name)
	if w == nil {
		return nil
	}
	n, err := strconv.Atoi(*w)
	if err != nil {
		f.wrong = append(f.wrong, api.FieldError{Field: name, Message: f.message})
	}
	return &n
}

func (f *policyForm) decimal(name string) *float64 {
	w := f.word(name)
	if w == nil {
		return nil
	}
	n, err := strconv.ParseFloat(*w, 64)
	if err != nil {
		f.wrong = append(f.wrong, api.FieldError{Field: name, Message: f.message})
		return nil
	}
	return &n
}

// inForm says what is wrong in the names of the form's fields: without what stands before the policy, and with the numbers of
// the rules' forms.
func inForm(err error, numbers []int) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || len(p.Errors) == 0 {
		return err
	}
	out := *p
	out.Errors = slices.Clone(p.Errors)
	for i := range out.Errors {
		field := strings.TrimPrefix(out.Errors[i].Field, "autoscaling.")
		if m := ruleField.FindStringSubmatch(field); m != nil {
			if n, _ := strconv.Atoi(m[1]); n < len(numbers) {
				field = fmt.Sprintf("rules[%d].", numbers[n]) + field[len(m[0]):]
			}
		}
		if before, ok := strings.CutSuffix(field, ".metric_name"); ok {
			field = before + ".metric"
		} else if before, ok := strings.CutSuffix(field, ".metric_source"); ok {
			field = before + ".metric"
		}
		out.Errors[i].Field = field
	}
	return &out
}

// policyOf reads the editor.
func policyOf(v *View) (api.Autoscaling, []int, error) {
	f := &policyForm{values: v.PostForm, message: v.Say("services.form.number")}
	policy, numbers := f.read()
	if len(f.wrong) > 0 {
		p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", f.message)
		p.Errors = f.wrong
		return policy, numbers, p
	}
	return policy, numbers, nil
}

func saveScaling(v *View) (Outcome, error) {
	policy, numbers, err := policyOf(v)
	if err != nil {
		return Outcome{}, err
	}
	version, err := strconv.ParseInt(cmp.Or(v.Field("version"), "0"), 10, 64)
	if err != nil {
		return Outcome{}, badInput("version", v.Say("services.form.number"))
	}
	_, err = v.API.SetAutoscaling(v.Context(), v.PathValue("id"), policy, api.ETag(version))
	return Outcome{To: servicePath(v, "autoscaling")}, inForm(err, numbers)
}

func resumeScaling(v *View) (Outcome, error) {
	_, err := v.API.ResumeAutoscaling(v.Context(), v.PathValue("id"))
	return Outcome{Toast: v.Say("services.scaling.resumed")}, err
}

// pauseScaling has the number of replicas that there is stand, until somebody resumes.
func pauseScaling(v *View) (Outcome, error) {
	id := v.PathValue("id")
	s, err := v.API.Service(v.Context(), id)
	if err == nil {
		_, err = v.API.ScaleService(v.Context(), id, s.Replicas, "paused")
	}
	return Outcome{Toast: v.Say("services.scaling.paused")}, err
}
