package member

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// Shelf keeps trust's records in etcd, below a prefix.
type Shelf struct {
	client *clientv3.Client
	prefix string
}

// NewShelf returns one. prefix ends with a slash, as in /palisade/1/trust/.
func NewShelf(client *clientv3.Client, prefix string) *Shelf { return &Shelf{client, prefix} }

// Get implements trust.Shelf.
func (s *Shelf) Get(ctx context.Context, key string) (trust.Entry, error) {
	r, err := s.client.Get(ctx, s.prefix+key)
	if err != nil {
		return trust.Entry{}, fmt.Errorf("etcd: %w", err)
	}
	if len(r.Kvs) == 0 {
		return trust.Entry{}, nil
	}
	return trust.Entry{Key: key, Value: r.Kvs[0].Value, Revision: r.Kvs[0].ModRevision}, nil
}

// List implements trust.Shelf.
func (s *Shelf) List(ctx context.Context, prefix string) ([]trust.Entry, error) {
	r, err := s.client.Get(ctx, s.prefix+prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	var out []trust.Entry
	for _, kv := range r.Kvs {
		out = append(out, trust.Entry{Key: strings.TrimPrefix(string(kv.Key), s.prefix), Value: kv.Value, Revision: kv.ModRevision})
	}
	return out, nil
}

// Commit implements trust.Shelf.
func (s *Shelf) Commit(ctx context.Context, writes []trust.Write) (bool, error) {
	var are []clientv3.Cmp
	var then []clientv3.Op
	for _, w := range writes {
		key := s.prefix + w.Key
		are = append(are, clientv3.Compare(clientv3.ModRevision(key), "=", w.Revision))
		if w.Value == nil {
			then = append(then, clientv3.OpDelete(key))
		} else {
			then = append(then, clientv3.OpPut(key, string(w.Value)))
		}
	}
	r, err := s.client.Txn(ctx).If(are...).Then(then...).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: %w", err)
	}
	return r.Succeeded, nil
}
