package tally

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/palisade-run/palisade/router/quota"
)

// How calls go to Redis: while an answer is waited for those that come gather, and go together next, but not more than batch.
// So one that comes alone goes at once, and what one client ends is given back before what it asks for next is taken: there is
// one carrier.
const (
	batch  = 128
	queued = 8192
)

var (
	errSlow     = errors.New("redis takes too long to answer")
	errFull     = errors.New("redis is behind: too much waits for it")
	errNotAsked = errors.New("redis was not asked yet")
	errOver     = errors.New("counting together has ended")
)

// call is one run of a script.
type call struct {
	script *script
	epoch  int64
	keys   []string
	args   []any
	done   chan result // of size 1; nil: nobody waits
}

type result struct {
	answer answer
	err    error
}

// answer to a take.
type answer struct {
	ok     bool
	who    int
	kind   quota.Kind
	used   int64
	after  time.Duration
	until  time.Time
	others [len(quota.Payers{})]quota.Elsewhere
}

// key is a name in Redis. The braces keep all of them on one node.
func (c *Counter) key(kind, name string) string { return "{" + c.o.Prefix + "}:" + kind + ":" + name }

// before is what all names begin with.
func (c *Counter) before() string { return "{" + c.o.Prefix + "}:" }

// newCall is one without subjects.
func (c *Counter) newCall(s *script, epoch int64) *call {
	return &call{
		script: s, epoch: epoch,
		keys: append(make([]string, 0, 3+2*len(quota.Payers{})), c.key("fence", c.name), c.before()+"clock", c.key("has", c.name)),
		args: append(make([]any, 0, 4+7*len(quota.Payers{})), epoch, c.name),
	}
}

// about adds a subject to a call.
func (k *call) about(c *Counter, claim *quota.Claim) {
	k.keys = append(k.keys, c.key("all", claim.Key), c.key("own", c.name+":"+claim.Key))
	l := &claim.Limits
	k.args = append(k.args, l.RequestsPerMinute, l.TokensPerMinute, l.Concurrent, l.Budget, string(l.Window), claim.Spent, claim.From)
}

func newSettle(c *Counter, epoch int64, now time.Time, s *quota.Settlement) *call {
	k := c.newCall(&settleScript, epoch)
	k.args = append(k.args, s.Reserved, s.Used)
	for _, one := range s.Payers {
		if one != nil {
			k.about(c, new(one.Claim(now)))
		}
	}
	return k
}

// ask has Redis decide.
func (c *Counter) ask(v visit, now time.Time, q *quota.Call) (answer, error) {
	k := c.newCall(&takeScript, v.epoch)
	k.args = append(k.args, q.Reserved)
	for _, s := range q.Payers[:q.N] {
		k.about(c, new(s.Claim(now)))
	}
	k.done = make(chan result, 1)
	bound := c.o.Bound
	if v.waited {
		bound /= 2
	}
	began := time.Now()
	if !c.send(k) {
		return answer{}, errFull
	}
	timer := time.NewTimer(bound)
	defer timer.Stop()
	var r result
	select {
	case r = <-k.done:
	case <-v.over:
		select {
		case r = <-k.done:
		default:
			return answer{}, errOver
		}
	case <-timer.C:
		return answer{}, errSlow
	}
	c.figures.waits.Observe(time.Since(began).Seconds())
	return r.answer, r.err
}

// send puts a call where a carrier takes it; false: there is no room.
func (c *Counter) send(k *call) bool {
	select {
	case c.queue <- k:
		return true
	default:
		return false
	}
}

// carry sends what waits in the queue until ctx ends.
func (c *Counter) carry(ctx context.Context) {
	calls := make([]*call, 0, batch)
	for {
		select {
		case <-ctx.Done():
			return
		case k := <-c.queue:
			calls = append(calls[:0], k)
		}
		for more := true; more && len(calls) < batch; {
			select {
			case k := <-c.queue:
				calls = append(calls, k)
			default:
				more = false
			}
		}
		c.deliver(ctx, calls)
	}
}

// deliver sends calls and gives the answers to those who wait.
func (c *Counter) deliver(ctx context.Context, calls []*call) {
	epoch, over := c.current()
	live := calls[:0]
	for _, k := range calls {
		if k.epoch == epoch && !over {
			live = append(live, k)
		} else if k.done != nil {
			k.done <- result{err: errOver} // it would be refused
		}
	}
	if len(live) == 0 {
		return
	}
	within, cancel := context.WithTimeout(ctx, c.o.Bound)
	defer cancel()
	cmds := c.run(within, live)
	c.tripped.Add(1)
	c.figures.calls.Add(float64(len(live)))
	for i, k := range live {
		values, err := cmds[i].Int64Slice()
		if k.script == &settleScript {
			_, err = cmds[i].Int64()
		}
		var r result
		if r.err = plain(err); r.err == nil && k.done != nil {
			r.answer, r.err = readAnswer(values)
		}
		if r.err != nil {
			c.lost(k.epoch, r.err)
		}
		if k.done != nil {
			k.done <- r
		}
	}
}

// current tells the epoch, and whether it is over.
func (c *Counter) current() (epoch int64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.mode == Alone
}

// run sends calls in one round trip; scripts that Redis does not know, as after a restart, are told it and run again.
func (c *Counter) run(ctx context.Context, calls []*call) []*redis.Cmd {
	cmds := make([]*redis.Cmd, len(calls))
	again := make([]int, 0, len(calls))
	for i := range calls {
		again = append(again, i)
	}
	for attempt := range 2 {
		pipe := c.client.Pipeline()
		if attempt > 0 {
			for _, s := range scripts() {
				pipe.ScriptLoad(ctx, s.text)
			}
		}
		for _, i := range again {
			cmds[i] = pipe.EvalSha(ctx, calls[i].script.sum, calls[i].keys, calls[i].args...)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		unknown := again[:0]
		for _, i := range again {
			if err := cmds[i].Err(); err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
				unknown = append(unknown, i)
			}
		}
		if again = unknown; len(again) == 0 {
			break
		}
	}
	return cmds
}

// plain makes of a time-out what it means.
func plain(err error) error {
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		return errSlow
	}
	return err
}

func readAnswer(values []int64) (a answer, err error) {
	const head, each = 6, 7
	n := (len(values) - head) / each
	if len(values) < head+each || n > len(a.others) || len(values) != head+n*each {
		return a, fmt.Errorf("an answer of %d numbers", len(values))
	}
	a.ok, a.who, a.kind, a.used = values[0] == 1, int(values[1]), quota.Kind(values[2]), values[3]
	a.after = time.Duration(values[4]) * time.Millisecond
	if values[5] > 0 {
		a.until = time.Unix(values[5], 0).UTC()
	}
	if a.who < 0 || a.who >= n {
		return a, fmt.Errorf("an answer about payer %d of %d", a.who, n)
	}
	for i := range n {
		a.others[i] = readElsewhere(values[head+i*each:])
	}
	return a, nil
}

func readElsewhere(v []int64) quota.Elsewhere {
	return quota.Elsewhere{
		Requests: v[0], Tokens: v[1], RequestsReset: time.Duration(v[2]) * time.Millisecond, TokensReset: time.Duration(v[3]) * time.Millisecond,
		Concurrent: v[4], Spent: v[5], From: v[6],
	}
}
