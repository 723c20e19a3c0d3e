package cluster

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/sessions"
)

// TakeOver writes down what runs on a box, or has ended there, that was one alone: as if it had been wanted, and reported. It
// changes nothing of a session that is known already.
func (a *Agreement) TakeOver(ctx context.Context, node string, in sessions.Instance) error {
	const round = "before"
	state := Running
	if !in.Running {
		state = Ended
	}
	wanted, err := encode(Wanted{Round: round, Spec: sessions.Spec{ID: in.ID, Labels: in.Labels}})
	if err != nil {
		return err
	}
	report, err := encode(Report{Round: round, State: state, Instance: in})
	if err != nil {
		return err
	}
	placed := a.key(partPlaced, in.ID)
	_, err = a.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(placed), "=", 0)).Then(
		clientv3.OpPut(placed, node), clientv3.OpPut(a.key(partWanted, node, in.ID), wanted), clientv3.OpPut(a.key(partReport, node, in.ID), report),
	).Commit()
	if err != nil {
		return fmt.Errorf("taking session %s into the cluster: %w", in.ID, err)
	}
	return nil
}
