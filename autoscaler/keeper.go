package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// World is what the keeper must know of services, and how it has their number of routes changed.
type World interface {
	// Observe gives all services that are to stay.
	Observe(now time.Time) []Observed
	// Scale sets the number of routes of a service whose row has that version; else it fails with ErrConflict. *CappedError
	// where a limit keeps it from having so many, and it got what that lets it. ErrUnavailable
	// when nobody can write for the moment.
	Scale(ctx context.Context, o *Observed, to int, reason string) error
	// Frees reports whether n routes less of one service would let a waiting route of another one be placed.
	Frees(claimant, giver string, n int) bool
	// Note tells those who look at a service what was done for it, or could not be: one that has no policy gets no
	// decisions. ErrConflict where it is gone, ErrUnavailable as Scale.
	Note(ctx context.Context, serviceID, kind, message string) error
	// Changed is told when it is another question whether a service wakes from zero by itself.
	Changed()
}

// Observed is one service, as it is now.
type Observed struct {
	ID, Name, Project string
	Version           int64
	Replicas          int
	Priority          int
	ScaledBy          string // the person who set Replicas last; "" nobody since the autoscaler did
	ScaledAt          time.Time
	CreatedAt         time.Time
	Routes            []Route
	Full              string  // why a route of it waits for a place
	Held              int     // requests that wait
	InFlight          int     // those too
	Rate              float64 // requests a second, over some minutes
	Busy              time.Time
	LoadTime          time.Duration // of one route, as was measured; 0: not known
	ReadyAt           time.Time     // when the first of its starting routes is expected; zero: not known
	Memory            float64       // GiB that one route holds of what is scarce: accelerators' memory, else memory
	Knee              int           // requests at once that one route takes well, as was measured; 0: not known
	Measured          bool          // it is measured now: what its engine says of itself is nobody's demand
}

// Signalling has the signals of all services.
type Signalling interface {
	// Of gives those of one service as they are now; what comes later does not change them, until it is called for the
	// service again. The keeper's loop alone calls it.
	Of(serviceID string) Signals
	Status(serviceID string) []SignalStatus
	// Want says which metrics of which services are needed.
	Want(metrics map[string][]Metric)
}

// ErrUnavailable is what a Store and a World answer that cannot write for the moment.
var ErrUnavailable = errors.New("not available")

// Keeper keeps services at the number of routes that Decide says. It is the only one of this room that changes
// anything. Its loop alone decides; whoever asks is answered from what it knew last.
type Keeper struct {
	store   Store
	world   World
	signals Signalling
	log     *slog.Logger
	metrics *metrics
	kicked  chan struct{} // of size 1: look now

	editing sync.Mutex // one edit of a policy at a time

	failing map[string]string    // by service: what was said last of a number that could not be changed; of the loop alone
	asked   map[string]time.Time // when it was asked who gives way to a service; of the loop alone, as
	givers  map[string]string    // who does, by who gets it,
	told    map[string]string    // what was noted last, by who gets it, and
	turned  bool                 // a window has opened or closed: another question is who wakes

	mu    sync.Mutex
	kept  map[string]*watched
	begun time.Time // since when signals are seen
}

// watched is one service's policy and what was decided last.
type watched struct {
	Kept
	last    Decision
	note    note
	paused  string
	since   time.Time // of paused
	loaded  time.Duration
	eta     time.Time
	unsaved []Decision // the store was away
	shut    *bool      // whether who asked last heard that there is to be no route at this time; nil: nobody asked
}

// Around is what a Keeper has to do with.
type Around struct {
	Store    Store
	World    World
	Signals  Signalling
	Registry prometheus.Registerer // may be nil
	Log      *slog.Logger
}

// NewKeeper reads the policies. Run it.
func NewKeeper(ctx context.Context, a Around) (*Keeper, error) {
	k := &Keeper{
		store: a.Store, world: a.World, signals: a.Signals, log: a.Log, kicked: make(chan struct{}, 1), kept: map[string]*watched{},
		failing: map[string]string{}, asked: map[string]time.Time{}, givers: map[string]string{}, told: map[string]string{},
	}
	all, err := k.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range all {
		row.Policy.Fill()
		one := &watched{Kept: row}
		if last, err := k.store.Decisions(ctx, row.ServiceID, 1); err != nil {
			return nil, err
		} else if len(last) > 0 {
			one.last = last[0]
		}
		k.kept[row.ServiceID] = one
	}
	k.want()
	k.metrics = newMetrics(k)
	if a.Registry != nil {
		if err := a.Registry.Register(k.metrics); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return k, nil
}

// tickEvery is how often services are decided though nothing is known to have happened.
const tickEvery = time.Second

// kickEvery is how far apart looks are that somebody asks for: of a thousand requests that come to wait at once each asks for
// one, and each is a look at all services.
const kickEvery = 50 * time.Millisecond

// Run decides until ctx ends. It leaves the numbers as they are.
func (k *Keeper) Run(ctx context.Context) {
	k.mu.Lock()
	k.begun = time.Now()
	k.mu.Unlock()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var kicked time.Time
	for {
		k.tick(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-k.kicked: // the first one is seen to at once
			if rest := kickEvery - time.Since(kicked); rest > 0 {
				select {
				case <-time.After(rest):
				case <-ctx.Done():
					return
				}
			}
			kicked = time.Now()
		case <-tick.C:
		}
	}
}

// Kick asks for a decision now: a request waits that no route will take. It never blocks.
func (k *Keeper) Kick() {
	select {
	case k.kicked <- struct{}{}:
	default:
	}
}

// tick decides every service once. A store that is away ends the round: each further write would wait for it as long.
func (k *Keeper) tick(ctx context.Context, now time.Time) {
	defer k.metrics.ticked(time.Now())
	defer k.tellTurned()
	before := k.ids() // a service that is new, and its policy, may come while others are looked at
	services := k.world.Observe(now)
	k.metrics.saw(services)
	yields, chosen := k.yields(services, now)
	for i := range services {
		o := &services[i]
		delete(before, o.ID)
		if o.Measured && o.InFlight == 0 { // nobody asks, and what is measured stays as it is
			continue
		}
		err := k.decide(ctx, o, yields[o.ID], chosen[o.ID], now)
		if err == nil {
			delete(k.failing, o.ID)
		} else if ctx.Err() == nil {
			if errors.Is(err, ErrConflict) { // somebody was quicker, and requests may wait: what is so now is looked at soon
				k.Kick()
				continue
			}
			if k.failing[o.ID] != err.Error() { // it is tried again each second, and said once
				k.failing[o.ID] = err.Error()
				k.log.Error("the number of routes could not be changed; it will be tried again", "service", o.Name, "error", err)
			}
			if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				return
			}
		}
	}
	k.forget(ctx, before)
}

// tellTurned tells once of all windows that have opened or closed.
func (k *Keeper) tellTurned() {
	if k.turned {
		k.turned = false
		k.world.Changed()
	}
}

// decide decides one service, has it done, and writes it down. The number is changed first: what is lost by a crash
// before the decision is kept is its explanation and its cool-downs, and after a start everything holds for a while anyway.
func (k *Keeper) decide(ctx context.Context, o *Observed, yield *Yield, chosen *Standoff, now time.Time) error {
	k.mu.Lock()
	s := k.kept[o.ID]
	if s == nil {
		k.mu.Unlock()
		return k.tell(ctx, o, chosen)
	}
	in := k.input(s, o, yield, now)
	k.mu.Unlock()
	in.Signals = k.signals.Of(o.ID)
	d := Decide(&in, now)
	d.Standoff = chosen
	if d.Replicas != o.Replicas {
		writing, cancel := context.WithTimeout(ctx, saveTimeout)
		err := k.world.Scale(writing, o, d.Replicas, d.Reason)
		cancel()
		if capped, is := errors.AsType[*CappedError](err); is {
			if capped.At == o.Replicas {
				k.held(s, d, capped)
				return nil
			}
			d.Replicas, d.Reason, err = capped.At, d.Reason+"; "+capped.Reason, nil
		}
		if err != nil {
			if !errors.Is(err, ErrConflict) {
				k.couldNot(s, d, err)
			}
			return err
		}
		k.metrics.moved(o, d.Replicas)
		k.log.Info("scaled", "service", o.Name, "from", o.Replicas, "to", d.Replicas, "reason", d.Reason)
	}
	return k.keep(ctx, s, &in, o, d)
}

// held lets who asks see what was decided, and that a limit is in the way. It is decided anew in the next round.
func (k *Keeper) held(s *watched, d Decision, capped *CappedError) {
	d.Reason += "; " + capped.Reason
	d.Replicas = d.Was
	k.mu.Lock()
	defer k.mu.Unlock()
	s.last = d
}

// couldNot lets who asks how the service stands see what was decided, and why it is not so.
func (k *Keeper) couldNot(s *watched, d Decision, err error) {
	d.Reason = fmt.Sprintf("%s; but it could not be written, and is tried again: %v", d.Reason, err)
	d.Replicas = d.Was
	k.mu.Lock()
	defer k.mu.Unlock()
	s.last = d
}

// saveTimeout bounds one write.
const saveTimeout = 5 * time.Second

// input gathers what Decide looks at. The caller holds mu.
func (k *Keeper) input(s *watched, o *Observed, yield *Yield, now time.Time) Input {
	s.paused, s.since = "", time.Time{}
	if s.pausedBy(o.ScaledBy, o.ScaledAt) {
		s.paused, s.since = o.ScaledBy, o.ScaledAt
	}
	s.loaded, s.eta = o.LoadTime, o.ReadyAt
	policy := s.Policy // edits replace its rules as a whole
	policy.Rules = measuredRules(policy.Rules, o.Knee)
	in := Input{
		Policy: &policy, Replicas: o.Replicas, Routes: o.Routes, PausedBy: s.paused, Held: o.Held, Busy: o.Busy,
		Known: k.begun, Full: o.Full, Yields: yield, Memory: s.Memory, LoadTime: o.LoadTime,
	}
	if o.CreatedAt.After(in.Known) && !o.CreatedAt.After(now) { // a clock may have been set back since
		in.Known = o.CreatedAt
	}
	return in
}

// measuredRules are rules whose targets are what was measured, where they are to be.
func measuredRules(rules []Rule, knee int) []Rule {
	if knee <= 0 || !slices.ContainsFunc(rules, func(r Rule) bool { return r.Auto }) {
		return rules
	}
	rules = slices.Clone(rules)
	for i := range rules {
		if rules[i].Auto {
			rules[i].Target = float64(knee)
		}
	}
	return rules
}

// keep remembers a decision, and writes it down where it says something new. What the store did not take is tried
// again with the next one.
func (k *Keeper) keep(ctx context.Context, s *watched, in *Input, o *Observed, d Decision) error {
	k.mu.Lock()
	n := noteOf(in, &d)
	if n.full && d.Standoff == nil { // it is not asked at every look
		n.giver, n.judged = s.note.giver, s.note.judged
	}
	if d.Replicas != d.Was || n != s.note {
		s.unsaved = append(s.unsaved, d)
	}
	s.Memory, s.last, s.note = d.Memory, d, n
	if _, most := s.bounds(d.At); s.shut != nil && *s.shut != (most == 0) {
		s.shut, k.turned = new(most == 0), true
	}
	unsaved := slices.Clone(s.unsaved)
	k.mu.Unlock()
	for _, d := range unsaved {
		writing, cancel := context.WithTimeout(ctx, saveTimeout)
		err := k.store.AddDecision(writing, o.ID, d)
		cancel()
		if err != nil {
			k.mu.Lock()
			s.unsaved = s.unsaved[max(len(s.unsaved)-unsavedMost, 0):]
			k.mu.Unlock()
			return fmt.Errorf("keeping a decision: %w", err)
		}
		k.mu.Lock()
		s.unsaved = s.unsaved[1:]
		k.mu.Unlock()
	}
	return nil
}

// unsavedMost is how many decisions of a service are kept for a store that is away.
const unsavedMost = 100

// note is what makes a decision worth writing down though it changes no number.
type note struct {
	paused  string
	full    bool   // a route waits for a place
	judged  bool   // it was asked who would give it one
	giver   string // who does
	missing bool   // no rule had data
}

func noteOf(in *Input, d *Decision) note {
	n := note{paused: in.PausedBy, full: in.Full != ""}
	if n.full && d.Standoff != nil {
		n.judged, n.giver = true, d.Standoff.Service
	}
	n.missing = in.Replicas > 0 && blind(in.Policy, d.Wishes)
	return n
}

// blind reports whether there are rules that look at metrics, and none of them sees anything.
func blind(p *Policy, wishes []Wish) bool {
	asked := false
	for i := range p.Rules {
		key := p.Rules[i].key(i)
		at := slices.IndexFunc(wishes, func(w Wish) bool { return w.Rule == key })
		switch {
		case p.Rules[i].Kind == KindSchedule || at < 0:
		case wishes[at].Value != nil:
			return false
		default:
			asked = true
		}
	}
	return asked
}

// ids of the services that have a policy.
func (k *Keeper) ids() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[string]bool, len(k.kept))
	for id := range k.kept {
		out[id] = true
	}
	return out
}

// forget lets go of policies whose services are gone.
func (k *Keeper) forget(ctx context.Context, gone map[string]bool) {
	for id := range gone {
		delete(k.failing, id)
		if err := k.delete(ctx, id); err != nil {
			k.log.Error("the policy of a service that is gone stays for now", "service", id, "error", err)
			return
		}
	}
}

func (k *Keeper) delete(ctx context.Context, id string) error {
	if !k.editing.TryLock() { // an edit may wait for the store for long; the next round does as well
		return nil
	}
	defer k.editing.Unlock()
	writing, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := k.store.DeletePolicy(writing, id); err != nil {
		return err
	}
	k.mu.Lock()
	delete(k.kept, id)
	k.mu.Unlock()
	k.want()
	return nil
}

// CappedError says that a limit lets a service have fewer routes than were wished; it has At, or will have them.
type CappedError struct {
	At     int
	Reason string
}

func (e *CappedError) Error() string { return e.Reason }
