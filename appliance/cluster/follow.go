package cluster

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
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

// follow tells f until ctx ends. While etcd cannot be reached f hears nothing: what it was told last stands. Where a watch breaks the
// next one goes on from there: what is below a prefix is read again only where etcd does not know any more what has changed since.
func (a *Agreement) follow(ctx context.Context, prefix string, f follower) {
	w := watching{agreement: a, prefix: prefix, follower: f, patience: silentAfter}
	for ctx.Err() == nil {
		w.once(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(retryFollow):
		}
	}
}

// watching is one follow.
type watching struct {
	follower
	agreement *Agreement
	prefix    string
	next      int64         // revision that is to be heard of next; 0: all is to be read
	cluster   uint64        // of etcd, in which that is
	patience  time.Duration // how long it may be silent
}

// once ends when the watch has broken, or its member may have.
func (w *watching) once(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.next == 0 && !w.read(ctx) {
		return
	}
	stream := w.agreement.streams.Load()
	ctx = metadata.AppendToOutgoingContext(ctx, streamKey, strconv.FormatInt(stream, 10))
	// A member that is cut off from the others says so in place of being silent. One that is frozen says nothing: it is asked.
	ctx = clientv3.WithRequireLeader(ctx)
	watch := w.agreement.client.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(w.next), clientv3.WithCreatedNotify())
	quiet := time.NewTimer(askAfter)
	defer quiet.Stop()
	for heard := time.Now(); ; {
		select {
		case said, open := <-watch:
			if !open || !w.hear(said) {
				return
			}
			if time.Since(heard) < silentAfter {
				w.patience = silentAfter
			}
			heard = time.Now()
		case <-quiet.C:
			silent := time.Since(heard)
			switch {
			case silent > w.patience:
				w.patience = min(2*w.patience, mostPatience) // else all boxes would ask a member anew that is only busy
				w.agreement.streams.CompareAndSwap(stream, stream+1)
				return
			case silent >= askAfter && w.agreement.mayAsk(stream, time.Now()):
				go func() { _ = w.agreement.client.RequestProgress(ctx) }() // it may wait for who is silent
			}
			quiet.Reset(lookAgainAfter(silent, w.patience))
		case <-ctx.Done():
			return
		}
	}
}

// read tells all that is there; false: etcd does not say.
func (w *watching) read(ctx context.Context) bool {
	asking, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	var asked atomic.Int32
	all, err := hedged(asking, func(ctx context.Context) (*clientv3.GetResponse, error) {
		if asked.Add(1) > mostAsks { // it may be much, and nobody silent
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return w.agreement.client.Get(ctx, w.prefix, clientv3.WithPrefix())
	}, never)
	if err != nil {
		return false
	}
	items := make([]Item, 0, len(all.Kvs))
	for _, kv := range all.Kvs {
		items = append(items, Item{strings.TrimPrefix(string(kv.Key), w.prefix), kv.Value, kv.ModRevision})
	}
	w.whole(items)
	w.reached(all.Header.Revision)
	w.next, w.cluster = all.Header.Revision+1, all.Header.ClusterId
	return true
}

// hear takes in what a watch says; false: it is over.
func (w *watching) hear(said clientv3.WatchResponse) bool {
	switch {
	case said.CompactRevision > 0, said.Header.ClusterId != 0 && said.Header.ClusterId != w.cluster,
		said.Created && said.Header.Revision < w.next-1: // one that was restored has not come as far
		w.next = 0
		return false
	case said.Err() != nil:
		return false
	}
	if said.IsProgressNotify() { // all before it was told
		w.next = max(w.next, said.Header.Revision+1)
	}
	if len(said.Events) > 0 {
		last := w.take(said, w.prefix)
		w.next = last + 1
		w.reached(last)
	}
	return true
}

// mostAsks is how many members, at most, are asked at once for all that is below a prefix.
const mostAsks = 4

// A watch of which nothing was heard for askAfter is asked whether it is there, and again every askAgain: etcd does not answer while one
// on the same stream is behind. It is given up when it has said nothing for silentAfter, or longer where that has just been done without
// avail. gRPC itself asks every ten seconds at most.
const (
	askAfter     = time.Second
	askAgain     = 400 * time.Millisecond
	silentAfter  = 2 * time.Second
	mostPatience = 12 * time.Second
)

// lookAgainAfter is when a watch that has been silent for so long is to be looked at next.
func lookAgainAfter(silent, patience time.Duration) time.Duration {
	if silent < askAfter {
		return askAfter - silent
	}
	return min(askAgain, max(patience-silent, 0)+time.Millisecond)
}

// streamKey tells watches apart that are to have connections of their own: who joined the stream of those that are silent would be
// silent as well.
const streamKey = "palisade-stream"

// mayAsk tells whether it is to be asked now whether watches are there. All on one stream hear the answer: one asks for all.
func (a *Agreement) mayAsk(stream int64, now time.Time) bool {
	a.asking.Lock()
	defer a.asking.Unlock()
	if at, is := a.asked[stream]; is && now.Sub(at) < askAgain/2 {
		return false
	}
	if a.asked == nil {
		a.asked = map[int64]time.Time{}
	}
	maps.DeleteFunc(a.asked, func(_ int64, at time.Time) bool { return now.Sub(at) > mostPatience }) // streams that are over
	a.asked[stream] = now
	return true
}

// take tells f what a watch says, and returns the revision of the last change. That of the answer may be greater: a watch that is
// behind is told of what it missed bit by bit.
func (f follower) take(said clientv3.WatchResponse, prefix string) (last int64) {
	items := make([]Item, 0, len(said.Events))
	for _, e := range said.Events {
		item := Item{strings.TrimPrefix(string(e.Kv.Key), prefix), e.Kv.Value, e.Kv.ModRevision}
		if e.Type == clientv3.EventTypeDelete {
			item.Value = nil
		} else if item.Value == nil {
			item.Value = []byte{}
		}
		items = append(items, item)
		last = max(last, e.Kv.ModRevision)
	}
	f.some(items)
	return last
}

func (f follower) reached(revision int64) {
	if f.at != nil {
		f.at(revision)
	}
}

// tryFor is how long a member of etcd is waited for before what is to be written is tried again, at another one as a rule.
const tryFor = 2 * time.Second

// retry does something until it succeeds, is refused for good, or ctx ends.
func retry(ctx context.Context, do func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		trying, cancel := context.WithTimeout(ctx, tryFor)
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
