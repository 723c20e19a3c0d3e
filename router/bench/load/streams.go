package load

import (
	"bytes"

	"github.com/palisade-run/palisade/router/bench/engine"
	"github.com/palisade-run/palisade/router/bench/poll"
)

// watch is what is seen of streams.
type watch struct {
	Streams
	first, delay, jitter []int64
	heard                int64 // when the last event came
	opened               int   // those that have had their first event
}

// streams is one stream on each connection, begun one after another over the ramp.
func (c *client) streams() error {
	n := c.s.Conns
	w := watch{first: make([]int64, 0, n), delay: make([]int64, 0, 256*n), jitter: make([]int64, 0, 256*n)}
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = c.conn()
	}
	if err := c.out.Encode(Event{Event: "begin"}); err != nil {
		return err
	}
	begin, told := poll.Now(), false
	w.heard = begin
	due := func() int64 { return begin + int64(w.Begun)*int64(c.s.Ramp)/int64(n) }
	for w.Completed+w.Broken < n {
		now := poll.Now()
		for w.Begun < n && now >= due() {
			k := conns[w.Begun]
			w.Begun++
			w.heard = now
			if c.ask(k) != nil {
				w.end(k, false)
			}
		}
		if now > w.heard+int64(c.s.Patience) {
			w.Broken = n - w.Completed
			break
		}
		if !told && w.opened+w.Broken >= n {
			told = true
			if err := c.out.Encode(Event{Event: "open"}); err != nil {
				return err
			}
		}
		until := int64(0)
		if w.Begun < n {
			until = due()
		}
		for _, e := range c.loop.Wait(until) {
			if k := c.conns[e.Fd]; k != nil {
				c.stream(k, e.Events, &w)
			}
		}
	}
	w.Seconds = float64(poll.Now()-begin) / 1e9
	if err := c.out.Encode(Event{Event: "end"}); err != nil {
		return err
	}
	w.Events = len(w.delay)
	w.First, w.Delay, w.Jitter = spread(w.first), spread(w.delay), spread(w.jitter)
	return c.out.Encode(Event{Event: "result", Streams: &w.Streams})
}

func (w *watch) end(k *conn, whole bool) {
	k.asked = false
	if whole {
		w.Completed++
		return
	}
	w.Broken++
}

var (
	stampKey   = []byte(engine.StampKey)
	streamDone = []byte("data: [DONE]")
)

const (
	stampLen = 19
	keep     = 2048 // bytes that have been looked at and stay in a buffer
)

// stream reads on in one.
func (c *client) stream(k *conn, events uint32, w *watch) {
	k.send()
	if events&^uint32(poll.Out) == 0 {
		return
	}
	open := k.read(events&poll.Gone != 0)
	now := poll.Now()
	w.Reads++
	if !k.headed {
		k.seen = 0
		if k.head() && k.status != 200 {
			open = false
		}
	}
	if k.headed {
		for c.event(k, now, w) {
		}
		if bytes.Contains(k.buf[k.seen:], streamDone) {
			w.end(k, true)
			c.drop(k)
			return
		}
		if k.seen > keep {
			k.buf = k.buf[:copy(k.buf, k.buf[k.seen:])]
			k.seen = 0
		}
	}
	if !open {
		w.end(k, false)
		c.drop(k)
	}
}

// event takes the next one out of the buffer.
func (c *client) event(k *conn, now int64, w *watch) bool {
	i := bytes.Index(k.buf[k.seen:], stampKey)
	if i < 0 {
		return false
	}
	from := k.seen + i + len(stampKey)
	if from+stampLen > len(k.buf) {
		return false
	}
	sent := int64(0)
	for _, d := range k.buf[from : from+stampLen] {
		sent = sent*10 + int64(d-'0')
	}
	k.seen = from + stampLen
	w.delay = append(w.delay, now-sent)
	if k.events == 0 {
		w.first = append(w.first, now-k.start)
		w.opened++
	} else {
		w.jitter = append(w.jitter, max(now-k.before-int64(c.s.Gap), k.before+int64(c.s.Gap)-now))
	}
	k.before, w.heard = now, now
	k.events++
	return true
}
