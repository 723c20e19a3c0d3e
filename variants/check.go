package variants

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/palisade-run/palisade/catalog"
)

// CheckRequest is what to check: a model folder, or a definition by itself.
type CheckRequest struct {
	Path           string            // of a folder or of a definition, as the person wrote it
	Variant        string            // default: custom
	DefinitionPath string            // in the folder; default: where definitions are looked for
	ServiceName    string            // default: CheckServiceName
	Env            map[string]string // the owner's
	Mount          string
	Strict         bool // warnings are errors
}

// CheckServiceName stands for the name of the service that is not there yet.
const CheckServiceName = "my-service"

// Report says what a folder would run, and everything that is wrong with it. Secrets in it are masked.
type Report struct {
	OK          bool              `json:"ok"`
	Path        string            `json:"path"`
	Definition  string            `json:"definition,omitempty"` // the file that was read
	Variant     string            `json:"runtime_variant"`
	ModelName   string            `json:"model_name,omitempty"`
	Port        int               `json:"port,omitempty"`
	HealthCheck *ReportedHealth   `json:"health_check"` // null: healthy once the port accepts
	Mount       string            `json:"model_mount_destination,omitempty"`
	Scratch     []string          `json:"scratch,omitempty"`
	Environment map[string]string `json:"environment"`
	Processes   []ReportedProcess `json:"processes"`
	DataOnly    []string          `json:"data_only"` // models that are not started
	Metadata    catalog.Metadata  `json:"metadata"`
	Warnings    catalog.Problems  `json:"warnings"`
	Errors      catalog.Problems  `json:"errors"`
}

// ReportedHealth is a health check in the words and units of the definition: seconds.
type ReportedHealth struct {
	Path           string  `json:"path"`
	Interval       float64 `json:"interval"`
	MaxRetries     int     `json:"max_retries"`
	MaxWaitTime    float64 `json:"max_wait_time"`
	ExpectedStatus int     `json:"expected_status_code"`
	InitialDelay   float64 `json:"initial_delay"`
}

// ReportedProcess is one program that would run.
type ReportedProcess struct {
	Name             string            `json:"name"`
	Argv             []string          `json:"argv"` // empty: the image's own command
	Shell            string            `json:"shell,omitempty"`
	ShellFallback    string            `json:"shell_fallback,omitempty"` // where the image has no Shell
	WorkingDirectory string            `json:"working_directory"`
	Port             int               `json:"port"`
	Environment      map[string]string `json:"environment"`
	PreStartActions  []catalog.Action  `json:"pre_start_actions"`
}

// Check says what would run, without running it. It reads the files that it is asked about.
func (t *Table) Check(req CheckRequest) Report {
	if req.Variant == "" {
		req.Variant = Custom
	}
	if req.ServiceName == "" {
		req.ServiceName = CheckServiceName
	}
	c := &checker{table: t, req: req}
	c.report = Report{Path: req.Path, Variant: req.Variant, DataOnly: []string{}}
	spec := c.run()
	problems := c.problems.Sorted()
	if problems.Err() != nil {
		spec = LaunchSpec{} // half-resolved: it would mislead
	}
	if req.Strict {
		problems = problems.Strict()
	}
	c.report.OK = problems.Err() == nil
	c.report.Warnings, c.report.Errors = catalog.Problems{}, catalog.Problems{}
	for _, p := range problems {
		if p.Severity == catalog.SeverityWarning {
			c.report.Warnings = append(c.report.Warnings, p)
		} else {
			c.report.Errors = append(c.report.Errors, p)
		}
	}
	c.launch(spec)
	return c.report
}

// Launch resolves what Check reports on, with nothing masked. The spec is of use only when no problem is an error.
func (t *Table) Launch(req CheckRequest) (LaunchSpec, catalog.Problems) {
	if req.Variant == "" {
		req.Variant = Custom
	}
	if req.ServiceName == "" {
		req.ServiceName = CheckServiceName
	}
	c := &checker{table: t, req: req}
	return c.run(), c.problems.Sorted()
}

// checker is one call of Check or of Launch.
type checker struct {
	table    *Table
	req      CheckRequest
	isFile   bool // Path is a file, not a folder
	report   Report
	problems catalog.Problems
}

func (c *checker) fail(file string, err error) {
	p := catalog.Problem{Severity: catalog.SeverityError, File: file, Message: err.Error()}
	if hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		p.Hint = hinted.Hint()
	}
	c.problems = append(c.problems, p)
}

// run reads the files and resolves.
func (c *checker) run() LaunchSpec {
	info, err := os.Stat(c.req.Path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("no such file or folder")
		}
		c.fail(c.req.Path, err)
		return LaunchSpec{}
	}
	c.isFile = !info.IsDir()
	folder, file := c.req.Path, c.req.DefinitionPath
	if c.isFile {
		folder, file = filepath.Dir(c.req.Path), filepath.Base(c.req.Path)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		c.fail(folder, err)
		return LaunchSpec{}
	}
	defer root.Close()
	variant, known := c.table.Lookup(c.req.Variant)
	req := Request{
		Variant: c.req.Variant, ServiceName: c.req.ServiceName, Env: c.req.Env, Mount: c.req.Mount, Files: root.FS(),
	}
	if known && variant.ReadsDefinition {
		if req.Definition = c.definition(root, file); req.Definition == nil {
			return LaunchSpec{}
		}
		if c.isFile {
			req.Files = nil // a file by itself says nothing about what lies beside it in the end
		}
	} else if ext := filepath.Ext(c.req.Path); !c.isFile || ext == ".yaml" || ext == ".yml" {
		c.metadata(root, file)
	}
	spec, problems := c.table.Resolve(req)
	c.problems = append(c.problems, problems...)
	return spec
}

// shown is the name of a file in the folder as the person can open it.
func (c *checker) shown(name string) string {
	if c.isFile {
		return c.req.Path
	}
	return filepath.Join(c.req.Path, name)
}

func (c *checker) definition(root *os.Root, file string) *catalog.Definition {
	name, src, err := catalog.FindDefinition(root, file)
	if err != nil {
		c.fail(c.req.Path, err)
		return nil
	}
	c.report.Definition = c.shown(name)
	def, problems := catalog.ParseDefinition(c.report.Definition, src)
	c.problems = append(c.problems, problems...)
	if def == nil {
		return nil
	}
	c.report.Metadata = def.Models[0].Metadata
	for _, m := range def.Models {
		if m.Service == nil {
			c.report.DataOnly = append(c.report.DataOnly, m.Name)
		}
	}
	return def
}

// metadata reads what the model card shows. Nothing that is wrong with it stops a start.
func (c *checker) metadata(root *os.Root, file string) {
	name, src, err := catalog.FindDefinition(root, file)
	if err != nil {
		return
	}
	var problems catalog.Problems
	c.report.Definition = c.shown(name)
	_, c.report.Metadata, problems = catalog.ParseMetadata(c.report.Definition, src)
	c.problems = append(c.problems, problems...)
}

// launch puts what would run into the report.
func (c *checker) launch(spec LaunchSpec) {
	r := &c.report
	r.ModelName, r.Port, r.Mount, r.Scratch = spec.ModelName, spec.Port, spec.Mount, spec.Scratch
	r.Environment = masked(spec.Env)
	if h := spec.Health; h != nil {
		r.HealthCheck = &ReportedHealth{
			Path: h.Path, Interval: h.Interval.Seconds(), MaxRetries: h.MaxRetries, MaxWaitTime: h.MaxWait.Seconds(),
			ExpectedStatus: h.ExpectedStatus, InitialDelay: h.InitialDelay.Seconds(),
		}
	}
	r.Processes = make([]ReportedProcess, len(spec.Processes))
	for i, p := range spec.Processes {
		r.Processes[i] = ReportedProcess{
			Name: p.Name, Argv: append([]string{}, p.Argv...), Shell: p.Shell, ShellFallback: p.ShellFallback,
			WorkingDirectory: p.WorkDir, Port: p.Port, Environment: masked(p.Env),
			PreStartActions: append([]catalog.Action{}, p.PreStart...),
		}
	}
}

var secretName = regexp.MustCompile(`(?i)(^|_)(key|token|secret|password|passwd|credentials?)$`)

// masked hides the values of variables that hold secrets by their name.
func masked(env map[string]string) map[string]string {
	out := make(map[string]string, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out[name] = env[name]
		if secretName.MatchString(name) && env[name] != "" {
			out[name] = fmt.Sprintf("(%d characters, hidden)", len([]rune(env[name])))
		}
	}
	return out
}
