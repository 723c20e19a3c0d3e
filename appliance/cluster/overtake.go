package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Kinds of errors of Overtake.
var (
	// ErrNewEra: an era has begun: who stands for election again decides in it.
	ErrNewEra = errors.New("a new era has begun")
	// ErrOtherEra: somebody has decided in an era that this etcd does not know.
	ErrOtherEra = errors.New("somebody has decided in an era that this etcd does not know")
)

// Overtake is for who was elected, and finds that the database knows of a greater term. A term of this era that is beyond all that this
// etcd has counted was given by it before it was restored from a backup: then an era begins, in which terms are greater: ErrNewEra. A
// term that it may have given is that of a successor: ErrDeposed. One of a later era was given by another etcd, or by this one before it
// was restored to what it was before that era; which of both is for a person to know: ErrOtherEra.
func (a *Agreement) Overtake(ctx context.Context, r Reign, last Term) error {
	got, err := a.client.Txn(ctx).Then(clientv3.OpGet(r.key), clientv3.OpGet(a.key(partEra))).Commit()
	if err != nil {
		return fmt.Errorf("asking etcd how far it is: %w", err)
	}
	era, err := readEra((*clientv3.GetResponse)(got.Responses[1].GetResponseRange()))
	if err != nil {
		return err
	}
	own := got.Responses[0].GetResponseRange().Kvs
	switch {
	case len(own) == 0 || own[0].CreateRevision != r.Term.revision():
		return ErrDeposed
	case last <= newTerm(era, got.Header.Revision):
		return ErrDeposed
	case last.Era() != era:
		return ErrOtherEra
	}
	var was int64
	if kvs := got.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		was = kvs[0].ModRevision
	}
	same := clientv3.Compare(clientv3.ModRevision(a.key(partEra)), "=", was)
	if err := a.decide(ctx, r, []clientv3.Cmp{same}, clientv3.OpPut(a.key(partEra), strconv.FormatInt(era+1, 10))); err != nil {
		return err
	}
	return ErrNewEra
}
