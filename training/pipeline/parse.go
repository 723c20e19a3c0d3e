package pipeline

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// reader reads one file. Problems are collected in the document.
type reader struct{ doc *catalog.Document }

// Parse reads a pipeline's file, which file names in messages. All problems are returned at once, in the order of their
// places, and no definition when one of them is an error. A key that is not known is one: a misspelt timeout must not look like
// none.
func Parse(file string, src []byte) (*Definition, catalog.Problems) {
	r := &reader{catalog.ReadDocument(file, src)}
	d := r.definition()
	if d != nil && r.doc.Errors() == 0 {
		r.check(d)
	}
	ps := r.doc.Problems().Strict()
	if ps.Err() != nil {
		return nil, ps
	}
	return d, nil
}

func (r *reader) definition() *Definition {
	root := r.doc.Root()
	if !root.Given() {
		if r.doc.Errors() == 0 {
			root.Error("begin with version: 1", "the file is empty")
		}
		return nil
	}
	top, ok := root.Map()
	if !ok {
		return nil
	}
	top.WarnUnknown("version", "name", "description", "parameters", "defaults", "tasks", "max_parallel", "keep_jobs", "schedule", "notifications")
	d := &Definition{KeepJobs: DefaultKeep, doc: r.doc}
	if version := top.Get("version"); !version.Given() {
		version.Error("version: 1", "is required")
	} else {
		version.Int(1, 1)
	}
	d.Name = r.name(top.Get("name"), pipelineName.MatchString, "2 to 40 small letters, digits and -")
	if strings.HasPrefix(d.Name, jobPrefix) { // what a word names must not be a guess: rm and cancel take either
		top.Get("name").Error("", "%q begins as the ids of jobs do", d.Name)
	}
	d.Description, _ = top.Get("description").Text()
	d.Parameters = r.parameters(top.Get("parameters"))
	if n, ok := top.Get("max_parallel").Int(1, MaxSteps); ok {
		d.MaxParallel = n
	}
	if n, ok := top.Get("keep_jobs").Int(1, 1000); ok {
		d.KeepJobs = n
	}
	d.Tasks = r.tasks(top.Get("tasks"), top.Get("defaults"))
	d.Schedule = r.schedule(top.Get("schedule"), d.Parameters)
	d.Notify = r.notifications(top.Get("notifications"))
	return d
}

func (r *reader) name(f catalog.Field, good func(string) bool, wanted string) string {
	text, ok := f.Scalar()
	switch {
	case !f.Given():
		f.Error("", "is required")
	case ok && !good(text):
		f.Error("", "%q: %s, beginning and ending with a letter or digit", text, wanted)
	}
	return text
}

func (r *reader) parameters(f catalog.Field) (out []Parameter) {
	all, ok := f.Map()
	if !ok {
		return nil
	}
	if len(all.Entries()) > maxParameters {
		f.Error("", "%d of them, at most %d", len(all.Entries()), maxParameters)
	}
	for _, e := range all.Entries() {
		p := Parameter{Name: e.Key}
		if !valueName.MatchString(e.Key) {
			e.Value.Error("letters, digits, _ and -, not beginning with a digit", "cannot be a parameter's name")
		}
		if value := e.Value.Value(); !isMap(value) {
			p.Default, p.Required = text(e.Value), value == nil
			out = append(out, p)
			continue
		}
		m, _ := e.Value.Map()
		m.WarnUnknown("default", "description", "choices")
		p.Default, p.Required = text(m.Get("default")), m.Get("default").Value() == nil
		p.Description, _ = m.Get("description").Text()
		if p.Choices = scalars(m.Get("choices")); p.Choices != nil && !p.Required && !slices.Contains(p.Choices, p.Default) {
			m.Get("default").Error("", "%q is none of its choices: %s", p.Default, strings.Join(p.Choices, ", "))
		}
		out = append(out, p)
	}
	return out
}

func isMap(v any) bool { _, is := v.(map[string]any); return is }

// text is a single value as written; "" where there is none.
func text(f catalog.Field) string { s, _ := f.Scalar(); return s }

// scalars is a list of single values as they are written.
func scalars(f catalog.Field) (out []string) {
	items, _ := f.Items("a list")
	for _, item := range items {
		if s, ok := item.Scalar(); ok {
			out = append(out, s)
		} else if !item.Given() {
			item.Error(`put it in quotes: ""`, "is null; a value is wanted")
		}
	}
	return out
}

// texts is a map of the owner's own keys to single values.
func texts(f catalog.Field) map[string]string {
	all, ok := f.Map()
	if !ok {
		return nil
	}
	out := map[string]string{}
	for _, e := range all.Entries() {
		out[e.Key] = text(e.Value)
	}
	return out
}

func (r *reader) tasks(f, defaults catalog.Field) []Task {
	base := Run{Cache: true}
	if m, ok := defaults.Map(); ok {
		m.WarnUnknown(slices.DeleteFunc(slices.Clone(runKeys), func(key string) bool { return key == "command" || key == "cluster" })...)
		r.run(m, &base)
	}
	items, ok := f.Items("a list of tasks")
	if !f.Given() {
		f.Error("a list of at least one", "is required")
	} else if ok && len(items) == 0 {
		f.Error("", "is an empty list; one or more tasks are wanted")
	}
	out := make([]Task, 0, len(items))
	for _, item := range items {
		if m, ok := item.Map(); ok {
			out = append(out, r.task(m, base))
		} else if !item.Given() {
			item.Error("remove the empty item", "is null; a task is wanted")
		}
	}
	return out
}

// runKeys are the keys of a task that runs a command, beside those that every task has.
var runKeys = []string{
	"command", "image", "environ", "resources", "resource_opts", "selector", "mounts", "cluster", "timeout", "retries", "priority", "preemptible",
	"min_runtime", "cache",
}

func (r *reader) task(m catalog.Map, base Run) Task {
	m.WarnUnknown(append([]string{"name", "depends_on", "matrix", "max_parallel", "serve"}, runKeys...)...)
	t := Task{Name: r.name(m.Get("name"), taskName.MatchString, "1 to 30 small letters, digits and -")}
	t.DependsOn, _ = m.Get("depends_on").Texts()
	t.Matrix = r.matrix(m.Get("matrix"))
	if n, ok := m.Get("max_parallel").Int(1, MaxSteps); ok {
		t.MaxParallel = n
	}
	serve := m.Get("serve")
	if !serve.Given() {
		run := base
		r.run(m, &run)
		t.Run = &run
		if !m.Get("command").Given() {
			m.Get("command").Error("or serve:, for a task that makes or updates a service", "is required")
		} else if strings.TrimSpace(run.Command) == "" && r.doc.Errors() == 0 {
			m.Get("command").Error("", "is empty")
		}
		if run.Image == "" && !m.Get("image").Given() {
			m.Get("image").Error("here, or in defaults:", "is required")
		}
		return t
	}
	for _, key := range append([]string{"matrix", "max_parallel"}, runKeys...) {
		if f := m.Get(key); f.Given() {
			f.Error("some belong below serve:", "a task that serves has no %s of its own", key)
		}
	}
	t.Serve = r.serve(serve)
	return t
}

func (r *reader) matrix(f catalog.Field) (out []Axis) {
	all, ok := f.Map()
	if !ok {
		return nil
	}
	for _, e := range all.Entries() {
		values := scalars(e.Value)
		switch {
		case !valueName.MatchString(e.Key):
			e.Value.Error("letters, digits, _ and -, not beginning with a digit", "cannot be a name of a matrix")
		case !e.Value.Given() || len(values) == 0 && isList(e.Value):
			e.Value.Error("a list of one or more", "has no values")
		}
		for i, v := range values[:min(len(values), MaxSteps+1)] { // more are said to be too many
			if slices.Contains(values[:i], v) {
				e.Value.Error("remove one of them", "%q is given twice", v)
			}
		}
		out = append(out, Axis{e.Key, values})
	}
	if len(out) == 0 {
		f.Error("leave it out for one instance", "has no names")
	}
	return out
}

func isList(f catalog.Field) bool { _, is := f.Value().([]any); return is }

// run reads what a session of a task is to be, over what is there already.
func (r *reader) run(m catalog.Map, run *Run) {
	over(&run.Image)(m.Get("image").Text())
	over(&run.Command)(m.Get("command").Text())
	run.Env = laid(run.Env, texts(m.Get("environ")))
	run.Resources = laid(run.Resources, texts(m.Get("resources")))
	run.ResourceOpts = laid(run.ResourceOpts, texts(m.Get("resource_opts")))
	run.Selector = laid(run.Selector, texts(m.Get("selector")))
	if f := m.Get("mounts"); f.Given() {
		run.Mounts = r.mounts(f)
	}
	if f := m.Get("cluster"); f.Given() {
		run.Cluster = r.cluster(f)
	}
	over(&run.Timeout)(m.Get("timeout").Seconds(true))
	over(&run.MinRuntime)(m.Get("min_runtime").Seconds(true))
	over(&run.Retries)(m.Get("retries").Int(0, 100))
	if n, ok := m.Get("priority").Int(0, 100); ok {
		run.Priority = &n
	}
	over(&run.Preemptible)(m.Get("preemptible").Bool())
	over(&run.Cache)(m.Get("cache").Bool())
}

// over sets a value where there is one.
func over[T any](to *T) func(T, bool) {
	return func(v T, ok bool) {
		if ok {
			*to = v
		}
	}
}

// laid is one map over another; neither is changed.
func laid(under, top map[string]string) map[string]string {
	if len(under)+len(top) == 0 {
		return nil
	}
	out := make(map[string]string, len(under)+len(top))
	maps.Copy(out, under)
	maps.Copy(out, top)
	return out
}

func (r *reader) cluster(f catalog.Field) *Cluster {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("size", "mode", "run")
	c := &Cluster{Size: 1, Mode: "single-node", Run: "main"}
	over(&c.Size)(m.Get("size").Int(1, math.MaxInt16))
	over(&c.Mode)(m.Get("mode").Text())
	over(&c.Run)(m.Get("run").Text())
	if c.Mode != "single-node" && c.Mode != "multi-node" {
		m.Get("mode").Error("", "%q: single-node or multi-node", c.Mode)
	}
	if c.Run != "main" && c.Run != "all" {
		m.Get("run").Error("", "%q: main or all", c.Run)
	}
	return c
}

// mounts reads folders, each as a word or as a map.
func (r *reader) mounts(f catalog.Field) (out []Mount) {
	items, _ := f.Items("a list of folders")
	for _, item := range items {
		if !isMap(item.Value()) {
			word, ok := item.Text()
			if !ok {
				if !item.Given() {
					item.Error("", "is null; a folder is wanted")
				}
				continue
			}
			m, err := parseMount(word)
			if err != nil {
				item.Error("NAME, NAME/SUB, NAME:PATH, NAME:PATH:ro or NAME:ro", "%v", err)
			}
			out = append(out, m)
			continue
		}
		fields, _ := item.Map()
		fields.WarnUnknown("folder", "sub", "target", "read_only")
		var m Mount
		over(&m.Folder)(fields.Get("folder").Text())
		over(&m.Sub)(fields.Get("sub").Text())
		over(&m.Target)(fields.Get("target").Text())
		over(&m.ReadOnly)(fields.Get("read_only").Bool())
		if m.Folder == "" {
			fields.Get("folder").Error("", "is required")
		}
		out = append(out, m)
	}
	return out
}

// parseMount reads NAME[/SUB][:PATH][:ro|rw].
func parseMount(word string) (m Mount, err error) {
	parts := strings.Split(word, ":")
	m.Folder, m.Sub, _ = strings.Cut(parts[0], "/")
	if m.Folder == "" {
		return m, fmt.Errorf("%q names no folder", word)
	}
	for _, part := range parts[1:] {
		switch {
		case part == "ro" || part == "rw":
			m.ReadOnly = part == "ro"
		case strings.HasPrefix(part, "/") && m.Target == "", strings.HasPrefix(part, "${{") && m.Target == "":
			m.Target = part
		default:
			return m, fmt.Errorf("%q in %q is neither a path that begins with / nor ro nor rw", part, word)
		}
	}
	return m, nil
}
