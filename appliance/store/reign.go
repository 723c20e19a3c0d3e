package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// reign is the term in which this process decides. What it writes goes by a row that it reads in the same transaction, and
// that the next one to decide changes before it reads anything: so nothing of a leader that was frozen comes after its
// successor's first look.
type reign struct {
	term int64
	row  string // how the row is read

	once    sync.Once
	deposed chan struct{} // closed when a write found a greater term
}

const reignRow = "SELECT term FROM reigns WHERE id = 1"

// begin makes term the one in which is decided. ErrDeposed where there is a greater one.
func (s *Store) begin(ctx context.Context, term int64) error {
	err := s.write(ctx, "beginning to decide", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "INSERT INTO reigns (id, term) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET term = excluded.term WHERE reigns.term <= excluded.term", term)
		if err == nil && n == 0 {
			err = deposed()
		}
		return err
	})
	if err != nil {
		return err
	}
	s.reign = &reign{term: term, row: reignRow, deposed: make(chan struct{})}
	if s.dialect.name == schemePostgres { // where writers do not wait for each other by themselves
		s.reign.row += " FOR SHARE"
	}
	return nil
}

// LastTerm is the greatest in which anybody decided in this database; 0: nobody did.
func (s *Store) LastTerm(ctx context.Context) (term int64, err error) {
	err = s.do(ctx, "asking who decided", func(ctx context.Context) error {
		err := s.reader.QueryRowContext(ctx, reignRow).Scan(&term)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return term, err
}

func deposed() error {
	return &Error{Kind: ErrDeposed, Err: errors.New("its term is over"), hint: "ask again: the box that decides answers"}
}

// holds fails with ErrDeposed where another decides, and else keeps the next one waiting until t is over. On nil it does
// nothing.
func (r *reign) holds(ctx context.Context, t *sql.Tx) error {
	if r == nil || ctx.Value(anyTerm{}) != nil {
		return nil
	}
	var now int64
	if err := t.QueryRowContext(ctx, r.row).Scan(&now); err != nil {
		return err
	}
	if now > r.term {
		r.once.Do(func() { close(r.deposed) })
		return deposed()
	}
	return nil
}

type anyTerm struct{}

// withoutTerm is ctx for writes that decide nothing, and count whoever decides: what requests used.
func withoutTerm(ctx context.Context) context.Context { return context.WithValue(ctx, anyTerm{}, true) }

// Deposed is closed when a write has found that another decides. Nil where nobody asks.
func (s *Store) Deposed() <-chan struct{} {
	if s.reign == nil {
		return nil
	}
	return s.reign.deposed
}
