package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errNobodyWatches ends a terminal that nobody has looked at since another process took over.
var errNobodyWatches = errors.New("nobody watched it")

// keptIdle is how long a client may keep a connection here on which it asks nothing.
const keptIdle = 5 * time.Second

// linger answers the requests that are left, while s takes all others. It ends with the last one, with the grace, or soon
// after the appliance is stopped.
func (d *daemon) linger(ctx context.Context, s *successor, p *pause) error {
	d.lock.release()
	close(p.moved)
	bounded, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	grace := d.Config.Restart.Grace
	late := time.AfterFunc(grace, func() { cut(fmt.Errorf("%s are over (restart.grace)", grace)) })
	defer late.Stop()
	hurry := sync.OnceFunc(func() {
		go d.hangUp(errStopped)
		time.AfterFunc(stopGrace, func() { cut(errors.New("the appliance stops")) })
		if d.before != nil {
			_ = d.before.line.say(message{Say: sayStop}) // one that has ended needs not to be told
		}
	})
	defer context.AfterFunc(ctx, hurry)()
	go d.tellFlying(bounded, s)
	go d.obey(s, hurry)
	shells := d.drainShells(bounded) // at once: who does nothing there is to come again, to sessions and keys as they are
	err := d.gate.Drain(bounded, keptIdle)
	if err == nil {
		err = waitFor(bounded, d.traffic.settled) // upgraded connections are no longer the gate's
	}
	if err == nil {
		err = d.lines.Wait(bounded) // nor the router's
	}
	if err == nil && d.appServer != nil {
		err = d.appServer.Shutdown(bounded)
	}
	if err == nil {
		err = <-shells
	}
	if err == nil && d.left != nil {
		err = d.left.passed(bounded)
	}
	if err != nil {
		d.Log.Warn("the last requests are cut off", "error", err, "in_flight", len(d.traffic.flying()), "commands", d.lines.Count())
	}
	d.hangUp(fmt.Errorf("the appliance was restarted, and the command was ended: %w; the session goes on", cmp.Or(err, errNobodyWatches)))
	ended := d.close()
	if d.fleet == nil { // else it is the seat's
		ended = errors.Join(ended, d.runtime.release())
	}
	d.remaining.Wait()
	counted, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = waitFor(counted, d.traffic.idle) // what was cut is counted too
	d.finishCounting(context.WithoutCancel(ctx))
	d.Log.Info("all requests of before the restart are answered")
	s.line.close()
	return ended
}

// obey does what the successor says, until it ends.
func (d *daemon) obey(s *successor, hurry func()) {
	if s.stands != nil {
		d.traffic.follow(s.stands)
	}
	for m := range s.line.heard {
		switch m.Say {
		case sayTable:
			d.traffic.follow(m.stands())
		case sayKeyGone:
			d.keyGone(m.Key)
		case sayStop:
			hurry()
		}
	}
}
