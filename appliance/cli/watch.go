package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// framed is what can be drawn on a screen: in width columns and at most height lines, or as many as it takes where that is 0.
type framed interface {
	frame(width, height int) string
}

// watching is how a view of type V is kept up to date on a screen.
type watching[V framed] struct {
	interval time.Duration
	look     func(context.Context) V       // is called beside the drawing, one at a time
	with     func(before, news V) V        // takes over what was seen; what a person has chosen stays
	press    func(v V, key byte) (V, bool) // does what a key asks for, and says whether that is to end
}

// crash is what a goroutine beside the one of the screen panicked with: it must not end the program before the terminal
// is as it was.
type crash struct{ value any }

// watchOn redraws until a person, a signal or a lost terminal ends it. The terminal is as it was when it returns, whatever
// made it return.
func watchOn[V framed](ctx context.Context, s *screen, v V, w watching[V]) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGQUIT, unix.SIGTERM, unix.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	keys, looks, crashes := make(chan byte), make(chan V), make(chan crash, 2)
	guarded := func(work func()) {
		defer func() {
			if v := recover(); v != nil {
				crashes <- crash{v}
			}
		}()
		work()
	}
	lost := make(chan error, 1)
	beside.Go(func() { guarded(func() { lost <- s.read(ctx, keys) }) })
	beside.Go(func() { guarded(func() { w.keepLooking(ctx, looks) }) })
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	for {
		if err := s.draw(v.frame); err != nil {
			return err
		}
		select {
		case news := <-looks:
			v = w.with(v, news)
		case <-resized:
		case key := <-keys:
			var quit bool
			if v, quit = w.press(v, key); quit {
				return nil
			}
			if key == suspendKey {
				if err := s.suspend(ctx); err != nil {
					return err
				}
			}
		case err := <-lost:
			return err
		case c := <-crashes:
			panic(c.value)
		case <-ctx.Done():
			return nil
		}
	}
}

// keepLooking looks now and then until ctx ends.
func (w watching[V]) keepLooking(ctx context.Context, looks chan<- V) {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		v := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case looks <- v:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
