package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Together is what the containers of one session share, wherever they are.
type Together struct {
	Sealed []byte // the files that they see, in the form and under the seal of whoever put them there; nil: none
	Run    int    // the run whose containers are all there; -1: none yet
}

// Names below a session's id.
const (
	togetherFiles = "files"
	togetherRun   = "run"
)

// PutTogether keeps the files of a session's containers.
func (a *Agreement) PutTogether(ctx context.Context, r Reign, session string, sealed []byte) error {
	return a.retry(ctx, func(ctx context.Context) error {
		return a.decide(ctx, r, nil, clientv3.OpPut(a.key(partTogether, session, togetherFiles), string(sealed)))
	})
}

// Go says that all containers of a run are there.
func (a *Agreement) Go(ctx context.Context, r Reign, session string, run int) error {
	return a.retry(ctx, func(ctx context.Context) error {
		return a.decide(ctx, r, nil, clientv3.OpPut(a.key(partTogether, session, togetherRun), strconv.Itoa(run)))
	})
}

// ForgetTogether removes what the containers of a session shared. What is not there is no error.
func (a *Agreement) ForgetTogether(ctx context.Context, r Reign, session string) error {
	return a.retry(ctx, func(ctx context.Context) error {
		return a.decide(ctx, r, nil, clientv3.OpDelete(a.key(partTogether, session)+"/", clientv3.WithPrefix()))
	})
}

// Together reads what the containers of a session share.
func (a *Agreement) Together(ctx context.Context, session string) (t Together, err error) {
	prefix := a.key(partTogether, session) + "/"
	got, err := a.get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return t, fmt.Errorf("reading what the containers of %s share: %w", session, err)
	}
	t.Run = -1
	for _, kv := range got.Kvs {
		t.take(string(kv.Key[len(prefix):]), kv.Value)
	}
	return t, nil
}

func (t *Together) take(name string, value []byte) {
	switch name {
	case togetherFiles:
		t.Sealed = value
	case togetherRun:
		if run, err := strconv.Atoi(string(value)); err == nil {
			t.Run = run
		}
	}
}

// AllTogether are the sessions whose containers share anything.
func (a *Agreement) AllTogether(ctx context.Context) (sessions []string, err error) {
	prefix := a.prefix + partTogether
	got, err := a.get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("reading which containers share anything: %w", err)
	}
	for _, kv := range got.Kvs {
		session, _, _ := strings.Cut(string(kv.Key[len(prefix):]), "/")
		if len(sessions) == 0 || sessions[len(sessions)-1] != session {
			sessions = append(sessions, session)
		}
	}
	return sessions, nil
}

// FollowTogether tells f what containers share, by session: at first and whenever something may have been missed all of it, else
// those that have changed; nil: nothing any more. Of what has changed it says what has, and leaves the rest out.
func (a *Agreement) FollowTogether(ctx context.Context, f func(some map[string]*Together, all bool)) {
	read := func(items []Item) map[string]*Together {
		out := map[string]*Together{}
		for _, i := range items {
			session, name, ok := strings.Cut(i.Key, "/")
			switch {
			case !ok:
			case i.Value == nil:
				out[session] = nil
			default:
				if out[session] == nil {
					out[session] = &Together{Run: -1}
				}
				out[session].take(name, i.Value)
			}
		}
		return out
	}
	a.follow(ctx, a.prefix+partTogether, follower{
		whole: func(items []Item) { f(read(items), true) }, some: func(items []Item) { f(read(items), false) },
	})
}
