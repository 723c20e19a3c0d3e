// Package repeat keeps a client that is stuck, or a macro that runs wild, from asking accelerators the same
// question again and again: an identical request of one token is answered from the first one's answer, for some
// seconds after it; those that come while the first is still being answered wait for it and get the same.
//
// It owns which requests are identical and what of their answers is kept, in bounded memory. It must not know what
// HTTP is, or who is asked: the caller brings the answers. Only requests whose answer comes in one piece belong
// here, never streams.
//
// The rules:
//   - a Key is made of all that the answer may depend on, the token first: nothing is answered across tokens;
//   - an answer that may be another the next time (5xx, 429, ...) goes to those that wait for it, and is not kept;
//   - an answer of more than 1 MiB is not kept, and who waits for it goes on alone as soon as that is known;
//   - where the first one ends without an answer, as when its client goes, the one that waits longest takes over.
package repeat

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrCrowded is told to one that comes while very many wait for the same answer.
var ErrCrowded = errors.New("too many identical requests wait for one answer")

// Bounds.
const (
	mostAnswer    = 1 << 20 // bytes of a body
	mostFollowers = 1000    // that wait for one answer
	defaultBytes  = 16 << 20
)

// Key stands for all requests that are identical. See KeyOf.
type Key [sha256.Size]byte

// KeyOf makes the key of a request: of its body, and of parts, in an order of the caller's. The parts are whose
// the request is (a token's id; the client's address where there is none), its method and address, and the
// headers on which an answer depends, such as Content-Type, Accept and Accept-Encoding.
func KeyOf(body []byte, parts ...string) (k Key) {
	h := sha256.New()
	// Lengths stand before the parts, or "a"+"bc" would be "ab"+"c".
	var buffer [256]byte
	for _, p := range parts {
		b := binary.AppendUvarint(buffer[:0], uint64(len(p)))
		h.Write(append(b, p...))
	}
	h.Write(body)
	h.Sum(k[:0])
	return k
}

// Field is a header of an answer.
type Field struct{ Name, Value string }

// Answer is what one request was answered. Many may hold it at once: it is never changed.
type Answer struct {
	Status int
	Header []Field
	Body   []byte
	At     time.Time // when it was complete
}

// size is what it takes of the guard's memory.
func (a *Answer) size() int64 {
	n := 256 + len(a.Body)
	for _, f := range a.Header {
		n += 32 + len(f.Name) + len(f.Value)
	}
	return int64(n)
}

// Settings of a guard.
type Settings struct {
	Window time.Duration // that an answer counts for after it is complete; 0: the guard is off
	Bytes  int64         // for answers that are kept; 0: 16 MiB
}

// Stats are counts since the guard was made, and what it holds.
type Stats struct {
	Hits    uint64 // answered from one that was kept
	Joined  uint64 // answered by the one that they waited for
	Answers int    // kept now
	Bytes   int64  // that they take
	Waiting int    // requests that wait for another one's answer
}

// Guard is the memory of one service. Its zero value is off: see Set.
type Guard struct {
	mu       sync.Mutex
	settings Settings
	running  map[Key]*run
	kept     shelf
	sweeper  *time.Timer // nil before the first
	sweeps   bool        // the sweeper is under way
	stats    Stats
}

// run is a request that is being answered, and those that wait for it, in order.
type run struct{ followers []*follower }

// follower waits for the answer of an identical request.
type follower struct {
	ctx   context.Context // the wait's own, read by the one that hands over
	turn  *Turn           // what came of it; the lock's until ended is closed
	ended chan struct{}
}

// Set changes the settings. A guard that is switched off forgets what it keeps.
func (g *Guard) Set(s Settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.Bytes <= 0 {
		s.Bytes = defaultBytes
	}
	g.settings = s
	if s.Window <= 0 {
		g.kept = shelf{}
	}
	g.kept.shrink(s.Bytes)
}

// Enter says what a request is to do: see Turn. It waits where an identical one is being answered, and fails then
// with the cause of ctx's end. ErrCrowded comes at once.
func (g *Guard) Enter(ctx context.Context, now time.Time, key Key) (*Turn, error) {
	f, turn, err := g.look(ctx, now, key)
	if f == nil {
		return turn, err
	}
	select {
	case <-f.ended:
		return f.turn, nil
	case <-ctx.Done():
		return nil, g.leave(f, key, context.Cause(ctx))
	}
}

// look is Enter without the wait: a follower is to wait.
//
//  1. The guard is off: alone.
//  2. An answer is kept, and counts still: that.
//  3. Nobody asks the same: the first.
//  4. One waits for who does.
func (g *Guard) look(ctx context.Context, now time.Time, key Key) (*follower, *Turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settings.Window <= 0 { // 1
		return nil, &Turn{}, nil
	}
	if a := g.kept.find(key); a != nil { // 2
		if now.Sub(a.At) < g.settings.Window {
			g.stats.Hits++
			return nil, &Turn{answer: a}, nil
		}
		g.kept.remove(key)
	}
	r := g.running[key]
	if r == nil { // 3
		if g.running == nil {
			g.running = map[Key]*run{}
		}
		r = &run{}
		g.running[key] = r
		return nil, &Turn{guard: g, key: key, run: r}, nil
	}
	if len(r.followers) >= mostFollowers {
		return nil, nil, ErrCrowded
	}
	f := &follower{ctx: ctx, ended: make(chan struct{})} // 4
	r.followers = append(r.followers, f)
	g.stats.Waiting++
	return f, nil, nil
}

// leave takes f out. Where it was made the first at that moment, the next one is.
func (g *Guard) leave(f *follower, key Key, why error) error {
	g.mu.Lock()
	turn := f.turn
	if r := g.running[key]; turn == nil && r != nil {
		i := slices.Index(r.followers, f)
		r.followers = slices.Delete(r.followers, i, i+1)
		g.stats.Waiting--
	}
	g.mu.Unlock()
	turn.Drop()
	return why
}

// tell ends f's wait with turn. The caller holds mu.
func (g *Guard) tell(f *follower, turn *Turn) {
	g.stats.Waiting--
	f.turn = turn
	close(f.ended)
}

// drop ends a run without an answer: the next one that is still there takes over.
func (g *Guard) drop(key Key, r *run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(r.followers) > 0 {
		f := r.followers[0]
		r.followers = slices.Delete(r.followers, 0, 1)
		if f.ctx.Err() != nil {
			g.tell(f, &Turn{}) // it leaves by itself: the turn is for nobody
			continue
		}
		g.tell(f, &Turn{guard: g, key: key, run: r})
		return
	}
	delete(g.running, key)
}

// release ends a run whose answer is not for others: all that wait for it go on alone.
func (g *Guard) release(key Key, r *run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range r.followers {
		g.tell(f, &Turn{})
	}
	r.followers = nil
	delete(g.running, key)
}

// answer ends a run with its answer.
func (g *Guard) answer(key Key, r *run, a *Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range r.followers {
		g.stats.Joined++
		g.tell(f, &Turn{answer: a})
	}
	r.followers = nil
	delete(g.running, key)
	if g.settings.Window > 0 && lasts(a.Status) {
		g.kept.add(key, a)
		g.kept.shrink(g.settings.Bytes)
		g.sweepLater()
	}
}

// lasts tells whether a status is an answer to the question, and not to the moment.
func lasts(status int) bool {
	switch status {
	case 408, 409, 423, 425, 429, 499:
		return false
	}
	return status < 500
}

// sweepLater sees to it that what counts no more is not held by a service that nobody asks. The caller holds mu.
func (g *Guard) sweepLater() {
	switch {
	case g.sweeps || g.kept.empty():
		return
	case g.sweeper == nil:
		g.sweeper = time.AfterFunc(g.settings.Window, g.sweep)
	default:
		g.sweeper.Reset(g.settings.Window)
	}
	g.sweeps = true
}

func (g *Guard) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweeps = false
	g.kept.expire(time.Now().Add(-g.settings.Window))
	g.sweepLater()
}

// Stats of the guard.
func (g *Guard) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Answers, s.Bytes = g.kept.count(), g.kept.bytes
	return s
}
