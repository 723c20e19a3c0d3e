package daemon

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

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
		if !s.lacksRoom(err) {
			s.log.Error("this box's part of etcd does not run; it asks the others", "error", err, "hint", adviceOf(err))
		}
		return nil
	}
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
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
				if !s.lacksRoom(m.Err()) {
					s.log.Warn("this box keeps no part of etcd any more", "error", m.Err(), "hint", adviceOf(m.Err()))
				}
				if errors.Is(m.Err(), member.ErrRemoved) {
					if err := s.update(func(r *seatRecord) { r.Member = false }); err != nil {
						s.log.Warn("that is not kept for the next start", "error", err)
					}
				}
			default:
				continue
			}
		}
		if s.full.Load() != nil { // no other member can be begun by this process
			s.revive(ctx)
			continue
		}
		if asked == nil {
			s.resumeMember(ctx)
			continue
		}
		err := s.joinMembers(ctx)
		if err == nil || ctx.Err() != nil || s.lacksRoom(err) {
			continue
		}
		s.log.Warn("this box could not become a member of etcd; it is tried again", "error", err, "hint", adviceOf(err))
		s.mu.Lock()
		if s.asked == nil && time.Since(asked.at) < joinWithin {
			s.asked = asked // it may be written down as one already: nobody asks again then
		}
		s.mu.Unlock()
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

// joinWithin is for how long a box tries to become a member that was asked to. Who leads takes the seat back not long after.
const joinWithin = 90 * time.Second

// resumeEvery is how often that is tried.
const resumeEvery = 5 * time.Second

func (s *seat) joinMembers(ctx context.Context) error {
	c, err := memberConfig(s)
	if err != nil {
		return err
	}
	s.setComing(true)
	defer s.setComing(false)
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

func (s *seat) setComing(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming = is
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
		s.rememberOnce(ctx)
	}
}

// rememberOnce looks who the members are. Who learns has no answers yet: it is remembered, and not asked. Where nobody says who they are,
// all are asked that were ever heard of last: the one that was asked may be gone for good.
func (s *seat) rememberOnce(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, 2*time.Second)
	st, err := s.members.Status(looking, &s.silence, time.Now())
	cancel()
	s.mu.Lock()
	kept := slices.Clone(s.kept.Etcd)
	s.mu.Unlock()
	if err != nil || !st.Agreed {
		s.askAt(kept)
		return
	}
	var at, asked []string
	for _, v := range st.Members {
		if v.Client == "" {
			continue
		}
		at = append(at, v.Client)
		if !v.Learner {
			asked = append(asked, v.Client)
		}
	}
	slices.Sort(at)
	s.askAt(asked)
	s.tellPeers(ctx, st)
	if len(at) == 0 || slices.Equal(at, kept) {
		return
	}
	if err := s.update(func(r *seatRecord) { r.Etcd = at }); err != nil {
		s.log.Warn("where etcd is was not kept", "error", err)
	}
}

// tellPeers tells the other members of etcd where this box's own is by now.
func (s *seat) tellPeers(ctx context.Context, st member.Status) {
	c, err := memberConfig(s)
	if err != nil || !s.keepsEtcd() {
		return
	}
	for _, v := range st.Members {
		if v.Name != s.name() || v.Peer == c.Peer.Advertise {
			continue
		}
		telling, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.members.Move(telling, v.ID, c.Peer.Advertise)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the other members of etcd cannot be told of this box's address now; it is tried again", "address", c.Peer.Advertise, "error", err)
		}
	}
}

func (s *seat) keepsEtcd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member != nil
}

// askAt has etcd be asked at these addresses from now on.
func (s *seat) askAt(hostports []string) {
	urls := []string{}
	for _, at := range hostports {
		urls = append(urls, "https://"+at)
	}
	slices.Sort(urls)
	now := slices.Sorted(slices.Values(s.client.Endpoints()))
	if len(urls) > 0 && !slices.Equal(urls, now) {
		s.client.SetEndpoints(urls...)
	}
}
