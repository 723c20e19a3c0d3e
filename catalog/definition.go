package catalog

import (
	"strings"
	"time"
)

// Definition is a parsed and validated model-definition.yaml. Every default of the format is
// filled in; what the owner left out on purpose (no service, no health check) is nil.
type Definition struct {
	Models []Model // at least one

	file   string
	places map[string]place // of each value, by field path
}

// Problem makes a problem of one of the definition's values, for whoever finds it later than the
// parser does. A field that the file does not give has the place of what encloses it.
func (d *Definition) Problem(s Severity, field, message, hint string) Problem {
	p := Problem{Severity: s, File: d.file, Field: field, Message: message, Hint: hint}
	at := field
	for at != "" {
		if _, ok := d.places[at]; ok {
			break
		}
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	p.Line, p.Column = d.places[at].line, d.places[at].column
	return p
}

// Gives reports whether the file has a value at a field path.
func (d *Definition) Gives(field string) bool {
	_, ok := d.places[field]
	return ok
}

// Model is one item of models.
type Model struct {
	Name string // becomes BACKEND_MODEL_NAME
	Path string // as the session sees it; becomes BACKEND_MODEL_PATH and the working directory
	// PathDefaulted says that the file named no path: it is where the folder is mounted.
	PathDefaulted bool
	Service       *Service // nil: data only, not started
	Metadata      Metadata
}

// Service says how one model is served.
type Service struct {
	PreStart []Action
	Command  Command
	Shell    string // run string commands with SHELL -c; "" splits them like a POSIX shell and runs them directly
	// ShellDefaulted says that the file named no shell: /bin/bash, or /bin/sh where there is no bash.
	ShellDefaulted bool
	Port           int
	Health         *HealthCheck // nil: healthy once the port accepts
}

// Command is the start command in the form in which the file gave it: exactly one of Argv and
// Line is set, or neither, which means the image's own command.
type Command struct {
	Argv []string
	Line string
}

// IsZero reports whether the image's own command is meant.
func (c Command) IsZero() bool { return len(c.Argv) == 0 && c.Line == "" }

// HealthCheck is how a session's answer is judged.
type HealthCheck struct {
	Path           string        `json:"path"`            // begins with "/"
	Interval       time.Duration `json:"interval"`        // between probes
	MaxRetries     int           `json:"max_retries"`     // unhealthy when consecutive failures exceed it
	MaxWait        time.Duration `json:"max_wait"`        // whole-request timeout of one probe
	ExpectedStatus int           `json:"expected_status"` // after redirects
	InitialDelay   time.Duration `json:"initial_delay"`   // failures before a first pass within it do not count
}

// Action is one pre-start action. Args hold what the format defines for Name; templates in them
// are not yet expanded.
type Action struct {
	Name string     `json:"name"` // run_command, write_file, write_tempfile, mkdir, log
	Ref  string     `json:"ref,omitempty"`
	Args ActionArgs `json:"args"`
}

// ActionArgs is the union of the arguments of all actions.
type ActionArgs struct {
	Command     []string `json:"command,omitempty"`      // run_command
	Echo        bool     `json:"echo,omitempty"`         // run_command: output goes to the session's log
	IgnoreError bool     `json:"ignore_error,omitempty"` // run_command: go on after a non-zero exit
	Filename    string   `json:"filename,omitempty"`     // write_file; write_tempfile: set by variants to the path of {ref}
	Body        []string `json:"body,omitempty"`         // write_file, write_tempfile: lines, each ends in a newline
	Mode        string   `json:"mode,omitempty"`         // octal, "644"
	Append      bool     `json:"append,omitempty"`       // write_file
	Path        string   `json:"path,omitempty"`         // mkdir
	Message     string   `json:"message,omitempty"`      // log
	Debug       bool     `json:"debug,omitempty"`        // log
}

// Metadata is the model card's part of the file. All of it is optional.
type Metadata struct {
	Author       string            `json:"author,omitempty"`
	Title        string            `json:"title,omitempty"`
	Version      string            `json:"version,omitempty"`
	Created      string            `json:"created,omitempty"`
	LastModified string            `json:"last_modified,omitempty"`
	Description  string            `json:"description,omitempty"`
	Task         string            `json:"task,omitempty"`
	Category     string            `json:"category,omitempty"`
	Architecture string            `json:"architecture,omitempty"`
	Framework    []string          `json:"framework,omitempty"`
	Label        []string          `json:"label,omitempty"`
	License      string            `json:"license,omitempty"`
	MinResource  map[string]string `json:"min_resource,omitempty"` // slot name to amount as written; memory is renamed mem
}
