package accel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// desk is where one plugin is asked: one call at a time, and none is waited for longer than its time. Its fields
// belong to the round that is under way; a call that comes too late writes nothing.
type desk struct {
	plugin  Plugin
	timeout time.Duration
	busy    chan struct{} // holds a token while a call is under way
	since   time.Time     // of the last call
	devices []Device      // as it listed them last
	told    string        // the error that was logged last
}

// errSilent: the plugin did not answer in time.
var errSilent = errors.New("no answer")

// list asks what there is.
func (d *desk) list(ctx context.Context, now time.Time) ([]Device, error) {
	return ask(ctx, d, now, d.plugin.Devices)
}

// sample asks how the devices are.
func (d *desk) sample(ctx context.Context, now time.Time) ([]Sample, error) {
	devices := make([]Device, len(d.devices))
	copy(devices, d.devices)
	return ask(ctx, d, now, func(ctx context.Context) ([]Sample, error) { return d.plugin.Sample(ctx, devices) })
}

// ask makes one call. While one that came to no end is still under way, the next ones fail at once.
func ask[T any](ctx context.Context, d *desk, now time.Time, call func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case d.busy <- struct{}{}:
		d.since = now
	default:
		return none, fmt.Errorf("%s: %w for %s", d.plugin.Name(), errSilent, now.Sub(d.since).Round(time.Second))
	}
	return bounded(ctx, d, func(ctx context.Context) (T, error) {
		defer func() { <-d.busy }()
		return call(ctx)
	})
}

// bounded runs a call of the plugin in a goroutine of its own and waits for it as long as the plugin may take. A panic
// is an error like another.
func bounded[T any](ctx context.Context, d *desk, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, errSilent)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a.err = fmt.Errorf("it broke: %v", r)
			}
			answers <- a
		}()
		a.value, a.err = call(ctx)
	}()
	var none T
	select {
	case a := <-answers:
		if a.err != nil {
			return none, fmt.Errorf("%s: %w", d.plugin.Name(), a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		if err := context.Cause(ctx); !errors.Is(err, errSilent) {
			return none, err
		}
		return none, fmt.Errorf("%s: %w within %s", d.plugin.Name(), errSilent, d.timeout)
	}
}
