package daemon

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/relay"
)

// answerForOthers is what this box's door has for requests that other boxes pass on.
func (s *seat) answerForOthers(w http.ResponseWriter, r *http.Request) {
	d, rs := s.life.Load(), s.front.rooms.Load()
	if d == nil || d.turn == nil || rs == nil || rs.passOn != nil {
		name, _ := s.leader()
		w.Header().Set(door.LeaderHeader, name)
		starting(w)
		return
	}
	if r.Header.Get(appsHeader) != "" && strings.HasPrefix(r.URL.Path, "/") {
		r.Header.Del(appsHeader)
		rs.apps.ServeHTTP(w, r)
		return
	}
	s.front.ServeHTTP(w, r)
}

// errNoLeader says that nobody decides at the moment.
type errNoLeader struct{ last string }

func (e errNoLeader) Error() string {
	if e.last == "" {
		return "no box of the cluster decides at the moment"
	}
	return "no box of the cluster decides at the moment; " + e.last + " did last"
}

// Hint says what to do.
func (errNoLeader) Hint() string {
	return "try again in a few seconds. Where that does not help, a majority of the boxes that keep the agreement is away: palisade cluster status"
}

// RetryAfter is when to ask again: who was elected since takes a moment.
func (errNoLeader) RetryAfter() time.Duration { return 2 * time.Second }

// leader is who decides; an error where nobody does, as far as this box knows.
func (s *seat) leader() (string, error) {
	if why := s.removed.Load(); why != nil {
		return "", *why
	}
	now := s.leading.Load()
	if now == nil || now.name == "" {
		last := ""
		if now != nil {
			last = now.last
		}
		return "", errNoLeader{last}
	}
	return now.name, nil
}

// leads is who decides; "": nobody.
func (s *seat) leads() string {
	name, _ := s.leader()
	return name
}

// leading is who decides, or did.
type leading struct{ name, last string }

func (s *seat) followLeader(ctx context.Context) {
	s.agreement.FollowLeader(ctx, func(name string, term cluster.Term) {
		if term > 0 {
			if err := s.decides(term); err != nil {
				s.log.Warn("etcd says that somebody decides in a term that is over; was it restored from a backup?", "box", name, "error", err)
			}
		}
		if s.tables.led(term) {
			s.route(true)
		}
		now := &leading{name: name, last: name}
		if before := s.leading.Load(); before != nil && name == "" {
			now.last = before.last
		}
		s.leading.Store(now)
		s.tellNow()
	})
}

// noLeader answers what could not be passed on, as who asks reads it.
func (s *seat) noLeader(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Retry-After", "2")
	hint := adviceOf(err)
	if hint == "" {
		hint = errNoLeader{}.Hint()
	}
	switch {
	case r.URL.Path == api.Prefix || strings.HasPrefix(r.URL.Path, api.Prefix+"/"):
		p := api.NewProblem(api.KindUnavailable, http.StatusServiceUnavailable, "%s", err)
		p.Hint = hint
		admin.WriteProblem(w, r, p)
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		writeText(w, http.StatusServiceUnavailable, "This page is made by the box that decides, which cannot be asked: "+err.Error()+"\n"+hint+"\nServices go on being served.\n")
	default:
		writeOpenAIError(w, http.StatusServiceUnavailable, "server_error", "no_leader", err.Error()+" ("+hint+")")
	}
}

// tellNow has who leads be told at once.
func (s *seat) tellNow() {
	select {
	case s.tell <- struct{}{}:
	default:
	}
}

// site is this box, as tables are made for it.
func (s *seat) site() *site {
	return &site{
		name: s.name(), reach: s.relays.Host,
		own:     s.hasRoute,
		alive:   func(node string) bool { return !s.roster.Known() || s.lives(node) },
		doubted: s.doors.Doubted, silent: s.doors.Silent,
	}
}

// follow is told of the table.
func (s *seat) follow(t cluster.Table) {
	before, _, known := s.tables.current()
	s.once.Do(func() { close(s.tabled) })
	if !s.tables.took(t) {
		s.log.Warn("etcd has an older table of routes than this box has read before: was it restored from a backup? It is not routed by until somebody decides in a later era", "revision", t.Revision)
		return
	}
	s.route(!known || closesRoute(before.Rows, t.Rows)) // of what is closed somebody waits until all know
}

// route has this box go by the table in force, where it follows, and say so at once or when it is its turn.
func (s *seat) route(tell bool) {
	t, _, _ := s.tables.current()
	if d := s.life.Load(); d != nil && d.turn == nil {
		d.routeByTable()
		s.keepReach(t)
		if tell {
			s.tellNow()
		}
	}
}

// closesRoute tells whether a route takes nothing new that did before.
func closesRoute(before, now map[string]*cluster.Row) bool {
	for id, was := range before {
		is := now[id]
		if is == was {
			continue
		}
		if is == nil {
			is = &cluster.Row{}
		}
		open := make(map[string]bool, len(is.Service.Routes))
		for _, r := range is.Service.Routes {
			open[r.ID] = !r.Draining
		}
		for _, r := range was.Service.Routes {
			if !r.Draining && !open[r.ID] {
				return true
			}
		}
	}
	return false
}

// keepReach closes the ways to sessions that are in no table any more.
func (s *seat) keepReach(t cluster.Table) {
	wanted := map[string]bool{}
	for _, row := range t.Rows {
		for _, r := range row.Service.Routes {
			wanted[r.ID] = true
		}
	}
	s.relays.Keep(func(t relay.Target) bool { return wanted[t.Session] })
}

// forgetWay closes the way to a session that is gone.
func (s *seat) forgetWay(id string) {
	s.relays.Keep(func(t relay.Target) bool { return t.Session != id })
}
