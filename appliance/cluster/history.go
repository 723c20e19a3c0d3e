package cluster

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// history is of how many changes etcd may know what was before them, some six days of who leads saying so. Whoever has it forget does so
// after hours or days.
const history = 1_000_000

// KeepsAll tells whether etcd forgets nothing of what was written and written over: then it takes nothing new some day.
func (a *Agreement) KeepsAll(ctx context.Context) (bool, error) { return a.keeps(ctx, history) }

func (a *Agreement) keeps(ctx context.Context, changes int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	now, err := a.get(ctx, a.key(partEra), clientv3.WithCountOnly())
	if err != nil {
		return false, fmt.Errorf("asking etcd how far it is: %w", err)
	}
	if now.Header.Revision <= changes {
		return false, nil
	}
	_, err = hedged(ctx, &a.pace, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return a.client.Get(ctx, a.key(partEra), clientv3.WithCountOnly(), clientv3.WithRev(now.Header.Revision-changes))
	}, isForgotten)
	switch {
	case isForgotten(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("asking etcd what was before: %w", err)
	}
	return true, nil
}

func isForgotten(err error) bool { return errors.Is(err, rpctypes.ErrCompacted) }
