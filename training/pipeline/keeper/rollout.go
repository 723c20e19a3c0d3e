package keeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/pipeline"
)

// rollOuts has the roll-outs of a job go on that nobody sees to: new ones, and those that a daemon before this one has left.
func (k *Keeper) rollOuts(ctx context.Context, j *pipeline.Job) {
	for i, step := range j.Plan.Steps {
		p := j.Steps[i]
		key := j.ID + "/" + p.Key
		_, known := k.outcomes[key]
		if p.Status != pipeline.StepRunning || p.Rollout == nil || known || k.busy[key] != nil {
			continue
		}
		r := &rollout{Keeper: k, job: *j, step: step, progress: p, Rollout: *p.Rollout}
		k.do(ctx, key, func(ctx context.Context, stop <-chan struct{}) func(context.Context) {
			r.stop = stop
			seen, err := r.run(ctx)
			if err != nil { // it goes on with the next look, or the next daemon
				return func(ctx context.Context) {
					k.complain(ctx, key, "a roll-out does not get on; it will be tried again", err, "job", r.job.Name())
				}
			}
			return func(context.Context) { k.outcomes[key] = seen }
		})
		if w := k.busy[key]; j.CancelledBy != "" && !w.stopping { // by the daemon before this one
			w.stopping = true
			close(w.stop)
		}
	}
}

// rollout brings a model to a service, a phase at a time. Each phase is written down before it begins, and finds out what of
// it is done: whoever goes on with it does nothing twice.
type rollout struct {
	*Keeper
	pipeline.Rollout
	job      pipeline.Job
	step     pipeline.Step
	progress pipeline.Progress
	stop     <-chan struct{} // closed: the job was cancelled
}

// lookAt is how often a service is looked at that is rolled out.
const lookAt = 250 * time.Millisecond

func (r *rollout) by() string { return "pipeline job " + r.job.Name() }

// run goes through the phases. An error is none of the roll-out's: it could not be written down, or the appliance stops.
func (r *rollout) run(ctx context.Context) (pipeline.Seen, error) {
	for {
		var err error
		var seen *pipeline.Seen
		switch r.Phase {
		case pipeline.PhaseCopy:
			seen, err = r.copy(ctx)
		case pipeline.PhaseUpdate:
			seen, err = r.update(ctx)
		case pipeline.PhaseWait:
			seen, err = r.wait(ctx)
		case pipeline.PhaseBack:
			seen, err = r.back(ctx)
		default:
			return pipeline.Seen{Ended: true, Reason: fmt.Sprintf("its roll-out is in the phase %q, which this version does not know", r.Phase)}, nil
		}
		if seen != nil || err != nil {
			if seen == nil {
				return pipeline.Seen{}, err
			}
			return *seen, err
		}
	}
}

func failed(format string, args ...any) *pipeline.Seen {
	return &pipeline.Seen{Ended: true, Reason: strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")}
}

// note writes down where the roll-out is.
func (r *rollout) note(ctx context.Context, reason string) error {
	done := make(chan error, 1)
	now := r.Rollout
	select {
	case r.results <- func(ctx context.Context) {
		done <- r.edit(ctx, r.job.ID, func(_ *pipeline.Job, s *pipeline.State) {
			p := s.Of(r.step.Key)
			p.Rollout, p.Reason = &now, reason
			if now.Folder != "" {
				p.TryAt = time.Time{}
			}
		})
	}:
		return <-done
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *rollout) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *rollout) cancelled() *pipeline.Seen {
	return &pipeline.Seen{Ended: true, Undone: true, Reason: "the job was cancelled"}
}

// copy makes the folder that will be served. One that was begun before is made anew.
func (r *rollout) copy(ctx context.Context) (*pipeline.Seen, error) {
	if r.stopped() {
		return r.cancelled(), nil
	}
	serve := r.step.Serve
	name := fmt.Sprintf("%s-%s", serve.Service[:min(len(serve.Service), 40)], strings.TrimPrefix(r.job.ID, "job-")[:6])
	if r.progress.Attempt > 1 {
		name += fmt.Sprintf("-%d", r.progress.Attempt)
	}
	_, source, err := r.folder(ctx, &r.job)
	if err != nil {
		return failed("its pipeline's folder: %v", err), nil
	}
	defer source.Close()
	if err := r.Folders.Discard(ctx, r.job.Project, name); err != nil && !errors.Is(err, folders.ErrNotFound) {
		return failed("folder %s is in the way: %v", name, err), nil
	}
	made, err := r.Folders.Create(ctx, folders.Spec{Name: name, Project: r.job.Project, Usage: folders.UsageModel, CreatedBy: r.job.CreatedBy})
	if err != nil {
		return failed("making folder %s: %v", name, err), nil
	}
	copying, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-copying.Done():
		}
	}()
	err = copyModel(copying, source, r.job.Of(serve.From).Output, serve.Path, made)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case r.stopped():
		r.drop(ctx, made.ID)
		return r.cancelled(), nil
	case err != nil:
		r.drop(ctx, made.ID)
		return failed("copying the model: %v", err), nil
	}
	r.Phase, r.Folder = pipeline.PhaseUpdate, made.ID
	return nil, r.note(ctx, "its model is copied")
}

// drop removes a folder that nobody is to serve. One that is in use stays; it goes with a later roll-out.
func (r *rollout) drop(ctx context.Context, folder string) {
	err := r.Folders.Discard(ctx, r.job.Project, folder)
	if err != nil && !errors.Is(err, folders.ErrNotFound) && !errors.Is(err, folders.ErrInUse) {
		r.Log.WarnContext(ctx, "a folder that is not served stays for now", "folder", folder, "error", err)
	}
}

// update tells the service of the model, or makes the service.
func (r *rollout) update(ctx context.Context) (*pipeline.Seen, error) {
	serve, project := r.step.Serve, r.job.Project
	view, err := r.Services.Service(project, serve.Service)
	found := err == nil
	done := found && view.Recipe.Folder == r.Folder // by a daemon that then died
	switch {
	case !found && !errors.Is(err, sessions.ErrNotFound):
		return nil, err
	case r.stopped() && !done:
		r.drop(ctx, r.Folder)
		return r.cancelled(), nil
	case !done:
		r.Made, r.Before = !found, view.GoodRevision
		if err := r.note(ctx, "service "+serve.Service+" is told of it"); err != nil {
			return nil, err
		}
		if view, err = r.tell(ctx, found); err != nil && !final(err) && !errors.Is(err, sessions.ErrExists) {
			return nil, err // the store is away
		}
	}
	if err != nil {
		r.drop(ctx, r.Folder)
		return failed("service %s: %v", serve.Service, err), nil
	}
	r.Phase, r.Service, r.Revision, r.Until = pipeline.PhaseWait, view.ID, view.Revision, clock().Add(serve.Wait)
	return nil, r.note(ctx, fmt.Sprintf("revision %d of service %s rolls out", view.Revision, serve.Service))
}

// recipe is that of what serves a folder.
func recipe(serve *pipeline.Serve, folder string) sessions.Recipe {
	return sessions.Recipe{
		Image: serve.Image, Folder: folder, Variant: serve.Variant, DefinitionPath: serve.DefinitionPath, MountDestination: serve.ModelMount,
		Env: serve.Env, Resources: serve.Resources, ResourceOpts: serve.ResourceOpts, Selector: serve.Selector,
	}
}

func (r *rollout) tell(ctx context.Context, found bool) (sessions.ServiceView, error) {
	serve := r.step.Serve
	recipe := recipe(serve, r.Folder)
	if found {
		return r.Services.UpdateService(ctx, r.job.Project, serve.Service, sessions.ServiceUpdate{
			Recipe: &recipe, Replicas: serve.Replicas, Public: serve.Public, Priority: serve.Priority, By: r.by(),
		})
	}
	req := sessions.ServiceRequest{
		Name: serve.Service, Project: r.job.Project, CreatedBy: r.job.CreatedBy, Replicas: 1, Priority: serve.Priority, Recipe: recipe,
	}
	if serve.Replicas != nil {
		req.Replicas = *serve.Replicas
	}
	if serve.Public != nil {
		req.Public = *serve.Public
	}
	return r.Services.CreateService(ctx, req)
}

// mostFailures of starts in a row are borne of a service that has no good revision: nothing would ever roll it back.
const mostFailures = 3

// wait looks at the service until the revision is good and alone, or is not to be.
//  1. It is gone, or somebody wants another revision: that is the end of it here.
//  2. The job was cancelled, its starts fail, or its time is over: back.
//  3. Each route of it that is healthy is asked the smoke test, once.
//  4. All routes are of it, healthy, and have passed: done.
func (r *rollout) wait(ctx context.Context) (*pipeline.Seen, error) {
	for {
		view, err := r.Services.Service(r.job.Project, r.Service)
		name := r.step.Serve.Service
		switch { // 1
		case errors.Is(err, sessions.ErrNotFound), err == nil && view.Lifecycle != sessions.LifecycleActive:
			r.drop(ctx, r.Folder)
			return failed("service %s was removed meanwhile", name), nil
		case err != nil:
			return nil, err
		case view.Revision != r.Revision:
			r.drop(ctx, r.Folder)
			return failed("service %s wants revision %d and no longer %d: %s", name, view.Revision, r.Revision, view.LastError), nil
		}
		switch { // 2
		case r.stopped():
			return nil, r.turnBack(ctx, "the job was cancelled")
		case view.GoodRevision != r.Revision && view.Failures >= mostFailures:
			return nil, r.turnBack(ctx, fmt.Sprintf("revision %d of service %s does not start: %s", r.Revision, name, view.LastError))
		case !clock().Before(r.Until):
			return nil, r.turnBack(ctx, fmt.Sprintf("revision %d of service %s was not healthy within %s: %s", r.Revision, name, r.step.Serve.Wait, view.Sentence))
		case view.Replicas == 0 && r.step.Serve.Smoke != nil:
			return nil, r.turnBack(ctx, fmt.Sprintf("service %s is scaled to zero: nobody can be asked the smoke test; give serve: replicas: 1", name))
		}
		good, old := 0, 0
		for _, route := range view.Routes {
			if route.Revision != r.Revision {
				old++
				continue
			}
			if route.Status != sessions.RouteHealthy {
				continue
			}
			fault, err := r.ask(ctx, route) // 3
			if err != nil {
				return nil, err
			}
			if fault != "" {
				return nil, r.turnBack(ctx, fault)
			}
			good++
		}
		if old == 0 && good >= view.Replicas && (view.GoodRevision == r.Revision || view.Replicas == 0) { // 4
			r.tidy(ctx)
			return r.served(view), nil
		}
		if err := r.rest(ctx, lookAt); err != nil {
			return nil, err
		}
	}
}

func (r *rollout) served(view sessions.ServiceView) *pipeline.Seen {
	reason := fmt.Sprintf("revision %d of service %s is healthy", r.Revision, view.Name)
	if r.step.Serve.Smoke != nil {
		reason += " and passed its smoke test"
	}
	return &pipeline.Seen{Ended: true, Well: true, Reason: reason}
}

// rest waits, unless the job is cancelled meanwhile.
func (r *rollout) rest(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
	case <-r.stop:
		select { // it is seen to at the next look; until then this is no loop that spins
		case <-time.After(min(wait, lookAt)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// turnBack has the service go back to what it was.
func (r *rollout) turnBack(ctx context.Context, fault string) error {
	r.Phase, r.Fault, r.Until = pipeline.PhaseBack, fault, clock().Add(r.step.Serve.Wait)
	r.Log.WarnContext(ctx, "a roll-out goes back", "job", r.job.Name(), "service", r.step.Serve.Service, "revision", r.Revision, "reason", fault)
	return r.note(ctx, "going back: "+fault)
}

// back makes the service what it was before, and says so.
func (r *rollout) back(ctx context.Context) (*pipeline.Seen, error) {
	name, project := r.step.Serve.Service, r.job.Project
	end := func(what string) *pipeline.Seen {
		seen := failed("%s; %s", r.Fault, what)
		seen.Undone = r.job.CancelledBy != "" || r.stopped()
		return seen
	}
	view, err := r.Services.Service(project, r.Service)
	switch {
	case errors.Is(err, sessions.ErrNotFound):
		r.drop(ctx, r.Folder)
		return end("service " + name + " is gone"), nil
	case err != nil:
		return nil, err
	case r.Made:
		err := r.Services.DestroyService(ctx, project, r.Service, r.by())
		if err != nil && !errors.Is(err, sessions.ErrForbidden) && !errors.Is(err, sessions.ErrNotFound) {
			return nil, err
		}
		return end("service " + name + ", which it had made, is removed"), r.waitGone(ctx)
	case r.Before == 0 || r.Before == r.Revision:
		return end(fmt.Sprintf("service %s had no good revision to go back to, and stays as it is", name)), nil
	case view.Revision == r.Revision:
		if view, err = r.Services.RollBack(ctx, project, r.Service, r.Before, r.by()); err != nil && !final(err) {
			return nil, err
		} else if err != nil {
			return end(fmt.Sprintf("service %s could not go back to revision %d: %v", name, r.Before, err)), nil
		}
	}
	for clock().Before(r.Until) {
		if view, err = r.Services.Service(project, r.Service); err != nil || view.Revision != r.Before {
			return end(fmt.Sprintf("service %s was changed meanwhile", name)), nil //nolint:nilerr // who changed it knows better
		}
		if view.Status == sessions.ServiceHealthy && !r.routesOf(view, r.Revision) || view.Replicas == 0 {
			r.drop(ctx, r.Folder)
			return end(fmt.Sprintf("service %s went back to revision %d", name, r.Before)), nil
		}
		if err := r.rest(ctx, lookAt); err != nil {
			return nil, err
		}
	}
	return end(fmt.Sprintf("service %s is to go back to revision %d, which is not healthy yet: %s", name, r.Before, view.Sentence)), nil
}

func (r *rollout) routesOf(view sessions.ServiceView, revision int) bool {
	for _, route := range view.Routes {
		if route.Revision == revision {
			return true
		}
	}
	return false
}

// waitGone waits until a service that is removed is, so that its folder can go too.
func (r *rollout) waitGone(ctx context.Context) error {
	for clock().Before(r.Until) {
		if _, err := r.Services.Service(r.job.Project, r.Service); errors.Is(err, sessions.ErrNotFound) {
			r.drop(ctx, r.Folder)
			return nil
		}
		if err := r.rest(ctx, lookAt); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the folders of older revisions that pipelines have made: those that no revision needs which could run, but for
// the one before.
func (r *rollout) tidy(ctx context.Context) {
	r.mu.Lock()
	jobs := r.published.jobs
	r.mu.Unlock()
	for _, j := range jobs {
		for _, p := range j.Steps {
			old := p.Rollout
			if j.Project != r.job.Project || old == nil || old.Service != r.Service || old.Folder == "" || old.Folder == r.Folder || old.Revision == r.Before {
				continue
			}
			r.drop(ctx, old.Folder)
		}
	}
}
