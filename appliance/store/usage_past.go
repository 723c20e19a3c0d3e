package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of what is kept of answers.
const (
	pastAnswers = 64
	pastRows    = 25_000 // of all answers of one kind together: some 8 MB
)

// usagePast keeps answers about days that are over, which people ask for again and again: of those a day adds nothing any more,
// but for what comes in late, and that is seen. It is for a database to which nobody else writes. It is safe for concurrent use.
type usagePast[Row any] struct {
	mu      sync.Mutex
	answers []*pastAnswer[Row] // those asked for last come last
	rows    int
}

// pastAnswer is what a statement answered about the time before until.
type pastAnswer[Row any] struct {
	key     string
	until   time.Time
	rows    []Row
	read    bool // it is an answer by now
	spoiled bool // something was added while it was read
}

// answer returns what is kept of what st says about the time before until, else what read answers, which is kept then.
func (p *usagePast[Row]) answer(ctx context.Context, st statement, until time.Time, read func(ctx context.Context, st statement) ([]Row, error)) ([]Row, error) {
	one := &pastAnswer[Row]{key: fmt.Sprintf("%s%q", st.sql, st.args), until: until}
	p.mu.Lock()
	if at := slices.IndexFunc(p.answers, func(a *pastAnswer[Row]) bool { return a.read && a.key == one.key }); at >= 0 {
		one = p.answers[at]
		p.answers = append(slices.Delete(p.answers, at, at+1), one)
		p.mu.Unlock()
		return one.rows, nil
	}
	p.answers = append(p.answers, one) // from here on it is seen what is added
	p.mu.Unlock()
	rows, err := read(ctx, st)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || one.spoiled || len(rows) > pastRows/2 {
		p.drop(func(a *pastAnswer[Row]) bool { return a == one })
		return rows, err
	}
	one.rows, one.read = rows, true
	p.rows += len(rows)
	for len(p.answers) > pastAnswers || p.rows > pastRows {
		oldest := p.answers[0]
		oldest.spoiled = true // where it is read just now
		p.drop(func(a *pastAnswer[Row]) bool { return a == oldest })
	}
	return rows, nil
}

// added forgets what is not true any more, once n rows are in, of which hour says when they were used.
func (p *usagePast[Row]) added(n int, hour func(i int) time.Time) {
	if n == 0 {
		return
	}
	first := hour(0)
	for i := range n {
		if at := hour(i); at.Before(first) {
			first = at
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(func(a *pastAnswer[Row]) bool {
		a.spoiled = a.spoiled || a.until.After(first)
		return a.spoiled
	})
}

// drop forgets answers. The caller holds mu.
func (p *usagePast[Row]) drop(which func(*pastAnswer[Row]) bool) {
	p.answers = slices.DeleteFunc(p.answers, which)
	p.rows = 0
	for _, a := range p.answers {
		p.rows += len(a.rows)
	}
}
