package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Members is who is a member, as etcd has it. It is safe for concurrent use.
type Members struct{ client *clientv3.Client }

// NewMembers returns the members of the etcd that client talks to.
func NewMembers(client *clientv3.Client) *Members { return &Members{client} }

// Join makes this box a member that learns. Who leads gives it a vote when it is in step: see Promote. It may be said
// again after it broke off at any point.
//  1. A member of that name that has its data goes on.
//  2. Data of a member that the cluster does not know is set aside.
//  3. A member of that name without its data is taken out: it comes back as a new one. It would have forgotten what it
//     voted for.
//  4. The box is written down as a learner, or was before it broke off; then it starts.
func Join(ctx context.Context, c Config, members *Members) (*Member, error) {
	if _, err := c.etcd(); err != nil {
		return nil, err
	}
	list, err := members.list(ctx)
	if err != nil {
		return nil, err
	}
	peer := "https://" + c.Peer.Advertise
	var own *etcdserverpb.Member
	for _, m := range list {
		if m.GetName() == c.Name || m.GetName() == "" && slices.Contains(m.GetPeerURLs(), peer) {
			own = m
		}
	}
	if own != nil && HasData(c.Dir) { // 1
		return Resume(ctx, c)
	}
	if err := SetAside(c.Dir); err != nil { // 2; of what never got as far as having data, too
		return nil, err
	}
	if own != nil && own.GetName() != "" { // 3
		if err := members.Remove(ctx, own.GetID()); err != nil {
			return nil, err
		}
		own = nil
	}
	if own == nil { // 4
		list, err = members.invite(ctx, peer)
		if err != nil {
			return nil, err
		}
	}
	var started *Member
	err = retry(ctx, func(ctx context.Context) error {
		started, err = c.learn(ctx, peer, list)
		return err
	})
	return started, err
}

// learn starts a learner that is written down in list. The member that it asks first may not have heard of it: ErrNotYet.
func (c Config) learn(ctx context.Context, peer string, list []*etcdserverpb.Member) (*Member, error) {
	e, err := c.etcd()
	if err != nil {
		return nil, err
	}
	var initial []string
	for _, m := range list {
		name := m.GetName()
		switch {
		case slices.Contains(m.GetPeerURLs(), peer):
			name = c.Name
		case name == "":
			name = fmt.Sprintf("not-started-%x", m.GetID())
		}
		for _, u := range m.GetPeerURLs() {
			initial = append(initial, name+"="+u)
		}
	}
	e.InitialCluster, e.ClusterState = strings.Join(initial, ","), "existing"
	m, err := c.start(ctx, e)
	if err != nil && (strings.Contains(err.Error(), "member count is unequal") || strings.Contains(err.Error(), "unmatched member")) {
		return nil, fmt.Errorf("%w: %w", ErrNotYet, err)
	}
	return m, err
}

func (m *Members) list(ctx context.Context) ([]*etcdserverpb.Member, error) {
	r, err := m.client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the members of etcd: %w", err)
	}
	return r.Members, nil
}

// invite writes a learner down, and returns all members. Etcd takes one only while its members have been connected for
// some seconds: it is asked again until ctx ends.
func (m *Members) invite(ctx context.Context, peer string) (list []*etcdserverpb.Member, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		r, err := m.client.MemberAddAsLearner(ctx, []string{peer})
		switch {
		case err == nil:
			list = r.Members
			return nil
		case errors.Is(err, rpctypes.ErrPeerURLExist):
			list, err = m.list(ctx) // an answer that was lost
			return err
		}
		return refused("joining etcd as a learner", err)
	})
	return list, err
}

// refused tells what may be asked again from what may not. An answer that was lost may be asked again: what was done
// already is not done twice.
func refused(doing string, err error) error {
	again := []error{
		rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrTooManyLearners, rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted,
		rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrNotLeader, rpctypes.ErrNotCapable,
		rpctypes.ErrStopped, rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToConnectionLost,
	}
	for _, kind := range again {
		if errors.Is(err, kind) {
			return fmt.Errorf("%s: %w: %w", doing, ErrNotYet, err)
		}
	}
	if status.Code(err) == codes.Unavailable {
		return fmt.Errorf("%s: %w: %w", doing, ErrNotYet, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// promoteWithin bounds how long a learner is waited for.
const promoteWithin = time.Minute

// Promote gives a learner its vote, as soon as it is in step: it is waited for until ctx ends, a minute at most. That
// it has one already is no error.
func (m *Members) Promote(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, promoteWithin)
	defer cancel()
	return retry(ctx, func(ctx context.Context) error {
		_, err := m.client.MemberPromote(ctx, id)
		switch {
		case err == nil, errors.Is(err, rpctypes.ErrMemberNotLearner):
			return nil
		case errors.Is(err, rpctypes.ErrMemberNotFound):
			return fmt.Errorf("giving member %x a vote: %w", id, ErrNotFound)
		}
		return refused(fmt.Sprintf("giving member %x a vote", id), err)
	})
}

// Remove takes a member out. That it is out already is no error. Etcd refuses (ErrNotYet) what would break the majority.
func (m *Members) Remove(ctx context.Context, id uint64) error {
	_, err := m.client.MemberRemove(ctx, id)
	if err == nil || errors.Is(err, rpctypes.ErrMemberNotFound) {
		return nil
	}
	// A member that learns of its own removal stops before it has answered: the others say whether it is out.
	for range 3 {
		if left, listErr := m.client.MemberList(ctx); listErr == nil {
			if !slices.ContainsFunc(left.Members, func(v *etcdserverpb.Member) bool { return v.ID == id }) {
				return nil
			}
			break
		}
	}
	return refused(fmt.Sprintf("removing member %x", id), err)
}

// Move says where a member is reached by the others from now on, HOST:PORT. The member itself says it when it runs there: it reaches the
// others, and they it by that, before they have heard.
func (m *Members) Move(ctx context.Context, id uint64, peer string) error {
	if _, err := m.client.MemberUpdate(ctx, id, []string{"https://" + peer}); err != nil {
		return refused(fmt.Sprintf("moving member %x", id), err)
	}
	return nil
}

// handOverTries is how often it is asked: each time another member hears it, and only the one that leads may.
const handOverTries = 3 * Most

// HandOver has another member lead, which is one that answers and has a vote: one that leads and is taken out would leave the others
// without a leader until they have noticed.
func (m *Members) HandOver(ctx context.Context, to uint64) (err error) {
	for range handOverTries {
		if _, err = m.client.MoveLeader(ctx, to); !errors.Is(err, rpctypes.ErrNotLeader) {
			break
		}
	}
	if err != nil {
		return refused(fmt.Sprintf("having member %x lead", to), err)
	}
	return nil
}

// Carry carries a step of Plan out that concerns members. An Invite is for the box that is invited: it says Join.
func (m *Members) Carry(ctx context.Context, s Step) error {
	switch s.Do {
	case Promote:
		return m.Promote(ctx, s.ID)
	case Remove:
		return m.Remove(ctx, s.ID)
	}
	return fmt.Errorf("%s: %w: the box does that", s, ErrInvalid)
}
