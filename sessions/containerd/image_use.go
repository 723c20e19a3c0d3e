package containerd

import (
	"context"
	"sync"
	"time"
)

// keptFor is how long an image stays that was asked for by Pull, though nobody claims it: who asks is about to
// start something of it.
const keptFor = time.Minute

// uses sees to it that no image is removed between the moment when it is looked up, for a pull or a start, and
// the moment when what is made of it holds on to what it needs. The zero value is ready.
type uses struct {
	mu    sync.Mutex
	byRef map[string]*use
}

// use is one image's, by its full name.
type use struct {
	users  int           // pulls and starts under way
	going  bool          // it is being removed
	change chan struct{} // closed, and replaced, when either becomes less
	asked  time.Time     // a Pull of it succeeded
}

func (u *uses) of(ref string) *use {
	if u.byRef == nil {
		u.byRef = map[string]*use{}
	}
	one := u.byRef[ref]
	if one == nil {
		one = &use{change: make(chan struct{})}
		u.byRef[ref] = one
	}
	return one
}

// tell wakes those who wait, and forgets what says nothing any more.
func (u *uses) tell(ref string, one *use) {
	close(one.change)
	one.change = make(chan struct{})
	if one.users == 0 && !one.going && one.asked.IsZero() {
		delete(u.byRef, ref)
	}
}

// take holds on to an image, whether it is here or not, until release is called. It waits for a removal that is
// under way.
func (u *uses) take(ctx context.Context, ref string) (release func(), err error) {
	err = u.await(ctx, ref, func(one *use) bool { return !one.going }, func(one *use) { one.users++ })
	if err != nil {
		return nil, err
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		one := u.of(ref)
		one.users--
		u.tell(ref, one)
	}, nil
}

// remove keeps everybody else off an image until done is called. It waits for those who use it.
func (u *uses) remove(ctx context.Context, ref string) (done func(), err error) {
	err = u.await(ctx, ref, func(one *use) bool { return !one.going && one.users == 0 }, func(one *use) { one.going = true })
	if err != nil {
		return nil, err
	}
	return func() { u.removed(ref) }, nil
}

// removeUnused is remove where nobody uses the image, nor has asked for it lately; else it returns false.
func (u *uses) removeUnused(ref string, now time.Time) (done func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.of(ref)
	if one.going || one.users > 0 || now.Sub(one.asked) < keptFor {
		return nil, false
	}
	one.going = true
	return func() { u.removed(ref) }, true
}

func (u *uses) removed(ref string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.of(ref)
	one.going, one.asked = false, time.Time{}
	u.tell(ref, one)
}

// ask notes that a Pull of an image succeeded.
func (u *uses) ask(ref string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.of(ref).asked = now
}

// await does then as soon as is holds.
func (u *uses) await(ctx context.Context, ref string, is func(*use) bool, then func(*use)) error {
	for {
		u.mu.Lock()
		one := u.of(ref)
		if is(one) {
			then(one)
			u.mu.Unlock()
			return nil
		}
		change := one.change
		u.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
