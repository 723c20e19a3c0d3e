package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// largestRules bounds a file of rules.
const largestRules = 1 << 20

// readPolicy reads a policy from a file as the API has it, filled and checked.
func (a *app) readPolicy(name string) (*autoscaler.Policy, error) {
	from := a.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &usageError{message: "--rules " + errWithoutOp(err)}
		}
		defer f.Close()
		from = f
	} else {
		name = "standard input"
	}
	text, err := io.ReadAll(io.LimitReader(from, largestRules+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case len(text) > largestRules:
		return nil, &usageError{message: fmt.Sprintf("%s: larger than %s", name, bytesize.Format(largestRules))}
	}
	in, err := decodePolicy(text)
	if err != nil {
		return nil, &usageError{message: name + ": " + err.Error(), hint: "a policy is written as in: palisade service autoscale NAME -o json"}
	}
	p := policyOf(in)
	p.Fill()
	if err := p.Check(); err != nil {
		hint := ""
		if h, ok := errors.AsType[hinter](err); ok {
			hint = h.Hint()
		}
		return nil, &usageError{message: name + ": " + err.Error(), hint: hint}
	}
	for i, r := range p.Rules {
		if r.Auto && r.Target == 0 {
			return nil, &usageError{message: fmt.Sprintf("%s: rules[%d].target_auto: nothing is measured in a rehearsal", name, i), hint: "write target beside it: palisade calibrate NAME --last -q prints what was measured"}
		}
	}
	if !p.On() {
		return nil, &usageError{message: name + ": neither rules nor idle_after: it scales nothing"}
	}
	return p, nil
}

// errWithoutOp is an error of a file without the name of the call.
func errWithoutOp(err error) string {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// decodePolicy reads YAML, of which JSON is a part: a policy, or what the API says of a service's scaling, with the policy in it.
func decodePolicy(text []byte) (*api.Autoscaling, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if inner, ok := tree["policy"].(map[string]any); ok {
		tree = inner
	}
	if err := tidy("", tree, reflect.TypeFor[api.Autoscaling]()); err != nil {
		return nil, err
	}
	if rules, ok := tree["rules"].([]any); ok {
		for i, r := range rules {
			fields, ok := r.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("rules[%d]: is no rule", i)
			}
			if err := tidy(fmt.Sprintf("rules[%d].", i), fields, reflect.TypeFor[api.Rule]()); err != nil {
				return nil, err
			}
		}
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var in api.Autoscaling
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&in); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("%s: cannot be a %s", wrong.Field, wrong.Value)
		}
		return nil, err
	}
	return &in, nil
}

// tidy refuses fields that a form does not have, and makes seconds of times that are written with units.
func tidy(path string, fields map[string]any, form reflect.Type) error {
	var known []string
	for field := range form.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known = append(known, name)
	}
	if v, ok := fields["cooldown"]; ok && slices.Contains(known, "cooldown_seconds") {
		fields["cooldown_seconds"] = v
		delete(fields, "cooldown")
	}
	for name, value := range fields {
		if !slices.Contains(known, name) {
			if near := spelling.Nearest(name, known); near != "" {
				return fmt.Errorf("%s%s: there is no such field; did you mean %q?", path, name, near)
			}
			return fmt.Errorf("%s%s: there is no such field; there are %s", path, name, strings.Join(known, ", "))
		}
		text, ok := value.(string)
		if !ok || !slices.Contains([]string{"idle_after", "scale_down_delay", "cooldown_seconds", "stable_window", "panic_window"}, name) {
			continue
		}
		d, err := parseDuration(text)
		if err != nil {
			return fmt.Errorf("%s%s: %q: %w", path, name, text, err)
		}
		fields[name] = d.Seconds()
	}
	return nil
}

// policyOf is what a policy of the API means to the room that decides.
func policyOf(in *api.Autoscaling) *autoscaler.Policy {
	p := autoscaler.DefaultPolicy()
	put(&p.Min, in.MinReplicas)
	put(&p.Max, in.MaxReplicas)
	putSeconds(&p.IdleAfter, in.IdleAfter)
	if p.IdleAfter > 0 && in.MinReplicas == nil {
		p.Min = 0 // to say when it goes to zero says that it may
	}
	putSeconds(&p.ScaleDownDelay, in.ScaleDownDelay)
	if in.Rules == nil {
		return &p
	}
	for _, r := range *in.Rules {
		out := autoscaler.Rule{
			Kind: autoscaler.KindStep, Threshold: r.Threshold, MinThreshold: r.MinThreshold, MaxThreshold: r.MaxThreshold,
			MinReplicas: r.MinReplicas, MaxReplicas: r.MaxReplicas,
		}
		switch {
		case r.Kind != nil:
			putWord(&out.Kind, r.Kind)
		case r.Target != nil, r.TargetAuto != nil:
			out.Kind = autoscaler.KindTarget
		case r.Start != nil, r.End != nil:
			out.Kind = autoscaler.KindSchedule
		}
		put(&out.ID, r.ID)
		put(&out.Name, r.Name)
		putWord(&out.Metric.Source, r.MetricSource)
		put(&out.Metric.Name, r.MetricName)
		putWord(&out.Comparator, r.Comparator)
		put(&out.StepSize, r.StepSize)
		putSeconds(&out.Cooldown, r.Cooldown)
		put(&out.Target, r.Target)
		put(&out.Auto, r.TargetAuto)
		putSeconds(&out.StableWindow, r.StableWindow)
		putSeconds(&out.PanicWindow, r.PanicWindow)
		put(&out.PanicAt, r.PanicAt)
		put(&out.Start, r.Start)
		put(&out.End, r.End)
		put(&out.Zone, r.Timezone)
		p.Rules = append(p.Rules, out)
	}
	return &p
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func putWord[T ~string](to *T, from *string) {
	if from != nil {
		*to = T(strings.ToLower(strings.TrimSpace(*from)))
	}
}

// putSeconds leaves what no duration can hold to be refused for what it is: too long.
func putSeconds(to *time.Duration, from *float64) {
	if from != nil {
		*to = time.Duration(min(max(*from, -1e9), 1e9) * float64(time.Second))
		if math.IsNaN(*from) {
			*to = -1
		}
	}
}
