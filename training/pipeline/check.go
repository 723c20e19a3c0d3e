package pipeline

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// check reports what is wrong between the parts of a file. Each part by itself is good.
func (r *reader) check(d *Definition) {
	at := map[string]int{}
	steps := 0
	for i, t := range d.Tasks {
		steps += t.Count()
		if first, taken := at[t.Name]; taken {
			r.at(i, "name").Error("", "%q is tasks[%d] already", t.Name, first)
			continue
		}
		at[t.Name] = i
	}
	if steps > MaxSteps {
		r.doc.At("tasks").Error("let each do several", "%d tasks with all instances of matrices, at most %d", steps, MaxSteps)
		return
	}
	r.checkKeys(d)
	good := true
	for i, t := range d.Tasks {
		good = r.checkDepends(i, t, at) && good
	}
	if !good {
		return
	}
	if circle := circle(d.Tasks); circle != nil {
		r.at(at[circle[0]], "depends_on").Error("take one of these away", "a circle: %s", strings.Join(circle, " waits for "))
		return
	}
	for i, t := range d.Tasks {
		if t.Serve != nil {
			r.checkServe(i, t, d.Tasks, at)
		}
	}
	r.checkTexts(d)
}

// Count is how many instances a task has, without making them.
func (t Task) Count() int {
	n := 1
	for _, axis := range t.Matrix {
		n = min(n*len(axis.Values), MaxSteps+1)
	}
	return n
}

type place interface {
	Error(hint, format string, args ...any)
}

func (r *reader) at(task int, field string) place {
	return r.doc.At(fmt.Sprintf("tasks[%d].%s", task, field))
}

// checkKeys reports a task whose name is that of another's instance.
func (r *reader) checkKeys(d *Definition) {
	taken := map[string]string{}
	for i, t := range d.Tasks {
		for _, in := range t.instances() {
			if other, is := taken[in.key]; is && other != t.Name {
				r.at(i, "name").Error("rename one", "%s is also an instance of %s", in.key, other)
			}
			taken[in.key] = t.Name
		}
	}
}

func (r *reader) checkDepends(i int, t Task, at map[string]int) (good bool) {
	good = true
	for j, name := range t.DependsOn {
		f := r.at(i, fmt.Sprintf("depends_on[%d]", j))
		_, known := at[name]
		switch {
		case name == t.Name:
			f.Error("", "%s cannot wait for itself", name)
		case !known:
			names := make([]string, 0, len(at))
			for other := range at {
				names = append(names, other)
			}
			slices.Sort(names)
			f.Error("tasks: "+strings.Join(names, ", "), "there is no task %q", name)
		case slices.Contains(t.DependsOn[:j], name):
			f.Error("", "%s is named twice", name)
		default:
			continue
		}
		good = false
	}
	return good
}

// checkServe reports what a task that serves cannot take its model from.
func (r *reader) checkServe(i int, t Task, tasks []Task, at map[string]int) {
	from := cmp.Or(t.Serve.From, first(t.DependsOn))
	switch {
	case len(t.DependsOn) == 0:
		r.at(i, "depends_on").Error("name the task whose outputs are served", "is required: there is nothing to serve")
		return
	case !slices.Contains(t.DependsOn, from):
		r.at(i, "serve.from").Error("its depends_on: "+strings.Join(t.DependsOn, ", "), "%q is none of those that it depends on", from)
		return
	}
	source := tasks[at[from]]
	switch {
	case source.Serve != nil:
		r.at(i, "serve.from").Error("name a task that runs a command", "%s leaves no outputs: it serves", from)
	case len(source.Matrix) > 0:
		r.at(i, "serve.from").Error("have a task between them choose one", "%s has %d instances: which one is to be served?", from, source.Count())
	}
	if clean := path.Clean("/" + t.Serve.Path); t.Serve.Path != "" && clean != "/"+strings.TrimSuffix(t.Serve.Path, "/") {
		r.at(i, "serve.path").Error("a directory of the outputs, such as model", "%q leaves the outputs of %s, or goes round about", t.Serve.Path, from)
	}
}

// checkTexts reports expressions that stand for nothing, where they are.
func (r *reader) checkTexts(d *Definition) {
	params := map[string]string{}
	for _, p := range d.Parameters {
		params[p.Name] = p.Default
	}
	said := map[string]bool{}
	d.steps(params, Naming{Pipeline: d.Name, Number: 1, ID: "job-000000000000"}, func(task int, field string, err error) {
		at := fmt.Sprintf("tasks[%d].%s", task, field)
		if key := at + err.Error(); !said[key] { // of a matrix, each instance says it
			said[key] = true
			r.doc.At(at).Error(hintFor(d, d.Tasks[task]), "%v", err)
		}
	})
}

// hintFor lists what expressions of a task may name.
func hintFor(d *Definition, t Task) string {
	var words []string
	for _, p := range d.Parameters {
		words = append(words, "params."+p.Name)
	}
	for _, axis := range t.Matrix {
		words = append(words, "matrix."+axis.Name)
	}
	for _, name := range t.DependsOn {
		words = append(words, "inputs."+name)
	}
	return "known here: " + strings.Join(append(words, "outputs", "job.id", "job.name", "job.number", "pipeline.name", "task.name"), ", ")
}
