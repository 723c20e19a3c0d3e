package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/training/accounts"
)

// opTimeout bounds one operation, whatever its caller's context allows: a server behind a broken
// network would otherwise hold the caller until TCP gives up, which is a quarter of an hour.
const opTimeout = 30 * time.Second

// attempts of one operation, where trying again cannot do anything twice.
const attempts = 3

// errNoAnswer is the cause of a context that opTimeout has ended.
var errNoAnswer = fmt.Errorf("no answer within %v", opTimeout)

// Options of Open.
type Options struct {
	// DSN is sqlite:PATH, a plain path to a SQLite file, or a postgres:// URL.
	DSN string
	// Alone keeps every other program that asks for it out of the database for as long as the store is open: of two
	// daemons one would undo what the other decides. A SQLite file is kept by the lock of its data directory instead.
	Alone bool
	// Shared keeps those out that ask for Alone, and them alone: boxes of one cluster work on one database. Steps of the schema that
	// programs of an earlier release cannot work with wait then for Contract.
	Shared bool
	// Term, where it is not 0, is that in which this process decides, in a cluster of boxes: what it writes fails with
	// ErrDeposed once another has opened the database with a greater one; but what requests used is always kept.
	Term int64
	// Log is told of migrations and of operations that had to be tried again; nil for silence.
	Log *slog.Logger
}

// Store keeps rows. All methods are safe for concurrent use.
type Store struct {
	dialect   dialect
	dsn       string  // without password
	writer    *sql.DB // SQLite: one connection, whose transactions take the write lock when they begin
	reader    *sql.DB // SQLite: several connections that cannot write; PostgreSQL: the same as writer
	alone     *alone  // nil where anybody may come
	reign     *reign  // nil where it is not asked who decides
	past      *past   // SQLite, to which nobody else writes; else nil
	together  together
	loadTimes atomic.Int64 // that were added
	log       *slog.Logger
	opened    atomic.Bool
	closed    atomic.Bool
}

// past is what was answered about days that are over.
type past struct {
	requests usagePast[usage.Row]
	sessions usagePast[accounts.Sum]
}

// dialect is all in which the two databases differ. Queries do not: both take $1 for a parameter, and
// encode.go maps values to types that both have.
type dialect struct {
	name string
	// kind translates a driver's error into a hint and a kind of this package; nil if it is none of them.
	kind func(error) (hint string, kind error)
	// unique reports whether an error says that a unique index has the key already.
	unique func(error) bool
	// again reports whether an operation that failed so before it committed may be tried once more.
	again func(error) bool
	// missing reports whether an error says that a table does not exist.
	missing func(error) bool
	// downHint is the hint for a database that does not answer.
	downHint string
}

// Open opens the database, makes or updates its tables, and returns when rows can be kept. The SQLite
// file is made if it does not exist; its directory is not.
func Open(ctx context.Context, opts Options) (*Store, error) {
	const op = "opening the database"
	addr, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dsn: Redact(opts.DSN), log: log}
	if addr.scheme == schemePostgres {
		err = s.openPostgres(ctx, addr.url, opts)
	} else {
		s.past = &past{}
		err = s.openSQLite(ctx, addr.path, opts)
	}
	if err == nil {
		err = s.forgetMove(ctx)
	}
	if err == nil && opts.Term != 0 {
		err = s.begin(ctx, opts.Term)
	}
	if err != nil {
		err = s.wrap(ctx, op, err)
		s.Close()
		return nil, err
	}
	s.opened.Store(true)
	return s, nil
}

// Kind is "sqlite" or "postgres".
func (s *Store) Kind() string { return s.dialect.name }

// DSN is the database's address, without a password in it.
func (s *Store) DSN() string { return s.dsn }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, "asking the database", func(ctx context.Context) error {
		var one int
		return s.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	})
}

// Close ends every connection. It waits for statements that run. Closing twice is harmless.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	// Readers first: the last connection to close brings SQLite's journal home into the file, and
	// only the writer's may.
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	s.together.close()
	// Last, when nothing of ours can reach the database any more: somebody waits for it.
	s.alone.release()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// do runs fn under the operation's bound and as try does, and translates the error.
func (s *Store) do(ctx context.Context, op string, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, opTimeout, errNoAnswer)
	defer cancel()
	return s.wrap(ctx, op, s.try(ctx, op, fn))
}

// try runs fn again where the connection was lost before anything could have happened.
func (s *Store) try(ctx context.Context, op string, fn func(context.Context) error) (err error) {
	for attempt := range attempts {
		if err = fn(ctx); err == nil || ctx.Err() != nil || !s.dialect.again(err) {
			break
		}
		s.log.DebugContext(ctx, "database operation failed, trying again", "op", op, "attempt", attempt+1, "err", err)
		// After a restart of the server all pooled connections are dead alike, and there may be more of
		// them than attempts: let them all go.
		s.writer.SetMaxIdleConns(0)
		s.writer.SetMaxIdleConns(postgresConns)
	}
	return err
}

// commitError marks the one failure after which nobody knows whether the transaction happened: never
// try again. Callers are safe, because their saves are idempotent or carry a version.
type commitError struct{ err error }

func (e commitError) Error() string { return "committing: " + e.err.Error() }
func (e commitError) Unwrap() error { return e.err }

// write runs fn in one transaction. fn may run more than once and must leave no trace outside of it
// but its last result.
func (s *Store) write(ctx context.Context, op string, fn func(context.Context, *tx) error) error {
	return s.do(ctx, op, func(ctx context.Context) error { return s.transact(ctx, fn) })
}

// transact runs fn once, in a transaction.
func (s *Store) transact(ctx context.Context, fn func(context.Context, *tx) error) error {
	if err := s.alone.await(ctx); err != nil {
		return err
	}
	t, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = s.reign.holds(ctx, t)
	if err == nil {
		err = fn(ctx, &tx{t})
	}
	if err != nil {
		// The transaction's own end is of no interest: a connection that cannot roll back is gone,
		// and its transaction with it.
		_ = t.Rollback()
		return err
	}
	if err := t.Commit(); err != nil {
		return commitError{err}
	}
	return nil
}

// tx is a transaction whose arguments pass through encode.
type tx struct{ sql *sql.Tx }

// exec returns how many rows the statement changed.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	args, err := encode(args)
	if err != nil {
		return 0, err
	}
	res, err := t.sql.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// number returns the one number that query yields.
func (t *tx) number(ctx context.Context, query string, args ...any) (int64, error) {
	args, err := encode(args)
	if err != nil {
		return 0, err
	}
	var n int64
	err = t.sql.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// statement is a query with its arguments and the name that errors give it.
type statement struct {
	op   string
	sql  string
	args []any
}

// list returns every row of st as scan makes it of the columns.
func list[T any](ctx context.Context, s *Store, st statement, scan func(scanner) (T, error)) ([]T, error) {
	var out []T
	err := s.do(ctx, st.op, func(ctx context.Context) error {
		out = nil
		args, err := encode(st.args)
		if err != nil {
			return err
		}
		rows, err := s.reader.QueryContext(ctx, st.sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return fmt.Errorf("reading row %d: %w", len(out)+1, err)
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// scanner is the part of *sql.Rows that a row's reader needs.
type scanner interface{ Scan(dest ...any) error }
