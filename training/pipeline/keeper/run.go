package keeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/training/pipeline"
)

// RunRequest asks for a job, of a file or of a pipeline that is kept.
type RunRequest struct {
	Project    string
	Pipeline   string // name; where there is no Source
	Source     string
	File       string // names Source in messages
	Parameters map[string]string
	NoCache    bool
	By         string
}

// invalid wraps what is wrong with a file or with its parameters.
func invalid(what string, ps catalog.Problems) error {
	return fmt.Errorf("%w: %s: %w", pipeline.ErrInvalid, what, ps)
}

// Validate reports all that is wrong with a file, also that which only this box knows: images, folders, resources. Without
// parameters those that have no default are left alone.
func (k *Keeper) Validate(ctx context.Context, r RunRequest) (*pipeline.Definition, error) {
	given := r.Parameters
	d, ps := pipeline.Parse(r.File, []byte(r.Source))
	if err := ps.Err(); err != nil {
		return nil, invalid("the pipeline cannot be used", ps)
	}
	if given == nil {
		given = map[string]string{}
		for _, p := range d.Parameters {
			if p.Required && p.Choices != nil {
				given[p.Name] = p.Choices[0]
			} else if p.Required {
				return d, nil // what it makes of them is known when they are
			}
		}
	}
	plan, _, ps := d.Expand(given, pipeline.Naming{Pipeline: d.Name, Number: 1, ID: "job-000000000000"})
	if ps.Err() != nil {
		return nil, invalid("the parameters cannot be used", ps)
	}
	if ps := k.check(ctx, r, d, plan); ps.Err() != nil {
		return nil, invalid("the pipeline cannot run here", ps)
	}
	return d, nil
}

// checkStep asks what would be said of a step's session, or of its service. Fields are those of the file, below the task.
func (k *Keeper) checkStep(ctx context.Context, r RunRequest, step pipeline.Step) catalog.Problems {
	if step.Serve == nil {
		found := k.Desk.Check(ctx, Wish(r.Project, r.By, step.Run))
		for i := range found {
			if found[i].Field == "startup_command" { // as sessions call it
				found[i].Field = "command"
			}
		}
		return found
	}
	found := k.Services.CheckRecipe(step.Serve.Service, step.Serve.Priority, recipe(step.Serve, ""))
	for i := range found {
		field := found[i].Field
		if name, is := strings.CutPrefix(field, "env."); is { // as variants call it
			field = "environ." + name
		} else if field == "name" {
			field = "service"
		}
		found[i].Field = "serve." + field
	}
	return found
}

// check says what is known here to be wrong with a plan.
func (k *Keeper) check(ctx context.Context, r RunRequest, d *pipeline.Definition, plan pipeline.Plan) catalog.Problems {
	var found catalog.Problems
	for _, step := range plan.Steps {
		task := slices.IndexFunc(d.Tasks, func(t pipeline.Task) bool { return t.Name == step.Task })
		for _, p := range k.checkStep(ctx, r, step) {
			if p.Severity != catalog.SeverityError {
				continue
			}
			p.Field = fmt.Sprintf("tasks[%d].%s", task, p.Field)
			if !slices.ContainsFunc(found, func(q catalog.Problem) bool { return q.Field == p.Field && q.Message == p.Message }) {
				found = append(found, p)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return d.Problems(found)
}

// RunNow makes a job; its tasks start soon after. All that can be known to be wrong is told now: pipeline.ErrInvalid with
// catalog.Problems.
func (k *Keeper) RunNow(ctx context.Context, r RunRequest) (pipeline.Job, error) {
	if r.Source == "" {
		kept, err := k.Pipeline(r.Project, r.Pipeline)
		if err != nil {
			return pipeline.Job{}, err
		}
		if kept.Source == "" {
			return pipeline.Job{}, &hinted{fmt.Errorf("pipeline %s was never applied: it is known by its jobs alone: %w", kept.Name, pipeline.ErrState), "palisade pipeline run FILE"}
		}
		r.Source, r.File = kept.Source, kept.Name
	}
	if r.Parameters == nil {
		r.Parameters = map[string]string{}
	}
	d, err := k.Validate(ctx, r)
	if err != nil {
		return pipeline.Job{}, err
	}
	var made pipeline.Job
	err = k.ask(ctx, func(ctx context.Context) (err error) {
		made, err = k.add(ctx, d, pipeline.Job{Project: r.Project, CreatedBy: r.By, NoCache: r.NoCache, Source: r.Source, Parameters: r.Parameters}, nil)
		return err
	})
	return made, err
}

// maxLive jobs of a project have not ended at a time: each is looked at whenever a session changes.
const maxLive = 500

// add records a job, in the loop. edit changes its pipeline's row with it; it may be nil.
func (k *Keeper) add(ctx context.Context, d *pipeline.Definition, j pipeline.Job, edit func(*Kept)) (pipeline.Job, error) {
	now := Kept{Project: j.Project, Name: d.Name}
	if have := k.kept[j.Project+"/"+d.Name]; have != nil {
		now = *have
	}
	live := 0
	for _, other := range k.jobs {
		if other.Project == j.Project && !other.Status.Ended() {
			live++
		}
	}
	if live >= maxLive {
		return j, &hinted{fmt.Errorf("%w: %d jobs of project %s have not ended yet, at most %d", pipeline.ErrState, live, j.Project, maxLive), "palisade pipeline jobs; palisade pipeline cancel JOB"}
	}
	key := j.Project + "/" + d.Name
	now.LastJob = max(now.LastJob, k.numbers[key]) + 1
	if edit != nil {
		edit(&now)
	}
	j.Naming = pipeline.Naming{Pipeline: d.Name, Number: now.LastJob, ID: "job-" + strings.ToLower(rand.Text()[:12])}
	j.CreatedAt = clock()
	plan, values, ps := d.Expand(j.Parameters, j.Naming)
	if ps.Err() != nil {
		return j, invalid("the parameters cannot be used", ps)
	}
	j.Plan, j.Parameters, j.State = plan, values, plan.Fresh()
	k.numbers[key] = now.LastJob
	saving, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := k.Store.AddJob(saving, j, now); err != nil {
		// It may have been written all the same, and its owner is told that it is not there.
		k.unwanted = append(k.unwanted, j.ID)
		return j, err
	}
	k.kept[key] = &now
	k.jobs = append(k.jobs, &j)
	k.publish()
	k.Log.InfoContext(ctx, "job made", "job", j.Name(), "id", j.ID, "by", j.CreatedBy)
	return j, nil
}

// Apply keeps a pipeline by the name that its file gives. Its schedule counts from now.
func (k *Keeper) Apply(ctx context.Context, project, by, file, source string) (Kept, error) {
	d, err := k.Validate(ctx, RunRequest{Project: project, By: by, File: file, Source: source})
	if err != nil {
		return Kept{}, err
	}
	var out Kept
	err = k.ask(ctx, func(ctx context.Context) error {
		now := Kept{Project: project, Name: d.Name}
		if have := k.kept[project+"/"+d.Name]; have != nil {
			now = *have
		}
		if now.Source != source || now.Scheduled.IsZero() {
			now.Scheduled = clock()
		}
		now.Source, now.AppliedBy, now.AppliedAt = source, by, clock()
		saving, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		if err := k.Store.SavePipeline(saving, now); err != nil {
			return err
		}
		k.kept[project+"/"+d.Name] = &now
		delete(k.next, project+"/"+d.Name)
		k.publish()
		out = now
		return nil
	})
	return out, err
}

// Pipeline finds one by its name.
func (k *Keeper) Pipeline(project, name string) (Kept, error) {
	for _, one := range k.Pipelines(project) {
		if one.Name == name {
			return one, nil
		}
	}
	return Kept{}, fmt.Errorf("pipeline %q %w", name, pipeline.ErrNotFound)
}

// Pipelines of a project, by name.
func (k *Keeper) Pipelines(project string) (out []Kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.published.kept {
		if one.Project == project {
			out = append(out, one)
		}
	}
	return out
}

// Jobs of a project, newest first; of one pipeline where a name is given.
func (k *Keeper) Jobs(project, name string) (out []pipeline.Job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, j := range slices.Backward(k.published.jobs) {
		if j.Project == project && (name == "" || j.Pipeline == name) {
			out = append(out, j)
		}
	}
	return out
}

// numbered is the name of a job: digits.3.
var numbered = regexp.MustCompile(`^(.+)\.([0-9]+)$`)

// Job finds one by its id, by its name, or the newest one of a pipeline by that one's name.
func (k *Keeper) Job(project, ref string) (pipeline.Job, error) {
	name, number := ref, 0
	if m := numbered.FindStringSubmatch(ref); m != nil {
		name = m[1]
		number, _ = strconv.Atoi(m[2])
	}
	for _, j := range k.Jobs(project, "") {
		if j.ID == ref || j.Pipeline == name && (number == 0 || j.Number == number) {
			return j, nil
		}
	}
	if number == 0 {
		if _, err := k.Pipeline(project, name); err == nil {
			return pipeline.Job{}, &hinted{fmt.Errorf("pipeline %s has no job yet: %w", name, pipeline.ErrNotFound), "palisade pipeline run " + name}
		}
	}
	return pipeline.Job{}, fmt.Errorf("job %q %w", ref, pipeline.ErrNotFound)
}

// change has the loop change a job.
func (k *Keeper) change(ctx context.Context, project, ref string, change func(ctx context.Context, j *pipeline.Job) error) (pipeline.Job, error) {
	found, err := k.Job(project, ref)
	if err != nil {
		return found, err
	}
	err = k.ask(ctx, func(ctx context.Context) error {
		j := k.byID(found.ID)
		if j == nil {
			return fmt.Errorf("job %q %w", ref, pipeline.ErrNotFound)
		}
		err := change(ctx, j)
		found = *j
		return err
	})
	return found, err
}

// Cancel ends a job: what runs of it is stopped, and nothing more starts. Doing it again does nothing.
func (k *Keeper) Cancel(ctx context.Context, project, ref, by string) (pipeline.Job, error) {
	return k.change(ctx, project, ref, func(ctx context.Context, j *pipeline.Job) error {
		if j.Status.Ended() {
			return fmt.Errorf("%w: job %s has ended: it is %s", pipeline.ErrState, j.Name(), j.Status)
		}
		state := j.Clone()
		if state.CancelledBy == "" {
			state.CancelledBy, state.Reason = by, "is being cancelled by "+by
		}
		return k.save(ctx, j, state)
	})
}

// Resume has an ended job go on at what failed, was cancelled or skipped.
func (k *Keeper) Resume(ctx context.Context, project, ref, by string) (pipeline.Job, error) {
	return k.change(ctx, project, ref, func(ctx context.Context, j *pipeline.Job) error {
		state, err := pipeline.Resume(*j, by, clock())
		if err != nil {
			return err
		}
		for _, p := range j.Steps {
			if k.busy[j.ID+"/"+p.Key] != nil {
				return fmt.Errorf("%w: %s of job %s has not quite ended; try again in a moment", pipeline.ErrState, p.Key, j.Name())
			}
		}
		return k.save(ctx, j, state)
	})
}

// RemoveJob forgets a job that has ended, and deletes what it left, unless a later one uses it.
func (k *Keeper) RemoveJob(ctx context.Context, project, ref string) error {
	_, err := k.change(ctx, project, ref, func(ctx context.Context, j *pipeline.Job) error {
		if !j.Status.Ended() {
			return &hinted{fmt.Errorf("%w: job %s is %s", pipeline.ErrState, j.Name(), j.Status), "palisade pipeline cancel " + j.Name()}
		}
		if err := k.forget(ctx, j); err != nil {
			return err
		}
		k.unswept[j.Project+"/"+j.Pipeline] = true
		return nil
	})
	return err
}

// RemovePipeline forgets a pipeline with its jobs, none of which may run, and deletes what they left. Services that it made
// stay.
func (k *Keeper) RemovePipeline(ctx context.Context, project, name string) error {
	of := func(j *pipeline.Job) bool { return j.Project == project && j.Pipeline == name }
	removable := func() error {
		if k.kept[project+"/"+name] == nil {
			return fmt.Errorf("pipeline %q %w", name, pipeline.ErrNotFound)
		}
		for _, j := range k.jobs {
			if of(j) && !j.Status.Ended() {
				return &hinted{fmt.Errorf("%w: job %s is %s", pipeline.ErrState, j.Name(), j.Status), "palisade pipeline cancel " + j.Name()}
			}
		}
		return nil
	}
	if err := k.ask(ctx, func(context.Context) error { return removable() }); err != nil {
		return err
	}
	// The folder goes first: where it cannot, or the daemon dies, the pipeline is still there to be removed.
	f, root, err := k.find(ctx, project, name)
	if err == nil {
		err = errors.Join(root.Close(), k.Folders.Remove(ctx, project, f.ID, "pipeline "+name))
	}
	if err != nil && !errors.Is(err, folders.ErrNotFound) && !errors.Is(err, errNotOurs) {
		return err
	}
	return k.ask(ctx, func(ctx context.Context) error {
		if err := removable(); err != nil {
			return err
		}
		saving, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		if err := k.Store.DeletePipeline(saving, project, name); err != nil {
			return err
		}
		delete(k.kept, project+"/"+name)
		delete(k.next, project+"/"+name)
		delete(k.numbers, project+"/"+name)
		k.jobs = slices.DeleteFunc(k.jobs, of)
		k.publish()
		return nil
	})
}

// Outputs is where a step's outputs are: the folder's name and the directory in it; "" where it has none.
func Outputs(j pipeline.Job, p pipeline.Progress) string {
	if p.Output == "" {
		return ""
	}
	return path.Join(FolderPrefix+j.Pipeline, p.Output)
}

// hinted is an error that says what to do.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.hint }
