package catalog

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// DefaultShell runs a start command given as one string, where the image has it.
const DefaultShell = "/bin/bash"

// reservedPorts are taken by a session's own services, here and in Backend.AI.
var reservedPorts = []int{2000, 2001, 2002, 2003, 2200, 7681}

// DefaultHealthCheck is what a health check is where nothing is said about it.
func DefaultHealthCheck() HealthCheck {
	return HealthCheck{
		Path:           "/health",
		Interval:       10 * time.Second,
		MaxRetries:     10,
		MaxWait:        15 * time.Second,
		ExpectedStatus: 200,
		InitialDelay:   60 * time.Second,
	}
}

// readService reads models[].service. misplaced are keys found beside service instead of in it: their
// absence here has been reported as what it is.
func readService(f Field, misplaced map[string]bool) *Service {
	s := &Service{Shell: DefaultShell, ShellDefaulted: true}
	fields, ok := f.Map()
	if !ok {
		return s
	}
	serviceLevel.check(fields)
	s.Command = readCommand(fields.Get("start_command"))
	if command := fields.Get("command"); command.Given() {
		s.Command = readCommand(command)
	}
	if shell := fields.Get("shell"); shell.node != nil {
		s.Shell, _ = shell.Text()
		s.ShellDefaulted = false
	}
	if port := fields.Get("port"); port.Given() || !misplaced["port"] {
		s.Port = ReadPort(port)
	}
	s.Health = ReadHealthCheck(fields.Get("health_check"), DefaultHealthCheck())
	s.PreStart = readActions(fields.Get("pre_start_actions"))
	return s
}

// ReadPort reads a port that a service listens on; 0 after a problem.
func ReadPort(f Field) int {
	if !f.Given() {
		f.Error("port: 8000", "is required")
		return 0
	}
	port, ok := f.Int(2, 65535)
	if ok && slices.Contains(reservedPorts, port) {
		f.Error("sessions use 2000 to 2003, 2200 and 7681 themselves; take another, for example 8000", "port %d is reserved", port)
		return 0
	}
	return port
}

func readCommand(f Field) Command {
	const leaveOut = "leave it out to run the image's own command"
	if !f.Given() {
		return Command{}
	}
	switch {
	case f.node.kind == list:
		argv, ok := f.Texts()
		if ok && len(argv) == 0 {
			f.Error(leaveOut, "is an empty list")
		}
		if ok && len(argv) > 0 && argv[0] == "" {
			f.Error("", "begins with an empty string; a program is wanted")
		}
		return Command{Argv: argv}
	case f.node.kind == scalar && f.node.tag == tagText:
		line, ok := f.Text()
		if ok && strings.TrimSpace(line) == "" {
			f.Error(leaveOut, "is empty")
		}
		return Command{Line: line}
	default:
		f.wrongType("a string or a list of strings", "")
		return Command{}
	}
}

// ReadHealthCheck reads a health check over defaults. Null, {} and enable: false mean none: nil.
func ReadHealthCheck(f Field, defaults HealthCheck) *HealthCheck {
	fields, ok := f.Map()
	if !ok || len(fields.entries) == 0 {
		return nil
	}
	healthLevel.check(fields)
	h := defaults
	if p, ok := fields.Get("path").Text(); ok {
		h.Path = readHealthPath(fields.Get("path"), p)
	}
	if v, ok := fields.Get("interval").Seconds(true); ok {
		h.Interval = v
	}
	if v, ok := fields.Get("max_retries").Int(1, math.MaxInt32); ok {
		h.MaxRetries = v
	}
	if v, ok := fields.Get("max_wait_time").Seconds(false); ok {
		h.MaxWait = v
	}
	if v, ok := fields.Get("expected_status_code").Int(100, 599); ok {
		h.ExpectedStatus = v
	}
	if v, ok := fields.Get("initial_delay").Seconds(true); ok {
		h.InitialDelay = v
	}
	if enable, ok := fields.Get("enable").Bool(); ok && !enable {
		return nil
	}
	return &h
}

func readHealthPath(f Field, text string) string {
	if strings.Contains(text, "://") {
		f.Error("write the path alone, for example /health: the session's address is not known before it runs", "is a whole URL")
		return text
	}
	text = "/" + strings.TrimPrefix(text, "/")
	if _, err := url.ParseRequestURI(text); err != nil || strings.ContainsFunc(text, blankOrControl) {
		f.Error("write blanks as %20", "%q is not a path that can be asked for", spelling.Short(text))
	}
	return text
}

func blankOrControl(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func readActions(f Field) []Action {
	items, _ := f.Items("a list of actions")
	var actions []Action
	refs := make(map[string]bool)
	for _, item := range items {
		if item.IsNull() {
			item.Error("remove the empty item", "is null; an action is wanted")
			continue
		}
		a, ok := readAction(item)
		if !ok {
			continue
		}
		if a.Ref != "" && refs[a.Ref] {
			item.Error("give every temporary file a name of its own", "ref %q is taken by an action above", a.Ref)
		}
		refs[a.Ref] = true
		actions = append(actions, a)
	}
	return actions
}

func readAction(f Field) (Action, bool) {
	fields, ok := f.Map()
	if !ok {
		return Action{}, false
	}
	misplaced := actionLevel.check(fields)
	var a Action
	name := fields.Get("action")
	if !name.Given() {
		name.Error("one of "+strings.Join(actionNames, ", "), "is required")
		return a, false
	}
	if a.Name, ok = name.Text(); !ok {
		return a, false
	}
	if !slices.Contains(actionNames, a.Name) {
		hint := spelling.DidYouMean(a.Name, actionNames)
		if hint == "" {
			hint = "the actions are " + strings.Join(actionNames, ", ")
		}
		name.Error(hint, "unknown action %q", spelling.Short(a.Name))
		return a, false
	}
	a.Ref = readRef(fields.Get("ref"), a.Name)
	a.Args = readArgs(a.Name, fields.Get("args"), misplaced)
	return a, true
}

// readRef reads the name by which later templates find a temporary file.
func readRef(f Field, action string) string {
	ref, ok := f.Text()
	if !ok {
		return ""
	}
	if action != "write_tempfile" {
		f.Warn("only write_tempfile makes something to refer to", "has no meaning for %s", action)
		return ""
	}
	if !refName.MatchString(ref) {
		f.Error("letters, digits and _, beginning with a letter, for example config_file", "%q cannot be used as {%s}", spelling.Short(ref), spelling.Short(ref))
		return ""
	}
	if slices.Contains(templateNames, ref) {
		f.Error("choose another", "%q has a meaning of its own in templates", ref)
		return ""
	}
	return ref
}

// required reports an argument that is missing, unless it was found one level too far out.
func required(f Field, misplaced map[string]bool, example string) bool {
	if f.Given() {
		return true
	}
	key := f.path[strings.LastIndexByte(f.path, '.')+1:]
	if !misplaced[key] {
		f.Error(fmt.Sprintf("%s: %s", key, example), "is required")
	}
	return false
}
