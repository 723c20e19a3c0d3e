package signals

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// target is one route's page. What looks at it is one goroutine at a time, which owns page, past and getter; the
// collector's mu guards the rest.
type target struct {
	of     *service
	route  Route
	plan   *plan
	ctx    context.Context //nolint:containedctx // of its timer's looks: ends with the route
	cancel context.CancelFunc
	timer  *time.Timer
	busy   bool
	gone   bool

	// What the last look gave.
	at       time.Time // of the last that succeeded
	tried    time.Time
	readings []reading // by the figures of shown
	shown    *plan
	names    []string // that its page has, where something wanted is missing
	namesAt  time.Time
	err      error // nil: the last look succeeded
	fails    int   // in a row

	// Owned by the look.
	getter getter
	paths  []string // the first one is where its page is
	page   *page
	past   *past
	spare  []reading
}

// setTargets makes the targets of a service as its spec has them.
func (c *Collector) setTargets(s *service, spec *Service, plans map[string]*plan) {
	var wanted []string
	for _, m := range spec.Wanted {
		if m.Source == autoscaler.SourceEngine {
			wanted = append(wanted, m.Name)
		}
	}
	for i := range spec.Routes {
		r := &spec.Routes[i]
		if !r.Ready || r.URL == "" {
			continue // and what it said before it was unready counts no more
		}
		t := s.targets[r.ID]
		if t != nil && t.route.URL != r.URL {
			c.dropTarget(t)
			t = nil
		}
		if t == nil {
			t = newTarget(s, *r, c.config)
		}
		t.route = *r
		t.plan = c.planOf(wanted, r.Names, plans)
		s.targets[r.ID] = t
	}
	for id, t := range s.targets {
		if !slices.ContainsFunc(spec.Routes, func(r Route) bool { return r.ID == id && r.Ready && r.URL != "" }) {
			c.dropTarget(t)
			delete(s.targets, id)
		}
	}
}

// planOf gives the plan for what is wanted. Targets that want the same share it.
func (c *Collector) planOf(wanted []string, names map[string][]string, plans map[string]*plan) *plan {
	var key strings.Builder
	fmt.Fprintf(&key, "%q", wanted)
	for _, w := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&key, "%q%q", w, names[w])
	}
	p := c.plans[key.String()]
	if p == nil {
		p = plans[key.String()]
	}
	if p == nil {
		p = compile(wanted, names)
	}
	plans[key.String()] = p
	return p
}

func newTarget(s *service, r Route, config Config) *target {
	t := &target{of: s, route: r, past: newPast()}
	address, host, path, err := split(r.URL)
	t.err = err
	t.getter = getter{dial: config.Dial, address: address, host: host}
	t.paths = []string{path}
	for _, p := range elsewhere() {
		if p != path {
			t.paths = append(t.paths, p)
		}
	}
	t.gone = err != nil // it is shown with what is wrong, and never looked at
	return t
}

func (t *target) arm(c *Collector) {
	t.ctx, t.cancel = context.WithCancel(c.ctx)
	t.timer = time.AfterFunc(0, func() { c.due(t) })
}

func (t *target) disarm() {
	if t.timer != nil {
		t.timer.Stop()
		t.cancel()
	}
}

func (c *Collector) dropTarget(t *target) {
	t.gone = true
	t.disarm()
	if !t.busy {
		_ = t.getter.close()
	}
}

// due looks at a target, in a goroutine of its timer's.
func (c *Collector) due(t *target) {
	c.mu.Lock()
	if t.gone || c.ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	// Routes that failed have half of the places: however many hang, the others are looked at.
	failing := t.fails > 0
	if c.looks >= c.config.AtOnce || failing && c.suspect >= max(c.config.AtOnce/2, 1) {
		t.timer.Reset(c.config.Interval / 4)
		c.mu.Unlock()
		return
	}
	t.busy = true
	c.looks++
	if failing {
		c.suspect++
	} else {
		t.of.awaited++
	}
	c.running.Add(1)
	defer c.running.Done()
	plan := t.plan
	withNames := t.names == nil || time.Since(t.namesAt) > slowest && t.lacks()
	c.mu.Unlock()

	err := t.look(plan, withNames, c)

	c.mu.Lock()
	defer c.mu.Unlock()
	t.busy = false
	c.looks--
	if failing {
		c.suspect--
	} else {
		t.of.awaited--
	}
	if t.gone || c.ctx.Err() != nil {
		_ = t.getter.close()
		return
	}
	now := time.Now()
	t.publish(plan, err, withNames, now)
	if err == nil {
		c.sample(t.of, now)
	}
	t.timer.Reset(t.next(now, c.config.Interval))
}

// look reads the page, and makes figures of it.
func (t *target) look(plan *plan, withNames bool, c *Collector) error {
	if err := t.read(plan, withNames, c); err != nil {
		return err
	}
	t.spare = t.past.readings(t.page, time.Now(), c.config.Window, t.spare)
	return nil
}

func (t *target) read(plan *plan, withNames bool, c *Collector) error {
	if t.page == nil || t.page.plan != plan {
		t.page = newPage(plan)
	}
	t.page.namesAfter = withNames
	ctx, cancel := context.WithTimeout(t.ctx, c.config.Timeout)
	defer cancel()
	room, ok := c.rooms.Get().(*room)
	if !ok {
		room = newRoom()
	}
	defer c.rooms.Put(room)
	err := t.getter.get(ctx, t.paths[0], t.page, room)
	if errors.Is(err, errNoPage) && len(t.paths) > 1 {
		// Perhaps it is elsewhere. Where it is nowhere, the first path is what the owner is told of.
		for i, path := range t.paths[1:] {
			if t.getter.get(ctx, path, t.page, room) == nil && t.page.good > 0 {
				t.paths = append([]string{path}, slices.Delete(slices.Clone(t.paths), i+1, i+2)...)
				return nil
			}
		}
	}
	if err != nil {
		return inWords(err, c.config.Timeout)
	}
	return nil
}

// publish takes over what a look gave.
func (t *target) publish(plan *plan, err error, withNames bool, now time.Time) {
	t.tried, t.err = now, err
	if err != nil {
		t.fails++
		return
	}
	t.fails, t.at = 0, now
	t.spare, t.readings = t.readings, t.spare
	t.shown = plan
	if withNames {
		t.names, t.namesAt = []string{}, now
		if t.lacks() {
			t.names = t.page.names
		}
		t.page.names = nil
	}
}

// lacks tells whether a figure that is wanted was not on the page.
func (t *target) lacks() bool {
	if t.shown == nil {
		return false
	}
	for i := range t.shown.figures {
		if r := t.readings[i]; i >= len(vocabulary()) && !r.ok && r.why == absent {
			return true
		}
	}
	return false
}

// beats is into how many moments an interval is divided: looks that begin together cost less than looks one by one.
const beats = 8

// next is when to look again. All routes of a service are looked at in one moment, so that a sample is of one, and
// services are spread over the interval.
func (t *target) next(now time.Time, interval time.Duration) time.Duration {
	wait := interval
	for range t.fails {
		if wait = min(2*wait, slowest); wait == slowest {
			break
		}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.of.spec.ID))
	phase := time.Duration(h.Sum64()%beats) * (interval / beats)
	at := now.Add(wait).Truncate(interval).Add(phase)
	for at.Sub(now) > wait {
		at = at.Add(-interval)
	}
	for at.Sub(now) < wait-interval/2 {
		at = at.Add(interval)
	}
	return at.Sub(now)
}

// fresh is for how long what a route said counts.
func (c *Collector) fresh() time.Duration { return 3 * c.config.Interval }

// sample adds up what the routes of a service said, when those have come that are awaited.
func (c *Collector) sample(s *service, now time.Time) {
	if s.awaited > 0 || now.Sub(s.sampled) < c.config.Interval/2 {
		return
	}
	s.sampled = now
	for m := range s.series {
		if m.Source != autoscaler.SourceEngine {
			continue
		}
		v := autoscaler.Sample{At: now}
		for _, t := range s.targets {
			if r, ok := t.reading(m.Name); ok && r.ok && now.Sub(t.at) < c.fresh() {
				v.Total += r.value
				v.Of++
			}
		}
		if v.Of > 0 {
			s.add(m, v)
		}
	}
}

// reading gives what the target said last of a figure.
func (t *target) reading(name string) (reading, bool) {
	if t.shown == nil {
		return reading{}, false
	}
	for i := range t.shown.figures {
		if t.shown.figures[i].name == name {
			return t.readings[i], true
		}
	}
	return reading{}, false
}

// inWords says what went wrong so that an owner knows.
func inWords(err error, timeout time.Duration) error {
	switch {
	case timedOut(err):
		return fmt.Errorf("no answer within %s", brief(timeout))
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("it refuses connections")
	case errors.Is(err, errGone):
		return errGone
	}
	return err
}

// brief writes a duration as people do: "1 s".
func brief(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%g s", d.Round(100*time.Millisecond).Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
