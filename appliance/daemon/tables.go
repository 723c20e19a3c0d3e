package daemon

import (
	"context"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// site is a box, as a table is made for it.
type site struct {
	name  string
	alive func(node string) bool          // whether another box is heard of
	own   func(session, addr string) bool // whether a route of this box is to be believed
	// doubted tells whether another box does not answer this one, though it is heard of.
	doubted func(node string) bool
	// reach is how a route on another box is reached from this one; an error where it is not.
	reach func(node, session string, ports ...int) (ip string, err error)
}

// tableFor is what a box routes by: its own routes by their addresses, and those of others by a way there. Those of boxes that are not
// heard of are lost, and of boxes that do not answer as well, where a service has others.
func tableFor(rows map[string]cluster.Row, at site) []router.Service {
	table := make([]router.Service, 0, len(rows))
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		row := rows[id]
		s := serviceOf(row.Service, row.Wakes)
		s.Routes = nil
		doubted, others := map[int]bool{}, false
		for _, r := range row.Service.Routes {
			node := row.Nodes[r.ID]
			route := router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining}
			if (node == "" || node == at.name) && at.own != nil && !at.own(r.ID, r.Addr) {
				continue
			}
			if node != "" && node != at.name {
				host, port, err := net.SplitHostPort(r.Addr)
				n, numeric := strconv.Atoi(port)
				if err != nil || numeric != nil || host == "" {
					continue
				}
				ip, err := at.reach(node, r.ID, n)
				if err != nil {
					continue
				}
				route.Addr, route.Far, route.Lost = net.JoinHostPort(ip, port), true, !at.alive(node)
				doubted[len(s.Routes)] = at.doubted(node)
			}
			others = others || !route.Draining && !route.Lost && !doubted[len(s.Routes)] && route.Weight > 0
			s.Routes = append(s.Routes, route)
		}
		for i := range s.Routes {
			r := &s.Routes[i]
			if r.Lost = r.Lost || others && doubted[i]; r.Lost {
				r.Weight = 0 // for routers of before, which know no lost ones
			}
		}
		table = append(table, s)
	}
	return table
}

// serviceOf says in the router's words what a service is.
func serviceOf(s sessions.ServiceRoutes, wakes bool) router.Service {
	out := router.Service{ID: s.ID, Name: s.Name, Project: s.Project, Aliases: s.Aliases, Public: s.Public, CreatedAt: s.CreatedAt, Status: string(s.Status)}
	out.ReadyAt, out.Broken, out.RetryAt, out.Held = s.ReadyAt, s.Broken, s.RetryAt, s.Held
	out.Zero = s.Status == sessions.ServiceIdle
	out.Wakes = wakes
	out.Traffic = trafficOf(s, out.Zero && !out.Wakes)
	for _, r := range s.Routes {
		out.Routes = append(out.Routes, router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining})
	}
	return out
}

// standsOf are for who answers requests of before.
func standsOf(table []router.Service) map[string]standing {
	stands := make(map[string]standing, len(table))
	for _, s := range table {
		stands[s.ID] = standing{s.Routes, outlook{s.ReadyAt, s.Broken, s.RetryAt, s.Held}}
	}
	return stands
}

// outlookEvery is how often a row is written again for what is expected alone, which changes with the time.
const outlookEvery = 5 * time.Second

// publisher writes the table to the cluster while this box leads, and knows when all have read what it has written.
type publisher struct {
	put func(ctx context.Context, rows map[string]*cluster.Row) (revision int64, err error)

	changed chan struct{} // of size 1

	mu      sync.Mutex
	wanted  map[string]cluster.Row
	written map[string]cluster.Row
	at      map[string]time.Time // when each was written
	// closed are routes that take nothing new, with the revision at which all are told so; 0: it is not written yet.
	closed map[string]int64
	known  map[string]bool      // routes that were ever told
	since  map[string]time.Time // when each of closed was seen to be, about
	last   int64                // revision of the last write
}

func newPublisher(written map[string]cluster.Row, put func(ctx context.Context, rows map[string]*cluster.Row) (int64, error)) *publisher {
	p := &publisher{put: put, changed: make(chan struct{}, 1), written: written, at: map[string]time.Time{}, closed: map[string]int64{}, known: map[string]bool{}, since: map[string]time.Time{}}
	for _, row := range written {
		for _, r := range row.Service.Routes {
			p.known[r.ID] = true
		}
	}
	return p
}

// publish has rows written soon.
func (p *publisher) publish(rows map[string]cluster.Row) {
	p.mu.Lock()
	p.wanted = rows
	open := map[string]bool{}
	for _, row := range rows {
		for _, r := range row.Service.Routes {
			p.known[r.ID] = true
			open[r.ID] = !r.Draining
		}
	}
	for id := range p.known {
		switch _, was := p.closed[id]; {
		case open[id]:
			delete(p.closed, id)
			delete(p.since, id)
		case !was:
			p.closed[id] = 0
		}
	}
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	tick := time.NewTicker(outlookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-tick.C:
		}
		if p.write(ctx) != nil {
			select { // it is written as it is then
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
				p.poke()
			}
		}
	}
}

func (p *publisher) poke() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// write brings what is written to what is wanted.
func (p *publisher) write(ctx context.Context) error {
	now := time.Now()
	p.mu.Lock()
	if p.wanted == nil {
		p.mu.Unlock()
		return nil
	}
	wanted := p.wanted
	var closing []string
	for id, revision := range p.closed {
		if revision == 0 {
			closing = append(closing, id)
		}
	}
	rows := map[string]*cluster.Row{}
	for id, row := range wanted {
		was, there := p.written[id]
		if !there || !sameRow(was, row) || now.Sub(p.at[id]) >= outlookEvery && !reflect.DeepEqual(was, row) {
			rows[id] = &row
		}
	}
	for id := range p.written {
		if _, there := wanted[id]; !there {
			rows[id] = nil
		}
	}
	p.mu.Unlock()
	if len(rows) == 0 && len(closing) == 0 {
		return nil
	}
	revision, err := p.put(ctx, rows)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(p.last, revision)
	p.forget(now)
	for id, row := range rows {
		if row == nil {
			delete(p.written, id)
			delete(p.at, id)
			continue
		}
		p.written[id], p.at[id] = *row, now
	}
	for _, id := range closing {
		if p.closed[id] == 0 {
			p.closed[id] = max(revision, 1)
		}
	}
	return nil
}

// sameRow tells whether two rows mean the same, but for what is expected of routes that are not there yet.
func sameRow(a, b cluster.Row) bool {
	a.Service.ReadyAt, b.Service.ReadyAt = time.Time{}, time.Time{}
	a.Service.RetryAt, b.Service.RetryAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(plainRow(a), plainRow(b))
}

// plainRow is a row as it would be read back.
func plainRow(r cluster.Row) cluster.Row {
	if len(r.Service.Routes) == 0 {
		r.Service.Routes = nil
	}
	if len(r.Service.Aliases) == 0 {
		r.Service.Aliases = nil
	}
	if len(r.Nodes) == 0 {
		r.Nodes = nil
	}
	return r
}

// toldAll tells whether a box that routes by a revision of the table knows that a route takes nothing new; true for one that does.
func (p *publisher) toldAll(route string, revision int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, closed := p.closed[route]
	return !closed || at != 0 && revision >= at
}

// closes tells whether a route takes nothing new.
func (p *publisher) closes(route string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, closed := p.closed[route]
	return closed
}

// newest is the revision at which the table was written last; 0: it was not.
func (p *publisher) newest() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// closedFor is how long it is remembered that a route is gone: nobody asks for it after that.
const closedFor = time.Hour

// forget drops what is known of routes that are long gone. p.mu is held.
func (p *publisher) forget(now time.Time) {
	open := map[string]bool{}
	for _, row := range p.wanted {
		for _, r := range row.Service.Routes {
			open[r.ID] = true
		}
	}
	for id, at := range p.closed {
		switch since := p.since[id]; {
		case since.IsZero():
			p.since[id] = now
		case at != 0 && !open[id] && now.Sub(since) > closedFor:
			delete(p.closed, id)
			delete(p.known, id)
			delete(p.since, id)
		}
	}
}
