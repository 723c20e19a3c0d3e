package install

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Manager keeps installs and models. Each install that runs has one carrier, a goroutine, which alone writes its row; models are
// written under their own lock. Whoever asks is answered from memory.
type Manager struct {
	Around
	metrics *metrics
	started chan struct{}   // closed when Run has begun
	ctx     context.Context // of Run
	work    sync.WaitGroup

	writing sync.Mutex // one change of models at a time; taken before mu

	mu      sync.Mutex
	jobs    map[string]*job   // by id
	models  map[string]*Model // by id; a model is replaced, never changed
	changed chan struct{}     // closed at the next change
}

// job is an install, and its carrier where it has one.
type job struct {
	Install
	transfer Transfer // of the step that is under way; not kept
	cancel   context.CancelCauseFunc
	ended    chan struct{} // closed when the carrier has ended; nil: it has none
}

// cancelled is the cause of a carrier's end when somebody wished it.
type cancelled struct{ by string }

func (c cancelled) Error() string { return "cancelled by " + c.by }

// New reads what is kept. Run it.
func New(ctx context.Context, a Around) (*Manager, error) {
	a.Settings.Keep = cmp.Or(a.Settings.Keep, 7*24*time.Hour)
	a.Settings.Patience = cmp.Or(a.Settings.Patience, 30*time.Minute)
	m := &Manager{Around: a, metrics: newMetrics(a.Registry), started: make(chan struct{}), jobs: map[string]*job{}, models: map[string]*Model{}, changed: make(chan struct{})}
	installs, err := a.Store.Installs(ctx)
	if err != nil {
		return nil, err
	}
	for _, in := range installs {
		m.jobs[in.ID] = &job{Install: in}
	}
	models, err := a.Store.Models(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range models {
		m.models[one.ID] = &one
	}
	m.metrics.set(m.jobs, m.models)
	return m, nil
}

// How long things may take, and how often they are looked at.
const (
	saveTimeout = 10 * time.Second
	sweepEvery  = 6 * time.Hour
	tellEvery   = 200 * time.Millisecond // between two words of a download
	keptJobs    = 200                    // installs that have ended and are remembered
)

// Run carries installs on until ctx ends, those of an earlier daemon first. What is under way then is gone on with by the next.
func (m *Manager) Run(ctx context.Context) {
	m.mu.Lock()
	m.ctx = ctx
	close(m.started)
	for _, j := range m.jobs {
		if j.Status == Running {
			m.launch(j)
		}
	}
	m.mu.Unlock()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.work.Wait()
			return
		case <-tick.C:
			if freed, err := m.Sweep(ctx, m.Settings.Keep); err != nil {
				m.Log.WarnContext(ctx, "bytes that no model has were not deleted; it is tried again", "error", err)
			} else if freed > 0 {
				m.Log.InfoContext(ctx, "deleted bytes that no model has", "bytes", freed)
			}
		}
	}
}

// launch gives a job its carrier. The caller holds mu.
func (m *Manager) launch(j *job) {
	ctx, cancel := context.WithCancelCause(m.ctx)
	j.cancel, j.ended = cancel, make(chan struct{})
	m.work.Go(func() {
		defer close(j.ended)
		defer cancel(nil)
		m.carry(ctx, j)
	})
}

// Changed is closed at the next change of any install or model.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// tell wakes who watches. The caller holds mu.
func (m *Manager) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// View is an install as people see it.
type View struct {
	Install
	Transfer Transfer // of the step that is under way
}

func (j *job) view() View { return View{j.Install, j.transfer} }

// Installs of a project ("" for all), newest first.
func (m *Manager) Installs(project string) []View {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []View{}
	for _, j := range m.jobs {
		if project == "" || j.Project == project {
			out = append(out, j.view())
		}
	}
	slices.SortFunc(out, func(a, b View) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Install finds one by its id, or the newest of a model by the model's name. ErrNotFound.
func (m *Manager) Install(project, ref string) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.find(project, ref); j != nil {
		return j.view(), nil
	}
	return View{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no install %q", short(ref)), hint: "palisade model installs shows those that there are"}
}

// find is Install for who holds mu.
func (m *Manager) find(project, ref string) *job {
	if j := m.jobs[ref]; j != nil && (project == "" || j.Project == project) {
		return j
	}
	return m.newest(project, ref)
}

func (m *Manager) newest(project, model string) (found *job) {
	for _, j := range m.jobs {
		if j.Model == model && (project == "" || j.Project == project) && (found == nil || later(j, found)) {
			found = j
		}
	}
	return found
}

func later(a, b *job) bool {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) > 0
}

// Begin records a wish and has it carried on. One for the same that is under way is joined: joined tells so. One that failed or
// was cancelled is gone on with. ErrInvalid; ErrConflict where another wish for the model is under way; ErrNotFound, ErrLicense,
// ErrExists: what can be known at once.
func (m *Manager) Begin(ctx context.Context, project, by string, w Wish) (v View, joined bool, err error) {
	name, entry, err := m.check(ctx, w)
	if err != nil {
		return View{}, false, err
	}
	if v, joined, err = m.join(project, name, w); joined || err != nil {
		return v, joined, err
	}
	if entry != nil {
		if err := licensed(entry.Recipe, w); err != nil {
			return View{}, false, err
		}
	}
	if err := m.nameIsFree(project, name, w); err != nil {
		return View{}, false, err
	}
	select {
	case <-m.started:
	case <-ctx.Done():
		return View{}, false, context.Cause(ctx)
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if v, joined, err = m.join(project, name, w); joined || err != nil { // somebody may have been quicker
		return v, joined, err
	}
	in := Install{ID: newID("ins"), Project: project, Model: name, CreatedBy: by, CreatedAt: clock(), Wish: w}
	m.mu.Lock()
	if before := m.newest(project, name); before != nil && before.Status != Done && before.Wish.Kind == w.Kind {
		in.ID, in.CreatedAt, in.State = before.ID, before.CreatedAt, before.State // gone on with
	}
	m.mu.Unlock()
	in.State = in.begin(w)
	writing, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := m.Store.SaveInstall(writing, in); err != nil {
		return View{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil { // the next daemon begins with it
		return View{}, false, fmt.Errorf("%w: the install goes on when it is back", ErrStopped)
	}
	j := &job{Install: in}
	m.jobs[in.ID] = j
	m.forget(ctx)
	m.launch(j)
	m.tell()
	return j.view(), false, nil
}

// join finds an install of the model that is under way: the same wish is joined, another has to wait.
func (m *Manager) join(project, name string, w Wish) (View, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.newest(project, name)
	if j == nil || j.Status.Ended() {
		return View{}, false, nil
	}
	if sameWish(j.Wish, w) {
		return j.view(), true, nil
	}
	return View{}, false, &fault{
		kind: ErrConflict, message: fmt.Sprintf("model %s is being changed already: %s, begun by %s, is at %s", name, j.Wish.Kind, j.CreatedBy, cmp.Or(string(j.Step()), "its end")),
		hint: "wait for it (palisade model installs), or end it: palisade model cancel " + name,
	}
}

func sameWish(a, b Wish) bool {
	return a.Kind == b.Kind && a.Source == b.Source && a.Name == b.Name && a.Variant == b.Variant && slices.Equal(a.Devices, b.Devices) &&
		a.Context == b.Context && a.Concurrency == b.Concurrency && a.Replicas == b.Replicas && a.NoService == b.NoService && a.Revision == b.Revision
}

// Cancel ends an install, and removes what of it is nobody's. It returns when that is done, or ctx ends.
func (m *Manager) Cancel(ctx context.Context, project, ref, by string) (View, error) {
	m.mu.Lock()
	j := m.find(project, ref)
	if j == nil {
		m.mu.Unlock()
		return m.Install(project, ref)
	}
	if j.Status == Done || j.Status == Cancelled {
		defer m.mu.Unlock()
		return View{}, &fault{kind: ErrState, message: fmt.Sprintf("the install of %s has ended: %s", j.Model, j.Status), hint: "palisade model rm " + j.Model + " removes what came of it"}
	}
	if j.Status == Failed {
		j.Status = Running // its carrier does nothing but clean up
		m.launch(j)
	}
	j.cancel(cancelled{by})
	ended := j.ended
	m.mu.Unlock()
	select {
	case <-ended:
		return m.Install(project, j.ID)
	case <-ctx.Done():
		return View{}, context.Cause(ctx)
	}
}

// edit changes a job's state, writes it down and tells those who watch. A store that fails is asked again until ctx ends: what an
// install has done must not be forgotten.
func (m *Manager) edit(ctx context.Context, j *job, change func(*State)) error {
	m.mu.Lock()
	next := j.Install
	m.mu.Unlock()
	change(&next.State)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		err := m.Store.SaveInstall(writing, next)
		cancel()
		if err == nil {
			break
		}
		m.Log.WarnContext(ctx, "how an install stands could not be written down; it is tried again", "model", j.Model, "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("writing down how far it is: %w", err)
		case <-time.After(wait):
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j.Install = next
	m.metrics.set(m.jobs, m.models)
	m.tell()
	return nil
}

// note tells those who watch how far a step is; it is not kept.
func (m *Manager) note(j *job, t Transfer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j.transfer = t
	m.tell()
}

// forget drops the oldest of the installs that have ended. The caller holds mu.
func (m *Manager) forget(ctx context.Context) {
	var ended []*job
	for _, j := range m.jobs {
		if j.Status.Ended() {
			ended = append(ended, j)
		}
	}
	slices.SortFunc(ended, func(a, b *job) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for _, j := range ended[:max(0, len(ended)-keptJobs)] {
		writing, cancel := context.WithTimeout(ctx, saveTimeout)
		err := m.Store.DeleteInstall(writing, j.ID)
		cancel()
		if err == nil {
			delete(m.jobs, j.ID)
		}
	}
}

// check says what is wrong with a wish, and how its model is called.
func (m *Manager) check(ctx context.Context, w Wish) (name string, entry *recipe.Entry, err error) {
	if strings.TrimSpace(w.Source) == "" {
		return "", nil, &fault{kind: ErrInvalid, message: "no recipe is named", hint: "palisade catalog list shows what there is"}
	}
	if w.Context < 0 || w.Concurrency < 0 || w.Replicas < 0 || w.Revision < 0 {
		return "", nil, &fault{kind: ErrInvalid, message: "context, concurrency and replicas are 1 or more"}
	}
	name = w.Name
	if w.Kind == KindRollback {
		return name, nil, nil
	}
	if fetch.IsRef(w.Source) {
		ref, err := fetch.ParseRef(w.Source)
		if err != nil {
			return "", nil, err
		}
		name = cmp.Or(name, nameOf(ref))
	} else {
		found, err := m.Recipes.Find(ctx, w.Source)
		if err != nil {
			return "", nil, err
		}
		entry, name = &found, cmp.Or(name, found.Name)
		if _, is := found.Variant(w.Variant); w.Variant != "" && !is {
			return "", nil, noVariant(found.Recipe, w.Variant)
		}
	}
	if err := folders.CheckName(name + "-r1"); err != nil || len(name) > 56 {
		return "", nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("%q cannot be the name of a model", short(name)), hint: "give it another: --name"}
	}
	return name, entry, nil
}

// nameIsFree refuses a model whose service's name is somebody else's.
func (m *Manager) nameIsFree(project, name string, w Wish) error {
	if w.NoService {
		return nil
	}
	there, err := m.Services.Service(project, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if model, err := m.Model(project, name); err == nil && (model.Service == there.ID || model.has(there.Folder)) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.newest(project, name); j != nil && (j.Service == there.ID || j.Folder != "" && j.Folder == there.Folder) {
		return nil
	}
	return &fault{kind: ErrExists, message: fmt.Sprintf("there is a service %s already, which no install has made", name), hint: "give the model another name: --name; or install the files alone: --no-service"}
}

func newID(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:12]) }

// clock is the time as it is kept.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
