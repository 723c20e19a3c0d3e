package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/sessions"
)

// Row is one service as all boxes are to route to it. It is not changed once it was handed on.
type Row struct {
	Service sessions.ServiceRoutes `json:"service"` // its routes with the addresses that they have on their boxes
	Nodes   map[string]string      `json:"nodes"`   // which box each route is on, by its id
	Wakes   bool                   `json:"wakes"`   // though it is at zero, a request that waits has a route of it started
}

// mostAtOnce is how many keys are changed in one transaction: etcd takes 128 operations.
const mostAtOnce = 100

// PutTable writes rows of the table, by service; nil takes one out. It is done when the revision is returned: whoever has
// read up to there has them.
func (a *Agreement) PutTable(ctx context.Context, r Reign, rows map[string]*Row) (revision int64, err error) {
	var ops []clientv3.Op
	write := func() error {
		if len(ops) == 0 {
			return nil
		}
		err := a.retry(ctx, func(ctx context.Context) error {
			revision, err = a.decideAt(ctx, r, ops...)
			return err
		})
		ops = ops[:0]
		return err
	}
	for id, row := range rows {
		key := a.key(partTables, id)
		op := clientv3.OpDelete(key)
		if row != nil {
			text, err := encode(row)
			if err != nil {
				return 0, err
			}
			op = clientv3.OpPut(key, text)
		}
		if ops = append(ops, op); len(ops) == mostAtOnce {
			if err := write(); err != nil {
				return 0, err
			}
		}
	}
	return revision, write()
}

// decideAt does ops if r still is, and returns the revision at which they were done.
func (a *Agreement) decideAt(ctx context.Context, r Reign, ops ...clientv3.Op) (int64, error) {
	leads := clientv3.Compare(clientv3.CreateRevision(r.key), "=", r.Term.revision())
	done, err := a.client.Txn(ctx).If(leads).Then(ops...).Commit()
	switch {
	case err != nil:
		return 0, fmt.Errorf("deciding: %w", err)
	case !done.Succeeded:
		return 0, ErrDeposed
	}
	return done.Header.Revision, nil
}

// Table is all rows, by service, with the revision up to which they were read.
type Table struct {
	Rows     map[string]*Row
	Revision int64
	Written  int64 // revision at which the last of the rows was written, where the table was read once: whoever follows it comes as far
}

// FollowTable tells f of the table, all of it each time. The map that it is told is its own, the rows are not.
func (a *Agreement) FollowTable(ctx context.Context, f func(Table)) {
	rows := map[string]*Row{}
	take := func(items []Item) {
		for _, i := range items {
			if row := parsed[Row](i); row != nil {
				rows[i.Key] = row
			} else {
				delete(rows, i.Key)
			}
		}
	}
	tell := func(revision int64) {
		f(Table{Rows: maps.Clone(rows), Revision: revision})
	}
	a.follow(ctx, a.prefix+partTables, follower{
		at:    tell,
		whole: func(items []Item) { clear(rows); take(items) },
		some:  take,
	})
}

// Table reads the table once.
func (a *Agreement) Table(ctx context.Context) (Table, error) {
	prefix := a.prefix + partTables
	got, err := a.get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return Table{}, fmt.Errorf("reading the table of routes: %w", err)
	}
	t := Table{Rows: map[string]*Row{}, Revision: got.Header.Revision}
	for _, kv := range got.Kvs {
		t.Written = max(t.Written, kv.ModRevision)
		row := new(Row)
		if json.Unmarshal(kv.Value, row) == nil {
			t.Rows[string(kv.Key[len(prefix):])] = row
		}
	}
	return t, nil
}

// Nudge tells all boxes that something in the database has changed, such as tokens.
func (a *Agreement) Nudge(ctx context.Context, what string) error {
	err := a.retry(ctx, func(ctx context.Context) error {
		_, err := hedged(ctx, &a.pace, func(ctx context.Context) (*clientv3.PutResponse, error) {
			return a.client.Put(ctx, a.key(partNudges, what), time.Now().UTC().Format(time.RFC3339Nano))
		}, never)
		return err
	})
	if err != nil {
		return fmt.Errorf("telling the other boxes of changed %s: %w", what, err)
	}
	return nil
}

// FollowNudges tells f what has changed, and at first, and whenever something may have been missed, of everything: "".
func (a *Agreement) FollowNudges(ctx context.Context, f func(what string)) {
	a.follow(ctx, a.prefix+partNudges, follower{
		whole: func([]Item) { f("") },
		some: func(items []Item) {
			for _, i := range items {
				f(i.Key)
			}
		},
	})
}

// Share keeps what all boxes have to know. It is the caller's to seal it.
func (a *Agreement) Share(ctx context.Context, what string, sealed []byte) error {
	if _, err := a.client.Put(ctx, a.key(partShared, what), string(sealed)); err != nil {
		return fmt.Errorf("sharing %s with the other boxes: %w", what, err)
	}
	return nil
}

// Amend changes what is shared, nil where nothing is, if r still is and nobody has changed it meanwhile: change is then asked again, with
// what is there by now. ErrDeposed where r is over.
func (a *Agreement) Amend(ctx context.Context, r Reign, what string, change func([]byte) ([]byte, error)) error {
	key := a.key(partShared, what)
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	err := a.retry(ctx, func(ctx context.Context) error {
		got, err := a.get(ctx, key)
		if err != nil {
			return err
		}
		var before []byte
		var at int64
		if len(got.Kvs) > 0 {
			before, at = got.Kvs[0].Value, got.Kvs[0].ModRevision
		}
		after, err := change(before)
		if err != nil {
			giveUp() // it would be so again
			return err
		}
		same := clientv3.Compare(clientv3.ModRevision(key), "=", at)
		if err = a.decide(ctx, r, []clientv3.Cmp{same}, clientv3.OpPut(key, string(after))); errors.Is(err, ErrTaken) {
			err = errChanged
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("changing what the boxes share of %s: %w", what, err)
	}
	return nil
}

// Shared is what was shared; nil: nothing.
func (a *Agreement) Shared(ctx context.Context, what string) ([]byte, error) {
	got, err := a.get(ctx, a.key(partShared, what))
	if err != nil {
		return nil, fmt.Errorf("reading what the boxes share: %w", err)
	}
	if len(got.Kvs) == 0 {
		return nil, nil
	}
	return got.Kvs[0].Value, nil
}

// Dissolve takes away all that the boxes have agreed on. The last one says it where etcd is not of its own.
func (a *Agreement) Dissolve(ctx context.Context) error {
	if _, err := a.client.Delete(ctx, a.prefix, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("taking away what the boxes have agreed on: %w", err)
	}
	return nil
}
