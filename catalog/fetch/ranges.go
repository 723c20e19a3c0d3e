package fetch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// ranges brings what is missing of a part by several connections. ErrNoRange where only all of a file can be had; a file of
// unknown size is one, too.
func (j *job) ranges(ctx context.Context, part *blobs.Part, f File) error {
	if part.Size() < 0 {
		return ErrNoRange
	}
	work := &queue{left: part.Missing(), chunk: j.options.Chunk, empty: make(chan struct{})}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	connect := func() {
		group.Go(func() {
			if err := j.connection(ctx, part, f, work); err != nil {
				stop(err)
			}
		})
	}
	group.Go(func() { j.grow(ctx, part, work, connect) })
	group.Wait()
	return context.Cause(ctx)
}

// One connection that brings as much as can be checked at once is better than several: what it brought last is in memory still.
const (
	growEvery = 100 * time.Millisecond
	enough    = 300e6 // bytes a second
)

// grow makes connections, one after the other, until they bring enough, or as much as they may.
func (j *job) grow(ctx context.Context, part *blobs.Part, work *queue, connect func()) {
	ticker := time.NewTicker(growEvery)
	defer ticker.Stop()
	before := part.Here()
	for range min(j.options.Ranges, work.chunks()) {
		connect()
		for slow := false; !slow; {
			select {
			case <-ticker.C:
			case <-work.empty:
				return
			case <-ctx.Done():
				return
			}
			here := part.Here()
			slow = float64(here-before) < enough*growEvery.Seconds()
			before = here
		}
	}
}

// queue hands out what is missing, from the beginning on: what is checked follows there.
type queue struct {
	mu    sync.Mutex
	left  []blobs.Span
	chunk int64
	empty chan struct{} // closed once there is nothing left to be taken
	shut  bool
}

// smallest is what a connection of its own is worth.
const smallest = 4 << 20

func (q *queue) chunks() int {
	bytes := int64(0)
	for _, s := range q.left {
		bytes += s.End - s.Start
	}
	return int(min(64, (bytes+smallest-1)/smallest))
}

func (q *queue) take() (blobs.Span, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.left) == 0 {
		if !q.shut {
			q.shut = true
			close(q.empty)
		}
		return blobs.Span{}, false
	}
	out := q.left[0]
	if out.End-out.Start > q.chunk+q.chunk/4 { // no crumbs
		out.End = out.Start + q.chunk
		q.left[0].Start = out.End
	} else {
		q.left = q.left[1:]
	}
	return out, true
}

// giveBack puts what was not brought to the front.
func (q *queue) giveBack(s blobs.Span) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.Start < s.End {
		q.left = append([]blobs.Span{s}, q.left...)
	}
}

// connection brings spans until none is left. Tries that bring nothing are counted: as long as something comes, it goes on.
func (j *job) connection(ctx context.Context, part *blobs.Part, f File, work *queue) error {
	tries := 0
	for {
		span, is := work.take()
		if !is {
			return nil
		}
		n, err := j.span(ctx, part, f, span)
		span.Start += n
		work.giveBack(span)
		if n > 0 {
			tries = 0
		}
		if err != nil {
			if err := j.again(ctx, err, &tries); err != nil {
				return err
			}
		}
	}
}

// again waits before the next try, or says that there is none.
func (j *job) again(ctx context.Context, err error, tries *int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	wait, is := delay(err, *tries, j.options.Tries)
	if !is {
		return err
	}
	*tries++
	j.options.Log.Debug("a download is tried again", "error", err, "in", wait)
	j.state.trouble(err, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// span brings bytes of a file by one request, and says how many came.
func (j *job) span(ctx context.Context, part *blobs.Part, f File, s blobs.Span) (int64, error) {
	select {
	case j.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-j.slots }()
	body, err := j.from.Open(ctx, j.in, f, s.Start, s.End-s.Start)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := j.pour(ctx, part, body, s)
	switch {
	case err == nil && n < s.End-s.Start:
		err = ErrTruncated
	case err == nil && s.Start == 0 && s.End == f.Bytes:
		err = ended(body)
	}
	return n, err
}

// ended says whether a file that was read whole has an end there.
func ended(body io.Reader) error {
	n, err := io.ReadFull(body, make([]byte, 1))
	if n > 0 || errors.Is(err, ErrTooLong) {
		return Say(ErrTooLong, "", "more bytes come than the file has")
	}
	return nil // all that was wanted is here
}

// pour writes what a body gives, up to the end of a span, or to its own where End is negative.
func (j *job) pour(ctx context.Context, part *blobs.Part, body io.Reader, s blobs.Span) (got int64, err error) {
	for s.End < 0 || s.Start+got < s.End {
		most := int64(bufferSize)
		if s.End >= 0 {
			most = min(most, s.End-s.Start-got)
		}
		buffer, _ := j.buffers.Get().(*[bufferSize]byte)
		n, readErr := j.read(ctx, body, buffer[:most])
		err := part.Give(buffer[:n], s.Start+got, func() { j.buffers.Put(buffer) })
		if err != nil {
			return got, &ours{err}
		}
		got += int64(n)
		j.room.Came(int64(n))
		j.state.came(int64(n))
		if errors.Is(readErr, io.EOF) {
			return got, nil
		}
		if readErr != nil {
			return got, readErr
		}
	}
	return got, nil
}

// flush is how long bytes of a slow place wait to be written.
const flush = 100 * time.Millisecond

// read fills a buffer, but for what comes slowly.
func (j *job) read(ctx context.Context, body io.Reader, buffer []byte) (n int, err error) {
	start := time.Now()
	for n < len(buffer) && err == nil {
		next := buffer[n:]
		if j.limit.Limit() != rate.Inf {
			next = next[:min(len(next), j.limit.Burst())]
		}
		var k int
		k, err = body.Read(next)
		n += k
		if k > 0 && j.limit.Limit() != rate.Inf {
			if waitErr := j.limit.WaitN(ctx, min(k, j.limit.Burst())); waitErr != nil && ctx.Err() != nil {
				return n, context.Cause(ctx)
			}
		}
		if n > 0 && time.Since(start) > flush {
			break
		}
	}
	return n, err
}

// whole brings a file of which only all can be had, from its beginning at each try.
func (j *job) whole(ctx context.Context, part *blobs.Part, f File) error {
	for tries := 0; ; {
		n, err := j.stream(ctx, part, f)
		if err == nil {
			return nil
		}
		if err := j.again(ctx, err, &tries); err != nil {
			return err
		}
		j.state.lost(n)
		if err := part.Reset(f.Bytes); err != nil {
			return err
		}
	}
}

func (j *job) stream(ctx context.Context, part *blobs.Part, f File) (int64, error) {
	select {
	case j.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-j.slots }()
	body, err := j.from.Open(ctx, j.in, f, 0, f.Bytes)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := j.pour(ctx, part, body, blobs.Span{End: f.Bytes})
	switch {
	case err != nil:
	case f.Bytes < 0:
		err = part.SetSize(n)
	case n < f.Bytes:
		err = ErrTruncated
	default:
		err = ended(body)
	}
	return n, err
}
