package calibrate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measurement is one on its way. Its goroutine alone writes it.
type measurement struct {
	keeper *Keeper
	run    *run
	engine *engine
	begun  time.Time
	level  time.Duration // that one number of requests at once is looked at

	out    Calibration
	words  int     // of each prompt
	tokens int     // that each request makes
	pieces float64 // tokens in each piece of a stream
}

var (
	errTimeOver = errors.New("its time is over")
	errUsers    = errors.New("users came")
	errLevel    = errors.New("enough was seen")
)

// Parts of the budget, and how often it is looked whether users came.
const (
	levelPart    = 12 // of it for each number of requests at once
	prefillPart  = 5  // of it for prompts
	patiencePart = 3  // of it for users to be done, at the beginning
	leastLevel   = 250 * time.Millisecond
	mostLevel    = 10 * time.Second
	lookEvery    = 50 * time.Millisecond
	quietFor     = 300 * time.Millisecond
)

// measure does one measurement. In order:
//  1. A route is found, and nobody is to ask the service, unless it is forced.
//  2. The engine is asked once, which finds its API and has it warm.
//  3. Prompts of growing length tell how fast it reads.
//  4. One, two, four, ... requests at once tell how fast it answers, and where more of them only wait: see Next.
//
// What was measured before its time was over counts; with nothing measured it has failed.
func (k *Keeper) measure(ctx context.Context, r *run) (Calibration, error) {
	t, err := k.World.Target(ctx, r.wish.ServiceID)
	if err != nil {
		return Calibration{}, err
	}
	m := &measurement{keeper: k, run: r, begun: time.Now(), pieces: 1, engine: newEngine(k.Client, t)}
	defer m.engine.close()
	m.level = min(max(r.wish.Budget/levelPart, leastLevel), mostLevel)
	m.out = Calibration{
		ID: r.id, ServiceID: t.ServiceID, Service: t.Service, Project: t.Project, Revision: t.Revision, Route: t.Route,
		Image: t.Image, Folder: t.Folder, Variant: t.Variant, Device: t.Device, By: r.wish.By, Forced: r.wish.Force,
		Load: t.Load, Weights: t.Weights, Claimed: t.Claimed, Points: []Point{},
	}
	ctx, cancel := context.WithDeadlineCause(ctx, m.begun.Add(r.wish.Budget), errTimeOver)
	defer cancel()
	if err := m.all(ctx); err != nil && (!errors.Is(err, errTimeOver) || len(m.out.Points) == 0) {
		return Calibration{}, m.why(err)
	}
	m.out.API = m.engine.api
	m.out.Knee = FindKnee(m.out.Points)
	m.out.Decode = m.out.Alone().Each
	if m.engine.api == APIEmbeddings {
		m.out.Decode = 0
	}
	m.out.At = time.Now().UTC()
	m.out.Took = time.Since(m.begun)
	return m.out, nil
}

// why says what came in between, where it was not the engine.
func (m *measurement) why(err error) error {
	switch {
	case errors.Is(err, errTimeOver) && m.out.Disturbed > 0:
		return busy(fmt.Sprintf("its users came %d times while it was measured", m.out.Disturbed))
	case errors.Is(err, errTimeOver):
		return &hinted{fmt.Errorf("no request was answered within %v: %w", m.run.wish.Budget, ErrNotReady), "give it more time: --for 5m; and see what its engine says: palisade service logs"}
	}
	return err
}

func (m *measurement) all(ctx context.Context) error {
	if err := m.patience(ctx); err != nil {
		return err
	}
	m.tell("asking the engine for the first time")
	if err := m.alone(ctx, m.engine.findAPI); err != nil {
		return err
	}
	m.weigh(ctx)
	if err := m.prefill(ctx); err != nil {
		return err
	}
	if err := m.alone(ctx, m.pace); err != nil {
		return err
	}
	return m.ladder(ctx)
}

// patience waits until nobody asks, for a part of the budget.
func (m *measurement) patience(ctx context.Context) error {
	if m.run.wish.Force {
		return nil
	}
	m.tell("waiting until nobody asks it")
	ctx, cancel := context.WithTimeoutCause(ctx, m.run.wish.Budget/patiencePart, errUsers)
	defer cancel()
	if err := m.quiet(ctx); errors.Is(err, errUsers) {
		n := m.keeper.World.Asked(m.out.ServiceID)
		return busy(fmt.Sprintf("its users ask it: %d requests are in flight", n))
	} else if err != nil {
		return err
	}
	return nil
}

// busy is the error of a service whose users come first.
func busy(what string) error {
	return &hinted{fmt.Errorf("%s: %w", what, ErrBusy), "try again when it is quiet; or measure all the same, which slows them and is less exact: --force"}
}

// quiet returns when nobody has asked for a moment.
func (m *measurement) quiet(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	since := time.Now()
	for {
		if m.keeper.World.Asked(m.out.ServiceID) > 0 {
			since = time.Now()
		} else if time.Since(since) >= quietFor {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// alone does something while no user asks: it is broken off when one comes, and done again when they have gone.
func (m *measurement) alone(ctx context.Context, do func(context.Context) error) error {
	if m.run.wish.Force {
		if m.keeper.World.Asked(m.out.ServiceID) > 0 {
			m.out.Disturbed++
		}
		return do(ctx)
	}
	for {
		own, cancel := context.WithCancelCause(ctx)
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			m.watch(own, cancel)
		}()
		err := do(own)
		came := errors.Is(context.Cause(own), errUsers)
		cancel(nil)
		<-watching
		if !came {
			return err
		}
		m.out.Disturbed++
		m.tell("users came: waiting until they are done")
		if err := m.quiet(ctx); err != nil {
			return err
		}
	}
}

// watch ends ctx when a user asks.
func (m *measurement) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m.keeper.World.Asked(m.out.ServiceID) > 0 {
				cancel(errUsers)
				return
			}
		}
	}
}

// weigh takes a look at the memory that is held.
func (m *measurement) weigh(ctx context.Context) {
	device, box := m.keeper.World.Memory(ctx, m.out.Route)
	m.out.DeviceMemory, m.out.Memory = max(m.out.DeviceMemory, device), max(m.out.Memory, box)
}

func (m *measurement) tell(doing string) { m.keeper.tell(m.run, m.begun, doing) }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint says what to do.
func (h *hinted) Hint() string { return h.hint }
