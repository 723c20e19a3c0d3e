package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// Publisher writes the table to the cluster while this box leads, and knows when all have read what it has written.
//
// Each row that is written goes to each box. What takes a route away, and the first route of a service, is written at once, or where many
// boxes have just been told of something with what else has come to be within a quarter of a second; of the rest as much as fanOut allows,
// see admit.
type Publisher struct {
	put   func(ctx context.Context, rows map[string]*cluster.Row) (revision int64, err error)
	boxes func() int // that read the table

	changed chan struct{} // of size 1

	mu      sync.Mutex
	wanted  map[string]*cluster.Row // nil: nobody has said yet
	written map[string]*cluster.Row
	differ  map[string]bool      // rows that may be wanted otherwise than they are written
	at      map[string]time.Time // when each was written
	late    map[string]time.Time // since when a row is not written as it is wanted
	// closed are routes that take nothing new, with the revision at which all are told so; 0: it is not written yet.
	closed map[string]int64
	known  map[string]bool      // routes that were ever told; true: they are in the table that is wanted
	since  map[string]time.Time // when each of closed was seen to be, about
	last   int64                // revision of the last write
	before int64                // that of those who led before; 0: nobody did
}

// Tables is where the table is read and written. *cluster.Agreement is one.
type Tables interface {
	Table(ctx context.Context) (cluster.Table, error)
	PutTable(ctx context.Context, r cluster.Reign, rows map[string]*cluster.Row) (revision int64, err error)
}

// TakeOver makes the publisher of a reign, which goes on from what those before have written last. That is read, and is not what this
// box's watch has told: a watch on a member that is silent tells of it later than another box takes to lead.
func TakeOver(ctx context.Context, in Tables, r cluster.Reign, boxes func() int) (*Publisher, error) {
	before, err := in.Table(ctx)
	if err != nil {
		return nil, err
	}
	p := NewPublisher(before.Rows, boxes, func(ctx context.Context, rows map[string]*cluster.Row) (int64, error) {
		return in.PutTable(ctx, r, rows)
	})
	p.before = before.Written
	return p, nil
}

// NewPublisher makes one where written is the table as it is. put writes rows, nil for one that goes, and returns the revision at which
// they were; boxes is how many there are that read them.
func NewPublisher(written map[string]*cluster.Row, boxes func() int, put func(ctx context.Context, rows map[string]*cluster.Row) (int64, error)) *Publisher {
	return &Publisher{
		put: put, boxes: boxes, changed: make(chan struct{}, 1), written: written, differ: map[string]bool{}, at: map[string]time.Time{}, late: map[string]time.Time{},
		closed: map[string]int64{}, known: map[string]bool{}, since: map[string]time.Time{},
	}
}

// Publish has rows written soon: those that take a route away, or are the first of a service, at once. A row that was published before
// is not looked at again: a thousand services are published when one has changed.
func (p *Publisher) Publish(rows map[string]*cluster.Row) {
	p.mu.Lock()
	before := p.wanted
	if before == nil {
		before = p.written
	}
	p.wanted = rows
	var opens, goes []*cluster.Row
	for id, row := range rows {
		was := before[id]
		if was == row {
			continue
		}
		p.differ[id] = true
		opens = append(opens, row)
		if was != nil {
			goes = append(goes, was)
		}
	}
	for id, was := range before {
		if rows[id] == nil {
			p.differ[id] = true
			goes = append(goes, was)
		}
	}
	p.turn(goes, opens)
	p.mu.Unlock()
	p.poke()
}

// turn notes which routes are there, and which take nothing new any more, where some rows go and others come in their place. p.mu is
// held.
func (p *Publisher) turn(goes, opens []*cluster.Row) {
	for _, row := range goes {
		for _, r := range row.Service.Routes {
			p.known[r.ID] = false
		}
	}
	open := map[string]bool{}
	for _, row := range opens {
		for _, r := range row.Service.Routes {
			p.known[r.ID] = true
			open[r.ID] = !r.Draining
		}
	}
	for _, rows := range [][]*cluster.Row{goes, opens} {
		for _, row := range rows {
			for _, r := range row.Service.Routes {
				switch _, was := p.closed[r.ID]; {
				case open[r.ID]:
					delete(p.closed, r.ID)
					delete(p.since, r.ID)
				case !was:
					p.closed[r.ID] = 0
				}
			}
		}
	}
}

// Run writes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	tick := time.NewTicker(outlookEvery)
	defer tick.Stop()
	pause := time.NewTimer(turn)
	pause.Stop()
	defer pause.Stop()
	calm := true       // nothing has to wait
	var next time.Time // nothing is written before
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-tick.C:
		case <-pause.C:
			calm = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		began := time.Now()
		cost, err := p.write(ctx, calm)
		if cost > 0 {
			next = nextAfter(began, time.Now(), p.boxes())
		}
		switch {
		case err != nil:
			select { // it is written as it is then
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
				p.poke()
			}
		case cost > 0 && calm:
			calm = false
			// To compare the tables is work too, which is not to take more than half of the time; and what can wait does so for two gaps, while
			// what cannot goes with the first: where hundreds of services change, each message tells of many.
			bytes := time.Duration(float64(cost) * float64(p.boxes()) / fanOut * float64(time.Second))
			pause.Reset(max(min(turn, time.Since(began)+bytes), 2*gap(p.boxes())))
		}
	}
}

func (p *Publisher) poke() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// write brings what is written to what is wanted, as far as it may be by now or, where it is not calm, what is urgent alone. It returns
// about how many bytes that were.
func (p *Publisher) write(ctx context.Context, calm bool) (cost int, err error) {
	now := time.Now()
	p.mu.Lock()
	if p.wanted == nil {
		p.mu.Unlock()
		return 0, nil
	}
	wanted := p.wanted
	var closing []string
	for id, revision := range p.closed {
		if revision == 0 {
			closing = append(closing, id)
		}
	}
	rows := map[string]*cluster.Row{}
	write := func(id string, row *cluster.Row) {
		rows[id] = row
		cost += costOf(row)
	}
	var waiting []pending
	for id := range p.differ {
		row, was := wanted[id], p.written[id]
		if row == nil {
			if was == nil {
				delete(p.differ, id)
				continue
			}
			rows[id] = nil
			cost += rowCost
			continue
		}
		haste := hasteOf(was, row, now.Sub(p.at[id]))
		switch haste {
		case none:
			delete(p.late, id)
			if was == row || same(was, row) { // else it is to be said later
				p.written[id] = row
				delete(p.differ, id)
			}
			continue
		case atOnce:
			write(id, row)
			continue
		case beside, telling:
		}
		if p.late[id].IsZero() {
			p.late[id] = now
		}
		if calm {
			waiting = append(waiting, pending{id, haste, now.Sub(p.late[id]), costOf(row)})
		}
	}
	for _, w := range admit(waiting, fanOut/max(1, p.boxes())) {
		write(w.id, wanted[w.id])
	}
	p.mu.Unlock()
	if len(rows) == 0 && len(closing) == 0 {
		return 0, nil
	}
	revision, err := p.put(ctx, rows)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(p.last, revision)
	p.forget(now)
	for id, row := range rows {
		delete(p.late, id)
		if p.wanted[id] == row {
			delete(p.differ, id)
		}
		if row == nil {
			delete(p.written, id)
			delete(p.at, id)
			continue
		}
		p.written[id], p.at[id] = row, now
	}
	for _, id := range closing {
		if p.closed[id] == 0 {
			p.closed[id] = max(revision, p.before, 1) // where nothing was to be written, those before may have just written it
		}
	}
	return cost, nil
}

// Told tells whether a box that routes by a revision of the table knows that a route takes nothing new; true for one that does.
func (p *Publisher) Told(route string, revision int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, closed := p.closed[route]
	return !closed || at != 0 && revision >= at
}

// Closes tells whether a route takes nothing new.
func (p *Publisher) Closes(route string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, closed := p.closed[route]
	return closed
}

// Newest is the revision at which the table was written last; 0: it was not.
func (p *Publisher) Newest() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// closedFor is how long it is remembered that a route is gone: nobody asks for it after that.
const closedFor = time.Hour

// forget drops what is known of routes that are long gone. p.mu is held.
func (p *Publisher) forget(now time.Time) {
	for id, at := range p.closed {
		switch since := p.since[id]; {
		case since.IsZero():
			p.since[id] = now
		case at != 0 && !p.known[id] && now.Sub(since) > closedFor:
			delete(p.closed, id)
			delete(p.known, id)
			delete(p.since, id)
		}
	}
}
