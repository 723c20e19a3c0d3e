package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// The daemon's side of a restart that nobody notices. In order:
//  1. The program at our own path looks at the settings (--check), then is started beside us with our open sockets and
//     the lock. What is wrong with it so far has disturbed nobody.
//  2. We decide nothing any more: what is counted is written, the store is closed. Requests are answered as before, by
//     the table as it is, and connections accepted; only the admin API waits.
//  3. The successor opens the store and adopts what runs. It tells us when it is ready.
//  4. It accepts, we do not any more. Requests that we are answering go on here until they end, or for restart.grace;
//     clients that keep their connections are told with their next answer that it ends. Until then the successor
//     tells us who can answer, and we tell it which routes are not idle, and leave it what was used in a file.
// Where the successor fails before 4, it is ended, we open the store again, and go on.

// restart is somebody's wish for one, and where to say what came of it.
type restart struct {
	by     string
	result chan<- restarted // of size 1
}

type restarted struct {
	api.Restarted
	err error
}

// errRestarting says that one restart is enough.
var errRestarting = fmt.Errorf("%w: the daemon is being restarted already", sessions.ErrConflict)

// restart replaces the daemon by the program that is at its path now, and returns when that one answers, or why it is
// not replaced. It is part of the admin API.
func (d *daemon) restart(ctx context.Context, by string) (api.Restarted, error) {
	if !d.busy.CompareAndSwap(false, true) {
		return api.Restarted{}, errRestarting
	}
	result := make(chan restarted, 1)
	select {
	case d.restarts <- restart{by, result}:
	case <-ctx.Done():
		d.busy.Store(false)
		return api.Restarted{}, context.Cause(ctx)
	}
	// It is not undone when whoever asked goes; and it is bounded.
	done := <-result
	return done.Restarted, done.err
}

// noRestart tells whoever asked for a restart, or is about to, that none comes any more: the appliance stops, and must not wait for
// who waits for that. It returns when the stop is over.
func (h *house) noRestart() {
	for {
		select {
		case r := <-h.restarts:
			r.result <- restarted{err: fmt.Errorf("%w: the appliance stops", sessions.ErrUnavailable)}
			h.busy.Store(false) // who asks next is told the same
		case <-h.stopped:
			return
		}
	}
}

// refused tells whoever asked that all is as it was, and everybody else who watches.
func (d *daemon) refused(r restart, err error) {
	d.Log.Error("the daemon was not replaced; it goes on as before", "error", err, "hint", adviceOf(err), "asked", r.by)
	d.unit.tell("READY=1", "STATUS=not restarted: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	r.result <- restarted{err: err}
	d.busy.Store(false)
}

// onHangup makes SIGHUP a restart, as service managers send it for a reload. Where a person's terminal is, it says that
// this one is gone, and ends the program as ever.
func (d *daemon) onHangup(ctx context.Context) (stop func()) {
	if terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0); err == nil {
		_ = terminal.Close()
		return func() {}
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-hangups:
			case <-ctx.Done():
				return
			}
			if _, err := d.restart(ctx, "SIGHUP"); errors.Is(err, errRestarting) {
				d.Log.Warn("the daemon is being restarted already")
			}
		}
	}()
	return func() { signal.Stop(hangups); cancel() }
}

// whileDeciding is a context that ends with ctx, or with cluster.ErrDeposed as its cause as soon as another box may decide.
func (d *daemon) whileDeciding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	byStore := d.store.Deposed()
	go func() {
		select {
		case <-d.deposed():
			cancel(cluster.ErrDeposed)
		case <-byStore:
			cancel(cluster.ErrDeposed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// prepareDeciding is prepare for a life that decides. It does not go on with that where it is deposed meanwhile: the next life, which
// follows, prepares the successor anew.
func (d *daemon) prepareDeciding(ctx context.Context, r restart) *successor {
	deciding, cancel := d.whileDeciding(ctx)
	defer cancel()
	return d.prepare(deciding, r)
}

// prepare starts a successor and returns it when it has only to be given the data; nil: there is none, and whoever asked
// knows why, or will hear from the next life.
func (d *daemon) prepare(ctx context.Context, r restart) *successor {
	d.Log.Info("the daemon is to be replaced", "asked", r.by, "by", strings.Join(d.Command, " "))
	d.unit.tell(reloading()...)
	s, err := d.startSuccessor(ctx)
	if err != nil && errors.Is(context.Cause(ctx), cluster.ErrDeposed) {
		d.Log.Info("another box decides by now: this one follows it first, and is replaced then")
		go func() { d.restarts <- r }() // taken by the next life, or where the appliance stops: see noRestart
		return nil
	}
	if err != nil {
		d.refused(r, err)
		return nil
	}
	return s
}

func (d *daemon) startSuccessor(ctx context.Context) (*successor, error) {
	if os.Getpid() == 1 || len(d.Command) == 0 {
		return nil, hinted{errors.New("this is process 1: all others would end with it"), "restart its container instead, or run the daemon below an init"}
	}
	if err := check(ctx, d.Command); err != nil {
		return nil, err
	}
	files, err := d.files()
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	s, err := startSuccessor(d.Command, d.lock.file, files)
	if err != nil {
		return nil, err
	}
	_ = s.line.say(message{Say: sayHello, Data: d.Config.Data, Listen: d.listen, SSH: d.shellListen, Apps: d.appListen, Activated: d.activated}) // one that has ended says so below
	ctx, cancel := d.patience(ctx)
	defer cancel()
	m, err := s.await(ctx, sayPrepared)
	if err != nil {
		s.end()
		return nil, err
	}
	s.version = m.Version
	return s, nil
}

func (d *daemon) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	long := d.Config.Restart.Patience
	return context.WithTimeoutCause(ctx, long, fmt.Errorf("not within %s (restart.patience)", long))
}

// handOver gives the data to s. It returns the life that goes on here where s could not take over; else, when all
// requests here have ended, nil.
func (d *daemon) handOver(ctx context.Context, s *successor, r restart) (*daemon, error) {
	began := time.Now()
	p := d.freeze(ctx)
	err := d.give(ctx, s)
	if err != nil {
		s.end()
		d.refused(r, err)
		var next *daemon
		switch next, s, r = d.comeBack(ctx); {
		case next != nil:
			next.remains(d)
			next.paused = p
			return next, nil
		case s == nil: // stopped meanwhile
			err := d.stop()
			d.remaining.Wait()
			d.finishCounting(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	flying := 0
	for _, n := range d.traffic.flying() {
		flying += n
	}
	done := api.Restarted{PID: s.process.Pid, Version: s.version, Before: d.Version.Version, Took: time.Since(began).Seconds(), InFlight: flying}
	d.unit.tell("READY=1", mainPID(s.process.Pid))
	d.Log.Info("another process has taken over", "process", done.PID, "version", done.Version, "took", time.Since(began), "in_flight", flying)
	r.result <- restarted{Restarted: done}
	return nil, d.linger(ctx, s, p)
}

// freeze ends all that decides and writes here. Requests go on.
func (d *daemon) freeze(ctx context.Context) *pause {
	if err := d.lean(); err != nil {
		d.Log.Warn("the local socket cannot be kept for the successor", "error", err)
	}
	p := d.halt(ctx)
	if err := d.seat.close(true); err != nil {
		d.Log.Warn("this box's place in the cluster was not left as it should", "error", err)
	}
	d.left, d.seat = d.seat, nil
	return p
}

// halt ends this life but for its requests.
func (d *daemon) halt(ctx context.Context) *pause {
	now := *d.front.rooms.Load()
	p := &pause{admin: now.admin, front: d.front, over: make(chan struct{}), moved: make(chan struct{})}
	d.front.rooms.Store(&rooms{gateway: now.gateway, admin: p, apps: p, home: p, metrics: p, console: p, appsAt: now.appsAt, check: func(context.Context) error { return nil }})
	if d.shells != nil {
		d.shells.Leave()
	}
	d.letGo()
	d.deciding.end()
	d.giveTurnBack()
	if err := d.countLast(ctx); err != nil {
		d.Log.Warn("what was used goes to the successor in a file", "error", err)
	}
	d.books.leaveStore(&spill{dir: spillDir(d.Config.Data)})
	d.counting.run(d.usage.Run)
	if err := d.leave(true); err != nil {
		d.Log.Warn("not all was closed as it should", "error", err)
	}
	return p
}

// give lets s take over; when it returns nil there is no way back.
func (d *daemon) give(ctx context.Context, s *successor) error {
	ctx, cancel := d.patience(ctx)
	defer cancel()
	_ = s.line.say(message{Say: sayYours, Flying: d.traffic.flying(), Waiting: d.traffic.held()}) // as above
	telling, stop := context.WithCancel(ctx)
	defer stop()
	go d.tellFlying(telling, s)
	if _, err := s.await(ctx, sayReady); err != nil {
		return err
	}
	_ = s.line.say(message{Say: sayGo}) // as above
	_, err := s.await(ctx, sayOpened)
	return err
}

// tellFlying tells the successor what is in flight here, whenever that changes.
func (d *daemon) tellFlying(ctx context.Context, s *successor) {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	var told, waited map[string]int
	for {
		flying, waiting := d.traffic.flying(), d.traffic.held()
		if told == nil || !maps.Equal(flying, told) || !maps.Equal(waiting, waited) {
			if s.line.say(message{Say: sayFlying, Flying: flying, Waiting: waiting}) != nil {
				return // it has ended: nobody wants to know
			}
			told, waited = flying, waiting
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// comeBackEvery is how often a daemon without a successor tries to get at its data again.
const comeBackEvery = 5 * time.Second

// comeBack begins another life here. Where that cannot be (the store may have been brought up to a schema that this
// version does not know), requests go on to be answered, and it is tried again, as is a successor when one is asked for.
// Neither: the daemon is to stop.
func (d *daemon) comeBack(ctx context.Context) (*daemon, *successor, restart) {
	for {
		_ = d.lock.sign("") // for people
		next := newDaemon(d.Options, d.house)
		err := next.begin(ctx)
		if err == nil {
			return next, nil, restart{}
		}
		d.accept() // who wants to restart must get in
		d.Log.Error("requests are answered, and nothing is decided: the data cannot be opened again; it is tried on", "error", err, "hint", adviceOf(err))
		timer := time.NewTimer(comeBackEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, restart{}
		case <-timer.C:
		case r := <-d.restarts:
			timer.Stop()
			s := d.prepare(ctx, r)
			if s == nil {
				continue
			}
			err := errors.Join(d.lean(), d.give(ctx, s))
			if err == nil {
				return nil, s, r
			}
			s.end()
			d.refused(r, err)
		}
	}
}

// remains is told of a life before this one, whose requests end here while this one takes new ones.
func (d *daemon) remains(before *daemon) {
	ended := make(chan struct{})
	d.elders.join(remains{before.traffic, ended})
	d.remaining.Go(func() {
		defer close(ended)
		// As long as they take; after a stop no longer than it takes to count what it has cut off. Upgraded connections it
		// leaves as they are.
		ctx, cut := context.WithCancel(context.Background())
		defer cut()
		go func() {
			select {
			case <-d.stopped:
				time.AfterFunc(time.Second, cut)
			case <-ctx.Done():
			}
		}()
		_ = waitFor(ctx, func() bool { return !before.gate.Uses(before.router) && before.traffic.idle() })
		before.finishCounting(context.Background())
	})
}

// finishCounting leaves what was counted last to whoever has the store.
func (d *daemon) finishCounting(ctx context.Context) {
	d.counting.end()
	err := d.countLast(ctx)
	if err = errors.Join(err, d.closeBooks(), d.books.close()); err != nil {
		d.Log.Error("what the last requests used is lost", "error", err)
	}
}

// pause answers the admin API while no process has the store.
type pause struct {
	admin http.Handler
	front http.Handler
	over  chan struct{} // closed when this process goes on
	moved chan struct{} // closed when another one does
}

// pausePatience is how long a request of the admin API waits for the store.
const pausePatience = 10 * time.Second

// ServeHTTP lets requests wait until this process has the store again. Another one has it mostly: a client that comes
// again finds that one.
func (p *pause) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == api.Prefix+"/restart" {
		p.admin.ServeHTTP(w, r)
		return
	}
	timer := time.NewTimer(pausePatience)
	defer timer.Stop()
	select {
	case <-p.over:
		p.front.ServeHTTP(w, r)
	case <-p.moved: // the gate says that this connection ends
		starting(w)
	case <-timer.C:
		starting(w)
	case <-r.Context().Done():
	}
}
