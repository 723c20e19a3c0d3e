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

// call is one request that is to be let in, or that has ended. Calls go to Redis together.
type call struct {
	epoch    int64
	reserved int64
	used     int64 // of one that has ended
	n        int   // of claims
	claims   [len(quota.Payers{})]quota.Claim
	done     chan result // of size 1; nil: it has ended, and nobody waits
}

func (k *call) about(now time.Time, p quota.Payers) {
	for _, s := range p {
		if s != nil {
			k.claims[k.n] = s.Claim(now)
			k.n++
		}
	}
}

// run is one run of a script.
type run struct {
	script *script
	keys   []string
	args   []any
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

// newRun is one without subjects.
func (c *Counter) newRun(s *script, epoch int64) *run {
	return &run{script: s, keys: []string{c.key("fence", c.name), c.before() + "clock", c.key("has", c.name)}, args: []any{epoch, c.name}}
}

// about adds a subject.
func (r *run) about(c *Counter, claim *quota.Claim) {
	r.keys = append(r.keys, c.key("all", claim.Key), c.key("own", c.name+":"+claim.Key))
	l := &claim.Limits
	r.args = append(r.args, l.RequestsPerMinute, l.TokensPerMinute, l.Concurrent, l.Budget, string(l.Window), claim.Spent, claim.From)
}

// together makes one run of calls. Of a subject that several are about the last claim is the one that holds.
func (c *Counter) together(epoch int64, calls []*call) *run {
	r := c.newRun(&batchScript, epoch)
	var claims []*quota.Claim
	number := map[string]int{}
	for _, k := range calls {
		for i := range k.claims[:k.n] {
			claim := &k.claims[i]
			if n, there := number[claim.Key]; there {
				claims[n-1] = claim
				continue
			}
			claims = append(claims, claim)
			number[claim.Key] = len(claims)
		}
	}
	for _, claim := range claims {
		r.about(c, claim)
	}
	for _, k := range calls {
		if k.done != nil {
			r.args = append(r.args, 1, k.reserved, k.n)
		} else {
			r.args = append(r.args, 2, k.reserved, k.used, k.n)
		}
		for i := range k.claims[:k.n] {
			r.args = append(r.args, number[k.claims[i].Key])
		}
	}
	return r
}

// ask has Redis decide.
func (c *Counter) ask(v visit, now time.Time, q *quota.Call) (answer, error) {
	k := &call{epoch: v.epoch, reserved: q.Reserved, done: make(chan result, 1)}
	k.about(now, q.Payers)
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
	values, err := c.run(within, c.together(epoch, live))[0].Int64Slice()
	c.tripped.Add(1)
	c.figures.calls.Add(float64(len(live)))
	err = plain(err)
	for _, k := range live {
		if k.done == nil {
			continue
		}
		r := result{err: err}
		if r.err == nil {
			r.answer, values, r.err = readAnswer(values, k.n)
			err = r.err
		}
		k.done <- r
	}
	if err == nil && len(values) > 0 {
		err = fmt.Errorf("%d numbers too many in an answer", len(values))
	}
	if err != nil {
		c.lost(epoch, err)
	}
}

// current tells the epoch, and whether it is over.
func (c *Counter) current() (epoch int64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.mode == Alone
}

// run has scripts run in one round trip; those that Redis does not know, as after a restart, are told it and run again.
func (c *Counter) run(ctx context.Context, runs ...*run) []*redis.Cmd {
	cmds := make([]*redis.Cmd, len(runs))
	again := make([]int, 0, len(runs))
	for i := range runs {
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
			cmds[i] = pipe.EvalSha(ctx, runs[i].script.sum, runs[i].keys, runs[i].args...)
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

// readAnswer reads the answer to a call about n subjects, and gives what follows it.
func readAnswer(values []int64, n int) (a answer, rest []int64, err error) {
	const head, each = 6, 7
	if len(values) < head+n*each {
		return a, nil, fmt.Errorf("an answer of %d numbers", len(values))
	}
	a.ok, a.who, a.kind, a.used = values[0] == 1, int(values[1]), quota.Kind(values[2]), values[3]
	a.after = time.Duration(values[4]) * time.Millisecond
	if values[5] > 0 {
		a.until = time.Unix(values[5], 0).UTC()
	}
	if a.who < 0 || a.who >= n {
		return a, nil, fmt.Errorf("an answer about payer %d of %d", a.who, n)
	}
	for i := range n {
		a.others[i] = readElsewhere(values[head+i*each:])
	}
	return a, values[head+n*each:], nil
}

func readElsewhere(v []int64) quota.Elsewhere {
	return quota.Elsewhere{
		Requests: v[0], Tokens: v[1], RequestsReset: time.Duration(v[2]) * time.Millisecond, TokensReset: time.Duration(v[3]) * time.Millisecond,
		Concurrent: v[4], Spent: v[5], From: v[6],
	}
}
