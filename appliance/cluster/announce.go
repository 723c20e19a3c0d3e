package cluster

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// announceTries is how often it is looked anew what is announced, where that was changed meanwhile: a lease of before has run out, say.
const announceTries = 3

// AnnounceWithin is how long to wait for what is announced: an etcd that is slow has it in line, and to begin anew would be more to do.
const AnnounceWithin = 5 * LeaseTime

// Announce says with a lease that a node lives, and what it has: ErrNoNode where it is no node of the cluster any more.
func (a *Agreement) Announce(ctx context.Context, l *Lease, name string, alive Alive, has Inventory) error {
	lives, err := encode(alive)
	if err != nil {
		return err
	}
	inventory, err := encode(has)
	if err != nil {
		return err
	}
	for range announceTries {
		if l.said, err = a.announce(ctx, l, name, lives, inventory); !errors.Is(err, errChanged) {
			break
		}
	}
	if isGone(err) { // which was written, and so all members agree on it
		l.Unheard()
	}
	if err != nil {
		return fmt.Errorf("announcing %s: %w", name, err)
	}
	return nil
}

// announce returns the revision at which it was said, or else 0. Who is asked beside a member that is silent is told the same; what that
// member does late is of no effect where something else was said since.
func (a *Agreement) announce(ctx context.Context, l *Lease, name, lives, inventory string) (int64, error) {
	key, node, before := a.key(partAlive, name), a.key(partNodes, name), l.said
	if before == 0 {
		got, err := a.get(ctx, key, clientv3.WithKeysOnly())
		if err != nil {
			return 0, err
		}
		if len(got.Kvs) > 0 {
			before = got.Kvs[0].ModRevision
		}
	}
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(node), ">", 0), clientv3.Compare(clientv3.ModRevision(key), "=", before)}
	// What a box has stays when it falls silent, and is said again only where it has changed: each of the others is told.
	kept := a.key(partInventory, name)
	puts := []clientv3.Op{
		clientv3.OpPut(key, lives, clientv3.WithLease(l.id)),
		clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(kept), "=", inventory)}, nil, []clientv3.Op{clientv3.OpPut(kept, inventory)}),
	}
	looks := []clientv3.Op{clientv3.OpGet(node, clientv3.WithCountOnly()), clientv3.OpGet(key)}
	final := func(err error) bool { return errors.Is(err, ErrNoNode) || errors.Is(err, errChanged) || isGone(err) }
	return hedged(ctx, &a.pace, func(ctx context.Context) (int64, error) {
		done, err := a.client.Txn(ctx).If(conditions...).Then(puts...).Else(looks...).Commit()
		switch {
		case err != nil:
			return 0, err
		case done.Succeeded:
			return done.Header.Revision, nil
		case done.Responses[0].GetResponseRange().Count == 0:
			return 0, ErrNoNode
		}
		for _, kv := range done.Responses[1].GetResponseRange().Kvs {
			if kv.Lease == int64(l.id) && string(kv.Value) == lives { // by a member that was asked before, and has not answered yet
				return kv.ModRevision, nil
			}
		}
		return 0, errChanged
	}, final)
}
