package signals

import (
	"time"
)

// reading is what a target said of one figure.
type reading struct {
	value float64
	ok    bool
	why   lack
}

// lack says why a reading has no value.
type lack int

const (
	absent  lack = iota // no such name on the page
	again               // it takes a second look, or the window has not begun
	silent              // nothing came within the window
	noValue             // NaN or infinite
)

// past is what a target's counters and histograms said, by slots of its plan.
type past struct {
	counters   map[slot]*counter
	histograms map[string]*histogram // by name and label
}

func newPast() *past {
	return &past{counters: map[slot]*counter{}, histograms: map[string]*histogram{}}
}

// readings makes the figures of a plan out of what its page said. into is used again where it has room.
func (b *past) readings(p *page, now time.Time, window time.Duration, into []reading) []reading {
	l := look{past: b, page: p, now: now, window: window}
	out := into[:0]
	for i := range p.plan.figures {
		out = append(out, l.figure(&p.plan.figures[i]))
	}
	return out
}

// look is one reading of a page. Every counter and histogram is moved on once, however many figures are made of it.
type look struct {
	past   *past
	page   *page
	now    time.Time
	window time.Duration
	rates  map[int]reading
	moved  map[int]*histogram
}

func (l *look) figure(f *figure) reading {
	best := reading{why: absent}
	for i := range f.of {
		at := &f.of[i]
		r := l.place(at)
		if !best.ok && (r.ok || r.why != absent && best.why == absent) {
			best = r // what comes after it is still looked at: its counters are to move on
		}
	}
	return best
}

func (l *look) place(at *place) reading {
	var r reading
	switch at.op {
	case asIs:
		r = l.value(at.slot)
	case rate:
		r = l.rate(at.slot)
	case mean:
		r = l.mean(at.hist)
		if at.hasAlso {
			more := l.mean(at.also)
			if !r.ok {
				break
			}
			if !more.ok {
				r = more
				break
			}
			r.value += more.value
		}
	case quantile:
		r = l.quantile(at.hist, at.quantile)
	}
	r.value *= at.scale
	return r
}

func (l *look) value(slot int) reading {
	t := &l.page.tally[slot]
	if v, ok := t.value(l.page.plan.slots[slot].average); ok {
		return reading{value: v, ok: true}
	}
	if t.nan {
		return reading{why: noValue}
	}
	return reading{why: absent}
}

func (l *look) rate(slot int) reading {
	if r, done := l.rates[slot]; done {
		return r
	}
	r := l.value(slot)
	if r.ok {
		key := l.page.plan.slots[slot]
		c := l.past.counters[key]
		if c == nil {
			c = &counter{}
			l.past.counters[key] = c
		}
		v, ok := c.rate(l.now, r.value, l.window)
		r = reading{value: v, ok: ok, why: again}
	}
	if l.rates == nil {
		l.rates = map[int]reading{}
	}
	l.rates[slot] = r
	return r
}

// histogram moves one on, and gives it; nil where the page has none.
func (l *look) histogram(s histogramSlots) *histogram {
	if h, done := l.moved[s.count]; done {
		return h
	}
	if l.moved == nil {
		l.moved = map[int]*histogram{}
	}
	tally := l.page.tally
	count, ok := tally[s.count].value(false)
	if !ok {
		l.moved[s.count] = nil
		return nil
	}
	total, _ := tally[s.sum].value(false)
	slot := &l.page.plan.slots[s.count]
	key := slot.name + "\x00" + slot.label + "\x00" + slot.is
	h := l.past.histograms[key]
	if h == nil {
		h = &histogram{}
		l.past.histograms[key] = h
	}
	m := mark{sum: total, count: count}
	if of := tally[s.bucket].bucket; len(of) > 0 {
		m.les, m.counts = make([]float64, len(of)), make([]float64, len(of))
		for i, b := range of {
			m.les[i], m.counts[i] = b.le, b.count
		}
	}
	h.add(l.now, m, l.window)
	l.moved[s.count] = h
	return h
}

func (l *look) mean(s histogramSlots) reading {
	h := l.histogram(s)
	if h == nil {
		return reading{why: absent}
	}
	m, ok := h.grown()
	if !ok {
		return reading{why: again}
	}
	v, ok := m.mean()
	return reading{value: v, ok: ok, why: silent}
}

func (l *look) quantile(s histogramSlots, q float64) reading {
	h := l.histogram(s)
	if h == nil || len(l.page.tally[s.bucket].bucket) == 0 {
		return reading{why: absent}
	}
	m, ok := h.grown()
	if !ok {
		return reading{why: again}
	}
	v, ok := m.quantile(q)
	return reading{value: v, ok: ok, why: silent}
}
