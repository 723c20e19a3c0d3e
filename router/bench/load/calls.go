package load

import (
	"strconv"
	"time"

	"github.com/palisade-run/palisade/router/bench/poll"
)

// calls is one request after another on each connection.
func (c *client) calls() error {
	t := tally{Calls: Calls{Kinds: map[string]int{}}, ids: c.s.IDs, took: make([]int64, 0, 1<<20)}
	conns := make([]*conn, c.s.Conns)
	for i := range conns {
		conns[i] = c.conn()
	}
	t.begin = poll.Now() + int64(c.s.Warm)
	end := t.begin + int64(c.s.Time)
	if c.s.Warm == 0 {
		if err := c.out.Encode(Event{Event: "begin"}); err != nil {
			return err
		}
	}
	warm, over := c.s.Warm > 0, false
	resting := []*conn{} // those whose connection could not be made, or that were refused: not at once again
	resting = append(resting, conns...)
	rested := int64(0)
	for {
		now := poll.Now()
		if warm && now >= t.begin {
			warm = false
			if err := c.out.Encode(Event{Event: "begin"}); err != nil {
				return err
			}
		}
		if !over && now >= end {
			over = true
			if err := c.out.Encode(Event{Event: "end"}); err != nil {
				return err
			}
		}
		if over && (now > end+int64(c.s.Patience) || !anyAsked(conns)) {
			break
		}
		if !over && now >= rested && len(resting) > 0 {
			again := resting
			resting, rested = nil, now+int64(10*time.Millisecond)
			for _, k := range again {
				if !c.next(k, &t) {
					resting = append(resting, k)
				}
			}
		}
		for _, e := range c.loop.Wait(wake(now, t.begin, end, rested, len(resting) > 0)) {
			k := c.conns[e.Fd]
			if k == nil {
				continue
			}
			k.send()
			if e.Events&^uint32(poll.Out) == 0 {
				continue
			}
			if !c.progress(k, e.Events&poll.Gone != 0, &t) {
				continue
			}
			if k.rest || poll.Now() < end && !c.next(k, &t) {
				k.rest = false
				resting = append(resting, k)
			}
		}
	}
	for _, k := range conns {
		if k.asked {
			t.fail(k, "lost")
		}
	}
	t.Seconds = float64(c.s.Time) / 1e9
	t.Latency = spread(t.took)
	return c.out.Encode(Event{Event: "result", Calls: &t.Calls})
}

// wake is when the loop has to look at its clock again.
func wake(now, begin, end, rested int64, resting bool) int64 {
	next := now + int64(100*time.Millisecond)
	for _, t := range []int64{begin, end} {
		if t > now {
			next = min(next, t)
		}
	}
	if resting {
		next = min(next, rested)
	}
	return next
}

func anyAsked(conns []*conn) bool {
	for _, k := range conns {
		if k.asked {
			return true
		}
	}
	return false
}

// next sends k's next request; false where it could not.
func (c *client) next(k *conn, t *tally) bool {
	if err := c.ask(k); err != nil {
		t.fail(k, "dial")
		return false
	}
	return true
}

// progress reads on; true when k is free for its next request.
func (c *client) progress(k *conn, gone bool, t *tally) bool {
	open := k.read(gone)
	if k.asked && k.answered() {
		t.answer(k)
		k.rest = k.status != 200 || !k.right
		if k.last || !open {
			c.drop(k)
		}
		return true
	}
	if open {
		return false
	}
	c.drop(k)
	if !k.asked {
		return false // it had rested; the next request makes another
	}
	t.fail(k, "cut")
	k.rest = true
	return true
}

// tally counts what began after begin.
type tally struct {
	Calls
	ids   bool
	begin int64
	took  []int64
}

func (t *tally) answer(k *conn) {
	k.asked = false
	now := poll.Now()
	if now < t.begin {
		return
	}
	took := now - k.start
	t.took = append(t.took, took)
	if took > int64(time.Second) {
		t.Slow++
	}
	if k.status != 200 {
		t.fail(k, strconv.Itoa(k.status))
		return
	}
	if !k.right {
		t.fail(k, "wrong")
		return
	}
	t.OK++
}

func (t *tally) fail(k *conn, kind string) {
	k.asked = false
	now := poll.Now()
	if now < t.begin {
		return
	}
	t.Kinds[kind]++
	if t.ids {
		t.Failed = append(t.Failed, Failure{ID: k.id, Kind: kind, At: float64(now-t.begin) / 1e9})
	}
}
