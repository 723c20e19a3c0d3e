package accel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Kinds of refusal of a Ledger.
var (
	// ErrTaken: someone else has what is claimed, or the session has something else already.
	ErrTaken = errors.New("taken")
	// ErrNoNode: the ledger knows no node of that name.
	ErrNoNode = errors.New("no such node")
	// ErrNoDevice: the node has no device of that id.
	ErrNoDevice = errors.New("no such device")
	// ErrFenced: the device must not be used.
	ErrFenced = errors.New("fenced")
	// ErrBusy: the device works, but is not handed out for now.
	ErrBusy = errors.New("busy")
)

// Defaults of a Ledger.
const (
	DefaultPatience  = 2 * time.Minute
	DefaultTolerance = 1 << 30 // bytes
)

// Ledger is the one place that knows who has what. It is kept in memory only: after a restart SetNode says what there is
// and Restore who has it. It is safe for concurrent use.
//
// A claim goes held -> leaving -> gone. It leaves when its session's exit is confirmed; its cores and memory are
// free then, each of its devices when a later sample shows the session's memory on it free. Memory that is never
// given back takes its device out of use, and ends the claim: nothing leaks silently, nothing is doubled.
type Ledger struct {
	patience  time.Duration
	tolerance int64
	now       func() time.Time

	mu      sync.Mutex
	nodes   map[string]*page
	held    map[string]*holding // by session
	pool    Pool                // nil when it is to be made anew
	version uint64
	changed chan struct{} // closed, and replaced, by every change
}

// holding is one session's claim.
type holding struct {
	claim   Claim // as it was taken
	rest    Claim // what of it is still held
	leaving bool
	since   time.Time
}

// LedgerOption settles what is usually left as it is.
type LedgerOption func(*Ledger)

// WithPatience is how long an ended session's device memory is waited for; DefaultPatience.
func WithPatience(d time.Duration) LedgerOption { return func(l *Ledger) { l.patience = d } }

// WithClock is where a ledger reads the time of a change; time.Now.
func WithClock(now func() time.Time) LedgerOption { return func(l *Ledger) { l.now = now } }

// NewLedger returns a ledger of no nodes.
func NewLedger(options ...LedgerOption) *Ledger {
	l := &Ledger{
		patience: DefaultPatience, tolerance: DefaultTolerance, now: time.Now,
		nodes: map[string]*page{}, held: map[string]*holding{}, changed: make(chan struct{}),
	}
	for _, option := range options {
		option(l)
	}
	return l
}

// Take makes a claim true, or says why it cannot be: ErrTaken, ErrBusy, ErrFenced, ErrNoDevice, ErrNoNode,
// ErrInvalid. Nothing is taken then. Taking the same claim again is fine, also when it was leaving: the session
// goes on with what it had, if that has not been given away.
func (l *Ledger) Take(c Claim) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.nodes[c.Node]
	if !known {
		return fmt.Errorf("taking %s on %q: %w", c.Slots, c.Node, ErrNoNode)
	}
	h, again := l.held[c.Session]
	switch {
	case again && !reflect.DeepEqual(h.claim, c):
		return fmt.Errorf("taking %s on %s: %w: the session has %s on %s already", c.Slots, c.Node, ErrTaken, h.claim.Slots, h.claim.Node)
	case again && !h.leaving:
		return nil
	}
	if err := p.state.Without(c.Session).admits(c); err != nil {
		return fmt.Errorf("taking %s on %s: %w", c.Slots, c.Node, err)
	}
	l.hold(c)
	return nil
}

// Restore makes a claim true whatever stands against it: what runs holds what it holds. What it holds beyond
// what there is comes back as conflicts, and nothing more is handed out of that.
func (l *Ledger) Restore(c Claim) []Conflict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, again := l.held[c.Session]; again && !h.leaving && reflect.DeepEqual(h.claim, c) {
		return nil
	}
	found := l.conflicts(c)
	l.hold(c)
	return found
}

// hold enters a claim.
func (l *Ledger) hold(c Claim) {
	if h, again := l.held[c.Session]; again && h.claim.Node != c.Node {
		delete(l.held, c.Session)
		l.settle(h.claim.Node, c.Session)
	}
	l.held[c.Session] = &holding{claim: c, rest: c, since: l.now()}
	l.settle(c.Node, c.Session)
}

// Leave says that a session's exit is confirmed. Cores, memory and devices that cannot tell their memory are free at
// once, the others when they report the session's memory free. Leaving twice, or without a claim, does nothing.
func (l *Ledger) Leave(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, known := l.held[session]
	if !known || h.leaving {
		return
	}
	h.leaving, h.since = true, l.now()
	h.rest.Slots = nil
	p := l.nodes[h.claim.Node]
	h.rest.Shares = slices.DeleteFunc(slices.Clone(h.rest.Shares), func(s Share) bool { return p == nil || !p.tells(s.Device) })
	if len(h.rest.Shares) == 0 {
		delete(l.held, session)
	}
	l.settle(h.claim.Node, session)
}

// Drop forgets the claim of a session that has not started with it. One that is leaving stays: whoever had it did start.
func (l *Ledger) Drop(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, known := l.held[session]; known && !h.leaving {
		delete(l.held, session)
		l.settle(h.claim.Node, session)
	}
}

// settle brings a node's state in line with a session's holding, and tells.
func (l *Ledger) settle(node, session string) {
	if p, known := l.nodes[node]; known {
		h, holds := l.held[session]
		switch {
		case p.strange(h) || len(p.missing) > 0: // the list of devices may change too
			l.rebuild(p)
		case holds:
			p.state = p.state.With(h.rest)
		default:
			p.state = p.state.Without(session)
		}
	}
	l.tell()
}

// tell makes a change known.
func (l *Ledger) tell() {
	l.version++
	l.pool = nil
	close(l.changed)
	l.changed = make(chan struct{})
}

// Pool returns the nodes as they are now, by name. It never changes: the next change makes another one.
func (l *Ledger) Pool() Pool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pool == nil {
		l.pool = make(Pool, 0, len(l.nodes))
		for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
			l.pool = append(l.pool, l.nodes[name].state)
		}
	}
	return l.pool
}

// Version grows with every change of the pool.
func (l *Ledger) Version() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

// Changed returns a channel that the next change closes. Fetch it before looking at the pool, so that no change
// comes between.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// ClaimState says how far a claim is.
type ClaimState string

// The states of a claim.
const (
	ClaimHeld    ClaimState = "held"
	ClaimLeaving ClaimState = "leaving" // the session has ended; its devices have not reported its memory free yet
)

// Entry is one claim in the ledger.
type Entry struct {
	Claim                  // as it was taken
	State ClaimState       `json:"state"`
	Since time.Time        `json:"since"`          // of the state
	Rest  []Share          `json:"rest,omitempty"` // of a leaving claim: what is not free yet
	Used  map[string]int64 `json:"used,omitempty"` // by device: bytes that its processes hold; what cannot be told is left out
}

// Holds lists the shares that are not free yet.
func (e Entry) Holds() []Share {
	if e.State == ClaimLeaving {
		return e.Rest
	}
	return e.Shares
}

// Claims lists all claims by session.
func (l *Ledger) Claims() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := make([]Entry, 0, len(l.held))
	for session := range l.held {
		entries = append(entries, l.entry(session))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Session, b.Session) })
	return entries
}

// Claim returns a session's claim.
func (l *Ledger) Claim(session string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.held[session]; !known {
		return Entry{}, false
	}
	return l.entry(session), true
}

func (l *Ledger) entry(session string) Entry {
	h := l.held[session]
	e := Entry{Claim: h.claim, State: ClaimHeld, Since: h.since}
	if h.leaving {
		e.State, e.Rest = ClaimLeaving, h.rest.Shares
	}
	if p, known := l.nodes[h.claim.Node]; known {
		for device, used := range p.used {
			if bytes, told := used[session]; told {
				if e.Used == nil {
					e.Used = map[string]int64{}
				}
				e.Used[device] = bytes
			}
		}
	}
	return e
}
