package admintest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// Pipelines keeps pipelines in memory. A job runs at its first task until it is cancelled.
type Pipelines struct {
	mu   sync.Mutex
	kept []keeper.Kept
	jobs []pipeline.Job // newest first
}

func read(r keeper.RunRequest) (*pipeline.Definition, error) {
	d, problems := pipeline.Parse(r.File, []byte(r.Source))
	if problems.Err() != nil {
		return nil, fmt.Errorf("%w: the file: %w", pipeline.ErrInvalid, problems)
	}
	return d, nil
}

// Validate implements admin.Pipelines.
func (p *Pipelines) Validate(_ context.Context, r keeper.RunRequest) (*pipeline.Definition, error) {
	return read(r)
}

// Apply implements admin.Pipelines.
func (p *Pipelines) Apply(_ context.Context, project, by, file, source string) (keeper.Kept, error) {
	d, err := read(keeper.RunRequest{File: file, Source: source})
	if err != nil {
		return keeper.Kept{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keeper.Kept{Project: project, Name: d.Name, Source: source, AppliedBy: by, AppliedAt: time.Now().UTC()}
	p.kept = slices.DeleteFunc(p.kept, func(o keeper.Kept) bool { return o.Project == project && o.Name == d.Name })
	p.kept = append(p.kept, k)
	return k, nil
}

// Pipelines implements admin.Pipelines.
func (p *Pipelines) Pipelines(project string) (out []keeper.Kept) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.kept {
		if k.Project == project {
			out = append(out, k)
		}
	}
	return out
}

// Pipeline implements admin.Pipelines.
func (p *Pipelines) Pipeline(project, name string) (keeper.Kept, error) {
	for _, k := range p.Pipelines(project) {
		if k.Name == name {
			return k, nil
		}
	}
	return keeper.Kept{}, fmt.Errorf("pipeline %q: %w", name, pipeline.ErrNotFound)
}

// RemovePipeline implements admin.Pipelines.
func (p *Pipelines) RemovePipeline(_ context.Context, project, name string) error {
	if _, err := p.Pipeline(project, name); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = slices.DeleteFunc(p.kept, func(o keeper.Kept) bool { return o.Project == project && o.Name == name })
	p.jobs = slices.DeleteFunc(p.jobs, func(j pipeline.Job) bool { return j.Project == project && j.Pipeline == name })
	return nil
}

// RunNow implements admin.Jobs.
func (p *Pipelines) RunNow(_ context.Context, r keeper.RunRequest) (pipeline.Job, error) {
	if r.Pipeline != "" {
		k, err := p.Pipeline(r.Project, r.Pipeline)
		if err != nil {
			return pipeline.Job{}, err
		}
		r.Source = k.Source
	}
	d, err := read(r)
	if err != nil {
		return pipeline.Job{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	number := 1
	for _, j := range p.jobs {
		if j.Pipeline == d.Name {
			number++
		}
	}
	n := pipeline.Naming{Pipeline: d.Name, Number: number, ID: fmt.Sprintf("job-%012d", len(p.jobs)+1)}
	plan, parameters, problems := d.Expand(r.Parameters, n)
	if problems.Err() != nil {
		return pipeline.Job{}, fmt.Errorf("%w: its parameters: %w", pipeline.ErrInvalid, problems)
	}
	now := time.Now().UTC()
	j := pipeline.Job{Naming: n, Project: r.Project, CreatedBy: r.By, CreatedAt: now, NoCache: r.NoCache, Source: r.Source, Parameters: parameters, Plan: plan}
	j.Status, j.Reason, j.StartedAt = pipeline.StatusRunning, "a task runs", now
	for i, step := range plan.Steps {
		one := pipeline.Progress{Key: step.Key, Status: pipeline.StepWaiting, Reason: "waits for its turn", Attempt: 1}
		if i == 0 {
			one.Status, one.Reason, one.StartedAt = pipeline.StepRunning, "its session runs", now
		}
		j.Steps = append(j.Steps, one)
	}
	p.jobs = append([]pipeline.Job{j}, p.jobs...)
	return j, nil
}

// Jobs implements admin.Jobs.
func (p *Pipelines) Jobs(project, name string) (out []pipeline.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.jobs {
		if j.Project == project && (name == "" || j.Pipeline == name) {
			out = append(out, j)
		}
	}
	return out
}

// Job implements admin.Jobs.
func (p *Pipelines) Job(project, ref string) (pipeline.Job, error) {
	for _, j := range p.Jobs(project, "") {
		if j.ID == ref || j.Name() == ref || j.Pipeline == ref {
			return j, nil
		}
	}
	return pipeline.Job{}, fmt.Errorf("job %q: %w", ref, pipeline.ErrNotFound)
}

// Cancel implements admin.Jobs.
func (p *Pipelines) Cancel(_ context.Context, project, ref, by string) (pipeline.Job, error) {
	return p.change(project, ref, func(j *pipeline.Job) error {
		if !j.EndedAt.IsZero() {
			return fmt.Errorf("job %s has ended: %w", j.Name(), pipeline.ErrState)
		}
		j.Status, j.Reason, j.EndedAt = pipeline.StatusCancelled, "cancelled by "+by, time.Now().UTC()
		j.Steps = slices.Clone(j.Steps)
		for i := range j.Steps {
			if !j.Steps[i].Status.Ended() {
				j.Steps[i].Status, j.Steps[i].EndedAt = pipeline.StepCancelled, j.EndedAt
			}
		}
		return nil
	})
}

// Resume implements admin.Jobs.
func (p *Pipelines) Resume(_ context.Context, project, ref, by string) (pipeline.Job, error) {
	return p.change(project, ref, func(j *pipeline.Job) (err error) {
		j.State, err = pipeline.Resume(*j, by, time.Now().UTC())
		return err
	})
}

// RemoveJob implements admin.Jobs.
func (p *Pipelines) RemoveJob(_ context.Context, project, ref string) error {
	j, err := p.Job(project, ref)
	if err != nil {
		return err
	}
	if j.EndedAt.IsZero() {
		return fmt.Errorf("job %s runs: %w", j.Name(), pipeline.ErrState)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = slices.DeleteFunc(p.jobs, func(o pipeline.Job) bool { return o.ID == j.ID })
	return nil
}

func (p *Pipelines) change(project, ref string, how func(*pipeline.Job) error) (pipeline.Job, error) {
	found, err := p.Job(project, ref)
	if err != nil {
		return found, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.jobs {
		if p.jobs[i].ID == found.ID {
			err = how(&p.jobs[i])
			return p.jobs[i], err
		}
	}
	return found, nil
}
