package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Refill fills an empty database with rows that were kept elsewhere. Until Finish has returned, no appliance takes what is in it for all
// there is; one that was broken off can be begun again.
type Refill struct {
	m       *mover
	version int64
	source  string
	tables  []table
	conn    *sql.Conn
	tx      *sql.Tx
	counts  map[string]int64
}

// BeginRefill opens an empty database, or makes a SQLite file, and gives it the schema of a version. Source says in words of when or
// where the backup is that the rows are from: "of ...". ErrNewerData where this program does not know that version, ErrNotEmpty where something is there.
func BeginRefill(ctx context.Context, dsn string, version int64, source string, log *slog.Logger) (_ *Refill, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	known, err := KnownSchema()
	if err != nil {
		return nil, err
	}
	if version > known {
		return nil, newerData(version, known)
	}
	r := &Refill{version: version, source: refilledFrom + source, counts: map[string]int64{}, m: &mover{MoveOptions: MoveOptions{To: dsn, Log: log}, alive: func() {}}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	r.m.moved.Version = version
	if r.tables, err = schemaOf(ctx, version); err != nil {
		return nil, err
	}
	if r.m.dst, err = r.m.attachNew(ctx); err != nil {
		return nil, named("the database that is filled", err)
	}
	s := r.m.dst
	err = r.m.refuseFull(ctx)
	if err == nil {
		r.m.made = ""
		err = s.prepareAt(ctx, version, r.source)
	}
	if err == nil {
		r.conn, err = s.writer.Conn(ctx)
	}
	if err == nil {
		r.tx, err = r.conn.BeginTx(context.WithoutCancel(ctx), nil)
	}
	for i := range r.tables { // migrations have put rows there
		if err == nil {
			_, err = r.tx.ExecContext(ctx, s.emptying(&r.tables[i]))
		}
	}
	return r, s.wrap(ctx, "preparing the database", err)
}

// Table fills a table with the rows that next returns, until that is io.EOF.
func (r *Refill) Table(ctx context.Context, name string, columns []string, next func() ([]any, error)) error {
	at := slices.IndexFunc(r.tables, func(t table) bool { return t.name == name })
	if at < 0 {
		return fmt.Errorf("there is no table %q in version %d of the schema", name, r.version)
	}
	t := &r.tables[at]
	if !slices.Equal(t.names(), columns) {
		return fmt.Errorf("table %s has other columns in version %d of the schema: %v, and not %v", name, r.version, t.names(), columns)
	}
	s := r.m.dst
	rows := &given{table: t, next: next, to: s.dialect.name}
	var err error
	if s.dialect.name == schemePostgres {
		err = copyIn(ctx, r.conn, t, rows)
	} else {
		err = insertAll(ctx, r.tx, t, rows)
	}
	r.counts[name] += rows.count
	if rows.Err() != nil { // what a driver makes of it says less
		err = rows.Err()
	}
	if err != nil {
		return s.wrap(ctx, "filling table "+name, err)
	}
	return nil
}

// given are rows as pgx wants them.
type given struct {
	table *table
	next  func() ([]any, error)
	to    string
	row   []any
	count int64
	err   error
}

// Next implements pgx.CopyFromSource.
func (g *given) Next() bool {
	if g.err != nil {
		return false
	}
	if g.row, g.err = g.next(); g.err != nil {
		return false
	}
	if len(g.row) != len(g.table.columns) {
		g.err = fmt.Errorf("a row of table %s has %d values, and not %d", g.table.name, len(g.row), len(g.table.columns))
		return false
	}
	for i, c := range g.table.columns {
		v, why := normal(c.kind, g.row[i], g.to)
		if why != "" {
			g.err = &Error{Kind: ErrUnfit, Err: errors.New(Unfit{g.table.name, g.table.keyText(g.row), c.name, why}.String()), hint: "restore to a database of the kind that it was in"}
			return false
		}
		g.row[i] = v
	}
	g.count++
	return true
}

// Values implements pgx.CopyFromSource.
func (g *given) Values() ([]any, error) { return g.row, nil }

// Err implements pgx.CopyFromSource.
func (g *given) Err() error {
	if errors.Is(g.err, io.EOF) {
		return nil
	}
	return g.err
}

// Relocate has rows that name files below one directory name them below another.
func (r *Refill) Relocate(ctx context.Context, from, to string) error {
	s := r.m.dst
	_, err := s.writer.ExecContext(ctx, "UPDATE folders SET path = $1 || substr(path, $2) WHERE substr(path, 1, $3) = $4",
		to, len([]rune(from))+1, len([]rune(from))+1, from+"/")
	if err != nil && s.dialect.missing(err) {
		return nil // a schema that is older than folders
	}
	return s.wrap(ctx, "naming the new place of folders", err)
}

// Keep makes the rows stay, and reads them back: ErrDifferent where they are not those that want says.
func (r *Refill) Keep(ctx context.Context, want []Rows) error {
	s := r.m.dst
	err := r.tx.Commit()
	r.tx = nil
	if err == nil && s.dialect.name == schemePostgres {
		_, err = s.writer.ExecContext(ctx, "ANALYZE")
	}
	if err != nil {
		return s.wrap(ctx, "filling the database", err)
	}
	_ = r.conn.Close() // SQLite's reader sees what is committed
	r.conn = nil
	for i := range r.tables {
		t := &r.tables[i]
		have, err := t.each(ctx, s.reader, s.dialect.name, nil)
		if err != nil {
			return s.wrap(ctx, "comparing", err)
		}
		at := slices.IndexFunc(want, func(w Rows) bool { return w.Table == t.name })
		if at < 0 || want[at].Count != have.Count || want[at].SHA256 != have.SHA256 {
			return &Error{Kind: ErrDifferent, Op: "comparing", Err: fmt.Errorf("table %s", t.name), hint: "what is in the database is not used; try again, and tell us if it happens again"}
		}
	}
	return nil
}

// Finish lets the database be used.
func (r *Refill) Finish(ctx context.Context) error {
	s := r.m.dst
	return s.wrap(ctx, "finishing", s.setMark(ctx, markComplete, r.source))
}

// FinishRefill lets a database be used that was filled from source to the end; it may have been done before. ErrNotEmpty where the
// database has something else in it.
func FinishRefill(ctx context.Context, dsn, source string) error {
	s, err := attach(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return named("the database that was filled", err)
	}
	defer s.Close()
	return s.wrap(ctx, "finishing", s.finishRefill(ctx, refilledFrom+source))
}

func (s *Store) finishRefill(ctx context.Context, source string) error {
	state, err := s.mark(ctx, s.writer)
	if err != nil {
		return err
	}
	var have string
	if state != "" {
		if err := s.writer.QueryRowContext(ctx, "SELECT source FROM "+markTable+" WHERE one = 1").Scan(&have); err != nil {
			return err
		}
	}
	if have != source {
		return &Error{Kind: ErrNotEmpty, Err: fmt.Errorf("it does not hold %s any more", source), hint: "somebody has used or emptied it since: remove restore.json from the data directory, and repeat `palisade backup restore` with --replace and an empty database"}
	}
	return s.setMark(ctx, markComplete, source)
}

// Close lets go of the database. What was not kept is gone.
func (r *Refill) Close() {
	if r.tx != nil {
		_ = r.tx.Rollback()
	}
	if r.conn != nil {
		_ = r.conn.Close()
	}
	r.m.close()
}
