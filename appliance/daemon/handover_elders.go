package daemon

import (
	"context"
	"slices"
	"sync"
	"time"
)

// elder answers requests that came before this life of the daemon: an earlier process, or this one with another
// table. A route is idle only when its elders have none in flight there either.
type elder interface {
	flying(route string) int
	waiting() map[string]int           // requests that wait for a route, by service
	follow(stands map[string]standing) // who can answer from now on, by service
	gone() bool
}

// elders are all that are left. The zero value is ready.
type elders struct {
	mu  sync.Mutex
	all []elder
}

// join may be said again.
func (e *elders) join(one elder) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.all, one) {
		e.all = append(e.all, one)
	}
}

func (e *elders) present() []elder {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = slices.DeleteFunc(e.all, elder.gone)
	return slices.Clone(e.all)
}

func (e *elders) flying(route string) int {
	n := 0
	for _, one := range e.present() {
		n += one.flying(route)
	}
	return n
}

// waiting is never nil.
func (e *elders) waiting() map[string]int {
	out := map[string]int{}
	for _, one := range e.present() {
		for service, n := range one.waiting() {
			out[service] += n
		}
	}
	return out
}

func (e *elders) follow(stands map[string]standing) {
	for _, one := range e.present() {
		one.follow(stands)
	}
}

// idleEvery is how often it is looked whether elders have ended: they tell as often.
const idleEvery = 50 * time.Millisecond

// waitFor returns when is, or with ctx's cause.
func waitFor(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// remains is an elder of this process: a router whose requests end, while another takes new ones.
type remains struct {
	traffic *traffic
	ended   chan struct{} // closed when it has answered all
}

func (r remains) flying(route string) int { return r.traffic.Router.InFlight(route) }

func (r remains) waiting() map[string]int {
	out := map[string]int{}
	for _, s := range r.traffic.Snapshot() {
		out[s.ID] = s.Waiting
	}
	return out
}

// follow is for those that wait: no new requests come to it.
func (r remains) follow(stands map[string]standing) { r.traffic.take(stands) }

func (r remains) gone() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// forerunner is the process that started this one, for as long as it answers requests.
type forerunner struct {
	line  *line
	hello message
	met   chan struct{} // closed when hello is there
	yours chan struct{} // closed when it works on nothing any more
	goes  chan struct{} // closed when it cannot come back
	done  chan struct{} // closed when it has ended
	fresh chan struct{} // of size 1: there is a table to be told

	mu     sync.Mutex
	counts map[string]int
	waits  map[string]int
	stands map[string]standing
}

func newForerunner(l *line) *forerunner {
	f := &forerunner{
		line: l, met: make(chan struct{}), yours: make(chan struct{}), goes: make(chan struct{}), done: make(chan struct{}),
		fresh: make(chan struct{}, 1),
	}
	go f.hear()
	go f.tell()
	return f
}

// hear ends when the other process does.
func (f *forerunner) hear() {
	for m := range f.line.heard {
		switch m.Say {
		case sayHello:
			f.hello = m
			close(f.met)
		case sayYours:
			f.count(m)
			close(f.yours)
		case sayGo:
			close(f.goes)
		case sayFlying:
			f.count(m)
		}
	}
	f.count(message{})
	close(f.done)
	f.line.close()
}

// await returns when it has said what is waited for, or has ended: then there is nobody to wait for.
func (f *forerunner) await(ctx context.Context, said <-chan struct{}) error {
	select {
	case <-said:
		return nil
	case <-f.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *forerunner) count(m message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts, f.waits = m.Flying, m.Waiting
}

func (f *forerunner) waiting() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waits // replaced as a whole
}

func (f *forerunner) flying(route string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[route]
}

func (f *forerunner) gone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// follow does not wait: whoever sets a table must not wait for another process.
func (f *forerunner) follow(stands map[string]standing) {
	f.mu.Lock()
	f.stands = stands
	f.mu.Unlock()
	select {
	case f.fresh <- struct{}{}:
	default:
	}
}

func (f *forerunner) tell() {
	for {
		select {
		case <-f.fresh:
		case <-f.done:
			return
		}
		f.mu.Lock()
		stands := f.stands
		f.mu.Unlock()
		_ = f.line.say(tableOf(stands)) // one that has ended needs to know nothing
	}
}

// keyGone sends away who is connected there with an SSH key. f may be nil.
func (f *forerunner) keyGone(id string) {
	if f != nil {
		_ = f.line.say(message{Say: sayKeyGone, Key: id}) // as above
	}
}

// stop has it end soon, and returns when it has, or with ctx's cause. f may be nil.
func (f *forerunner) stop(ctx context.Context) error {
	if f == nil {
		return nil
	}
	_ = f.line.say(message{Say: sayStop}) // as above
	return f.await(ctx, f.done)
}
