package waiting

import (
	"context"
	"time"
)

// waiter is one request in the line. All but ask, ctx and ended is the lock's.
type waiter struct {
	ask   *Ask
	ctx   context.Context // the wait's own, read by those who would let it go
	since time.Time
	held  bool          // counted in Stats.Held
	done  bool          // out of the line
	err   error         // why, nil where it was let go; read after ended
	ended chan struct{} // closed with done; nil while the waiter is still on its way in

	queue      *queue
	prev, next *waiter
}

// queue is the waiters of one token, oldest first, and its place in the ring of those that take turns.
type queue struct {
	token      string
	head, tail *waiter
	length     int
	prev, next *queue
}

// push puts w behind all others of its token. A token that had none comes last in the round that goes on. The
// caller holds mu.
func (l *Line) push(w *waiter) {
	q := l.queues[w.ask.Token]
	if q == nil {
		q = &queue{token: w.ask.Token}
		if l.queues == nil {
			l.queues = map[string]*queue{}
		}
		l.queues[q.token] = q
		if l.turn == nil {
			q.prev, q.next = q, q
			l.turn = q
		} else {
			q.prev, q.next = l.turn.prev, l.turn
			q.prev.next, q.next.prev = q, q
		}
	}
	w.queue, w.prev = q, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.length++
	l.depth.Add(1)
}

// end takes w out of the line and tells it err. The caller holds mu.
func (l *Line) end(w *waiter, err error) {
	q := w.queue
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queue = nil, nil, nil
	q.length--
	l.depth.Add(-1)
	if q.head == nil {
		l.drop(q)
	}
	w.done, w.err = true, err
	if w.ended != nil {
		close(w.ended)
	}
}

// drop takes an empty queue out of the ring. A line without any has no pace to keep: the next ones that wait do so
// for another reason.
func (l *Line) drop(q *queue) {
	delete(l.queues, q.token)
	if q.next != q {
		q.prev.next, q.next.prev = q.next, q.prev
		if l.turn == q {
			l.turn = q.next
		}
		return
	}
	l.turn = nil
	l.pace = pace{}
	if l.drip != nil {
		l.drip.Stop()
	}
}

// last is who goes when one too many is in the line after w came: the newest of the token that has most, or w
// itself where its own token has as many, or only one fewer.
func (l *Line) last(w *waiter) *waiter {
	most := w.queue
	for q := range l.around() {
		if q.length > most.length {
			most = q
		}
	}
	if most.length > w.queue.length {
		return most.tail
	}
	return w
}

// around yields the queues in the order of their turns.
func (l *Line) around() func(yield func(*queue) bool) {
	return func(yield func(*queue) bool) {
		for q := l.turn; q != nil; {
			next := q.next
			if !yield(q) || next == l.turn {
				return
			}
			q = next
		}
	}
}
