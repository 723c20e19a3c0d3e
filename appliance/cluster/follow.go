package cluster

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/time/rate"
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
	rare  bool         // seldom is anything to be told, and where there is much all boxes are told of it: see rest
}

// retryFollow is how long to wait before etcd is asked again after it failed.
const retryFollow = 200 * time.Millisecond

// follow tells f until ctx ends. While etcd cannot be reached f hears nothing: what it was told last stands. Where a watch breaks the
// next one goes on from there: what is below a prefix is read again only where etcd does not know any more what has changed since.
func (a *Agreement) follow(ctx context.Context, prefix string, f follower) {
	w := watching{agreement: a, prefix: prefix, follower: f, patience: silentAfter, reading: tryFor, messages: rate.NewLimiter(messagesEach, messagesOnce)}
	for ctx.Err() == nil {
		wait := retryFollow
		if w.once(ctx) {
			wait = rest/2 + rand.N(rest)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// A box that lives is one message to each of the others, and so is one that falls silent. Where a thousand fall silent for a moment, because
// a network was away or etcd was slow, those are millions, and while etcd tells them leases run out for want of it. So who has heard
// messagesOnce of what is rare, and goes on to hear more than messagesEach a second, has its watch closed for about as long as rest: etcd
// tells of all that was meanwhile in one message.
const (
	messagesOnce = 64 // the death of a rack is to be heard at once
	messagesEach = 2
	rest         = time.Second
)

// watching is one follow.
type watching struct {
	follower
	agreement *Agreement
	prefix    string
	next      int64         // revision that is to be heard of next; 0: all is to be read
	created   int64         // at which the watch was, that is open
	cluster   uint64        // of etcd, in which that is
	patience  time.Duration // how long it may be silent
	reading   time.Duration // how long it is waited for all
	messages  *rate.Limiter // of what is rare
}

// once ends when the watch has broken, or its member may have. True: it has told so much that it is to rest.
func (w *watching) once(ctx context.Context) (much bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.next == 0 && !w.read(ctx) {
		return false
	}
	stream := w.agreement.streams.Load()
	ctx = metadata.AppendToOutgoingContext(ctx, streamKey, strconv.FormatInt(stream, 10))
	// A member that is cut off from the others says so in place of being silent. One that is frozen says nothing: it is asked.
	ctx = clientv3.WithRequireLeader(ctx)
	opening := make(chan clientv3.WatchChan, 1) // which takes until its member has answered
	go func(next int64) {
		opening <- w.agreement.client.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(next), clientv3.WithCreatedNotify())
	}(w.next)
	var watch clientv3.WatchChan
	w.created = math.MaxInt64
	quiet := time.NewTimer(askAfter)
	defer quiet.Stop()
	for opened, heard := time.Now(), time.Now(); ; {
		select {
		case watch = <-opening:
		case said, open := <-watch:
			if !open || !w.hear(said) {
				return false
			}
			if heard = time.Now(); heard.Sub(w.agreement.heardOn(stream, heard)) < silentAfter {
				w.patience = silentAfter
			}
			if w.rare && len(said.Events) > 0 && !w.messages.Allow() {
				return true
			}
		case <-quiet.C:
			now := time.Now()
			// An etcd that takes long for an answer may take long to say something, too.
			silent, patience := w.agreement.silentOn(stream, opened, now), min(max(w.patience, 4*w.agreement.pace.is()), mostPatience)
			switch {
			case silent > patience:
				w.patience = min(2*w.patience, mostPatience) // else all boxes would ask a member anew that is only busy
				w.agreement.streams.CompareAndSwap(stream, stream+1)
				return false
			case now.Sub(heard) > mostPatience: // it alone: others on the stream hear
				return false
			case now.Sub(heard) >= askAfter && w.agreement.mayAsk(stream, now):
				go func() { _ = w.agreement.client.RequestProgress(ctx) }() // it may wait for who is silent
			}
			quiet.Reset(lookAgainAfter(now.Sub(heard), patience))
		case <-ctx.Done():
			return false
		}
	}
}

// read tells all that is there; false: etcd does not say.
func (w *watching) read(ctx context.Context) bool {
	asking, done := context.WithTimeout(ctx, w.reading)
	defer done()
	var asked, failed atomic.Int32
	all, err := hedged(asking, &w.agreement.pace, func(ctx context.Context) (*clientv3.GetResponse, error) {
		if asked.Add(1) > mostAsks { // it may be much, and nobody silent
			<-ctx.Done()
			return nil, ctx.Err()
		}
		all, err := w.agreement.client.Get(ctx, w.prefix, clientv3.WithPrefix())
		if err != nil && failed.Add(1) == mostAsks {
			done() // nobody is left to answer
		}
		return all, err
	}, never)
	if err != nil {
		if failed.Load() < mostAsks { // some were waited for in vain
			w.reading = min(2*w.reading, mostTry)
		}
		return false
	}
	w.reading = tryFor
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
	if said.Created {
		w.created = said.Header.Revision
	}
	// All before it was told, where it was said since this watch is there: who is asked for another one on the stream, and is about to tell
	// this one of what it has missed, may say it out of turn.
	if said.IsProgressNotify() && said.Header.Revision > w.created {
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

// tryFor is how long a member of etcd is waited for before something is tried again, at another one as a rule: four times as long as its
// answers took of late, where that is more. What etcd was asked and nobody waits for any more it does all the same. All that is below a
// prefix is waited for for twice as long each time, up to mostTry.
const (
	tryFor  = 2 * time.Second
	mostTry = 16 * time.Second
)

// retry does something until it succeeds, is refused for good, or ctx ends.
func (a *Agreement) retry(ctx context.Context, do func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		trying, cancel := context.WithTimeout(ctx, max(tryFor, 4*a.pace.is()))
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
