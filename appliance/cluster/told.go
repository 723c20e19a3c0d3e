package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Reports are those of one node, by session.
func (a *Agreement) Reports(ctx context.Context, node string) (map[string]Report, error) {
	prefix := a.key(partReport, node) + "/"
	got, err := a.get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("reading what %s reported: %w", node, err)
	}
	out := map[string]Report{}
	for _, kv := range got.Kvs {
		var r Report
		if json.Unmarshal(kv.Value, &r) != nil {
			r = Report{} // of no round: what it was about is found out anew
		}
		out[string(kv.Key[len(prefix):])] = r
	}
	return out, nil
}

// FollowWanted tells f what a node should run, by session, all of it each time: before the first call nothing is known.
func (a *Agreement) FollowWanted(ctx context.Context, node string, f func(map[string]Wanted)) {
	all := map[string]Wanted{}
	take := func(items []Item) {
		for _, i := range items {
			if i.Value == nil {
				delete(all, i.Key)
				continue
			}
			all[i.Key] = readWanted(i.Value, i.Revision)
		}
		f(all)
	}
	a.follow(ctx, a.key(partWanted, node)+"/", follower{
		whole: func(items []Item) { clear(all); take(items) }, some: take,
	})
}

// Order is what a node should run of one session.
type Order struct {
	Node, Session string
	Wanted        *Wanted // nil: it is not wanted any more
}

// FollowOrders tells f what all nodes should run: at first and whenever something may have been missed all of it, else what has
// changed.
func (a *Agreement) FollowOrders(ctx context.Context, f func(orders []Order, all bool)) {
	read := func(items []Item) []Order {
		var out []Order
		for _, i := range items {
			node, session, ok := nodeAndSession(i.Key)
			if !ok {
				continue
			}
			o := Order{Node: node, Session: session}
			if i.Value != nil {
				o.Wanted = new(readWanted(i.Value, i.Revision))
			}
			out = append(out, o)
		}
		return out
	}
	a.follow(ctx, a.key(partWanted), follower{
		whole: func(items []Item) { f(read(items), true) }, some: func(items []Item) { f(read(items), false) },
	})
}

// readWanted reads what the leader, of this version or a later one, wants.
func readWanted(value []byte, revision int64) Wanted {
	var w Wanted
	if err := json.Unmarshal(value, &w); err != nil {
		w = Wanted{Unreadable: true}
	}
	w.Revision = revision
	return w
}

// Told is a report of a node, or that there is none any more.
type Told struct {
	Node, Session string
	Report        *Report // nil: gone
}

// FollowReports tells f of all nodes' reports: at first and whenever something may have been missed all of them, else those that
// have changed.
func (a *Agreement) FollowReports(ctx context.Context, f func(told []Told, all bool)) {
	read := func(items []Item) []Told {
		var out []Told
		for _, i := range items {
			node, session, ok := nodeAndSession(i.Key)
			if !ok {
				continue
			}
			t := Told{Node: node, Session: session}
			if i.Value != nil {
				t.Report = &Report{}
				if json.Unmarshal(i.Value, t.Report) != nil {
					continue
				}
			}
			out = append(out, t)
		}
		return out
	}
	a.follow(ctx, a.key(partReport), follower{
		whole: func(items []Item) { f(read(items), true) }, some: func(items []Item) { f(read(items), false) },
	})
}
