package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// Bounds of what is kept of answers.
const (
	pastAnswers = 64
	pastRows    = 50_000 // of all answers together: some 15 MB
)

// usagePast keeps answers about days that are over, which people ask for again and again: of those a day adds nothing any more,
// but for what comes in late, and that is seen. It is for a database to which nobody else writes. It is safe for concurrent use.
type usagePast struct {
	mu      sync.Mutex
	answers []*pastAnswer // those asked for last come last
	rows    int
}

// pastAnswer is what a statement answered about the time before until.
type pastAnswer struct {
	key     string
	until   time.Time
	rows    []usage.Row
	read    bool // it is an answer by now
	spoiled bool // something was added while it was read
}

// answer returns what is kept, else what read answers, which is kept then.
func (p *usagePast) answer(ctx context.Context, q *usage.Query, read func(ctx context.Context, st statement) ([]usage.Row, error)) ([]usage.Row, error) {
	st := usageStatement(q)
	one := &pastAnswer{key: fmt.Sprintf("%s%q", st.sql, st.args), until: q.To}
	p.mu.Lock()
	if at := slices.IndexFunc(p.answers, func(a *pastAnswer) bool { return a.read && a.key == one.key }); at >= 0 {
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
		p.drop(func(a *pastAnswer) bool { return a == one })
		return rows, err
	}
	one.rows, one.read = rows, true
	p.rows += len(rows)
	for len(p.answers) > pastAnswers || p.rows > pastRows {
		oldest := p.answers[0]
		oldest.spoiled = true // where it is read just now
		p.drop(func(a *pastAnswer) bool { return a == oldest })
	}
	return rows, nil
}

// added forgets what is not true any more, once something is in that was used at an hour.
func (p *usagePast) added(rows []usage.Row) {
	if len(rows) == 0 {
		return
	}
	first := rows[0].Hour
	for i := range rows {
		if rows[i].Hour.Before(first) {
			first = rows[i].Hour
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(func(a *pastAnswer) bool {
		a.spoiled = a.spoiled || a.until.After(first)
		return a.spoiled
	})
}

// drop forgets answers. The caller holds mu.
func (p *usagePast) drop(which func(*pastAnswer) bool) {
	p.answers = slices.DeleteFunc(p.answers, which)
	p.rows = 0
	for _, a := range p.answers {
		p.rows += len(a.rows)
	}
}
