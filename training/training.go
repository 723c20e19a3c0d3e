package training

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// Manager is what runs sessions. *sessions.Manager is one.
type Manager interface {
	CheckSession(ctx context.Context, req sessions.SessionRequest) catalog.Problems
	Foresee(ctx context.Context, req sessions.SessionRequest) (sessions.Forecast, catalog.Problems)
	CreateSessions(ctx context.Context, requests []sessions.SessionRequest) ([]sessions.Session, error)
}

// Folders are what sessions mount. *folders.Keeper is one.
type Folders interface {
	Reach(ctx context.Context, w folders.Who, ref string, want folders.Permission) (folders.Reached, error)
	// OverQuota says in a sentence that a folder may take no more; "" where it may.
	OverQuota(ctx context.Context, f folders.Folder) (string, error)
}

// Desk takes people's wishes.
type Desk struct {
	sessions Manager
	folders  Folders
}

// NewDesk returns a desk that hands wishes on to a manager.
func NewDesk(m Manager, f Folders) *Desk { return &Desk{sessions: m, folders: f} }

// Bounds of a wish.
const (
	maxRetries  = 100
	maxTimeout  = 10 * 365 * 24 * time.Hour
	maxPorts    = 64
	maxCommand  = 64 << 10 // bytes; the kernel bounds one argument at 128 KiB
	maxEnvBytes = 64 << 10 // of all variables together
)

// Create records the sessions that a wish asks for: one, or one for each index of its array. All that is wrong with it is
// told at once: sessions.ErrInvalid with catalog.Problems, whose fields are those of the API; or sessions.ErrExists where
// a name is taken.
func (d *Desk) Create(ctx context.Context, w Wish) ([]sessions.Session, error) {
	requests, problems := d.prepare(ctx, w)
	if problems.Err() != nil {
		return nil, fmt.Errorf("%w: this session cannot be created: %w", sessions.ErrInvalid, problems)
	}
	return d.sessions.CreateSessions(ctx, requests)
}

// Check is all that would be wrong with a wish if it were made now; nothing is recorded.
func (d *Desk) Check(ctx context.Context, w Wish) catalog.Problems {
	_, problems := d.prepare(ctx, w)
	return problems
}

// prepare is what the queue is asked for, with all that is wrong with it.
func (d *Desk) prepare(ctx context.Context, w Wish) ([]sessions.SessionRequest, catalog.Problems) {
	problems := check(w, time.Now())
	req, more := d.request(ctx, w)
	problems = append(problems, more...)
	requests := []sessions.SessionRequest{req}
	if indexes, limit, err := parseArray(w.Array); err != nil {
		problems = append(problems, problem("array", "such as 1-100, 0-9%3 (three at a time) or 1,5,9", "%v", err))
	} else if indexes != nil {
		if all := len(indexes) * min(max(w.ClusterSize, 1), sessions.MaxCluster); all > maxArray {
			problems = append(problems, problem("array", "let each do several of the steps", "%d sessions of %d containers each: at most %d in all", len(indexes), w.ClusterSize, maxArray))
		}
		requests = arrayOf(req, indexes, limit)
	}
	// The last name of an array is the longest.
	problems = append(problems, d.sessions.CheckSession(ctx, requests[len(requests)-1])...)
	return requests, once(problems)
}

// once leaves out what has been said before.
func once(ps catalog.Problems) catalog.Problems {
	var out catalog.Problems
	for _, p := range ps {
		if !slices.ContainsFunc(out, func(q catalog.Problem) bool { return q.Field == p.Field && q.Message == p.Message }) {
			out = append(out, p)
		}
	}
	return out
}

func problem(field, hint, format string, args ...any) catalog.Problem {
	return catalog.Problem{Severity: catalog.SeverityError, Field: field, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// typeOf is the type that a wish asks for.
func typeOf(w Wish) sessions.Type {
	switch {
	case w.Type != "":
		return w.Type
	case strings.TrimSpace(w.Command) != "":
		return sessions.TypeBatch
	}
	return sessions.TypeInteractive
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// check reports what is wrong with a wish by itself.
func check(w Wish, now time.Time) (ps catalog.Problems) {
	wrong := func(field, hint, format string, args ...any) { ps = append(ps, problem(field, hint, format, args...)) }
	kind := typeOf(w)
	switch {
	case kind != sessions.TypeInteractive && kind != sessions.TypeBatch:
		wrong("type", "services make the others: palisade service create", "%q: a session is interactive or batch", w.Type)
	case kind == sessions.TypeBatch && strings.TrimSpace(w.Command) == "":
		wrong("startup_command", "for example: -c 'python train.py'", "Batch sessions must have a non-empty startup command.")
	case kind == sessions.TypeInteractive && w.Timeout != 0:
		wrong("timeout", "with --type batch it is one", "only batch sessions have a timeout")
	case kind == sessions.TypeInteractive && w.Retries != 0:
		wrong("retries", "with --type batch it is run again", "only batch sessions are run again")
	case kind == sessions.TypeInteractive && w.Array != "":
		wrong("array", "with --type batch there is one session for each index", "only batch sessions come in arrays")
	}
	if len(w.Command) > maxCommand || strings.ContainsRune(w.Command, 0) {
		wrong("startup_command", "put it into a file of a folder, and start that", "has %d bytes, or a NUL; at most %d and none", len(w.Command), maxCommand)
	}
	if w.Timeout < 0 || w.Timeout > maxTimeout {
		wrong("timeout", "a number of seconds, or 0 for none", "%s cannot be one", w.Timeout)
	}
	for _, d := range []struct {
		field string
		d     time.Duration
	}{{"idle_timeout", w.IdleTimeout}, {"max_lifetime", w.MaxLifetime}} {
		switch {
		case kind == sessions.TypeBatch && d.d != 0:
			wrong(d.field, "a batch session has a timeout", "only interactive sessions have one")
		case d.d != 0 && (d.d < time.Second || d.d > maxTimeout):
			wrong(d.field, "1s at least; 0 for what the box has", "%s cannot be one", d.d)
		}
	}
	if w.Retries < 0 || w.Retries > maxRetries {
		wrong("retries", "", "%d: a number from 0 to %d", w.Retries, maxRetries)
	}
	if w.MinRuntime < 0 || w.MinRuntime > maxTimeout {
		wrong("min_runtime", "", "%s cannot be one", w.MinRuntime)
	}
	if w.StartsAt.After(now.Add(maxTimeout)) {
		wrong("starts_at", "", "%s is more than ten years away", w.StartsAt.Format(time.RFC3339))
	}
	return slices.Concat(ps, checkCluster(w), checkEnv(w))
}

func checkEnv(w Wish) (ps catalog.Problems) {
	size := 0
	for name, value := range w.Env {
		size += len(name) + len(value)
		if !envName.MatchString(name) || strings.ContainsRune(value, 0) {
			ps = append(ps, problem("environ."+name, "letters, digits and _, not beginning with a digit", "cannot be a variable of the environment"))
		}
	}
	if size > maxEnvBytes {
		ps = append(ps, problem("environ", "put large values into a file of a folder", "has %d bytes, at most %d", size, maxEnvBytes))
	}
	if len(w.Ports) > maxPorts {
		ps = append(ps, problem("preopen_ports", "", "%d of them, at most %d", len(w.Ports), maxPorts))
	}
	for i, port := range w.Ports {
		field := fmt.Sprintf("preopen_ports[%d]", i)
		if port < 1 || port > 65535 {
			ps = append(ps, problem(field, "", "%d: a number from 1 to 65535", port))
		} else if slices.Contains(w.Ports[:i], port) {
			ps = append(ps, problem(field, "", "%d is given twice", port))
		}
	}
	slices.SortFunc(ps, func(a, b catalog.Problem) int { return strings.Compare(a.Field, b.Field) })
	return ps
}

// request turns a wish into what the queue takes, with what is wrong with its folders.
func (d *Desk) request(ctx context.Context, w Wish) (sessions.SessionRequest, catalog.Problems) {
	var ps catalog.Problems
	req := sessions.SessionRequest{
		Name: w.Name, Project: w.Project, CreatedBy: w.CreatedBy, Type: typeOf(w), Image: w.Image, Launch: launch(w),
		Resources: w.Resources, ResourceOpts: w.ResourceOpts, Selector: w.Selector, Priority: w.Priority,
		Preemptible: w.Preemptible, MinRuntime: w.MinRuntime, StartsAt: w.StartsAt, DependsOn: w.DependsOn,
		Task: sessions.Task{IdleTimeout: w.IdleTimeout, MaxLifetime: w.MaxLifetime, Command: w.Command, Timeout: w.Timeout, Retries: w.Retries, Ports: w.Ports, Origin: w.Origin},
	}
	if w.ClusterSize > 1 {
		req.Launch, req.Cluster = clusterOf(w)
	}
	for i, m := range w.Mounts {
		named, sub := folders.SplitRef(folders.JoinRef(m.Folder, m.Sub))
		folder, err := d.folders.Reach(ctx, folders.Who{Person: w.CreatedBy, Project: w.Project}, named, folders.ReadOnly)
		if err != nil {
			ps = append(ps, folderProblem(fmt.Sprintf("mounts[%d].folder", i), named, err))
			continue
		}
		if !m.ReadOnly && folder.Permission.Allows(folders.ReadWrite) {
			if over, err := d.folders.OverQuota(ctx, folder.Folder); err != nil {
				ps = append(ps, problem(fmt.Sprintf("mounts[%d].folder", i), "", "folder %q: %v", named, err))
			} else if over != "" {
				ps = append(ps, problem(fmt.Sprintf("mounts[%d].folder", i), "remove what is no longer needed, or mount it read-only: "+named+"::ro", "%s", over))
			}
		}
		target := m.Target
		if target == "" {
			target = path.Join(sessions.HomeDir, path.Base(folders.JoinRef(folder.Name, sub)))
		}
		req.Mounts = append(req.Mounts, sessions.FolderMount{Folder: folders.JoinRef(folder.ID, sub), Target: target, ReadOnly: m.ReadOnly})
		req.Task.Folders = append(req.Task.Folders, folder.ID)
	}
	return req, ps
}

func folderProblem(field, ref string, err error) catalog.Problem {
	if errors.Is(err, folders.ErrNotFound) {
		return problem(field, "those that are there: palisade folder list", "there is no folder %q", ref)
	}
	return problem(field, "", "folder %q: %v", ref, err)
}

// stay keeps a shell alive without using anything, and lets it end at once when it is asked to.
const stay = `trap 'exit 0' TERM INT HUP; while :; do sleep 86400 & wait $!; done`

// launch is how the first process of a wish is started: its command by a shell, in the home. bash where the image has
// it, for that is what people write for.
func launch(w Wish) variants.LaunchSpec { return launchLine(w, w.Command) }

// launchLine is how a line is started; "": a shell that is kept.
func launchLine(w Wish, line string) variants.LaunchSpec {
	if strings.TrimSpace(line) == "" {
		line = stay
	}
	return variants.LaunchSpec{
		Scratch: []string{sessions.HomeDir}, Env: w.Env,
		Processes: []variants.Process{{
			Name: "main", Argv: []string{"/bin/bash", "-c", line}, Shell: "/bin/bash", ShellFallback: "/bin/sh", WorkDir: sessions.HomeDir,
		}},
	}
}
