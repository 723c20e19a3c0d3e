package signals

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Bounds of a page.
const (
	mostBytes   = 8 << 20
	longestLine = 64 << 10 // a longer one is passed over
	mostBuckets = 1024     // of one histogram
	mostGroups  = 1024     // of series that come once for each rank
	mostNames   = 1000     // that are remembered, to say what is near to one that is missing
)

var (
	errTooLarge = fmt.Errorf("its page is larger than %d MiB", mostBytes>>20)
	errTooMany  = errors.New("its page has too many series of one name")
)

// page is what a target's page said the last time it was read, of what its plan asks for. It is used by one goroutine.
type page struct {
	plan  *plan
	tally []tally // of the plan's slots
	s     sample
	room  [longestName]byte

	last       []byte // the name of the line before
	slots      []int  // and what its series belong to
	good, bad  int
	firstBad   string
	closed     bool // the line "# EOF" was there
	namesAfter bool // remember the names
	names      []string
}

func newPage(p *plan) *page { return &page{plan: p, tally: make([]tally, len(p.slots))} }

// read takes in a page. buf is a place of longestLine bytes. Where it gives an error, what was read counts for nothing.
func (p *page) read(r io.Reader, buf []byte) error {
	p.reset()
	filled, skip := 0, false
	for {
		n, err := r.Read(buf[filled:])
		filled += n
		rest := buf[:filled]
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			if !skip {
				if err := p.line(rest[:end]); err != nil {
					return err
				}
			}
			skip, rest = false, rest[end+1:]
		}
		if len(rest) == len(buf) {
			if !skip {
				p.bad++
			}
			skip, rest = true, nil
		}
		filled = copy(buf, rest)
		if err == io.EOF {
			if filled > 0 && !skip {
				return p.line(buf[:filled])
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *page) reset() {
	for i := range p.tally {
		p.tally[i].reset()
	}
	p.last, p.slots = p.last[:0], nil
	p.good, p.bad, p.firstBad, p.closed = 0, 0, "", false
	p.names = p.names[:0]
}

// line takes in one line without its end.
func (p *page) line(b []byte) error {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	b = trim(b)
	if len(b) == 0 {
		return nil
	}
	if b[0] == '#' {
		p.closed = p.closed || string(b) == "# EOF"
		return nil
	}
	// Most lines have the name of the line before.
	n := len(p.last)
	if same := n > 0 && len(b) > n && (b[n] == '{' || b[n] == ' ') && string(b[:n]) == string(p.last); !same {
		name, _ := cutName(b)
		if name == nil {
			p.wrong(b)
			return nil
		}
		n = len(name)
		p.last = append(p.last[:0], name...)
		p.slots = p.plan.of(name, p.room[:])
		if p.namesAfter && len(p.names) < mostNames && len(name) <= longestName {
			p.names = append(p.names, string(name))
		}
	}
	if p.slots == nil {
		p.good++
		return nil
	}
	if !p.s.rest(b[n:]) {
		p.wrong(b)
		return nil
	}
	p.good++
	return p.take()
}

func (p *page) wrong(b []byte) {
	if p.bad++; p.firstBad == "" {
		p.firstBad = strings.ToValidUTF8(string(b[:min(len(b), 40)]), "?")
	}
}

// take counts a sample for the slots of its name.
func (p *page) take() error {
	m := p.plan.marks(p.s.labels)
	if math.IsNaN(p.s.value) || math.IsInf(p.s.value, 0) {
		for _, i := range p.slots {
			p.tally[i].nan = true
		}
		return nil
	}
	for _, i := range p.slots {
		slot := &p.plan.slots[i]
		if !slot.wants(p.s.labels, m) {
			continue
		}
		if err := p.tally[i].add(slot.kind, p.s.value, m); err != nil {
			return err
		}
	}
	return nil
}

// marks is what the labels of a line mean to all slots.
type marks struct {
	le        float64
	hasLe     bool
	summary   bool   // one quantile of a summary
	part      bool   // of a whole that stands beside it
	ranked    bool   // comes once for each rank
	rankGroup uint64 // of the labels but the ranks
}

// tally is what a page said for one slot.
type tally struct {
	nan    bool
	whole  sum
	parts  sum // those that have a label which is empty in the whole
	bucket []bucket
	at     int // in bucket, of the line before
}

type sum struct {
	n      int
	total  float64
	groups []group
}

type group struct {
	key   uint64
	value float64
}

// bucket counts what was not larger than le.
type bucket struct{ le, count float64 }

func (t *tally) reset() {
	t.nan, t.at, t.bucket = false, 0, t.bucket[:0]
	t.whole = sum{groups: t.whole.groups[:0]}
	t.parts = sum{groups: t.parts.groups[:0]}
}

func (t *tally) add(k kind, v float64, m marks) error {
	if k == buckets {
		return t.addBucket(m, v)
	}
	to := &t.whole
	if m.part {
		to = &t.parts
	}
	if !m.ranked {
		to.n++
		to.total += v
		return nil
	}
	i := slices.IndexFunc(to.groups, func(g group) bool { return g.key == m.rankGroup })
	switch {
	case i >= 0:
		if more := v - to.groups[i].value; more > 0 {
			to.groups[i].value = v
			to.total += more
		}
	case len(to.groups) == mostGroups:
		return errTooMany
	default:
		to.groups = append(to.groups, group{m.rankGroup, v})
		to.n++
		to.total += v
	}
	return nil
}

func (t *tally) addBucket(m marks, v float64) error {
	if !m.hasLe {
		return nil
	}
	// Pages have them in their order, model after model.
	if t.at < len(t.bucket) && t.bucket[t.at].le == m.le {
		t.bucket[t.at].count += v
		t.at++
		return nil
	}
	i, found := slices.BinarySearchFunc(t.bucket, m.le, func(b bucket, le float64) int {
		switch {
		case b.le < le:
			return -1
		case b.le > le:
			return 1
		}
		return 0
	})
	if !found {
		if len(t.bucket) == mostBuckets {
			return errTooMany
		}
		t.bucket = slices.Insert(t.bucket, i, bucket{le: m.le})
	}
	t.bucket[i].count += v
	t.at = i + 1
	return nil
}

// value is the sum over the series that told it, or where average is true their mean.
func (t *tally) value(average bool) (float64, bool) {
	s := &t.whole
	if s.n == 0 {
		s = &t.parts
	}
	if s.n == 0 {
		return 0, false
	}
	if average {
		return s.total / float64(s.n), true
	}
	return s.total, true
}
