package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/variants"
)

// The successor's side of a restart: see handover.go. Where the one before ends in the middle of it, which nobody wants,
// there is nobody to wait for, and all is ours.

// helloPatience bounds how long the one who has started us may take to say so.
const helloPatience = 10 * time.Second

// succeed takes over the doors, and the data directory when the one before has let go of it.
func (d *daemon) succeed(ctx context.Context, left *inheritance) error {
	l, err := newLine(left.control)
	if err != nil {
		return err
	}
	f := newForerunner(l)
	d.before = f
	if left.lock == nil {
		return errors.New("taking over: the lock of the data directory was not left to this process")
	}
	meeting, cancel := context.WithTimeout(ctx, helloPatience)
	defer cancel()
	if err := f.await(meeting, f.met); err != nil {
		return fmt.Errorf("taking over: the other daemon says nothing: %w", err)
	}
	if f.gone() {
		return errors.New("taking over: the other daemon has ended before it said what it works on")
	}
	if f.hello.Data != d.Config.Data {
		return hinted{fmt.Errorf("the data directory is %s now, and was %s", d.Config.Data, f.hello.Data), "stop the daemon, and start it with the other one"}
	}
	if err := checkSettings(d.Config); err != nil {
		return err
	}
	if err := d.enter(ctx, left); err != nil {
		return err
	}
	if d.lock, err = inheritLock(d.Config.Data, left.lock); err != nil {
		return err
	}
	_ = l.say(message{Say: sayPrepared, Version: d.Version.Version}) // who does not hear it has ended
	if err := f.await(ctx, f.yours); err != nil {
		return err
	}
	d.elders.join(f)
	return d.lock.sign("")
}

// crossOver returns when there is no way back for the one before.
func (d *daemon) crossOver(ctx context.Context) error {
	if d.before == nil || d.crossed {
		return nil
	}
	_ = d.before.line.say(message{Say: sayReady}) // as above
	return d.before.await(ctx, d.before.goes)
}

// opened is told that requests are let in.
func (d *daemon) opened() {
	switch {
	case d.crossed:
	case d.before != nil:
		_ = d.before.line.say(message{Say: sayOpened}) // as above
	default:
		d.unit.tell("READY=1")
	}
	d.crossed = true
}

// confess says to the one before why it has to go on.
func (h *house) confess(err error) {
	if err != nil && h.before != nil && !h.crossed {
		_ = h.before.line.say(message{Say: sayFailed, Error: err.Error(), Hint: adviceOf(err)}) // as above
	}
}

// checkSettings looks at what can be known of settings without a daemon.
func checkSettings(c config.Config) error {
	_, problems := variants.Load(c.Variants)
	err := problems.Err()
	if c.Security() == config.Given {
		_, certErr := certificateFiles(c.TLS.Cert, c.TLS.Key)
		err = errors.Join(err, certErr)
	}
	_, quotaErr := quotas(c.Queue.Limits)
	_, limitErr := c.Limits.Quotas()
	_, quantumErr := c.Accel.Quantum()
	return errors.Join(err, quotaErr, limitErr, quantumErr, checkAccessLog(c.AccessLog.Path))
}
