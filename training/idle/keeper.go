package idle

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// Config says what holds for whom.
type Config struct {
	Limits
	// Projects have limits of their own, each in place of all of the box's.
	Projects map[string]Limits
}

// DefaultWarning is how long before its end the owner of a session is told, where nothing is said.
const DefaultWarning = 5 * time.Minute

// of are the limits of a session: the box's or its project's, and what its owner asked for within them.
func (c Config) of(s sessions.Session) Limits {
	l := c.Limits
	if own, ok := c.Projects[s.Project]; ok {
		l = own
	}
	l = l.within(Limits{Timeout: s.Task.IdleTimeout, Lifetime: s.Task.MaxLifetime})
	if l.Warning == 0 {
		l.Warning = DefaultWarning
	}
	return l
}

// Sessions are what is looked at. *sessions.Manager is it.
type Sessions interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	TerminateSession(ctx context.Context, project, ref, by string, forced bool) error
	// Used writes down when a session was used.
	Used(ctx context.Context, project, ref string, at time.Time) error
}

const (
	lookEvery  = 5 * time.Second
	writeEvery = time.Minute // when a session was used is written no more often
	sayBound   = 5 * time.Second
)

// Keeper ends sessions that nobody needs. Its methods may be called at once.
type Keeper struct {
	Config
	sessions Sessions
	book     *Book
	now      func() time.Time
	log      *slog.Logger
	// Device is the mean utilization of the accelerators that a session holds, 0 to 1. -1: not known, or none. May be nil.
	Device func(s sessions.Session) float64
	// Tell shows words on the terminals that are kept in a session. May be nil.
	Tell func(ctx context.Context, s sessions.Session, words string) error

	mu      sync.Mutex
	windows map[string]*window
	low     map[string]time.Time // since when a session does too little
	warned  map[string]string    // of what

	unwritten bool // the last use was not written down; of the loop alone
}

// NewKeeper makes a keeper. now is the clock.
func NewKeeper(c Config, s Sessions, book *Book, now func() time.Time, log *slog.Logger) *Keeper {
	return &Keeper{
		Config: c, sessions: s, book: book, now: now, log: log,
		windows: map[string]*window{}, low: map[string]time.Time{}, warned: map[string]string{},
	}
}

// Run looks at sessions until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.Look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Saw takes in what a session has used of what it holds.
func (k *Keeper) Saw(s sessions.Session, from, to time.Time, cores float64, memory int64) {
	if s.Type != sessions.TypeInteractive || s.Claim == nil || k.of(s).Utilization.Window <= 0 {
		return
	}
	p := part{from: from, to: to, cpu: -1, memory: -1, device: -1}
	if held := s.Claim.Slots[accel.SlotCPU]; held > 0 {
		p.cpu = cores * 1000 / float64(held)
	}
	if held := s.Claim.Slots[accel.SlotMem]; held > 0 && memory >= 0 {
		p.memory = float64(memory) / float64(held)
	}
	if k.Device != nil {
		p.device = k.Device(s)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.windows[s.ID]
	if w == nil || len(w.parts) > 0 && w.parts[len(w.parts)-1].from.Before(s.StartedAt.Add(-time.Second)) {
		w = &window{} // another run
		k.windows[s.ID] = w
	}
	w.add(p, k.of(s).Utilization.Window)
}

// Standing is what holds for a session and what is to come of it; Used is when it was used last, as far as is known.
type Standing struct {
	Limits
	Verdict
	Used time.Time
	Open int
}

// Standing says how a session stands; ok is false for one that is not looked at.
func (k *Keeper) Standing(s sessions.Session) (st Standing, ok bool) {
	if s.Type != sessions.TypeInteractive || s.Status != sessions.StatusRunning {
		return st, false
	}
	of := []sessions.Session{s}
	if s.Task.Cluster != nil {
		of = whole(s, k.sessions.Sessions(s.Project, sessions.SessionFilter{Live: true}))
	}
	st.Limits = k.of(s)
	o := k.observe(of, st.Limits)
	st.Used, st.Open, st.Verdict = o.Used, o.Open, Decide(st.Limits, o, k.now())
	return st, true
}

// whole are all containers of a session that has several, of those in all: the main one first.
func whole(s sessions.Session, all []sessions.Session) []sessions.Session {
	if s.Task.Cluster == nil {
		return []sessions.Session{s}
	}
	var of []sessions.Session
	for _, other := range all {
		if c := other.Task.Cluster; c != nil && c.ID == s.Task.Cluster.ID {
			of = append(of, other)
		}
	}
	if len(of) == 0 {
		return []sessions.Session{s} // it has just ended
	}
	slices.SortFunc(of, func(a, b sessions.Session) int { return a.Task.Cluster.Rank - b.Task.Cluster.Rank })
	return of
}

// observe is what is known of all containers of a session together, the main one first: who uses one of them uses the
// session, and so does what works in the busiest.
func (k *Keeper) observe(of []sessions.Session, l Limits) Observation {
	o := Observation{Started: of[0].StartedAt}
	for _, s := range of {
		last, open := k.book.Last(s.ID)
		o.Open += open
		for _, used := range []time.Time{last, s.Task.UsedAt} {
			if used.After(o.Used) {
				o.Used = used
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	o.LowSince = k.low[of[0].ID]
	if l.Utilization.Window > 0 {
		now := k.now()
		most := func(field func(part) float64) (most *float64) {
			for _, s := range of {
				if w := k.windows[s.ID]; w != nil {
					if got := w.mean(field, now, l.Utilization.Window); got != nil && (most == nil || *got > *most) {
						most = got
					}
				}
			}
			return most
		}
		o.CPU = most(func(p part) float64 { return p.cpu })
		o.Memory = most(func(p part) float64 { return p.memory })
		o.Device = most(func(p part) float64 { return p.device })
	}
	return o
}

// Look looks at all sessions once: it warns, ends, and writes down when they were used.
func (k *Keeper) Look(ctx context.Context) {
	live := map[string]bool{}
	all := k.sessions.Sessions("", sessions.SessionFilter{Live: true})
	for _, s := range all {
		live[s.ID] = true
		if s.Type == sessions.TypeInteractive && s.Status == sessions.StatusRunning && !s.IsSub() {
			k.lookAt(ctx, whole(s, all))
		}
	}
	k.book.keep(live)
	k.mu.Lock()
	defer k.mu.Unlock()
	forget(k.windows, live)
	forget(k.low, live)
	forget(k.warned, live)
}

// forget leaves what is of sessions that live.
func forget[T any](of map[string]T, live map[string]bool) {
	maps.DeleteFunc(of, func(id string, _ T) bool { return !live[id] })
}

// lookAt looks at a session by all of its containers, the main one first.
func (k *Keeper) lookAt(ctx context.Context, of []sessions.Session) {
	s := of[0]
	l := k.of(s)
	o := k.observe(of, l)
	k.write(ctx, s, o.Used)
	now := k.now()
	v := Decide(l, o, now)
	what := string(v.Kind) + v.Ends.String()
	k.mu.Lock()
	if low, _ := l.Utilization.idle(o); !low {
		delete(k.low, s.ID)
	} else if o.LowSince.IsZero() {
		k.low[s.ID] = now
	}
	told := k.warned[s.ID] == what
	if v.Warn {
		k.warned[s.ID] = what
	}
	k.mu.Unlock()
	switch {
	case v.End:
		k.log.InfoContext(ctx, "an idle session is ended", "session", s.ID, "reason", v.Reason)
		k.say(ctx, of, "This session is ended now: "+v.Reason+".")
		if err := k.sessions.TerminateSession(ctx, s.Project, s.ID, "the idle check: "+v.Reason, false); err != nil {
			k.log.WarnContext(ctx, "an idle session was not ended; it will be", "session", s.ID, "error", err)
		}
	case v.Warn && !told:
		k.log.InfoContext(ctx, "a session will be ended", "session", s.ID, "at", v.Ends, "reason", v.Reason)
		k.say(ctx, of, fmt.Sprintf("This session will be ended in %s: %s.", v.Ends.Sub(now).Round(time.Second), v.Reason))
	}
}

// write keeps when a session was used, for the next daemon. What fails is tried again at the next look, and said once.
func (k *Keeper) write(ctx context.Context, s sessions.Session, used time.Time) {
	if used.Sub(s.Task.UsedAt) < writeEvery {
		return
	}
	err := k.sessions.Used(ctx, s.Project, s.ID, used)
	if err != nil && !k.unwritten {
		k.log.WarnContext(ctx, "when a session was used is not kept; it will be", "session", s.ID, "error", err)
	}
	k.unwritten = err != nil
}

// say writes a sentence on the terminals of a session. Nobody may be there, and a session may be too busy to show it: it is
// no reason not to go on.
func (k *Keeper) say(ctx context.Context, of []sessions.Session, sentence string) {
	if k.Tell == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sayBound)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, s := range of {
		all.Go(func() {
			if err := k.Tell(ctx, s, "\r\n\a[palisade] "+sentence+"\r\n"); err != nil {
				k.log.DebugContext(ctx, "a warning was not shown on terminals", "session", s.ID, "error", err)
			}
		})
	}
}
