package daemon

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/router/record"
)

// loadEvery is how often a box tells who leads what it carries, where there are up to loadBoxes boxes; of more each does so less
// often, so that who leads hears of no more than twice as many in a second.
const (
	loadEvery = 500 * time.Millisecond
	loadBoxes = 200
)

// tellAfter is how often each of so many boxes tells it.
func tellAfter(boxes int) time.Duration { return loadEvery * time.Duration(max(1, boxes/loadBoxes)) }

// carried is what who leads has to know of a box beside what door.Load has.
type carried struct {
	Totals  map[string]uint64 `json:"totals,omitempty"`  // requests that were let through, by service, since the box's router began
	Began   int64             `json:"began"`             // when that was; another one counts anew
	Clock   time.Time         `json:"clock"`             // of the box, now
	Samples []accel.Sample    `json:"samples,omitempty"` // of devices, where they are new
	Owners  map[int]string    `json:"owners,omitempty"`  // sessions of processes in Samples
	Part    *record.Part      `json:"part,omitempty"`    // what requests did here
}

// load is what a life of this box carries.
func (d *daemon) load(revision int64) (l door.Load, f carried) {
	l = door.Load{Revision: revision, Flying: d.traffic.flying(), Held: d.traffic.held()}
	f = carried{Totals: map[string]uint64{}, Began: d.began.UnixNano(), Clock: time.Now()}
	for _, s := range d.traffic.Snapshot() {
		if s.Total > 0 {
			f.Totals[s.ID] = s.Total
		}
	}
	return l, f
}

// peer is another box, as who leads hears of it.
type peer struct {
	name   string
	over   <-chan struct{} // closed when this life decides no more
	living func(name string) bool
	told   func(route string, revision int64) bool

	mu      sync.Mutex
	heard   bool
	load    door.Load
	figures carried
	added   map[string]uint64 // by service: requests since this box was heard of first
	clock   time.Duration     // its clock is before this box's by so much
}

// hear takes in what the box says.
func (p *peer) hear(l door.Load, f carried) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.added == nil {
		p.added = map[string]uint64{}
	}
	for id, n := range f.Totals {
		before, known := p.figures.Totals[id]
		switch {
		case !p.heard: // what was before is not of now
		case p.figures.Began != f.Began || !known:
			p.added[id] += n
		case n > before:
			p.added[id] += n - before
		}
	}
	p.heard, p.load, p.figures, p.clock = true, l, f, time.Since(f.Clock)*-1
}

// flying is what it has in flight on a route: a box that may still send a route what is new is as one that has a request there.
func (p *peer) flying(route string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.load.Flying[route]; n > 0 {
		return n
	}
	if !p.told(route, p.load.Revision) {
		return 1
	}
	return 0
}

// gone tells whether it is waited for no more.
func (p *peer) gone() bool {
	select {
	case <-p.over:
		return true
	default:
		return !p.living(p.name)
	}
}

// hear takes what another box tells who leads.
func (s *seat) hear(name string, l door.Load) error {
	d := s.life.Load()
	if d == nil || d.turn == nil || d.traffic == nil || d.traffic.publisher == nil {
		return door.ErrNotReady
	}
	var f carried
	if len(l.Figures) > 0 {
		if err := json.Unmarshal(l.Figures, &f); err != nil {
			return err
		}
	}
	d.peers.hear(d.peerOf(name), l, f)
	d.sawDevices(name, f)
	if f.Part != nil {
		d.seeing.live.Hear(time.Now(), name, f.Part)
	}
	for id, n := range l.Held {
		if n > 0 {
			d.scaling.need(id)
		}
	}
	if len(l.Held) > 0 {
		d.keeper.Kick()
	}
	return nil
}

// sawDevices enters how a box's devices are into the ledger of who leads, by this box's clock.
func (d *daemon) sawDevices(node string, f carried) {
	if len(f.Samples) == 0 {
		return
	}
	now := time.Now()
	for i := range f.Samples {
		f.Samples[i].At = now
	}
	seen := d.pool.ledger.Observe(node, f.Samples, func(pid int) (string, bool) { id, ours := f.Owners[pid]; return id, ours }, now)
	for _, o := range seen.Overuse {
		d.overuse(o)
	}
}

// report tells who leads what this box carries, again and again, and at once when a request needs a route.
func (s *seat) report(ctx context.Context) {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	sent, told := 0, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Ticks come a little early or late.
			if after := tellAfter(s.roster.Len()); after > loadEvery && time.Since(told) < after-loadEvery/2 {
				continue
			}
		case <-s.tell:
		}
		told = time.Now()
		d := s.life.Load()
		if d == nil {
			continue
		}
		revision := d.revision.Load()
		l, f := d.load(revision)
		number := s.samples.fill(&f, sent)
		leader := s.leads()
		if leader == s.name() {
			if d.turn != nil && number != sent && d.pool != nil {
				d.sawDevices(s.name(), f)
				sent = number
			}
			continue
		}
		if leader == "" {
			continue
		}
		if d.turn == nil { // else it has the other boxes' in it
			f.Part = d.seeing.teller.Next(time.Now(), leader, tellAfter(s.roster.Len()))
		}
		text, err := json.Marshal(f)
		if err != nil {
			continue // numbers and text always are
		}
		l.Figures = text
		telling, cancel := context.WithTimeout(ctx, 2*loadEvery)
		if s.doors.Tell(telling, leader, l) == nil {
			sent = number
			if f.Part != nil {
				d.seeing.teller.Arrived()
			}
		}
		cancel()
	}
}

// fill puts in how devices were seen, where that is newer than what was sent.
func (s *samples) fill(f *carried, sent int) (number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number != sent {
		f.Samples, f.Owners = append([]accel.Sample(nil), s.latest...), maps.Clone(s.owners)
	}
	return s.number
}
