package balance

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a policy: who of those that could take a request gets it.
type Kind uint8

// The policies.
const (
	RoundRobin      Kind = iota // in turn, by weight
	LeastInFlight               // the one with the least in flight for its weight
	SessionAffinity             // the same for the same key, while it is not loaded beyond the others
	Prefix                      // the one that has most of the prompt computed, less what loads it
)

var kinds = [...]string{"round_robin", "least_in_flight", "session_affinity", "prefix"}

// String is the name that users write.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// ParseKind finds a policy by its name; "" is round_robin.
func ParseKind(name string) (k Kind, known bool) {
	if name == "" {
		return RoundRobin, true
	}
	i := slices.Index(kinds[:], name)
	return Kind(max(i, 0)), i >= 0
}

// Settings is how one service shares its requests. The zero value is round robin without a limit.
type Settings struct {
	Policy      Kind
	Limit       int           // most requests in flight on one route; 0: no limit
	PrefixBlock int           // bytes of a prompt that are remembered as one; 256, at least 16, at most 4096
	Expiry      time.Duration // how long a prompt is taken to be kept by its route; 10 min, at least 1 s
}

// Member is a route of a service, with its part of the traffic. A weight that is not above 0 and
// finite takes it out.
type Member struct {
	Route  *Route
	Weight float64
	Far    bool // it is asked only when no other can take the request
}

// Balance shares the requests of one service over its routes. The zero value has none. Set is for one
// caller at a time with everybody else; a route is in one Balance at a time.
type Balance struct {
	roster atomic.Pointer[roster] // of those that are near; its far are the others
	_      [56]byte
	near   level
	far    level
	budget budget
	looks  sync.Pool // of *look

	mu sync.Mutex // for those who set
}

// level is what rosters of the near ones hand on to the next, and those of the far ones. A request that finds the near ones full has
// had turns of theirs; of turns that both had in common the far ones would see only some, which are always the same one's.
type level struct {
	turn  atomic.Uint64 // turns handed out
	_     [56]byte
	spare atomic.Uint64 // turns handed out among what is left, where most are passed over
	part  atomic.Uint64 // what one share may carry, a float64: as a guard saw it last
	_     [48]byte
}

// roster is what one Set made of its members. It is never changed once it is published.
type roster struct {
	Settings
	members  []member
	routes   []*Route // of members, and
	inverse  []uint64 // one over their shares, in parts: what is looked at for all of them stands close together
	weight   float64  // of all
	shares   []int
	schedule []int32 // indexes of members, in turn
	offset   uint64  // the schedule's place at turn 0
	places   []int32 // where keys belong; nil but for SessionAffinity
	memory   *memory // of prompts, nil but for Prefix,
	bySeat   []int32 // and the member that sits there; -1: none
	level    *level
	far      *roster // those that are tried after all of these; nil: none
}

type member struct {
	route  *Route
	weight float64
	share  uint64 // turns in a schedule
	stride uint64 // from one of its turns to the next, in parts of a turn: see due
	seat   uint64 // in memory
}

// Set replaces the routes and the policy. Whose turn it is and what was learned of those that stay is
// kept. When it returns, no Acquire, begun before or after, gives a route that is not in members or
// has no weight; requests in flight there go on.
func (b *Balance) Set(members []Member, s Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.roster.Load()
	next, far := &roster{Settings: s.withDefaults(), level: &b.near}, &roster{Settings: s.withDefaults(), level: &b.far}
	for _, m := range members {
		if !(m.Weight > 0) || math.IsInf(m.Weight, 0) || next.has(m.Route) || far.has(m.Route) {
			continue
		}
		to := next
		if m.Far {
			to = far
		}
		to.members = append(to.members, member{route: m.Route, weight: m.Weight})
		to.routes = append(to.routes, m.Route)
		to.weight += m.Weight
	}
	next.prepare(before)
	if len(far.members) > 0 {
		next.far = far
		far.prepare(before.beyond())
	}
	for s := next; s != nil; s = s.far {
		for i := range s.members {
			s.level.admit(s.members[i].route)
		}
	}
	b.roster.Store(next)
	b.near.part.Store(0) // shares may be other ones
	b.far.part.Store(0)
	for _, m := range members {
		b.dismiss(m.Route, next)
	}
	for s := before; s != nil; s = s.far {
		for i := range s.members {
			b.dismiss(s.members[i].route, next)
		}
	}
}

func (s *roster) prepare(before *roster) {
	s.plan(before, s.level.turn.Load())
	s.recall(before)
}

// beyond are the far ones; nil where there are none.
func (s *roster) beyond() *roster {
	if s == nil {
		return nil
	}
	return s.far
}

func (s Settings) withDefaults() Settings {
	if s.PrefixBlock <= 0 {
		s.PrefixBlock = 256
	}
	s.PrefixBlock = min(max(s.PrefixBlock, leastBlock), mostBlock)
	if s.Expiry <= 0 {
		s.Expiry = 10 * time.Minute
	}
	s.Expiry = max(s.Expiry, time.Second)
	return s
}

func (s *roster) has(r *Route) bool { return s.index(r) >= 0 }

func (s *roster) index(r *Route) int { return slices.Index(s.routes, r) }

// plan lays out the turns, from where those of the roster before are.
func (s *roster) plan(before *roster, turn uint64) {
	if len(s.members) == 0 {
		return
	}
	weights := make([]float64, len(s.members))
	for i := range s.members {
		weights[i] = s.members[i].weight
	}
	if before != nil && before.sharesAs(s) {
		s.shares, s.schedule, s.offset = before.shares, before.schedule, before.offset
	} else {
		s.shares = shares(weights)
		s.schedule = newSchedule(s.shares)
		want := make([]float64, len(s.members))
		if before != nil && len(before.members) > 0 {
			debts := owed(before.schedule, before.shares, int(before.at(turn)))
			for i := range before.members {
				if j := s.index(before.members[i].route); j >= 0 {
					want[j] = debts[i]
				}
			}
		}
		length := uint64(len(s.schedule))
		begin := uint64(resume(s.schedule, s.shares, want))
		s.offset = (begin + length - turn%length) % length
	}
	for i := range s.members {
		m := &s.members[i]
		m.share = uint64(s.shares[i])
		m.stride = uint64(len(s.schedule)) * dueParts / m.share
		s.inverse = append(s.inverse, loadParts/m.share)
	}
}

// recall sets up what the policy looks things up in, and keeps what was learned by the roster before.
func (s *roster) recall(before *roster) {
	switch {
	case s.Policy == SessionAffinity && len(s.members) > 0:
		if before != nil && before.places != nil && before.sharesAs(s) {
			s.places = before.places
		} else {
			s.places = newPlaces(s.members)
		}
	case s.Policy == Prefix:
		if before != nil && before.memory != nil && before.memory.fits(s.Settings) {
			s.memory = before.memory
		} else {
			s.memory = newMemory(s.Settings)
		}
		s.memory.seat(s)
	}
}

// sharesAs tells whether other has the same members with the same weights, in the same order.
func (s *roster) sharesAs(other *roster) bool {
	return slices.EqualFunc(s.members, other.members, func(a, b member) bool { return a.route == b.route && a.weight == b.weight })
}

// at is the place in the schedule that turn means.
func (s *roster) at(turn uint64) uint64 { return (turn + s.offset) % uint64(len(s.schedule)) }

// admit lets r be taken. Who comes new is due now: what it did elsewhere is no measure here.
func (l *level) admit(r *Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.home != l {
		r.home = l
		r.due.Store(l.turn.Load() * dueParts)
	}
	r.setOut(false)
}

// dismiss keeps r from being taken, if next does not have it and no other balance has taken it over.
func (b *Balance) dismiss(r *Route, next *roster) {
	if next.has(r) || next.far != nil && next.far.has(r) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.home == nil || r.home == &b.near || r.home == &b.far {
		r.home = cmp.Or(r.home, &b.near)
		r.setOut(true)
	}
}

// Earn notes a request: five pay for one retry. Call it once for each.
func (b *Balance) Earn() { b.budget.earn() }
