package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Item is one key below a part.
type Item struct {
	Key      string // without the part before it
	Value    []byte // nil: it is gone
	Revision int64  // of its last change; where it is gone, of that
}

// follower is told what is below a prefix, by one goroutine.
type follower struct {
	whole func([]Item) // all that is there: at first, and whenever it may have missed something
	some  func([]Item) // what has changed since, in order
	at    func(int64)  // after each of them: the revision up to which all is told; may be nil
}

// retryFollow is how long to wait before etcd is asked again after it failed.
const retryFollow = 200 * time.Millisecond

// follow tells f until ctx ends. While etcd cannot be reached f hears nothing: what it was told last stands.
func (a *Agreement) follow(ctx context.Context, prefix string, f follower) {
	for ctx.Err() == nil {
		a.followOnce(ctx, prefix, f)
		select {
		case <-ctx.Done():
		case <-time.After(retryFollow):
		}
	}
}

// followOnce ends when something may have been missed.
func (a *Agreement) followOnce(ctx context.Context, prefix string, f follower) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking, done := context.WithTimeout(ctx, 2*time.Second) // of a member that is frozen another one is asked then
	all, err := a.client.Get(asking, prefix, clientv3.WithPrefix())
	done()
	if err != nil {
		return
	}
	items := make([]Item, 0, len(all.Kvs))
	for _, kv := range all.Kvs {
		items = append(items, Item{strings.TrimPrefix(string(kv.Key), prefix), kv.Value, kv.ModRevision})
	}
	f.whole(items)
	f.reached(all.Header.Revision)
	// A member that is cut off from the others says so in place of being silent. One that is frozen says nothing: it is asked.
	ctx = clientv3.WithRequireLeader(ctx)
	watch := a.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(all.Header.Revision+1))
	quiet := time.NewTicker(askAfter)
	defer quiet.Stop()
	for heard := time.Now(); ; {
		select {
		case w, open := <-watch:
			if !open || w.Err() != nil {
				return
			}
			heard = time.Now()
			f.take(w, prefix)
		case <-quiet.C:
			switch silent := time.Since(heard); {
			case silent > silentAfter:
				return
			case silent > askAfter/2:
				go func() { _ = a.client.RequestProgress(ctx) }() // it may wait for who is silent
			}
		case <-ctx.Done():
			return
		}
	}
}

// A watch of which nothing was heard for askAfter is asked whether it is there, and given up when it does not say so. gRPC itself asks
// every ten seconds at most.
const (
	askAfter    = 500 * time.Millisecond
	silentAfter = 1500 * time.Millisecond
)

// take tells f what a watch says.
func (f follower) take(w clientv3.WatchResponse, prefix string) {
	items := make([]Item, 0, len(w.Events))
	for _, e := range w.Events {
		item := Item{strings.TrimPrefix(string(e.Kv.Key), prefix), e.Kv.Value, e.Kv.ModRevision}
		if e.Type == clientv3.EventTypeDelete {
			item.Value = nil
		} else if item.Value == nil {
			item.Value = []byte{}
		}
		items = append(items, item)
	}
	if len(items) > 0 {
		f.some(items)
		f.reached(w.Header.Revision)
	}
}

func (f follower) reached(revision int64) {
	if f.at != nil {
		f.at(revision)
	}
}

// retry does something until it succeeds, is refused for good, or ctx ends.
func retry(ctx context.Context, do func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		trying, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := do(trying)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrTaken) || errors.Is(err, ErrDeposed) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}
