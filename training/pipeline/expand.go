package pipeline

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// Naming is what a job is called, for the texts that name it.
type Naming struct {
	Pipeline string
	Number   int
	ID       string
}

// Name is how people call the job: digits.3.
func (n Naming) Name() string { return n.Pipeline + "." + strconv.Itoa(n.Number) }

// Plan is what a job does, with every expression put in: a copy of its pipeline, which no later edit changes.
type Plan struct {
	Steps       []Step         `json:"steps"` // in the order of the file
	MaxParallel int            `json:"max_parallel,omitempty"`
	Notify      []Notification `json:"notify,omitempty"`
}

// Step is one task of a job, or one instance of it. Exactly one of Run and Serve is set.
type Step struct {
	Key         string            `json:"key"` // unique in its job: the task's name, with -N of an instance
	Task        string            `json:"task"`
	Matrix      map[string]string `json:"matrix,omitempty"`
	Inputs      []Input           `json:"inputs,omitempty"` // the n-th is at InputDir with n
	MaxParallel int               `json:"max_parallel,omitempty"`
	Run         *Run              `json:"run,omitempty"`
	Serve       *Serve            `json:"serve,omitempty"`
}

// Input is a task that another depends on, with the keys of its instances.
type Input struct {
	Task   string   `json:"task"`
	Keys   []string `json:"keys"`
	Matrix bool     `json:"matrix,omitempty"` // each has a directory of its own in the input
}

// Needs are the keys of the steps that must have ended well before.
func (s Step) Needs() (keys []string) {
	for _, in := range s.Inputs {
		keys = append(keys, in.Keys...)
	}
	return keys
}

// instance is one combination of a matrix.
type instance struct {
	key    string
	values map[string]string
}

// instances of a task, in the order of the file; the last axis counts fastest.
func (t Task) instances() []instance {
	if len(t.Matrix) == 0 {
		return []instance{{key: t.Name}}
	}
	all := []map[string]string{{}}
	for _, axis := range t.Matrix {
		var next []map[string]string
		for _, have := range all {
			for _, v := range axis.Values {
				one := maps.Clone(have)
				one[axis.Name] = v
				next = append(next, one)
			}
			if len(next) > MaxSteps+1 {
				break // said by check
			}
		}
		all = next
	}
	out := make([]instance, len(all))
	for i, values := range all {
		out[i] = instance{t.Name + "-" + strconv.Itoa(i+1), values}
	}
	return out
}

// values are a job's parameters: what was given over what the file says.
func values(parameters []Parameter, given map[string]string) (map[string]string, catalog.Problems) {
	var ps catalog.Problems
	wrong := func(name, hint, format string, args ...any) {
		ps = append(ps, catalog.Problem{
			Severity: catalog.SeverityError, Field: "parameters." + name, Message: fmt.Sprintf(format, args...), Hint: hint,
		})
	}
	out, names := map[string]string{}, []string{}
	for _, p := range parameters {
		names = append(names, p.Name)
		value, is := given[p.Name]
		switch {
		case !is && p.Required:
			wrong(p.Name, "-p "+p.Name+"=VALUE", "has no default: it must be given")
		case !is:
			value = p.Default
		case p.Choices != nil && !slices.Contains(p.Choices, value):
			wrong(p.Name, "", "%q is none of its choices: %s", value, strings.Join(p.Choices, ", "))
		case strings.ContainsRune(value, 0):
			wrong(p.Name, "", "holds a NUL character")
		}
		out[p.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			wrong(name, "its parameters: "+cmp.Or(strings.Join(names, ", "), "none"), "there is no such parameter")
		}
	}
	return out, ps
}

// Expand makes the plan of a job and the values of its parameters. What is wrong with the values is catalog.Problems with
// fields parameters.NAME.
func (d *Definition) Expand(given map[string]string, n Naming) (Plan, map[string]string, catalog.Problems) {
	params, ps := values(d.Parameters, given)
	if ps.Err() != nil {
		return Plan{}, nil, ps
	}
	plan := Plan{MaxParallel: d.MaxParallel, Notify: d.Notify}
	plan.Steps = d.steps(params, n, func(task int, field string, err error) {
		ps = append(ps, catalog.Problem{
			Severity: catalog.SeverityError, Field: fmt.Sprintf("tasks[%d].%s", task, field), Message: err.Error(),
		})
	})
	if ps.Err() != nil {
		return Plan{}, nil, ps
	}
	return plan, params, nil
}

// steps puts in what expressions stand for, and reports those that stand for nothing.
func (d *Definition) steps(params map[string]string, n Naming, wrong func(task int, field string, err error)) []Step {
	keys, base := map[string][]string{}, scope{"outputs": OutputsDir}
	for name, value := range params {
		base["params."+name] = value
	}
	base["job.id"], base["job.name"], base["job.number"], base["pipeline.name"] = n.ID, n.Name(), strconv.Itoa(n.Number), n.Pipeline
	for _, t := range d.Tasks {
		for _, in := range t.instances() {
			keys[t.Name] = append(keys[t.Name], in.key)
		}
	}
	matrix := map[string]bool{}
	for _, t := range d.Tasks {
		matrix[t.Name] = len(t.Matrix) > 0
	}
	var steps []Step
	left := maxPlanned
	for i, t := range d.Tasks {
		var inputs []Input
		for _, name := range t.DependsOn {
			inputs = append(inputs, Input{name, keys[name], matrix[name]})
		}
		for _, in := range t.instances() {
			s := maps.Clone(base)
			s["task.name"] = in.key
			for name, value := range in.values {
				s["matrix."+name] = value
			}
			for at, name := range t.DependsOn {
				s["inputs."+name] = InputDir + strconv.Itoa(at+1)
			}
			f := filler{scope: s, left: &left, wrong: func(field string, err error) { wrong(i, field, err) }}
			step := Step{Key: in.key, Task: t.Name, Matrix: in.values, Inputs: inputs, MaxParallel: t.MaxParallel}
			if t.Run != nil {
				step.Run = f.run(*t.Run)
			} else if t.Serve != nil {
				step.Serve = f.serve(*t.Serve)
				step.Serve.From = cmp.Or(step.Serve.From, first(t.DependsOn))
			}
			steps = append(steps, step)
		}
	}
	return steps
}

func first(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[0]
}

// filler fills in the texts of one step.
type filler struct {
	scope
	left  *int // bytes that the texts of the job may still have; less than 0: it is said that they have more
	wrong func(field string, err error)
}

func (f filler) text(field, text string) string {
	if *f.left < 0 {
		return ""
	}
	out, err := f.fill(text, *f.left)
	if *f.left -= len(out); errors.Is(err, errTooLong) {
		*f.left = -1
	}
	if err != nil {
		f.wrong(field, err)
	}
	return out
}

func (f filler) texts(field string, m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out[k] = f.text(field+"."+k, m[k])
	}
	return out
}

func (f filler) list(field string, all []string) []string {
	out := slices.Clone(all)
	for i := range out {
		out[i] = f.text(fmt.Sprintf("%s[%d]", field, i), out[i])
	}
	return out
}

func (f filler) run(r Run) *Run {
	r.Image, r.Command = f.text("image", r.Image), f.text("command", r.Command)
	r.Env, r.Resources = f.texts("environ", r.Env), f.texts("resources", r.Resources)
	r.ResourceOpts, r.Selector = f.texts("resource_opts", r.ResourceOpts), f.texts("selector", r.Selector)
	r.Mounts = slices.Clone(r.Mounts)
	for i := range r.Mounts {
		m, at := &r.Mounts[i], fmt.Sprintf("mounts[%d]", i)
		m.Folder, m.Sub, m.Target = f.text(at, m.Folder), f.text(at, m.Sub), f.text(at, m.Target)
		if m.Target == "/pipeline" || strings.HasPrefix(m.Target, "/pipeline/") {
			f.wrong(at, errors.New("/pipeline is for what tasks hand on: mount it elsewhere"))
		}
	}
	return &r
}

func (f filler) serve(s Serve) *Serve {
	for field, text := range map[string]*string{
		"service": &s.Service, "path": &s.Path, "image": &s.Image, "runtime_variant": &s.Variant,
		"model_definition_path": &s.DefinitionPath, "model_mount_destination": &s.ModelMount,
	} {
		*text = f.text("serve."+field, *text)
	}
	s.Env, s.Resources = f.texts("serve.environ", s.Env), f.texts("serve.resources", s.Resources)
	s.ResourceOpts, s.Selector = f.texts("serve.resource_opts", s.ResourceOpts), f.texts("serve.selector", s.Selector)
	if s.Smoke == nil {
		return &s
	}
	const at = "serve.smoke_test."
	smoke := *s.Smoke
	smoke.Path, smoke.Headers = f.text(at+"path", smoke.Path), f.texts(at+"headers", smoke.Headers)
	smoke.Body = f.body(smoke.Body, smoke.JSON)
	e := &smoke.Expect
	e.Contains, e.Excludes = f.list(at+"expect.contains", e.Contains), f.list(at+"expect.excludes", e.Excludes)
	e.Matches, e.JSON = f.text(at+"expect.matches", e.Matches), f.texts(at+"expect.json", e.JSON)
	f.expression(at+"expect.matches", e.Matches)
	for _, path := range slices.Sorted(maps.Keys(e.JSON)) {
		f.expression(at+"expect.json."+path, e.JSON[path])
	}
	s.Smoke = &smoke
	return &s
}

func (f filler) expression(field, text string) {
	if _, err := regexp.Compile(text); err != nil {
		f.wrong(field, err)
	}
}

// body is what a smoke test sends.
func (f filler) body(text string, isJSON bool) string {
	const field = "serve.smoke_test.body"
	if !isJSON {
		return f.text(field, text)
	}
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // as it was written
	err := decoder.Decode(&v)
	if err == nil {
		var raw []byte
		if raw, err = json.Marshal(f.deep(v)); err == nil {
			return string(raw)
		}
	}
	f.wrong(field, err)
	return ""
}

func (f filler) deep(v any) any {
	switch v := v.(type) {
	case string:
		return f.text("serve.smoke_test.body", v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = f.deep(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = f.deep(v[k])
		}
		return out
	}
	return v
}
