package variants

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// The variables that name the model to its own session.
const (
	envModelName = "BACKEND_MODEL_NAME"
	envModelPath = "BACKEND_MODEL_PATH"
)

// DefaultMount is where the model folder is mounted unless the owner says otherwise.
const DefaultMount = catalog.DefaultModelPath

// Request is what a service asks to run.
type Request struct {
	Variant    string
	Definition *catalog.Definition // of the folder; only custom wants it
	// Files is the model folder. Nil: there is none, or nobody may look into it; then nothing is said
	// about paths that are not there.
	Files       fs.FS
	ServiceName string
	Env         map[string]string // the owner's
	Mount       string            // default DefaultMount
	Nodes       int               // in how many containers it runs; 0 and 1 are one
	Devices     int               // accelerators of each container
}

// Resolve decides what runs. It reads Files and nothing else. The spec is of use only when no problem is
// an error.
func (t *Table) Resolve(req Request) (LaunchSpec, catalog.Problems) {
	r := &resolver{req: req, table: t}
	variant, ok := t.Lookup(req.Variant)
	if !ok {
		r.fail("runtime_variant", "the variants are "+strings.Join(t.Names(), ", "), "there is no runtime variant %q", req.Variant)
		return LaunchSpec{}, r.problems
	}
	r.variant = variant
	r.spec = LaunchSpec{
		Variant:   variant.Name,
		ModelName: req.ServiceName,
		Port:      variant.Port,
		Health:    variant.Health,
		Scratch:   variant.Scratch,
		Metrics:   variant.Metrics,
	}
	if name := req.Env[envModelName]; name != "" {
		r.spec.ModelName = name
	}
	r.spec.Mount = r.mount()
	r.checkEnv()
	if variant.ReadsDefinition {
		r.definition()
	} else {
		r.engine()
	}
	if req.Nodes > 1 {
		r.span()
	}
	return r.spec, r.problems
}

// resolver is one call of Resolve.
type resolver struct {
	req      Request
	table    *Table
	variant  Variant
	spec     LaunchSpec
	problems catalog.Problems

	values map[string]string // what names in the variant's templates stand for
	more   []string          // arguments that the owner's variables have become
}

// fail reports an error that no file is to blame for; field names the part of the request.
func (r *resolver) fail(field, hint, format string, args ...any) {
	r.problems = append(r.problems, catalog.Problem{
		Severity: catalog.SeverityError, Field: field, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// systemMounts would hide from the engine what it needs to run.
var systemMounts = []string{
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys",
	"/tmp", "/usr", "/var",
}

func (r *resolver) mount() string {
	mount := r.req.Mount
	if mount == "" {
		return DefaultMount
	}
	clean := path.Clean(mount)
	const field = "model_mount_destination"
	switch {
	case !path.IsAbs(mount) || strings.ContainsRune(mount, 0):
		r.fail(field, "for example "+DefaultMount, "%q is not an absolute path", mount)
	case clean == "/" || slices.Contains(systemMounts, clean) || below("/proc", clean) || below("/sys", clean) || below("/dev", clean):
		r.fail(field, "for example "+DefaultMount, "the model folder would hide %s, which the session needs", clean)
	}
	return clean
}

// checkEnv holds the owner's variables against what an environment can be and what the variant needs.
func (r *resolver) checkEnv() {
	for _, name := range slices.Sorted(maps.Keys(r.req.Env)) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			r.fail("env", "-e NAME=VALUE", "%q cannot be the name of an environment variable", name)
		case strings.ContainsRune(r.req.Env[name], 0):
			r.fail("env."+name, "", "holds a NUL character, which no program can be given")
		}
	}
	for _, need := range r.variant.Needs {
		if r.req.Env[need.Env] == "" {
			hint := need.Hint
			if hint == "" {
				hint = "-e " + need.Env + "=..."
			}
			r.fail("env."+need.Env, hint, "the runtime variant %s needs it", r.variant.Name)
		}
	}
}

// engine resolves a variant whose table says everything.
func (r *resolver) engine() {
	hasFolder := r.req.Files != nil
	if !hasFolder && !r.variant.FolderOptional {
		r.fail("model_folder", "create one with palisade folder create, or import one", "the runtime variant %s needs a model folder", r.variant.Name)
	}
	modelPath, workDir, modelFile := r.model()
	r.values = map[string]string{
		"ports[0]":       fmt.Sprint(r.spec.Port),
		"listen_address": listenEverywhere,
		"model_path":     modelPath,
		"model_name":     r.spec.ModelName,
	}
	if r.together() { // known when its containers have their places
		r.values["ports[0]"], r.values["listen_address"] = namePort, nameListen
	}
	if r.variant.ModelFile != "" {
		r.values["model_file"] = modelFile
	}
	var consumed []string
	r.more, consumed = r.envArguments()
	argv := append(r.words(r.variant.Command), r.more...)
	if len(r.variant.Command) == 0 {
		workDir = "" // the image's command may count on the image's directory
	}
	r.spec.Env = make(map[string]string)
	defaults := []map[string]string{r.variant.Env}
	if hasFolder {
		defaults = append(defaults, r.variant.FolderEnv)
	}
	for _, env := range defaults {
		for name, text := range env {
			r.spec.Env[name], _ = expand(text, r.values)
		}
	}
	r.ownersEnv(consumed)
	r.spec.Processes = []Process{{
		Name:    r.spec.ModelName,
		Argv:    argv,
		WorkDir: workDir,
		Port:    r.spec.Port,
		Env:     map[string]string{envModelName: r.spec.ModelName, envModelPath: modelPath},
	}}
}

// words are the variant's templates with values for their names, which were checked when the table was loaded.
func (r *resolver) words(templates []string) []string {
	var words []string
	for _, template := range templates {
		text, _ := expand(template, r.values)
		words = append(words, text)
	}
	return words
}

// ownersEnv adds the owner's variables, except those that have become arguments and those that every
// process has of its own.
func (r *resolver) ownersEnv(consumed []string) {
	if r.spec.Env == nil {
		r.spec.Env = make(map[string]string)
	}
	for name, value := range r.req.Env {
		if name != envModelName && name != envModelPath && !slices.Contains(consumed, name) {
			r.spec.Env[name] = value
		}
	}
}

// envArguments turns the owner's variables into arguments, in the table's order. Empty ones are skipped.
func (r *resolver) envArguments() (argv, consumed []string) {
	for _, a := range r.variant.EnvArguments {
		consumed = append(consumed, a.Env)
		value := r.req.Env[a.Env]
		switch {
		case value == "":
		case !a.Split:
			argv = append(argv, a.Flag, value)
		default:
			words, err := splitWords(value)
			if err != nil {
				r.fail("env."+a.Env, `quote like in a shell: --flag "two words"`, "cannot be split into arguments: %s", quoting(err))
				continue
			}
			argv = append(argv, words...)
		}
	}
	return argv, consumed
}

// quoting is the shell splitter's error in our words.
func quoting(err error) string {
	return strings.ToLower(strings.ReplaceAll(err.Error(), "Unterminated ", "unterminated "))
}

// model returns where the session sees the model, where the engine starts, and the file to load, where
// the variant wants one. The owner may name a part of the folder in BACKEND_MODEL_PATH.
func (r *resolver) model() (modelPath, workDir, modelFile string) {
	modelPath = r.spec.Mount
	if given := r.req.Env[envModelPath]; given != "" {
		modelPath = path.Join(r.spec.Mount, given)
		if path.IsAbs(given) {
			modelPath = path.Clean(given)
		}
	}
	workDir = modelPath
	if r.req.Files == nil {
		return modelPath, workDir, ""
	}
	const field = "env." + envModelPath
	rel, inFolder := within(r.spec.Mount, modelPath)
	if !inFolder {
		return modelPath, workDir, ""
	}
	info, err := fs.Stat(r.req.Files, rel)
	if err != nil {
		r.fail(field, hintEntries(r.req.Files, rel), "%s does not exist: the model folder has no %s", modelPath, rel)
		return modelPath, workDir, ""
	}
	if !info.IsDir() {
		workDir = path.Dir(modelPath)
	}
	if r.variant.ModelFile == "" {
		return modelPath, workDir, ""
	}
	file, problem, hint := firstGGUF(r.req.Files, rel)
	if problem != "" {
		r.fail("model_folder", hint, "%s", problem)
	}
	return modelPath, workDir, path.Join(r.spec.Mount, file)
}

// within returns p relative to dir, and whether it is in it. Both are absolute and clean.
func within(dir, p string) (rel string, ok bool) {
	if p == dir {
		return ".", true
	}
	return strings.CutPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func below(dir, p string) bool {
	_, ok := within(dir, p)
	return ok
}

// hintEntries names what there is where rel was looked for.
func hintEntries(files fs.FS, rel string) string {
	dir := path.Dir(rel)
	entries, err := fs.ReadDir(files, dir)
	for err != nil && dir != "." {
		dir = path.Dir(dir)
		entries, err = fs.ReadDir(files, dir)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	where := "the folder"
	if dir != "." {
		where = dir
	}
	if len(names) == 0 {
		return where + " is empty"
	}
	if len(names) > 8 {
		names = append(names[:8], "...")
	}
	return where + " has " + strings.Join(names, ", ")
}
