package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Snapshot is a database as it was at one moment, whoever writes to it meanwhile. It has a connection of its own, and holds nobody up;
// while it is open SQLite's log, and PostgreSQL's dead rows, are kept.
type Snapshot struct {
	s       *Store
	tx      *sql.Tx
	version int64
	bytes   int64
	tables  []table
}

// Rows of a table: how many there are, and what they come to.
type Rows struct {
	Table   string
	Columns []string
	Count   int64
	SHA256  string // of all of them, in the order of their keys, in hex; the same on both kinds of database
}

// TakeSnapshot opens a database, which may be in use, as it is now, and changes nothing in it. ErrNewerData where this program does not
// know its schema, ErrHalf where a move to it was broken off.
func TakeSnapshot(ctx context.Context, dsn string) (*Snapshot, error) {
	const op = "reading the database as it is now"
	addr, err := parseDSN(dsn)
	if err != nil {
		return nil, named(op, err)
	}
	out := &Snapshot{s: &Store{dsn: Redact(dsn), log: slog.New(slog.DiscardHandler)}}
	if addr.scheme == schemePostgres {
		err = out.s.reachPostgres(ctx, addr.url, stdlib.OptionAfterConnect(holdOn))
	} else {
		out.s.dialect = sqliteDialect(addr.path)
		if _, err := os.Stat(addr.path); err != nil {
			return nil, fileError(op, addr.path, err)
		}
		out.s.reader, err = sql.Open("sqlite", sqliteURI(addr.path, "mode=ro"))
		out.s.writer = out.s.reader
	}
	if err == nil {
		err = out.begin(ctx, addr)
	}
	if err != nil {
		err = out.s.wrap(ctx, op, err)
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// holdOn keeps the server from ending a transaction that only waits for a slow reader.
func holdOn(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
	return err
}

func (s *Snapshot) begin(ctx context.Context, addr address) error {
	var seen Sight
	if err := s.s.measure(ctx, addr, &seen); err != nil {
		return err
	}
	s.bytes = seen.Bytes
	// The transaction outlives whoever asked for it to begin, and ends with Close.
	options := &sql.TxOptions{}
	if s.s.dialect.name == schemePostgres {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	var err error
	if s.tx, err = s.s.reader.BeginTx(context.WithoutCancel(ctx), options); err != nil {
		return err
	}
	// The first look fixes the moment on both.
	if err := s.tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable).Scan(&s.version); err != nil {
		if s.s.dialect.missing(err) {
			return &Error{Kind: ErrForeignData, Err: errors.New("no appliance has kept anything in it"), hint: "start the appliance once, or name its database with --database"}
		}
		return err
	}
	if err := s.s.refuseHalf(ctx, s.s.reader); err != nil {
		return err
	}
	known, err := s.s.knownVersion(s.s.reader)
	if err != nil {
		return err
	}
	if s.version > known {
		return newerData(s.version, known)
	}
	s.tables, err = schemaOf(ctx, s.version)
	return err
}

// Version is that of the schema.
func (s *Snapshot) Version() int64 { return s.version }

// Kind is "sqlite" or "postgres".
func (s *Snapshot) Kind() string { return s.s.dialect.name }

// Bytes is about how large the database is.
func (s *Snapshot) Bytes() int64 { return s.bytes }

// Tables are the names of all tables of the schema.
func (s *Snapshot) Tables() []string {
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = t.name
	}
	return names
}

// Columns are the names of a table's columns, in the order in which Each gives their values.
func (s *Snapshot) Columns(name string) []string {
	for i := range s.tables {
		if s.tables[i].name == name {
			return s.tables[i].names()
		}
	}
	return nil
}

// Each gives all rows of a table to fn, in the order of their keys: of each column an int64, string, bool, float64, or nil. The row is
// fn's until it returns.
func (s *Snapshot) Each(ctx context.Context, name string, fn func(row []any) error) (Rows, error) {
	for i := range s.tables {
		if t := &s.tables[i]; t.name == name {
			out, err := t.each(ctx, s.tx, s.s.dialect.name, fn)
			return out, s.s.wrap(ctx, "reading the database as it is now", err)
		}
	}
	return Rows{}, fmt.Errorf("there is no table %q in version %d of the schema", name, s.version)
}

// Close ends it. Closing twice is harmless.
func (s *Snapshot) Close() error {
	if s.tx != nil {
		_ = s.tx.Rollback() // it has only read
	}
	return s.s.Close()
}

// each reads all rows of the table; fn may be nil.
func (t *table) each(ctx context.Context, q querier, dialect string, fn func(row []any) error) (out Rows, err error) {
	r, err := t.reader(ctx, q, dialect, dialect)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	out = Rows{Table: t.name, Columns: t.names()}
	sum := sha256.New()
	var b []byte
	for r.next() {
		b = appendRow(b[:0], r.row)
		sum.Write(b)
		out.Count++
		if fn == nil {
			continue
		}
		if err := fn(r.row); err != nil {
			return out, err
		}
	}
	out.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// KnownSchema is the number of the newest version of the schema that this program knows.
func KnownSchema() (int64, error) {
	all, err := steps()
	if err != nil {
		return 0, err
	}
	return all[len(all)-1].version, nil
}
