package cluster

import (
	"context"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A term is an era and a revision of etcd. Revisions are lower in an etcd that is made anew, or goes on from what one of its members
// had: an era of its own makes the terms there greater than all before.

// eraShift is where the era is in a term: revisions have the bits below, which do for a million years of a write a second and more.
const eraShift = 40

func newTerm(era, revision int64) Term { return Term(era<<eraShift | revision) }

// revision is that at which the key of the election was made.
func (t Term) revision() int64 { return int64(t) & (1<<eraShift - 1) }

// TermOf is what was agreed on up to a revision of etcd in an era.
func TermOf(era, revision int64) Term { return newTerm(era, revision) }

// Era is the one that a term is of.
func (t Term) Era() int64 { return int64(t) >> eraShift }

// Revision is that of etcd at which the term began: it tells the terms of an era apart.
func (t Term) Revision() int64 { return t.revision() }

// String is a term as people read it.
func (t Term) String() string {
	if t.Era() == 0 {
		return strconv.FormatInt(t.Revision(), 10)
	}
	return fmt.Sprintf("%d of era %d", t.Revision(), t.Era())
}

// EraAfter is the era of a cluster that begins where somebody decided in terms up to last; 0: nobody did.
func EraAfter(last Term) int64 {
	if last == 0 {
		return 0
	}
	return last.Era() + 1
}

// Era is the one in which is decided.
func (a *Agreement) Era(ctx context.Context) (int64, error) {
	got, err := a.get(ctx, a.key(partEra))
	if err != nil {
		return 0, fmt.Errorf("asking for the era: %w", err)
	}
	return readEra(got)
}

func readEra(got *clientv3.GetResponse) (int64, error) {
	if len(got.Kvs) == 0 {
		return 0, nil
	}
	era, err := strconv.ParseInt(string(got.Kvs[0].Value), 10, 64)
	if err != nil || era < 0 || era >= 1<<(63-eraShift) {
		return 0, fmt.Errorf("the era is written as %q", got.Kvs[0].Value)
	}
	return era, nil
}

// BeginEra makes era the one of all that is decided from now on. One that is over does not come back.
func (a *Agreement) BeginEra(ctx context.Context, era int64) error {
	now, err := a.Era(ctx)
	if err != nil || now >= era {
		return err
	}
	if _, err := a.client.Put(ctx, a.key(partEra), strconv.FormatInt(era, 10)); err != nil {
		return fmt.Errorf("beginning an era: %w", err)
	}
	return nil
}
