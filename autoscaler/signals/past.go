package signals

import (
	"math"
	"slices"
	"time"
)

// counter is what a counter said the last time.
type counter struct {
	at    time.Time
	value float64
}

// rate takes in what it says now, and gives how much it grew a second since the last time. It gives nothing the first
// time, after a reset, and where the last time is longer ago than oldest: how much came in between is not known, or not
// of now.
func (c *counter) rate(now time.Time, value float64, oldest time.Duration) (float64, bool) {
	before := *c
	c.at, c.value = now, value
	d := now.Sub(before.at)
	if before.at.IsZero() || d <= 0 || d > oldest || value < before.value {
		return 0, false
	}
	return (value - before.value) / d.Seconds(), true
}

// histogram is what a histogram said within a window: its oldest mark is at the window's begin, or before it.
type histogram struct {
	marks []mark
}

// mark is what it said at one moment. les is shared by marks.
type mark struct {
	at         time.Time
	les        []float64
	counts     []float64 // up to each of les
	sum, count float64
}

// grain is into how many parts a window is divided, at least: marks that are nearer to each other are not kept.
const grain = 20

// add takes in what it says now. What was before a reset, or with other buckets, is forgotten.
func (h *histogram) add(now time.Time, m mark, window time.Duration) {
	m.at = now
	if n := len(h.marks); n > 0 {
		last := &h.marks[n-1]
		if !now.After(last.at) {
			return
		}
		if !m.follows(last) {
			h.marks = h.marks[:0]
		} else {
			m.les = last.les
		}
	}
	if n := len(h.marks); n >= 2 && now.Sub(h.marks[n-2].at) < window/grain {
		h.marks[n-1] = m
	} else {
		h.marks = append(h.marks, m)
	}
	begin := now.Add(-window)
	drop := 0
	for drop+1 < len(h.marks) && !h.marks[drop+1].at.After(begin) {
		drop++
	}
	h.marks = slices.Delete(h.marks, 0, drop)
}

// follows tells whether it may be what came after another: nothing has become less.
func (m *mark) follows(before *mark) bool {
	if m.count < before.count || !slices.Equal(m.les, before.les) {
		return false
	}
	for i, n := range m.counts {
		if n < before.counts[i] {
			return false
		}
	}
	return true
}

// grown gives what came within the window: of the buckets, the sum and the number.
func (h *histogram) grown() (m mark, ok bool) {
	if len(h.marks) < 2 {
		return mark{}, false
	}
	first, last := &h.marks[0], &h.marks[len(h.marks)-1]
	m = mark{les: last.les, counts: make([]float64, len(last.counts)), sum: last.sum - first.sum, count: last.count - first.count}
	for i := range m.counts {
		m.counts[i] = last.counts[i] - first.counts[i]
	}
	return m, true
}

// mean of what came; nothing where nothing came.
func (m *mark) mean() (float64, bool) {
	if m.count <= 0 {
		return 0, false
	}
	v := m.sum / m.count
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// quantile q of what came, as if it lay evenly in its bucket: what lies above the last bound is taken to be at it.
func (m *mark) quantile(q float64) (float64, bool) {
	n := len(m.les)
	if n < 2 || !math.IsInf(m.les[n-1], 1) {
		return 0, false
	}
	all := m.counts[n-1]
	if all <= 0 {
		return 0, false
	}
	rank := q * all
	below := 0.0
	for i, le := range m.les {
		upTo := max(m.counts[i], below) // models with other buckets than the others make steps down
		if upTo < rank {
			below = upTo
			continue
		}
		switch {
		case math.IsInf(le, 1):
			return m.les[n-2], true
		case i == 0 && le <= 0:
			return le, true
		}
		from := 0.0
		if i > 0 {
			from = m.les[i-1]
		}
		return from + (le-from)*(rank-below)/max(upTo-below, math.SmallestNonzeroFloat64), true
	}
	return m.les[n-2], true
}
