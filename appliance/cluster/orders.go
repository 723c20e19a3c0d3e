package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/sessions"
)

// Wanted is one session that a node should run.
type Wanted struct {
	Term  Term          `json:"term"`  // of the leader who wrote it last
	Round string        `json:"round"` // of this start: unlike that of any other
	Spec  sessions.Spec `json:"spec"`
	Stop  *Stop         `json:"stop,omitempty"` // nil: it should run
	// Fence is how long it may run on where its node is heard of no more; then the node ends it by itself, for it may be begun
	// again elsewhere under the same id. 0: for ever.
	Fence time.Duration `json:"fence,omitempty"` // nanoseconds

	Revision int64 `json:"-"` // of the key
	// Unreadable: a later version wrote it. Nothing else is known of it, but it is not unwanted.
	Unreadable bool `json:"-"`
}

// Stop says how a session is to end.
type Stop struct {
	Grace time.Duration `json:"grace"` // nanoseconds from SIGTERM to SIGKILL; 0: SIGKILL at once
}

// State says how far a node is with a session.
type State string

// The states. A node that has taken a session in says starting before it does anything.
const (
	Starting State = "starting"
	Running  State = "running"
	Ended    State = "ended"
	Refused  State = "refused" // it was not started, and nothing of it is left
)

// Report is what became of a wanted session on its node.
type Report struct {
	Round    string            `json:"round"` // of the wanted one
	State    State             `json:"state"`
	Instance sessions.Instance `json:"instance"`        // once it runs
	Fault    *Fault            `json:"fault,omitempty"` // where it is refused
}

// Fault is an error as it can be told to another box.
type Fault struct {
	Kind string `json:"kind,omitempty"` // of sessions' errors; "": none of them
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Want writes that node should run w, whose Term and Round the caller has set: ErrTaken where any node has that session
// already, or has not let it go yet.
func (a *Agreement) Want(ctx context.Context, r Reign, node string, w Wanted) error {
	w.Term = r.Term
	text, err := encode(w)
	if err != nil {
		return err
	}
	id := w.Spec.ID
	absent := func(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }
	placed, wanted := a.key(partPlaced, id), a.key(partWanted, node, id)
	free := []clientv3.Cmp{absent(placed), absent(wanted), absent(a.key(partReport, node, id))}
	err = a.retry(ctx, func(ctx context.Context) error {
		return a.decide(ctx, r, free, clientv3.OpPut(placed, node), clientv3.OpPut(wanted, text))
	})
	if !errors.Is(err, ErrTaken) {
		return err
	}
	// It may be by this very one, whose answer was lost.
	if mine, ok, asked := a.wanted(ctx, node, id); asked == nil && ok && mine.Round == w.Round {
		return nil
	}
	return err
}

// wanted is what a node should run under an id; false: nothing.
func (a *Agreement) wanted(ctx context.Context, node, id string) (w Wanted, there bool, err error) {
	err = a.retry(ctx, func(ctx context.Context) error {
		got, err := a.client.Get(ctx, a.key(partWanted, node, id))
		if err != nil {
			return fmt.Errorf("reading what %s should run: %w", node, err)
		}
		if there = len(got.Kvs) > 0; !there {
			return nil
		}
		w = readWanted(got.Kvs[0].Value, got.Kvs[0].ModRevision)
		return nil
	})
	return w, there, err
}

// WantStop writes that a session is to end. Where it is to end already, the shorter grace holds. False: nobody wants it to run.
func (a *Agreement) WantStop(ctx context.Context, r Reign, node, id string, s Stop) (there bool, err error) {
	key := a.key(partWanted, node, id)
	err = a.retry(ctx, func(ctx context.Context) error {
		var w Wanted
		var err error
		w, there, err = a.wanted(ctx, node, id)
		switch {
		case err != nil || !there || w.Stop != nil && w.Stop.Grace <= s.Grace:
			return err
		case w.Unreadable:
			return fmt.Errorf("ending %s on %s: a later version wrote what it is: %w", id, node, ErrTaken)
		}
		w.Term, w.Stop = r.Term, &s
		text, err := encode(w)
		if err != nil {
			return err
		}
		same := clientv3.Compare(clientv3.ModRevision(key), "=", w.Revision)
		err = a.decide(ctx, r, []clientv3.Cmp{same}, clientv3.OpPut(key, text))
		if errors.Is(err, ErrTaken) { // somebody was faster: it is looked at again
			err = errChanged
		}
		return err
	})
	return there, err
}

// Unwant takes away what a node should run: the node ends it if it runs, and forgets it. What the node has not let go no other
// may have, unless Abandon says so.
func (a *Agreement) Unwant(ctx context.Context, r Reign, node, id string) error {
	return a.unwant(ctx, r, node, id, nil)
}

// UnwantRound is Unwant for one start alone: what is wanted under the id since then stays.
func (a *Agreement) UnwantRound(ctx context.Context, r Reign, node, id, round string) error {
	return a.retry(ctx, func(ctx context.Context) error {
		w, there, err := a.wanted(ctx, node, id)
		if err != nil || !there || w.Round != round {
			return err
		}
		same := clientv3.Compare(clientv3.ModRevision(a.key(partWanted, node, id)), "=", w.Revision)
		if err = a.unwant(ctx, r, node, id, []clientv3.Cmp{same}); errors.Is(err, ErrTaken) {
			err = errChanged
		}
		return err
	})
}

func (a *Agreement) unwant(ctx context.Context, r Reign, node, id string, conditions []clientv3.Cmp) error {
	wanted, placed, report := a.key(partWanted, node, id), a.key(partPlaced, id), a.key(partReport, node, id)
	// The node that has not taken it in has nothing to let go, and never will.
	untaken := append(slices.Clone(conditions), clientv3.Compare(clientv3.Value(placed), "=", node), clientv3.Compare(clientv3.CreateRevision(report), "=", 0))
	return a.retry(ctx, func(ctx context.Context) error {
		err := a.decide(ctx, r, untaken, clientv3.OpDelete(wanted), clientv3.OpDelete(placed))
		if errors.Is(err, ErrTaken) {
			err = a.decide(ctx, r, conditions, clientv3.OpDelete(wanted))
		}
		return err
	})
}

// Abandon is Unwant for a node that is silent and will have ended the session by itself: others may have it at once.
func (a *Agreement) Abandon(ctx context.Context, r Reign, node, id string) error {
	placed := a.key(partPlaced, id)
	err := a.decide(ctx, r, []clientv3.Cmp{clientv3.Compare(clientv3.Value(placed), "=", node)},
		clientv3.OpDelete(a.key(partWanted, node, id)), clientv3.OpDelete(placed))
	if errors.Is(err, ErrTaken) { // the node has let it go, or another has it
		return a.Unwant(ctx, r, node, id)
	}
	return err
}

var errChanged = errors.New("it was changed meanwhile")

// TakeIn says, before a node starts a session, that it has it: ErrTaken where that is not wanted any more as it was in w, or was
// changed since.
func (a *Agreement) TakeIn(ctx context.Context, node string, w Wanted) error {
	text, err := encode(Report{Round: w.Round, State: Starting})
	if err != nil {
		return err
	}
	id := w.Spec.ID
	same := clientv3.Compare(clientv3.ModRevision(a.key(partWanted, node, id)), "=", w.Revision)
	done, err := a.client.Txn(ctx).If(same).Then(clientv3.OpPut(a.key(partReport, node, id), text)).Commit()
	if err != nil {
		return fmt.Errorf("taking in %s: %w", id, err)
	}
	if !done.Succeeded {
		return ErrTaken
	}
	return nil
}

// Tell writes what became of a session. Only its node does.
func (a *Agreement) Tell(ctx context.Context, node, id string, r Report) error {
	text, err := encode(r)
	if err != nil {
		return err
	}
	if _, err := a.client.Put(ctx, a.key(partReport, node, id), text); err != nil {
		return fmt.Errorf("reporting %s: %w", id, err)
	}
	return nil
}

// LetGo says that a node has nothing of a session any more: another may have it. What an earlier attempt, whose answer was lost, does
// late is of no effect where the node has taken the session in again since.
func (a *Agreement) LetGo(ctx context.Context, node, id string) error {
	placed, report := a.key(partPlaced, id), a.key(partReport, node, id)
	got, err := a.client.Get(ctx, report, clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("letting %s go: %w", id, err)
	}
	revision := int64(0)
	if len(got.Kvs) > 0 {
		revision = got.Kvs[0].ModRevision
	}
	gone := clientv3.OpDelete(report)
	mine := clientv3.Compare(clientv3.Value(placed), "=", node)
	// A leader may want it here again by now: then it is still this node's.
	unwanted := clientv3.Compare(clientv3.CreateRevision(a.key(partWanted, node, id)), "=", 0)
	goes := clientv3.OpTxn([]clientv3.Cmp{mine, unwanted}, []clientv3.Op{gone, clientv3.OpDelete(placed)}, []clientv3.Op{gone})
	done, err := a.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(report), "=", revision)).Then(goes).Commit()
	if err == nil && !done.Succeeded {
		err = errChanged
	}
	if err != nil {
		return fmt.Errorf("letting %s go: %w", id, err)
	}
	return nil
}
