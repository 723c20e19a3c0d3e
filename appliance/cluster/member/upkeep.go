package member

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// worthwhile is how much of a member's file must be free until it is written anew: a member does nothing else meanwhile.
const worthwhile = 64 << 20

// Bloated says which member is to be written anew next: one at a time, the leader last, and none while a member is
// silent. Half of its file must be free, or a good part of what it may be.
func Bloated(s Status) (View, bool) {
	if slices.ContainsFunc(s.Members, func(v View) bool { return !v.Answers }) {
		return View{}, false
	}
	var found []View
	for _, v := range s.Members {
		free := v.Size - v.InUse
		if free >= worthwhile && 2*free >= v.Size || v.Quota > 0 && 10*v.Size >= 8*v.Quota && 10*free >= 2*v.Size {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return View{}, false
	}
	return slices.MinFunc(found, func(a, b View) int { return truth(a.Leader, b.Leader) }), true
}

// Defragment writes a member's file anew, without what is free in it.
func (m *Members) Defragment(ctx context.Context, v View) error {
	if _, err := m.client.Defragment(ctx, "https://"+v.Client); err != nil {
		return fmt.Errorf("defragmenting etcd on %s: %w", v.Name, err)
	}
	return nil
}

// Relieve lifts the alarm of members whose data was too much, where it is not any more: until it is lifted, etcd takes no
// writes, though there is room again.
func (m *Members) Relieve(ctx context.Context, s Status) error {
	r, err := m.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("etcd's alarms: %w", err)
	}
	for _, a := range r.Alarms {
		i := slices.IndexFunc(s.Members, func(v View) bool { return v.ID == a.MemberID })
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE || i < 0 || !roomy(s.Members[i]) {
			continue
		}
		if _, err := m.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.MemberID, Alarm: a.Alarm}); err != nil {
			return fmt.Errorf("lifting etcd's alarm on %s: %w", s.Members[i].Name, err)
		}
	}
	return nil
}

func roomy(v View) bool { return v.Answers && v.Quota > 0 && 10*v.Size < 9*v.Quota }
