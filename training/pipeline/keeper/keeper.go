package keeper

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/pipeline"
)

// Keeper keeps pipelines and has jobs run. Its loop alone writes; whoever asks is answered from what it published last.
type Keeper struct {
	Around
	requests chan func(ctx context.Context) // of others, for the loop
	results  chan func(ctx context.Context) // of what it had done, likewise
	ended    chan struct{}                  // closed when the loop has ended
	working  sync.WaitGroup

	// Of the loop alone.
	kept     map[string]*Kept // by project/name
	jobs     []*pipeline.Job  // oldest first
	busy     map[string]*work // what is being done, by what it is for
	outcomes map[string]pipeline.Seen
	next     map[string]time.Time // when the schedule of a pipeline is looked at again
	said     map[string]string    // what was said last in the log of something that fails
	looked   time.Time            // when orphans were looked for
	numbers  map[string]int       // newest number that was given away, written down or not, by project/name
	unwanted []string             // jobs that may have been written down though their owner was told that they were not
	unswept  map[string]bool      // pipelines whose folders may hold what no job has left, by project/name

	mu        sync.Mutex
	published snapshot
}

// work is something under way beside the loop.
type work struct {
	stop     chan struct{} // closed: it is to end in an orderly way
	stopping bool
}

// snapshot is what others see. Nothing in it is ever changed.
type snapshot struct {
	kept []Kept
	jobs []pipeline.Job
}

// New reads what is kept. Run it.
func New(ctx context.Context, a Around) (*Keeper, error) {
	k := &Keeper{
		Around: a, requests: make(chan func(context.Context)), results: make(chan func(context.Context)), ended: make(chan struct{}),
		kept: map[string]*Kept{}, busy: map[string]*work{}, outcomes: map[string]pipeline.Seen{}, next: map[string]time.Time{}, said: map[string]string{},
		numbers: map[string]int{}, unswept: map[string]bool{},
	}
	all, err := a.Store.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		k.kept[one.Project+"/"+one.Name] = &one
	}
	jobs, err := a.Store.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		k.jobs = append(k.jobs, &j)
	}
	k.publish()
	return k, nil
}

const (
	tickEvery   = time.Second           // how often jobs are looked at though nothing is known to have happened
	lookEvery   = 50 * time.Millisecond // how far apart looks are that changes of sessions bring
	saveTimeout = 10 * time.Second      // of one write
	askTimeout  = time.Minute           // of one request
	orphanEvery = 10 * time.Second      // how often sessions are looked for that no job knows
	originHead  = "pipeline/"           // begins the origin of every session of a job
)

// Run decides until ctx ends. Sessions and services go on.
func (k *Keeper) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer close(k.ended)
	defer k.working.Wait()
	defer cancel()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		var changed <-chan struct{}
		if k.live() {
			changed = k.Sessions.Changed() // asked before the look: what changes after it wakes us
		}
		k.pass(ctx, clock())
		select {
		case <-ctx.Done():
			return
		case do := <-k.requests:
			do(ctx)
		case do := <-k.results:
			do(ctx)
		case <-tick.C:
		case <-changed:
			select { // sessions may change often
			case <-time.After(lookEvery):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (k *Keeper) live() bool {
	return slices.ContainsFunc(k.jobs, func(j *pipeline.Job) bool { return !j.Status.Ended() })
}

// ask has the loop do something, and waits until it is done.
func (k *Keeper) ask(ctx context.Context, do func(ctx context.Context) error) error {
	answer := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case k.requests <- func(context.Context) { answer <- do(ctx) }:
	case <-k.ended:
		return fmt.Errorf("%w: the appliance stops", sessions.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", sessions.ErrUnavailable, context.Cause(ctx))
	}
	return <-answer
}

// do has something done beside the loop, once at a time for each key. What it returns is called by the loop.
func (k *Keeper) do(ctx context.Context, key string, errand func(ctx context.Context, stop <-chan struct{}) func(ctx context.Context)) {
	if k.busy[key] != nil {
		return
	}
	w := &work{stop: make(chan struct{})}
	k.busy[key] = w
	k.working.Go(func() {
		then := errand(ctx, w.stop)
		select {
		case k.results <- func(ctx context.Context) {
			delete(k.busy, key)
			if then != nil {
				then(ctx)
			}
		}:
		case <-ctx.Done(): // the next daemon finds out again
		}
	})
}

// pass looks at everything once.
func (k *Keeper) pass(ctx context.Context, now time.Time) {
	var all map[string]sessions.Session
	for _, j := range slices.Clone(k.jobs) { // one that ends has old ones removed
		if j.Status.Ended() {
			k.notify(ctx, j, now)
			continue
		}
		if all == nil {
			all = k.sessionsByID()
		}
		k.look(ctx, j, all, now)
	}
	k.schedule(ctx, now) // after it is known which jobs have ended meanwhile
	if now.Sub(k.looked).Abs() >= orphanEvery {
		k.looked = now
		k.orphans(ctx)
		k.unwanted = slices.DeleteFunc(k.unwanted, func(id string) bool {
			saving, cancel := context.WithTimeout(ctx, saveTimeout)
			defer cancel()
			return k.Store.DeleteJob(saving, id) == nil
		})
	}
	k.sweeps(ctx)
}

// sessionsByID are the sessions of people, by id.
func (k *Keeper) sessionsByID() map[string]sessions.Session {
	out := map[string]sessions.Session{}
	for _, s := range k.Sessions.Sessions("", sessions.SessionFilter{}) { // newest first
		if s.Personal() {
			out[s.ID] = s
		}
	}
	return out
}

// look decides one job, writes down how it stands, and has done what is to be done. What could not be written down is not
// done: the next look comes to the same.
func (k *Keeper) look(ctx context.Context, j *pipeline.Job, all map[string]sessions.Session, now time.Time) {
	seen := map[string]pipeline.Seen{}
	for _, p := range j.Steps {
		if p.Status != pipeline.StepRunning {
			continue
		}
		if outcome, is := k.outcomes[j.ID+"/"+p.Key]; is {
			seen[p.Key] = outcome
		} else if p.Session != "" {
			seen[p.Key] = see(all, p.Session)
		}
	}
	state, actions := pipeline.Decide(j, seen, k.before(j), now)
	if state.Status.Ended() && !j.Status.Ended() {
		ended := *j
		ended.State = state
		state.Notices = pipeline.Notices(&ended, k.endedBefore(j))
	}
	for _, a := range actions {
		step, _ := j.Plan.Step(a.Key)
		if p := state.Of(a.Key); a.Kind == pipeline.ActionStart && step.Serve != nil && p.Rollout == nil {
			p.Rollout = &pipeline.Rollout{Phase: pipeline.PhaseCopy}
		}
	}
	if err := k.save(ctx, j, state); err != nil {
		k.complain(ctx, j.ID, "how a job stands could not be written down; it will be tried again", err, "job", j.Name())
		return
	}
	for i := range j.Steps {
		if p := &j.Steps[i]; p.Status.Ended() {
			delete(k.outcomes, j.ID+"/"+p.Key)
		}
	}
	for _, a := range actions {
		k.act(ctx, j, a)
	}
	k.rollOuts(ctx, j)
	if j.Status.Ended() {
		k.Log.InfoContext(ctx, "job ended", "job", j.Name(), "status", j.Status, "reason", j.Reason)
		k.retire(ctx, j.Project, j.Pipeline)
	}
}

// see is how a session stands.
func see(all map[string]sessions.Session, id string) pipeline.Seen {
	s, there := all[id]
	switch {
	case !there:
		return pipeline.Seen{Ended: true, Reason: "its session " + id + " is not there any more; how it ended is not known"}
	case s.Alive() && s.Status == sessions.StatusRunning:
		return pipeline.Seen{Reason: "its session " + s.Name + " runs"}
	case s.Alive() && len(s.Waits) > 0:
		return pipeline.Seen{Reason: "in the queue: " + s.Waits[0].Sentence}
	case s.Alive():
		return pipeline.Seen{Reason: "its session " + s.Name + " is " + string(s.Status)}
	}
	seen := pipeline.Seen{Ended: true, Well: s.Result == sessions.ResultSuccess, Undone: s.Result == sessions.ResultUndefined, Reason: s.Reason}
	if s.Exit != nil {
		seen.Reason, seen.Code = s.Exit.Message, new(s.Exit.Code)
		if seen.Undone {
			seen.Reason = s.Reason
		}
	}
	return seen
}

// before is the job that another one waits for: an earlier one of its pipeline that has not ended.
func (k *Keeper) before(j *pipeline.Job) string {
	if j.Status != pipeline.StatusQueued || j.DueAt.IsZero() {
		return ""
	}
	for _, other := range k.jobs {
		if other != j && other.Project == j.Project && other.Pipeline == j.Pipeline && other.Number < j.Number && !other.Status.Ended() && !other.DueAt.IsZero() {
			return other.Name()
		}
	}
	return ""
}

// endedBefore is how the job before another one of its pipeline ended; "": there was none. Those that were cancelled do not
// count.
func (k *Keeper) endedBefore(j *pipeline.Job) pipeline.Status {
	for _, other := range slices.Backward(k.jobs) {
		if other.Project == j.Project && other.Pipeline == j.Pipeline && other.Number < j.Number &&
			(other.Status == pipeline.StatusSucceeded || other.Status == pipeline.StatusFailed) {
			return other.Status
		}
	}
	return ""
}

// save writes down how a job stands, where that is another than before.
func (k *Keeper) save(ctx context.Context, j *pipeline.Job, state pipeline.State) error {
	if reflect.DeepEqual(j.State, state) {
		return nil
	}
	saving, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := k.Store.SaveJob(saving, j.ID, state); err != nil {
		return err
	}
	delete(k.said, j.ID)
	j.State = state
	k.publish()
	return nil
}

// complain says once in the log what fails again and again.
func (k *Keeper) complain(ctx context.Context, about, message string, err error, args ...any) {
	if ctx.Err() != nil || k.said[about] == err.Error() {
		return
	}
	k.said[about] = err.Error()
	k.Log.ErrorContext(ctx, message, append(args, "error", err)...)
}

// edit changes how a job stands, in the loop.
func (k *Keeper) edit(ctx context.Context, id string, change func(j *pipeline.Job, s *pipeline.State)) error {
	j := k.byID(id)
	if j == nil {
		return fmt.Errorf("job %s %w", id, pipeline.ErrNotFound)
	}
	state := j.Clone()
	change(j, &state)
	return k.save(ctx, j, state)
}

func (k *Keeper) byID(id string) *pipeline.Job {
	i := slices.IndexFunc(k.jobs, func(j *pipeline.Job) bool { return j.ID == id })
	if i < 0 {
		return nil
	}
	return k.jobs[i]
}

// act has an action done.
func (k *Keeper) act(ctx context.Context, j *pipeline.Job, a pipeline.Action) {
	step, _ := j.Plan.Step(a.Key)
	p := j.Of(a.Key)
	switch {
	case a.Kind == pipeline.ActionStart && step.Run != nil:
		k.begin(ctx, j, step)
	case a.Kind == pipeline.ActionStop && p.Session != "":
		err := k.Sessions.TerminateSession(ctx, j.Project, p.Session, "its job, which was cancelled by "+j.CancelledBy, false)
		if err != nil && !errors.Is(err, sessions.ErrForbidden) && !errors.Is(err, sessions.ErrNotFound) {
			k.complain(ctx, j.ID+"/"+a.Key, "a session of a cancelled job could not be ended; it will be tried again", err, "job", j.Name())
		}
	case a.Kind == pipeline.ActionStop:
		if w := k.busy[j.ID+"/"+a.Key]; w != nil && !w.stopping {
			w.stopping = true
			close(w.stop)
		}
	}
}

// orphans ends sessions that were made for a step which does not know them: its job was cancelled, or removed, just then.
func (k *Keeper) orphans(ctx context.Context) {
	for _, s := range k.Sessions.Sessions("", sessions.SessionFilter{Live: true}) {
		words := strings.Split(s.Task.Origin, "/")
		if s.IsSub() || !strings.HasPrefix(s.Task.Origin, originHead) || len(words) != 4 || k.busy[words[1]+"/"+words[2]] != nil {
			continue
		}
		if j := k.byID(words[1]); j != nil {
			p := j.Of(words[2])
			if p != nil && p.Status == pipeline.StepRunning && (p.Session == s.ID || p.Session == "" && s.Task.Origin == origin(j, p)) {
				continue
			}
		}
		if err := k.Sessions.TerminateSession(ctx, s.Project, s.ID, "the appliance: no job knows it", false); err == nil {
			k.Log.WarnContext(ctx, "a session of a job that does not know it was ended", "session", s.ID, "origin", s.Task.Origin)
		}
	}
}

// origin is what a step's session carries.
func origin(j *pipeline.Job, p *pipeline.Progress) string {
	return fmt.Sprintf("%s%s/%s/%d", originHead, j.ID, p.Key, p.Attempt)
}

// publish lets others see how things stand.
func (k *Keeper) publish() {
	var s snapshot
	for _, one := range k.kept {
		s.kept = append(s.kept, *one)
	}
	slices.SortFunc(s.kept, func(a, b Kept) int { return strings.Compare(a.Project+"/"+a.Name, b.Project+"/"+b.Name) })
	for _, j := range k.jobs {
		s.jobs = append(s.jobs, *j) // states are replaced, never changed
	}
	k.mu.Lock()
	k.published = s
	k.mu.Unlock()
}
