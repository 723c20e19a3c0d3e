package containerd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/sessions"
)

// Pull implements sessions.Runtime: what is here, whole, is not asked for again.
func (r *Runtime) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	named, err := imageName(image)
	if err != nil {
		return err
	}
	release, err := r.uses.take(ctx, named.String())
	if err != nil {
		return err
	}
	defer release()
	ready, err := r.ready(ctx, named)
	if err == nil && !ready {
		err = r.fetchOnce(ctx, named, true, progress)
	}
	if err == nil {
		r.uses.ask(named.String(), time.Now())
	}
	return err
}

// fetchOnce waits for a pull of the image: one for all who want it at the time. anywhere: another box may give it, where one has
// it.
func (r *Runtime) fetchOnce(ctx context.Context, named reference.Named, anywhere bool, progress func(sessions.Progress)) error {
	return r.pulls.join(ctx, named.String(), progress, func(ctx context.Context, tell func(sessions.Progress)) error {
		var mirrors []Mirror
		if anywhere && r.cfg.Mirrors != nil {
			mirrors = r.cfg.Mirrors(ctx, named.String())
		}
		err := r.fetch(ctx, named, mirrors, tell)
		if err != nil && len(mirrors) > 0 && ctx.Err() == nil {
			r.log.Warn("an image that another box has could not be had from there; its registry is asked", "image", named.String(), "err", err)
			err = r.fetch(ctx, named, nil, tell)
		}
		return err
	})
}

// Refresh pulls an image though one of that name may be here: its registry may have a newer one.
func (r *Runtime) Refresh(ctx context.Context, image string, progress func(sessions.Progress)) (sessions.Image, error) {
	named, err := imageName(image)
	if err != nil {
		return sessions.Image{}, err
	}
	release, err := r.uses.take(ctx, named.String())
	if err != nil {
		return sessions.Image{}, err
	}
	defer release()
	if err := r.fetchOnce(ctx, named, false, progress); err != nil {
		return sessions.Image{}, err
	}
	img, err := r.client.ImageService().Get(r.in(ctx), named.String())
	if err != nil {
		return sessions.Image{}, noImage(named, err)
	}
	return r.describe(r.in(ctx), img), nil
}

// ready reports whether an image is here and unpacked. One that is here and not unpacked, as after a change of the
// snapshotter, is unpacked where all of it is here.
func (r *Runtime) ready(ctx context.Context, named reference.Named) (bool, error) {
	img, err := r.image(ctx, named.String())
	if errors.Is(err, sessions.ErrNoImage) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ctx = r.in(ctx)
	unpacked, err := img.IsUnpacked(ctx, r.cfg.Snapshotter)
	if err == nil && unpacked {
		return true, nil
	}
	if errors.Is(down(err), sessions.ErrRuntimeDown) {
		return false, down(err)
	}
	return r.unpack(ctx, img) == nil, nil // what is missing is fetched
}

func (r *Runtime) unpack(ctx context.Context, img client.Image) error {
	return img.Unpack(ctx, r.cfg.Snapshotter)
}

// matcher is what this box's processor runs.
func matcher() platforms.MatchComparer { return platforms.Default() }

// pulls lets those who want the same image at the same time wait for one pull of it. The zero value is ready.
type pulls struct {
	mu      sync.Mutex
	running map[string]*pulling
}

// pulling is one pull that is under way.
type pulling struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // set before done is closed

	mu      sync.Mutex
	waiters int
	last    sessions.Progress
	changed chan struct{} // closed at the next progress
}

var errNobodyWaits = errors.New("nobody waits for the image any more")

// join waits for a pull of that name, which it starts with fetch where there is none. The last one who leaves ends it.
func (p *pulls) join(ctx context.Context, name string, progress func(sessions.Progress), fetch func(context.Context, func(sessions.Progress)) error) error {
	for {
		pull, joined := p.enter(ctx, name, fetch)
		if !joined { // it is on its way out: a new one begins after it
			select {
			case <-pull.done:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return p.wait(ctx, pull, progress)
	}
}

// enter adds a waiter to the pull of that name; false when everybody else has left it.
func (p *pulls) enter(ctx context.Context, name string, fetch func(context.Context, func(sessions.Progress)) error) (*pulling, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pull, ok := p.running[name]; ok {
		pull.mu.Lock()
		defer pull.mu.Unlock()
		if pull.waiters == 0 {
			return pull, false
		}
		pull.waiters++
		return pull, true
	}
	if p.running == nil {
		p.running = map[string]*pulling{}
	}
	pulling := &pulling{done: make(chan struct{}), changed: make(chan struct{}), waiters: 1}
	fetching, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	pulling.cancel = cancel
	p.running[name] = pulling
	go func() {
		pulling.err = fetch(fetching, pulling.tell)
		cancel(nil)
		p.mu.Lock()
		delete(p.running, name)
		p.mu.Unlock()
		close(pulling.done)
	}()
	return pulling, true
}

func (p *pulls) wait(ctx context.Context, pull *pulling, progress func(sessions.Progress)) error {
	for {
		last, changed := pull.progress()
		if progress != nil && last != (sessions.Progress{}) {
			progress(last)
		}
		select {
		case <-changed:
		case <-pull.done:
			if last, _ := pull.progress(); progress != nil && pull.err == nil {
				progress(last)
			}
			return pull.err
		case <-ctx.Done():
			if pull.leave() {
				<-pull.done // it tidies up, within bounds of its own
			}
			return context.Cause(ctx)
		}
	}
}

// leave takes a waiter away and ends the pull where it was the last.
func (p *pulling) leave() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiters--
	if p.waiters == 0 {
		p.cancel(errNobodyWaits)
	}
	return p.waiters == 0
}

func (p *pulling) tell(v sessions.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v == p.last {
		return
	}
	p.last = v
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pulling) progress() (sessions.Progress, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.changed
}

// progressEvery is how often a pull says how far it is.
const progressEvery = 200 * time.Millisecond
