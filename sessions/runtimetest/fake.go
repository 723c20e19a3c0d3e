package runtimetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

var (
	_ sessions.Runtime  = (*Fake)(nil)
	_ sessions.Observer = (*Fake)(nil)
	_ sessions.Dialer   = (*Fake)(nil)
)

// Fake is a runtime whose instances live in memory and do what a test tells them to. It stands for the
// box, not for the daemon: a test that "restarts the daemon" goes on with the same Fake, and finds in
// List what ran. It starts no goroutine and knows no time but that of package time, so it works inside
// a testing/synctest bubble.
//
// Unless told otherwise an instance starts at once, runs until it is stopped, ends at once on SIGTERM
// and has an address of its own. Programs (see Argv) make it do more. All methods are safe for
// concurrent use; what is set applies to starts and pulls that come later.
type Fake struct {
	mu        sync.Mutex
	instances map[string]*fakeInstance
	started   []sessions.Spec
	pulls     []string
	nextPID   int
	nextAddr  int

	pull    func(image string) PullResult
	onStart func(sessions.Spec) error
	behave  func(sessions.Spec) Behaviour
	images  map[string]Behaviour
	ids     map[string]Behaviour
	onExec  func(id string, cmd sessions.ExecSpec) (sessions.Exit, error)
	onDial  func(id string, port int) (net.Conn, error)
	alone   error
}

// PullResult is how a pull goes.
type PullResult struct {
	Delay    time.Duration
	Progress []sessions.Progress // told one after another, spread over Delay
	Err      error
}

// Behaviour is how one instance behaves. The zero value runs until it is stopped.
type Behaviour struct {
	StartDelay time.Duration
	StartErr   error // Start returns it; nothing is left

	ExitAfter  time.Duration  // after the start; 0: not by itself, unless Exit is set
	Exit       *sessions.Exit // how it ends by itself; nil with ExitAfter: completed
	IgnoreTerm bool           // only SIGKILL ends it
	TermDelay  time.Duration  // from SIGTERM to its end
	TermExit   *sessions.Exit // how SIGTERM ends it; nil: stopped, 143
	TermLog    []string       // what it writes on SIGTERM

	Address string // "": one of its own
	Log     []string
	Stats   sessions.Stats
}

// NewFake returns a Fake without instances.
func NewFake() *Fake {
	return &Fake{
		instances: map[string]*fakeInstance{},
		images:    map[string]Behaviour{},
		ids:       map[string]Behaviour{},
		nextPID:   1000,
	}
}

// OnPull says how pulls go. fn may be called by several goroutines.
func (f *Fake) OnPull(fn func(image string) PullResult) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pull = fn
}

// OnStart is asked before an instance starts; its error is Start's.
func (f *Fake) OnStart(fn func(sessions.Spec) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onStart = fn
}

// Behave says how instances behave that ForSession and ForImage say nothing about.
func (f *Fake) Behave(fn func(sessions.Spec) Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = fn
}

// ForImage says how instances of image behave that ForSession says nothing about.
func (f *Fake) ForImage(image string, b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images[image] = b
}

// ForSession says how the instance id behaves.
func (f *Fake) ForSession(id string, b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids[id] = b
}

// OnExec answers Exec. Without it every command completes at once.
func (f *Fake) OnExec(fn func(id string, cmd sessions.ExecSpec) (sessions.Exit, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onExec = fn
}

// OnDial answers Dial. Without it nobody listens anywhere.
func (f *Fake) OnDial(fn func(id string, port int) (net.Conn, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onDial = fn
}

// NoClusters says why sessions cannot have several containers; nil: they can.
func (f *Fake) NoClusters(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alone = why
}

// CheckCluster implements sessions.ClusterChecker.
func (f *Fake) CheckCluster(string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alone
}

// Exit ends the running instance id, as if by itself. It panics when there is none: the test is wrong.
func (f *Fake) Exit(id string, e sessions.Exit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.must(id).end(e)
}

// Print writes a line to the log of id.
func (f *Fake) Print(id, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.must(id).log.write(line + "\n")
}

// SetAddress changes the address that List tells of id.
func (f *Fake) SetAddress(id, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.must(id).Address = address
}

// SetStats changes what Stats tells of id.
func (f *Fake) SetStats(id string, s sessions.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.must(id).stats = s
}

// Vanish makes the runtime forget id, running or not, as when somebody removed it by hand.
func (f *Fake) Vanish(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.must(id)
	in.end(sessions.Exit{Reason: sessions.ExitUnknown, Code: -1, Message: "The instance has vanished."})
	delete(f.instances, id)
}

// Reboot ends everything that runs, as a restart of the box does: nobody knows how.
func (f *Fake) Reboot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.instances {
		if in.Running {
			in.end(sessions.Exit{Reason: sessions.ExitUnknown, Code: -1, Message: "The box was restarted while it ran."})
		}
	}
}

// Started returns the specs of all starts that came through, in their order, removed ones too.
func (f *Fake) Started() []sessions.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.started)
}

// Pulled returns the images of all pulls, in the order in which they were asked for.
func (f *Fake) Pulled() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pulls)
}

// Running returns the ids of what runs, sorted.
func (f *Fake) Running() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for id, in := range f.instances {
		if in.Running {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (f *Fake) must(id string) *fakeInstance {
	in, err := f.instance(id)
	if err != nil {
		panic(fmt.Sprintf("runtimetest: fake: %v", err))
	}
	return in
}

// instance needs f.mu. What is still starting is not there yet.
func (f *Fake) instance(id string) (*fakeInstance, error) {
	if in := f.instances[id]; in != nil && !in.starting {
		return in, nil
	}
	return nil, fmt.Errorf("%s: %w", id, sessions.ErrNoInstance)
}

// Pull implements sessions.Runtime.
func (f *Fake) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	f.mu.Lock()
	f.pulls = append(f.pulls, image)
	var r PullResult
	if f.pull != nil {
		fn := f.pull
		f.mu.Unlock()
		r = fn(image)
		f.mu.Lock()
	}
	f.mu.Unlock()
	step := r.Delay / time.Duration(len(r.Progress)+1)
	for _, p := range r.Progress {
		if err := sleep(ctx, step); err != nil {
			return fmt.Errorf("pulling %s: %w", image, err)
		}
		if progress != nil {
			progress(p)
		}
	}
	if err := sleep(ctx, step); err != nil {
		return fmt.Errorf("pulling %s: %w", image, err)
	}
	if r.Err != nil {
		return fmt.Errorf("pulling %s: %w", image, r.Err)
	}
	return nil
}

// Start implements sessions.Runtime.
func (f *Fake) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	in, b, err := f.reserve(spec)
	if err != nil {
		return sessions.Instance{}, fmt.Errorf("starting %s: %w", spec.ID, err)
	}
	err = sleep(ctx, b.StartDelay)
	if err == nil {
		err = b.StartErr
	}
	f.mu.Lock()
	onStart := f.onStart
	f.mu.Unlock()
	if err == nil && onStart != nil {
		err = onStart(spec)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		delete(f.instances, spec.ID)
		return sessions.Instance{}, fmt.Errorf("starting %s: %w", spec.ID, err)
	}
	in.begin(f, b)
	f.started = append(f.started, spec)
	return in.view(), nil
}

// reserve takes the id, so that of two starts at once only one comes through.
func (f *Fake) reserve(spec sessions.Spec) (*fakeInstance, Behaviour, error) {
	f.mu.Lock()
	behave := f.behave
	f.mu.Unlock()
	var b Behaviour
	if behave != nil {
		b = behave(spec)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.instances[spec.ID] != nil {
		return nil, b, sessions.ErrInstanceExists
	}
	if len(spec.Processes) == 0 {
		return nil, b, errors.New("the spec has no process")
	}
	if of, ok := f.images[spec.Image]; ok {
		b = of
	}
	if of, ok := f.ids[spec.ID]; ok {
		b = of
	}
	b = program(spec, b)
	f.nextPID++
	f.nextAddr++
	in := &fakeInstance{starting: true, done: make(chan struct{}), log: newFakeLog(), stats: b.Stats, b: b}
	in.ID, in.PID, in.Labels = spec.ID, f.nextPID, maps.Clone(spec.Labels)
	in.Address = cmp.Or(b.Address, fmt.Sprintf("10.77.%d.%d", f.nextAddr/250, f.nextAddr%250+2))
	f.instances[spec.ID] = in
	return in, b, nil
}

// Wait implements sessions.Runtime.
func (f *Fake) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	f.mu.Lock()
	in, err := f.instance(id)
	f.mu.Unlock()
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("waiting for %w", err)
	}
	select {
	case <-in.done:
	default:
		select {
		case <-in.done:
		case <-ctx.Done():
			return sessions.Exit{}, fmt.Errorf("waiting for %s: %w", id, ctx.Err())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return *in.Exit, nil
}

// Stop implements sessions.Runtime.
func (f *Fake) Stop(ctx context.Context, id string, grace time.Duration) error {
	f.mu.Lock()
	in, err := f.instance(id)
	if err == nil && in.Running && !in.termed {
		in.term(f)
	}
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("stopping %w", err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-in.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	in.end(sessions.Exit{Reason: sessions.ExitKilled, Code: 137, Signal: "SIGKILL", Message: "It did not end within the grace."})
	return nil
}

// Remove implements sessions.Runtime.
func (f *Fake) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.instances[id]
	if in == nil {
		return nil
	}
	if in.Running || in.starting {
		return fmt.Errorf("removing %s: it runs: stop it first", id)
	}
	delete(f.instances, id)
	return nil
}

// List implements sessions.Runtime; sorted by id.
func (f *Fake) List(context.Context) ([]sessions.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []sessions.Instance
	for _, in := range f.instances {
		if !in.starting {
			list = append(list, in.view())
		}
	}
	slices.SortFunc(list, func(a, b sessions.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// sleep returns after d, or with ctx's error when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
