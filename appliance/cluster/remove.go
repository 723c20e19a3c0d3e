package cluster

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrBusy is that a node lives, and has sessions.
var ErrBusy = errors.New("the node has sessions")

// busy says what to do about ErrBusy.
type busy struct{ node string }

func (b busy) Error() string { return b.node + ": " + ErrBusy.Error() }
func (busy) Unwrap() error   { return ErrBusy }

// Hint says what to do.
func (b busy) Hint() string {
	return "move them away first: palisade cluster drain " + b.node + "; or stop its palisade, if the box is gone for good"
}

// forgotten is how many sessions of a removed node are forgotten in one transaction: etcd takes 128 operations.
const forgotten = 50

// MayRemoveNode is what RemoveNode would say: ErrBusy while a node lives and has sessions.
func (a *Agreement) MayRemoveNode(ctx context.Context, name string) error {
	var has bool
	got, err := a.client.Txn(ctx).Then(
		clientv3.OpGet(a.key(partAlive, name), clientv3.WithCountOnly()),
		clientv3.OpGet(a.key(partWanted, name)+"/", clientv3.WithPrefix(), clientv3.WithCountOnly()),
		clientv3.OpGet(a.key(partReport, name)+"/", clientv3.WithPrefix(), clientv3.WithCountOnly()),
	).Commit()
	if err != nil {
		return fmt.Errorf("looking what %s has: %w", name, err)
	}
	for _, of := range got.Responses[1:] {
		has = has || of.GetResponseRange().Count > 0
	}
	if has && got.Responses[0].GetResponseRange().Count > 0 {
		return busy{name}
	}
	return nil
}

// RemoveNode takes a node out: ErrBusy while it lives and has sessions. With one that is silent goes all that it was to run and has
// reported, and others may have that at once: who removes it answers for its being gone. One that was only cut off ends all of it when
// it is back. It may be said again where it broke off.
func (a *Agreement) RemoveNode(ctx context.Context, r Reign, name string) error {
	wanted, report, own := a.ofNode(name)
	none := func(prefix string) clientv3.Cmp {
		return clientv3.Compare(clientv3.CreateRevision(prefix).WithPrefix(), "=", 0)
	}
	err := a.decide(ctx, r, []clientv3.Cmp{none(wanted), none(report)}, own...)
	if !errors.Is(err, ErrTaken) {
		return err
	}
	// Who is no node cannot say that it lives.
	silent := clientv3.Compare(clientv3.CreateRevision(a.key(partAlive, name)), "=", 0)
	switch err := a.decide(ctx, r, []clientv3.Cmp{silent}, own...); {
	case errors.Is(err, ErrTaken):
		return busy{name}
	case err != nil:
		return err
	}
	return a.forget(ctx, r, name)
}

// ExpelNode is RemoveNode for one that is believed no more: whether it says that it lives is nobody's concern.
func (a *Agreement) ExpelNode(ctx context.Context, r Reign, name string) error {
	_, _, own := a.ofNode(name)
	if err := a.decide(ctx, r, nil, append(own, clientv3.OpDelete(a.key(partAlive, name)))...); err != nil {
		return err
	}
	return a.forget(ctx, r, name)
}

// ofNode is where it is written what a node is to run and has reported, and what takes the node itself away.
func (a *Agreement) ofNode(name string) (wanted, report string, own []clientv3.Op) {
	own = []clientv3.Op{clientv3.OpDelete(a.key(partNodes, name)), clientv3.OpDelete(a.key(partInventory, name))}
	return a.key(partWanted, name) + "/", a.key(partReport, name) + "/", own
}

// forget takes away all that a node was to run and has reported.
func (a *Agreement) forget(ctx context.Context, r Reign, name string) error {
	wanted, report, _ := a.ofNode(name)
	ids := map[string]bool{}
	for _, prefix := range []string{wanted, report} {
		got, err := a.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return fmt.Errorf("removing %s: %w", name, err)
		}
		for _, kv := range got.Kvs {
			ids[string(kv.Key[len(prefix):])] = true
		}
	}
	var ops []clientv3.Op
	for id := range ids {
		placed := a.key(partPlaced, id)
		here := []clientv3.Cmp{clientv3.Compare(clientv3.Value(placed), "=", name)}
		if ops = append(ops, clientv3.OpTxn(here, []clientv3.Op{clientv3.OpDelete(placed)}, nil)); len(ops) == forgotten {
			if err := a.decide(ctx, r, nil, ops...); err != nil {
				return err
			}
			ops = nil
		}
	}
	return a.decide(ctx, r, nil, append(ops, clientv3.OpDelete(wanted, clientv3.WithPrefix()), clientv3.OpDelete(report, clientv3.WithPrefix()))...)
}
