package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// seatEvery is how often it is looked who should be a member of etcd.
const seatEvery = 2 * time.Second

// arrange brings the members of etcd to what the boxes can bear, one step after the other, while this box leads.
func (s *seat) arrange(ctx context.Context, r cluster.Reign) {
	if len(s.Config.Cluster.Etcd) > 0 {
		return // the owner's own
	}
	s.invited.anew()
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	for {
		if err := s.arrangeOnce(ctx, r); err != nil && ctx.Err() == nil {
			s.log.Warn("who keeps the agreement cannot be arranged now; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *seat) arrangeOnce(ctx context.Context, r cluster.Reign) error {
	looking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	st, err := s.members.Status(looking, &s.silence, time.Now())
	if err != nil || !st.Agreed || !s.roster.Known() {
		return err
	}
	nodes, now := s.roster.Nodes(), time.Now()
	seats := seatsOf(st, nodes)
	s.invited.came(seats)
	for _, step := range member.Plan(seats, s.boxesFor(nodes, now)) {
		s.log.Info("members of etcd", "step", step.String())
		if to, leads := nextLeader(seats, step); leads {
			if err := s.members.HandOver(looking, to); err != nil {
				s.log.Debug("etcd's leader is taken out without handing that on", "error", err)
			}
		}
		if step.Do != member.Invite {
			if err := s.members.Carry(looking, step); err != nil {
				return err
			}
			if i := slices.IndexFunc(seats, func(x member.Seat) bool { return x.ID == step.ID }); step.Do == member.Remove && seats[i].Learner && !seats[i].Answers {
				s.invited.failed(step.Name, step.Why, now)
			}
			continue
		}
		s.invited.ask(step.Name, now)
		request := door.SeatRequest{Term: r.Term, Why: step.Why, Endpoints: s.client.Endpoints()}
		if step.Name == s.name() {
			err = s.takeSeat(looking, s.name(), request)
		} else {
			err = s.doors.Seat(looking, step.Name, request)
		}
		if err != nil {
			s.invited.failed(step.Name, err.Error(), now)
			return err
		}
	}
	if v, is := member.Bloated(st); is {
		if to, others := besides(seats, v.ID); v.Leader && others { // while it is written anew it takes no write, and who leads could not say so
			if err := s.members.HandOver(looking, to); err != nil {
				return err
			}
		}
		return s.members.Defragment(ctx, v)
	}
	return s.members.Relieve(looking, st)
}

// nextLeader is who is to lead etcd where a step takes out the member that does; false: it does not.
func nextLeader(seats []member.Seat, step member.Step) (to uint64, leads bool) {
	i := slices.IndexFunc(seats, func(s member.Seat) bool { return s.ID == step.ID })
	if i < 0 || !seats[i].Leader || step.Do != member.Remove {
		return 0, false
	}
	return besides(seats, step.ID)
}

// besides is another member that may lead etcd; false: there is none.
func besides(seats []member.Seat, id uint64) (other uint64, is bool) {
	i := slices.IndexFunc(seats, func(s member.Seat) bool { return s.ID != id && s.Answers && !s.Learner })
	if i < 0 {
		return 0, false
	}
	return seats[i].ID, true
}

// boxesFor are the boxes that may be members. One that is about to leave may not: what it has goes to others.
func (s *seat) boxesFor(nodes []cluster.Seen, now time.Time) (boxes []member.Box) {
	for _, n := range nodes {
		if n.Alive != nil && n.Alive.Leaving {
			continue
		}
		b := member.Box{Name: n.Name, Alive: n.Alive != nil, Tried: s.invited.tried(n.Name, now)}
		switch {
		case b.Alive:
		case !n.Silent.IsZero():
			b.Silent = now.Sub(n.Silent)
		default: // it was not heard of since this process looks
			b.Silent = now.Sub(s.began)
		}
		boxes = append(boxes, b)
	}
	return boxes
}

// seatsOf are the members, with the names of the boxes at whose addresses those are that have not started yet.
func seatsOf(st member.Status, nodes []cluster.Seen) []member.Seat {
	seats := st.Seats()
	for i, v := range st.Members {
		if v.Name == "" {
			seats[i].Name = boxAt(nodes, v.Peer)
		}
	}
	return seats
}

// boxAt is the box whose member of etcd others reach at an address; "": none.
func boxAt(nodes []cluster.Seen, peer string) string {
	for _, n := range nodes {
		if at, err := beside(n.Door, etcdPeers); err == nil && at == peer {
			return n.Name
		}
	}
	return ""
}

// invitations are those to become a member of etcd, as who leads remembers them. The zero value has none.
type invitations struct {
	mu sync.Mutex
	of map[string]*invitation // by box
}

type invitation struct {
	asked time.Time // since when it is asked; zero: it is not
	last  time.Time // that it failed; zero: it did not
	why   string
}

const (
	comesWithin = 20 * time.Second // a box that was asked is written down as a learner by then, or others are asked
	triedFor    = 10 * time.Minute // others are asked first
)

func (i *invitations) get(name string) *invitation {
	if i.of == nil {
		i.of = map[string]*invitation{}
	}
	if i.of[name] == nil {
		i.of[name] = &invitation{}
	}
	return i.of[name]
}

// anew forgets who was asked when this box led before: another one has asked since.
func (i *invitations) anew() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, one := range i.of {
		one.asked = time.Time{}
	}
}

// ask notes that a box is asked, again or for the first time.
func (i *invitations) ask(name string, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch one := i.get(name); {
	case one.asked.IsZero():
		one.asked = now
	case now.Sub(one.asked) > comesWithin:
		one.asked, one.last, one.why = now, now, "it was asked, and does not come"
	}
}

// failed notes that a box did not become a member.
func (i *invitations) failed(name, why string, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	one := i.get(name)
	one.asked, one.last, one.why = time.Time{}, now, why
}

// came notes who is written down, and forgets who answers.
func (i *invitations) came(seats []member.Seat) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range seats {
		switch one := i.of[s.Name]; {
		case one == nil:
		case s.Answers:
			delete(i.of, s.Name)
		default:
			one.asked = time.Time{}
		}
	}
}

// tried tells whether a box was asked not long ago, and did not come.
func (i *invitations) tried(name string, now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	one := i.of[name]
	return one != nil && !one.last.IsZero() && now.Sub(one.last) < triedFor
}

// words say of each box that is there and did not come, why.
func (i *invitations) words(nodes []cluster.Seen, now time.Time) (out []string) {
	for _, n := range nodes {
		if !i.tried(n.Name, now) {
			continue
		}
		i.mu.Lock()
		if one := i.of[n.Name]; one != nil {
			out = append(out, fmt.Sprintf("%s did not become a member of etcd (%s); other boxes are asked first: see its log, and whether the two ports above its cluster.listen are free and reached", n.Name, one.why))
		}
		i.mu.Unlock()
	}
	return out
}

// seatAsked is what this box was asked, and when.
type seatAsked struct {
	door.SeatRequest
	at time.Time
}

// takeSeat is asked to have this box be a member of etcd; takeSeats does it. Where it cannot be one, who asks hears it at once.
func (s *seat) takeSeat(ctx context.Context, _ string, r door.SeatRequest) error {
	if err := s.decides(r.Term); err != nil {
		return err
	}
	s.mu.Lock()
	busy := s.asked != nil || s.member != nil || s.coming
	s.mu.Unlock()
	if !busy {
		if err := etcdOpens(ctx, s.Config); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = &seatAsked{r, time.Now()}
	return nil
}
