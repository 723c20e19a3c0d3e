package variants

import (
	"fmt"
	"io/fs"
	"path"

	"github.com/palisade-run/palisade/catalog"
)

// tempfilePrefix begins the paths of files that write_tempfile makes, inside the session. A session's /tmp
// is its own.
const tempfilePrefix = "/tmp/palisade-"

// definition resolves the variant that reads model-definition.yaml.
func (r *resolver) definition() {
	def := r.req.Definition
	if def == nil {
		r.fail("model_folder", "write a model-definition.yaml at the folder's root, or choose another runtime variant", "the runtime variant %s needs a model definition", r.variant.Name)
		return
	}
	for i, m := range def.Models {
		if m.Service == nil {
			continue
		}
		d := &modelResolver{resolver: r, model: m, field: fmt.Sprintf("models[%d]", i), index: i}
		r.spec.Processes = append(r.spec.Processes, d.process(len(r.spec.Processes) == 0))
		if len(r.spec.Processes) == 1 {
			r.spec.Port, r.spec.Health = m.Service.Port, m.Service.Health
		}
	}
	if len(r.spec.Processes) == 0 {
		r.problems = append(r.problems, def.Problem(catalog.SeverityError, "models[0]", "no model has a service: there is nothing to start", "add service: with a port and a start_command"))
	}
	if r.req.Env[envModelPath] != "" {
		r.problems = append(r.problems, catalog.Problem{
			Severity: catalog.SeverityWarning, Field: "env." + envModelPath,
			Message: "has no effect: the definition says where the model is", Hint: "set model_path in the definition",
		})
	}
	r.ownersEnv(nil)
}

// modelResolver resolves one item of models.
type modelResolver struct {
	*resolver
	model  catalog.Model
	field  string // models[0]
	index  int
	values map[string]string
}

func (d *modelResolver) report(s catalog.Severity, field, message, hint string) {
	d.problems = append(d.problems, d.req.Definition.Problem(s, d.field+field, message, hint))
}

func (d *modelResolver) process(first bool) Process {
	s := d.model.Service
	name := d.model.Name
	if given := d.req.Env[envModelName]; first && given != "" {
		name = given
	}
	modelPath, workDir := d.modelPath()
	d.values = map[string]string{
		"ports[0]":   fmt.Sprint(s.Port),
		"model_path": modelPath,
		"model_name": name,
	}
	p := Process{
		Name:    d.model.Name,
		WorkDir: workDir,
		Port:    s.Port,
		Env:     map[string]string{envModelName: name, envModelPath: modelPath},
	}
	for i, a := range s.PreStart {
		p.PreStart = append(p.PreStart, d.action(i, a, workDir))
	}
	d.command(&p)
	return p
}

// modelPath returns where the session sees the model, and the directory that its command starts in. A
// path in the model folder must be there; any other is the image's, and not known here.
func (d *modelResolver) modelPath() (modelPath, workDir string) {
	const field = ".model_path"
	modelPath = d.model.Path
	switch {
	case d.model.PathDefaulted:
		modelPath = d.spec.Mount
	case !path.IsAbs(modelPath):
		modelPath = path.Join(d.spec.Mount, modelPath)
	}
	rel, inFolder := within(d.spec.Mount, modelPath)
	if !inFolder {
		d.report(catalog.SeverityWarning, field, fmt.Sprintf("%s is not in the model folder, which is mounted at %s", modelPath, d.spec.Mount), "right only if the image has this directory")
		return modelPath, modelPath
	}
	if d.req.Files == nil {
		return modelPath, modelPath
	}
	info, err := fs.Stat(d.req.Files, rel)
	if err != nil {
		d.report(catalog.SeverityError, field, fmt.Sprintf("%s does not exist: the model folder has no %s", modelPath, rel), hintEntries(d.req.Files, rel))
		return modelPath, modelPath
	}
	if !info.IsDir() {
		return modelPath, path.Dir(modelPath) // nothing starts in a file
	}
	return modelPath, modelPath
}

// expand replaces the names in one string of the definition.
func (d *modelResolver) expand(field, text string) string {
	out, unknown := expand(text, d.values)
	d.unknown(field, unknown)
	return out
}

func (d *modelResolver) unknown(field string, names []string) {
	for _, name := range names {
		message, hint := unknownName(name, d.values)
		d.report(catalog.SeverityError, field, message, hint)
	}
}

func (d *modelResolver) expandAll(field string, texts []string) []string {
	var out []string
	for i, text := range texts {
		out = append(out, d.expand(fmt.Sprintf("%s[%d]", field, i), text))
	}
	return out
}

// command fills in what the process runs.
func (d *modelResolver) command(p *Process) {
	s := d.model.Service
	field := ".service.start_command"
	if d.req.Definition.Gives(d.field + ".service.command") {
		field = ".service.command"
	}
	switch {
	case len(s.Command.Argv) > 0:
		p.Argv = d.expandAll(field, s.Command.Argv)
	case s.Command.Line == "":
	case s.Shell == "":
		words, unknown, err := expandWords(s.Command.Line, d.values)
		d.unknown(field, unknown)
		if err != nil {
			d.report(catalog.SeverityError, field, "cannot be split into arguments: "+quoting(err), "close the quote, or remove shell: null to have a shell run it")
		}
		p.Argv = words
	default:
		p.Shell = s.Shell
		p.Argv = []string{s.Shell, "-c", d.expand(field, s.Command.Line)}
		if s.ShellDefaulted {
			p.ShellFallback = "/bin/sh"
		}
	}
}

// action expands one pre-start action, and makes its paths absolute.
func (d *modelResolver) action(i int, a catalog.Action, workDir string) catalog.Action {
	field := fmt.Sprintf(".service.pre_start_actions[%d].args", i)
	a.Args.Command = d.expandAll(field+".command", a.Args.Command)
	a.Args.Body = d.expandAll(field+".body", a.Args.Body)
	a.Args.Message = d.expand(field+".message", a.Args.Message)
	switch a.Name {
	case "write_file":
		a.Args.Filename = d.writable(field+".filename", a.Args.Filename, workDir)
	case "mkdir":
		a.Args.Path = d.writable(field+".path", a.Args.Path, workDir)
	case "write_tempfile":
		name := a.Ref
		if name == "" {
			name = fmt.Sprint("action-", i)
		}
		if d.index > 0 {
			// Models of one file share a session, and may use the same name.
			name = fmt.Sprintf("%d-%s", d.index, name)
		}
		a.Args.Filename = tempfilePrefix + name
		if a.Ref != "" {
			d.values[a.Ref] = a.Args.Filename
		}
	}
	return a
}

// writable expands a path that an action writes to. The model folder is mounted read-only.
func (d *modelResolver) writable(field, text, workDir string) string {
	p := d.expand(field, text)
	if !path.IsAbs(p) {
		p = path.Join(workDir, p)
	}
	if below(d.spec.Mount, p) {
		d.report(catalog.SeverityWarning, field, fmt.Sprintf("%s is in the model folder, which is read-only", path.Clean(p)), "write below /tmp")
	}
	return path.Clean(p)
}
