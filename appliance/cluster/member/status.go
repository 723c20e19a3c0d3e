package member

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Status is how the members are.
type Status struct {
	Members []View // by name
	Leader  string // name; "" where none is known
	Quorum  Outlook
	// Agreed: a majority says that these are the members. Else it is what one of them remembers, which may be old: it is
	// good to be shown, and nothing for Plan.
	Agreed bool
}

// View is how one member is.
type View struct {
	Seat
	Peer    string        // HOST:PORT
	Client  string        // HOST:PORT; "" of one that has not started
	Problem string        // why it does not answer
	Took    time.Duration // to answer
	Version string        // of etcd
	Term    uint64
	Lag     uint64 // entries of the log that it has not applied, of those that the leader has
	Size    int64  // bytes of its data on the disk
	InUse   int64  // bytes of them that are in use
	Quota   int64  // bytes
	Alarms  []string
}

const (
	answerWithin = time.Second // a member that takes longer is no help to anybody
	inStep       = 1000        // entries behind, at most
)

// Status asks every member. It works without a majority as well. silent is what is remembered between calls: the time
// when each was seen to answer last.
func (m *Members) Status(ctx context.Context, silent *Silence, now time.Time) (Status, error) {
	r, agreed, err := m.agreed(ctx)
	if err != nil {
		return Status{}, err
	}
	views := make([]View, len(r.Members))
	leaders := make([]uint64, len(r.Members))
	var all sync.WaitGroup
	for i, one := range r.Members {
		all.Go(func() { views[i], leaders[i] = m.look(ctx, one) })
	}
	all.Wait()
	s := Status{Members: views, Agreed: agreed}
	newest := s.lead(leaders)
	s.astray(leaders)
	seats := []Seat{}
	for i := range views {
		v := &views[i]
		v.Silent = silent.since(v.ID, v.Answers, now)
		if v.Answers {
			v.Lag = newest - min(v.Lag, newest) // it was what the member has applied
			v.InStep = v.Lag <= inStep
		}
		seats = append(seats, v.Seat)
	}
	silent.forget(seats)
	s.Quorum = Quorum(seats)
	slices.SortFunc(views, func(a, b View) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return s, nil
}

// agreed lists the members by a majority, or else by whoever answers.
func (m *Members) agreed(ctx context.Context) (r *clientv3.MemberListResponse, agreed bool, err error) {
	asking, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if r, err = m.client.MemberList(asking); err == nil {
		return r, true, nil
	}
	asking, cancel = context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if r, err = m.client.MemberList(asking, clientv3.WithSerializable()); err != nil {
		return nil, false, fmt.Errorf("listing the members of etcd: %w", err)
	}
	return r, false, nil
}

// Seats are what Plan decides on, in the order of Members.
func (s Status) Seats() []Seat {
	var out []Seat
	for _, v := range s.Members {
		out = append(out, v.Seat)
	}
	return out
}

// lead finds the leader: who the members of the latest term follow. It returns how far its log is.
func (s *Status) lead(leaders []uint64) (newest uint64) {
	var term, leader uint64
	for i, v := range s.Members {
		if v.Answers && v.Term >= term && leaders[i] != 0 {
			term, leader = v.Term, leaders[i]
		}
		newest = max(newest, v.Lag)
	}
	for i := range s.Members {
		if v := &s.Members[i]; v.ID == leader && v.Answers {
			v.Leader, s.Leader = true, v.Name
		}
	}
	return newest
}

// astray takes a member that knows no leader, though others follow one, for silent: it answers who asks it, and its vote is with
// nobody.
func (s *Status) astray(leaders []uint64) {
	if !slices.ContainsFunc(leaders, func(id uint64) bool { return id != 0 }) {
		return
	}
	for i := range s.Members {
		if v := &s.Members[i]; v.Answers && leaders[i] == 0 {
			v.Answers, v.Problem = false, "it knows no leader: the other members do not reach it"
		}
	}
}

// look asks one member. Until lead has been, Lag is what it has applied.
func (m *Members) look(ctx context.Context, one *etcdserverpb.Member) (v View, leader uint64) {
	v.ID, v.Name, v.Learner = one.GetID(), one.GetName(), one.GetIsLearner()
	v.Peer = host(one.GetPeerURLs())
	v.Client = host(one.GetClientURLs())
	if v.Client == "" {
		v.Problem = "it has not started yet"
		return v, 0
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	began := time.Now()
	r, err := m.client.Status(ctx, one.GetClientURLs()[0])
	v.Took = time.Since(began)
	if err != nil {
		v.Problem = err.Error()
		return v, 0
	}
	if id := r.Header.GetMemberId(); id != v.ID {
		v.Problem = fmt.Sprintf("another member, %x, answers at its address", id)
		return v, 0
	}
	v.Answers, v.Version, v.Term, v.Lag = true, r.Version, r.RaftTerm, r.RaftAppliedIndex
	v.Size, v.InUse, v.Quota, v.Alarms = r.DbSize, r.DbSizeInUse, r.DbSizeQuota, r.Errors
	return v, r.Leader
}

func host(urls []string) string {
	if len(urls) == 0 {
		return ""
	}
	return strings.TrimPrefix(urls[0], "https://")
}

// Silence remembers when members were seen to answer. The zero value knows nothing: it takes a member for one that just
// stopped answering, so that who begins to look changes nothing too early. It is safe for concurrent use.
type Silence struct {
	mu   sync.Mutex
	seen map[uint64]time.Time
}

func (s *Silence) since(id uint64, answers bool, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[uint64]time.Time{}
	}
	at, known := s.seen[id]
	if answers || !known {
		s.seen[id], at = now, now
	}
	return now.Sub(at)
}

// forget drops who is no member any more.
func (s *Silence) forget(seats []Seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.seen {
		if !slices.ContainsFunc(seats, func(x Seat) bool { return x.ID == id }) {
			delete(s.seen, id)
		}
	}
}
