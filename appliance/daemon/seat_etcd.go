package daemon

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// The ports of etcd beside the one for other boxes.
const (
	etcdClients = 1
	etcdPeers   = 2
)

// memberConfig is how this box's member of etcd runs.
func memberConfig(s *seat) (member.Config, error) {
	c := member.Config{Dir: s.dir, Name: s.name(), Cluster: s.kept.Cluster, Files: s.node.Etcd(), Log: s.log.With("of", "etcd")}
	host, port, err := net.SplitHostPort(s.Config.Cluster.Listen)
	if err != nil {
		return c, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	for _, p := range []struct {
		to *member.Port
		n  int
	}{{&c.Client, etcdClients}, {&c.Peer, etcdPeers}} {
		if p.to.Listen, err = beside(net.JoinHostPort(host, port), p.n); err != nil {
			return c, err
		}
		if p.to.Advertise, err = beside(s.kept.Address, p.n); err != nil {
			return c, err
		}
	}
	return c, nil
}

// startMember starts the member of etcd that this box has. Where it cannot be, because the others have removed it or its data is
// broken, the box is a client until it is asked again.
func (s *seat) startMember(ctx context.Context) error {
	c, err := memberConfig(s)
	if err != nil {
		return err
	}
	begin := member.Resume
	if !member.HasData(s.dir) {
		if len(s.kept.Etcd) > 1 {
			return s.update(func(r *seatRecord) { r.Member = false }) // its data is gone: it is invited anew
		}
		begin = member.Begin
	}
	if s.kept.Rescue && member.HasData(s.dir) {
		begin = member.Rescue
	}
	m, err := begin(ctx, c)
	if err == nil && s.kept.Rescue {
		err = s.update(func(r *seatRecord) { r.Rescue, r.Rescued, r.Etcd = false, true, []string{c.Client.Advertise} })
	}
	if err != nil {
		if len(s.kept.Etcd) < 2 {
			return err
		}
		s.log.Error("this box's part of etcd does not run; it asks the others", "error", err, "hint", adviceOf(err))
		return nil
	}
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	return nil
}

// seatEvery is how often it is looked who should be a member of etcd.
const seatEvery = 2 * time.Second

// arrange brings the members of etcd to what the boxes can bear, one step after the other, while this box leads.
func (s *seat) arrange(ctx context.Context, r cluster.Reign) {
	if len(s.Config.Cluster.Etcd) > 0 {
		return // the owner's own
	}
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
	var boxes []member.Box
	for _, n := range s.roster.Nodes() {
		b := member.Box{Name: n.Name, Alive: n.Alive != nil}
		if !n.Silent.IsZero() {
			b.Silent = time.Since(n.Silent)
		}
		boxes = append(boxes, b)
	}
	for _, step := range member.Plan(st.Seats(), boxes) {
		s.log.Info("members of etcd", "step", step.String())
		if step.Do != member.Invite {
			if err := s.members.Carry(looking, step); err != nil {
				return err
			}
			continue
		}
		request := door.SeatRequest{Term: r.Term, Why: step.Why, Endpoints: s.client.Endpoints()}
		if step.Name == s.name() {
			err = s.takeSeat(looking, s.name(), request)
		} else {
			err = s.doors.Seat(looking, step.Name, request)
		}
		if err != nil {
			return err
		}
	}
	if v, is := member.Bloated(st); is {
		return s.members.Defragment(ctx, v)
	}
	return s.members.Relieve(looking, st)
}

// takeSeat is asked to have this box be a member of etcd; takeSeats does it.
func (s *seat) takeSeat(_ context.Context, _ string, r door.SeatRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = &r
	return nil
}

// takeSeats makes this box a member of etcd when it was asked to, one try after the other.
func (s *seat) takeSeats(ctx context.Context) {
	tick := time.NewTicker(seatEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		asked, m := s.asked, s.member
		s.asked = nil
		s.mu.Unlock()
		if m != nil {
			select {
			case <-m.Done(): // it was taken out, or has broken
				s.mu.Lock()
				s.member = nil
				s.mu.Unlock()
				s.log.Warn("this box keeps no part of etcd any more", "error", m.Err())
				if errors.Is(m.Err(), member.ErrRemoved) {
					if err := s.update(func(r *seatRecord) { r.Member = false }); err != nil {
						s.log.Warn("that is not kept for the next start", "error", err)
					}
				}
			default:
				continue
			}
		}
		if asked == nil {
			s.resumeMember(ctx)
			continue
		}
		if err := s.joinMembers(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("this box could not become a member of etcd; it is asked again", "error", err)
		}
	}
}

// resumeMember tries again to start a member that could not be started: another process may have had its ports.
func (s *seat) resumeMember(ctx context.Context) {
	s.mu.Lock()
	wanted := s.kept.Member && s.member == nil && member.HasData(s.dir) && time.Since(s.resumed) > resumeEvery
	if wanted {
		s.resumed = time.Now()
	}
	s.mu.Unlock()
	if !wanted {
		return
	}
	if err := s.startMember(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("this box's part of etcd does not run; it is tried again", "error", err)
	}
}

// resumeEvery is how often that is tried.
const resumeEvery = 5 * time.Second

func (s *seat) joinMembers(ctx context.Context) error {
	c, err := memberConfig(s)
	if err != nil {
		return err
	}
	joining, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	m, err := member.Join(joining, c, s.members)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	s.log.Info("this box is a member of etcd now: it learns, and has a vote when it is in step")
	return s.update(func(r *seatRecord) {
		r.Member = true
		if !slices.Contains(r.Etcd, c.Client.Advertise) {
			r.Etcd = append(r.Etcd, c.Client.Advertise)
		}
	})
}

// rememberEtcd keeps where the members are, for the next start.
func (s *seat) rememberEtcd(ctx context.Context) {
	if len(s.Config.Cluster.Etcd) > 0 {
		return
	}
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		looking, cancel := context.WithTimeout(ctx, 2*time.Second)
		st, err := s.members.Status(looking, &s.silence, time.Now())
		cancel()
		if err != nil || !st.Agreed {
			continue
		}
		var at []string
		for _, v := range st.Members {
			if v.Client != "" {
				at = append(at, v.Client)
			}
		}
		slices.Sort(at)
		s.mu.Lock()
		known := slices.Equal(at, s.kept.Etcd)
		s.mu.Unlock()
		if known || len(at) == 0 {
			continue
		}
		var urls []string
		for _, a := range at {
			urls = append(urls, "https://"+a)
		}
		s.client.SetEndpoints(urls...)
		if err := s.update(func(r *seatRecord) { r.Etcd = at }); err != nil {
			s.log.Warn("where etcd is was not kept", "error", err)
		}
	}
}
