package record

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// How times are told apart: in steps of 65.5 µs up to 1 ms, then 16 steps to every doubling, up to 36 minutes. What is read
// out of it is wrong by 3 % at most.
const (
	unitBits  = 16 // 2^16 ns is the first step
	stepBits  = 4
	steps     = 1 << stepBits
	doublings = 20
	buckets   = (doublings + 2) * steps
)

// histogram counts times since the start. It is only added to: what happened in a window is the difference of two looks.
type histogram [buckets]atomic.Uint32

func (h *histogram) add(d time.Duration) { h[bucketOf(d)].Add(1) }

// bucketOf is where a time is counted.
func bucketOf(d time.Duration) int {
	units := uint64(max(d, 0)) >> unitBits
	if units < steps {
		return int(units)
	}
	doubling := bits.Len64(units) - stepBits - 1
	if doubling > doublings {
		return buckets - 1
	}
	return doubling<<stepBits + int(units>>doubling)
}

// boundsOf are the least time of a bucket and the least of the next.
func boundsOf(bucket int) (from, to time.Duration) {
	doubling := max(bucket>>stepBits-1, 0)
	low := time.Duration(bucket-doubling<<stepBits) << (doubling + unitBits)
	return low, low + 1<<(doubling+unitBits)
}

// cell is what came to one bucket in some time.
type cell struct {
	bucket uint16
	n      uint32
}

// since appends what came since before was looked at, and makes before what it is now.
func (h *histogram) since(before *[buckets]uint32, to []cell) []cell {
	for i := range h {
		if now := h[i].Load(); now != before[i] {
			to = append(to, cell{uint16(i), now - before[i]}) // right also where the counter has begun anew
			before[i] = now
		}
	}
	return to
}

// counts are the times of a window.
type counts [buckets]uint32

func (c *counts) add(cells []cell) {
	for _, cell := range cells {
		c[cell.bucket] += cell.n
	}
}

func (c *counts) merge(other *counts) {
	for i, n := range other {
		c[i] += n
	}
}

// Quantiles say how long something took. They are 0 where Count is.
type Quantiles struct {
	Count         int64
	P50, P95, P99 time.Duration
}

func (c *counts) quantiles() (q Quantiles) {
	for _, n := range c {
		q.Count += int64(n)
	}
	if q.Count > 0 {
		q.P50, q.P95, q.P99 = c.at(0.50, q.Count), c.at(0.95, q.Count), c.at(0.99, q.Count)
	}
	return q
}

// at is the time that a part of all stay below, as if those of one bucket lay evenly in it.
func (c *counts) at(part float64, all int64) time.Duration {
	rank, below := part*float64(all), 0.0
	for i, n := range c {
		if n > 0 && below+float64(n) >= rank {
			from, to := boundsOf(i)
			return from + time.Duration(float64(to-from)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}
