package calibrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Target is a route to be measured.
type Target struct {
	ServiceID, Service, Project string
	Revision                    int
	Image, Folder, Variant      string
	Route                       string
	URL                         string // http://host:port of its engine
	Model                       string // what its engine calls the model
	Device                      string
	Load                        time.Duration // 0: not known
	Weights                     int64         // bytes; 0: not known
	Claimed                     int64         // bytes of devices; 0: none
}

// World is what must be known of services. The daemon has it.
type World interface {
	// Target finds a healthy route. ErrNotFound where there is no such service, ErrNotReady with why where no route answers.
	Target(ctx context.Context, serviceID string) (Target, error)
	// Asked is how many requests of users a service has now: those that wait too.
	Asked(serviceID string) int
	// Memory is how many bytes a route holds now, of its devices and of the box; 0 where that is not known.
	Memory(ctx context.Context, route string) (device, box int64)
}

// Store keeps calibrations.
type Store interface {
	// SaveCalibration keeps one in the place of the one before of its service, revision and device. Of all, the newest
	// CalibrationsKept stay.
	SaveCalibration(ctx context.Context, c Calibration) error
	// Calibrations returns all that are kept, oldest first.
	Calibrations(ctx context.Context) ([]Calibration, error)
}

// CalibrationsKept is how many are kept in all.
const CalibrationsKept = 2000

// Around is what a Keeper has to do with.
type Around struct {
	World  World
	Store  Store
	Client *http.Client // what engines are asked with: see NewClient
	Log    *slog.Logger
}

// Keeper measures services, one after the other: two at once on one box would measure each other. Its loop alone does it;
// whoever asks is answered from what it knew last.
type Keeper struct {
	Around
	queue chan *run

	mu     sync.Mutex
	runs   map[string]*run // by service: waiting or going on
	failed map[string]Failure
	kept   map[key]Calibration
	ended  bool
}

// key is of what there is one calibration.
type key struct {
	service  string
	revision int
	device   string
}

func (c *Calibration) key() key { return key{c.ServiceID, c.Revision, c.Device} }

// run is one measurement on its way.
type run struct {
	id     string
	wish   Wish
	cancel context.CancelCauseFunc // ends it
	ctx    context.Context         // it lives as long as what was asked for, not as long as who asked
	done   chan struct{}           // closed at its end; then the following stand
	result Calibration
	err    error

	now Progress // guarded by the keeper's mu
}

// queued is how many services may wait to be measured.
const queued = 64

// NewKeeper reads what was measured. Run it.
func NewKeeper(ctx context.Context, a Around) (*Keeper, error) {
	k := &Keeper{Around: a, queue: make(chan *run, queued), runs: map[string]*run{}, failed: map[string]Failure{}, kept: map[key]Calibration{}}
	all, err := k.Store.Calibrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		k.kept[c.key()] = c
	}
	return k, nil
}

// Run measures what is asked for until ctx ends; what goes on then is ended, and may be asked for again.
func (k *Keeper) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			k.close()
			return
		case r := <-k.queue:
			stop := context.AfterFunc(ctx, func() { r.cancel(errStopped) })
			k.one(r)
			stop()
		}
	}
}

var (
	errStopped   = fmt.Errorf("the appliance stopped: %w", ErrEnded)
	errCancelled = fmt.Errorf("it was cancelled: %w", ErrEnded)
)

// close ends what waits.
func (k *Keeper) close() {
	k.mu.Lock()
	k.ended = true
	k.mu.Unlock()
	for {
		select {
		case r := <-k.queue:
			k.finish(r, Calibration{}, errStopped)
		default:
			return
		}
	}
}

// Begin has a service measured, and returns at once the id of the calibration: that of the one that goes on, where one
// does. ErrInvalid, ErrNotFound, ErrNotReady and ErrBusy tell why it is not begun.
func (k *Keeper) Begin(ctx context.Context, w Wish) (id string, err error) {
	r, err := k.begin(ctx, w)
	if err != nil {
		return "", err
	}
	return r.id, nil
}

func (k *Keeper) begin(ctx context.Context, w Wish) (*run, error) {
	if err := w.fill(); err != nil {
		return nil, err
	}
	if _, err := k.World.Target(ctx, w.ServiceID); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.runs[w.ServiceID]; r != nil {
		return r, nil
	}
	if k.ended {
		return nil, errStopped
	}
	r := &run{id: "cal-" + strings.ToLower(rand.Text()[:12]), wish: w, done: make(chan struct{}), now: Progress{Doing: "waiting for its turn", Budget: w.Budget}}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	select {
	case k.queue <- r:
	default:
		r.cancel(nil)
		return nil, fmt.Errorf("%d services wait to be measured already: %w", queued, ErrBusy)
	}
	k.runs[w.ServiceID] = r
	return r, nil
}

// fill sets what is not said, and checks the rest.
func (w *Wish) fill() error {
	if w.Budget == 0 {
		w.Budget = DefaultBudget
	}
	if w.Most == 0 {
		w.Most = DefaultMost
	}
	switch {
	case w.Budget < LeastBudget || w.Budget > MostBudget:
		return fmt.Errorf("it may take from %v to %v, not %v: %w", LeastBudget, MostBudget, w.Budget, ErrInvalid)
	case w.Most < 1 || w.Most > MostAtOnce:
		return fmt.Errorf("from 1 to %d requests at once can be tried, not %d: %w", MostAtOnce, w.Most, ErrInvalid)
	}
	return nil
}

// progressEvery is how often Do tells how far it is.
const progressEvery = 200 * time.Millisecond

// Do has a service measured and returns when that is done; progress, which may be nil, is told how far it is. Where ctx ends,
// the measurement does too, unless somebody else had begun it.
func (k *Keeper) Do(ctx context.Context, w Wish, progress func(Progress)) (Calibration, error) {
	r, err := k.begin(ctx, w)
	if err != nil {
		return Calibration{}, err
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return r.result, r.err
		case <-ctx.Done():
			if r.wish.By == w.By {
				r.cancel(context.Cause(ctx))
			}
			return Calibration{}, context.Cause(ctx)
		case <-tick.C:
			if progress != nil {
				k.mu.Lock()
				now := r.now
				k.mu.Unlock()
				progress(now)
			}
		}
	}
}

// Cancel ends what goes on of a service; false where nothing does.
func (k *Keeper) Cancel(serviceID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.runs[serviceID]
	if r != nil {
		r.cancel(errCancelled)
	}
	return r != nil
}

// Measuring tells whether a service is measured now: what its engine says of itself is not its users' doing.
func (k *Keeper) Measuring(serviceID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.runs[serviceID] != nil
}

// one does one measurement.
func (k *Keeper) one(r *run) {
	if r.ctx.Err() != nil {
		k.finish(r, Calibration{}, context.Cause(r.ctx))
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.wish.Budget+grace)
	defer cancel()
	c, err := k.measure(ctx, r)
	if err == nil {
		err = k.Store.SaveCalibration(context.WithoutCancel(ctx), c)
	}
	if cause := context.Cause(r.ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = cause
	}
	k.finish(r, c, err)
}

// grace is how much longer than its budget a measurement may take, for what cannot be cut off.
const grace = 10 * time.Second

func (k *Keeper) finish(r *run, c Calibration, err error) {
	k.mu.Lock()
	delete(k.runs, r.wish.ServiceID)
	if err != nil {
		k.failed[r.wish.ServiceID] = Failure{ID: r.id, At: time.Now().UTC(), Err: err}
	} else {
		delete(k.failed, r.wish.ServiceID)
		k.kept[c.key()] = c
	}
	r.result, r.err = c, err
	k.mu.Unlock()
	r.cancel(nil)
	close(r.done)
	if err != nil {
		k.Log.Warn("a service could not be measured", "service", r.wish.ServiceID, "error", err)
		return
	}
	k.Log.Info("measured", "service", c.Service, "device", c.Device, "tokens_per_second", c.Decode, "knee", c.Knee.At, "took", c.Took)
}

// tell says what goes on.
func (k *Keeper) tell(r *run, begun time.Time, doing string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.now = Progress{Doing: doing, Elapsed: time.Since(begun), Budget: r.wish.Budget}
}

// Standing says how measuring a service stands, and what is known of a revision of it: of the devices that it was measured on,
// the newest.
func (k *Keeper) Standing(serviceID string, revision int) Standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	var s Standing
	if r := k.runs[serviceID]; r != nil {
		s.Running, s.Now = r.id, r.now
	}
	if f, there := k.failed[serviceID]; there {
		s.Failed = &f
	}
	s.Last = k.newest(func(c *Calibration) bool { return c.ServiceID == serviceID && c.Revision == revision })
	return s
}

// Known is what was measured of a service as it is now: of the revision that is wanted, on the devices that it runs on. False
// where that was not measured, or nothing of it runs.
func (k *Keeper) Known(ctx context.Context, serviceID string) (Calibration, bool) {
	t, err := k.World.Target(ctx, serviceID)
	if err != nil {
		return Calibration{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c, known := k.kept[key{serviceID, t.Revision, t.Device}]
	return c, known
}

// newest is the newest that fits. The caller holds mu.
func (k *Keeper) newest(fits func(*Calibration) bool) *Calibration {
	var last *Calibration
	for _, c := range k.kept {
		if fits(&c) && (last == nil || c.At.After(last.At)) {
			last = &c
		}
	}
	return last
}

// Knee is how many requests at once a route of a service takes well, as was measured of that revision, else of the newest one
// that was; 0 where none was.
func (k *Keeper) Knee(serviceID string, revision int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	knows := func(c *Calibration) bool { return c.ServiceID == serviceID && c.Knee.At > 0 }
	c := k.newest(func(c *Calibration) bool { return knows(c) && c.Revision == revision })
	if c == nil {
		c = k.newest(knows)
	}
	if c == nil {
		return 0
	}
	return c.Knee.At
}

// LoadTime is how long a route of a service took to come up when it was measured last; 0 where it was not.
func (k *Keeper) LoadTime(serviceID string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.newest(func(c *Calibration) bool { return c.ServiceID == serviceID && c.Load > 0 }); c != nil {
		return c.Load
	}
	return 0
}

// All are all that are kept, in no order.
func (k *Keeper) All() []Calibration {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]Calibration, 0, len(k.kept))
	for _, c := range k.kept {
		all = append(all, c)
	}
	return all
}
