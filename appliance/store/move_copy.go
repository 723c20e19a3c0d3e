package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// unfitShown is how many values that do not fit are named; more are counted.
const unfitShown = 10

// reader yields the rows of a table in the order of its key, each value as its column is to hold it.
type reader struct {
	table *table
	rows  *sql.Rows
	to    string // the kind of database that they are for
	row   []any
	raw   []any
	into  []any
	unfit func(column int, why string) // may be nil: then the first one is the error
	err   error
}

func (t *table) reader(ctx context.Context, q querier, from, to string) (*reader, error) {
	rows, err := q.QueryContext(ctx, t.query(from)) //nolint:rowserrcheck // close does
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.name, err)
	}
	r := &reader{table: t, rows: rows, to: to, row: make([]any, len(t.columns)), raw: make([]any, len(t.columns)), into: make([]any, len(t.columns))}
	for i := range r.raw {
		r.into[i] = &r.raw[i]
	}
	return r, nil
}

// next reads one more row; false at the end, and where err is set.
func (r *reader) next() bool {
	if r.err != nil || !r.rows.Next() {
		return false
	}
	if r.err = r.rows.Scan(r.into...); r.err != nil {
		return false
	}
	for i, c := range r.table.columns {
		v, why := normal(c.kind, r.raw[i], r.to)
		r.row[i] = v
		switch {
		case why == "":
		case r.unfit != nil:
			r.unfit(i, why)
		default:
			r.err = errors.New(Unfit{r.table.name, r.table.keyText(r.raw), c.name, why}.String())
			return false
		}
	}
	return true
}

// failed tells whether the rows have ended for another reason than that there are no more.
func (r *reader) failed() bool { return r.err != nil || r.rows.Err() != nil }

// close says why it failed, if it did.
func (r *reader) close() error {
	err := errors.Join(r.err, r.rows.Err(), r.rows.Close())
	if err != nil {
		return fmt.Errorf("reading table %s: %w", r.table.name, err)
	}
	return nil
}

// check looks at every value, and says of all that do not fit where they are.
func (m *mover) check(ctx context.Context) error {
	var found []Unfit
	var done, more int64
	for i := range m.tables {
		t := &m.tables[i]
		m.tell(MoveStep{MoveChecking, t.name, done, m.total})
		r, err := t.reader(ctx, m.read, m.src.dialect.name, m.dst.dialect.name)
		if err != nil {
			return err
		}
		r.unfit = func(column int, why string) {
			if len(found) == unfitShown {
				more++
				return
			}
			found = append(found, Unfit{t.name, t.keyText(r.raw), t.columns[column].name, why})
		}
		for r.next() {
			if done++; done%moveBatch == 0 {
				m.tell(MoveStep{MoveChecking, t.name, done, m.total})
			}
		}
		if err := r.close(); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	var lines strings.Builder
	for _, u := range found {
		lines.WriteString("\n  " + u.String())
	}
	if more > 0 {
		fmt.Fprintf(&lines, "\n  and %d more", more)
	}
	return unfitError(lines.String())
}

func unfitError(what string) error {
	return &Error{Kind: ErrUnfit, Err: errors.New(what), hint: "nothing was changed; put these right in the database that is moved, then repeat the move"}
}

// prepare marks the new database and gives it the schema.
func (m *mover) prepare(ctx context.Context) error {
	m.made = ""
	return m.dst.prepareAt(ctx, m.moved.Version, m.src.DSN())
}

// prepareAt marks an empty database as one that is being filled from source, and gives it the schema of a version.
func (s *Store) prepareAt(ctx context.Context, version int64, source string) error {
	if err := s.setMark(ctx, markCopying, source); err != nil {
		return err
	}
	if err := s.migrate(ctx, version); err != nil {
		return err
	}
	have, err := s.dataVersion(ctx, s.writer)
	if err == nil && have != version {
		err = fmt.Errorf("its schema is of version %d, and not %d", have, version)
	}
	return err
}

// copy writes all rows in one transaction, in the place of whatever the migrations, or a move before, have put there.
func (m *mover) copy(ctx context.Context) error {
	conn, err := m.dst.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // harmless after the commit
	for i := range m.tables {
		if _, err := tx.ExecContext(ctx, m.dst.emptying(&m.tables[i])); err != nil {
			return err
		}
	}
	var done int64
	for i := range m.tables {
		t := &m.tables[i]
		m.tell(MoveStep{MoveCopying, t.name, done, m.total})
		r, err := t.reader(ctx, m.read, m.src.dialect.name, m.dst.dialect.name)
		if err != nil {
			return err
		}
		rows := &counted{reader: r, each: func() {
			if done++; done%moveBatch == 0 {
				m.tell(MoveStep{MoveCopying, t.name, done, m.total})
			}
		}}
		if m.dst.dialect.name == schemePostgres {
			err = copyIn(ctx, conn, t, rows)
		} else {
			err = insertAll(ctx, tx, t, rows)
		}
		if closed := r.close(); err == nil {
			err = closed
		}
		if err != nil {
			return m.refusedRow(ctx, t, err)
		}
	}
	m.alive()
	if err := tx.Commit(); err != nil {
		return err
	}
	if m.dst.dialect.name == schemePostgres {
		// A server that knows nothing of its tables yet plans badly until its own hour for it has come.
		_, err = m.dst.writer.ExecContext(ctx, "ANALYZE")
	}
	return err
}

// emptying is the statement that takes all rows out of a table.
func (s *Store) emptying(t *table) string {
	if s.dialect.name == schemePostgres {
		return "TRUNCATE " + quoted(t.name)
	}
	return "DELETE FROM " + quoted(t.name)
}

// counted is a reader as pgx wants it.
type counted struct {
	*reader
	each func()
}

// Next implements pgx.CopyFromSource.
func (c *counted) Next() bool {
	if !c.next() {
		return false
	}
	c.each()
	return true
}

// Values implements pgx.CopyFromSource.
func (c *counted) Values() ([]any, error) { return c.row, nil }

// Err implements pgx.CopyFromSource.
func (c *counted) Err() error { return errors.Join(c.err, c.rows.Err()) }

// copyIn sends rows by COPY, within the transaction that is open on the connection.
func copyIn(ctx context.Context, conn *sql.Conn, t *table, rows pgx.CopyFromSource) error {
	return conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T", driver)
		}
		_, err := c.Conn().CopyFrom(ctx, pgx.Identifier{t.name}, t.names(), rows)
		return err
	})
}

// insertAll writes rows by one statement that is prepared once.
func insertAll(ctx context.Context, tx *sql.Tx, t *table, rows pgx.CopyFromSource) (err error) {
	marks := make([]string, len(t.columns))
	names := t.names()
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(i+1)
		names[i] = quoted(names[i])
	}
	insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", quoted(t.name), strings.Join(names, ", "), strings.Join(marks, ", ")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return err
		}
		if _, err := insert.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return rows.Err()
}

var copyLine = regexp.MustCompile(`^COPY \S+, line (\d+)`)

// refusedRow names the row that a server did not take for a reason that is its own, such as a key that is too long for an
// index. What it means otherwise stays as it is.
func (m *mover) refusedRow(ctx context.Context, t *table, err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.HasPrefix(e.Code, "22") && !strings.HasPrefix(e.Code, "23") && !strings.HasPrefix(e.Code, "54") {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	found := copyLine.FindStringSubmatch(e.Where)
	if found == nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	line, _ := strconv.Atoi(found[1])
	r, readErr := t.reader(ctx, m.read, m.src.dialect.name, m.dst.dialect.name)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	key := "?"
	for range line {
		if !r.next() {
			break
		}
		key = t.keyText(r.row)
	}
	if readErr := r.close(); readErr != nil {
		return errors.Join(err, readErr)
	}
	return unfitError("\n  " + Unfit{Table: t.name, Key: key, Why: e.Message}.String())
}
