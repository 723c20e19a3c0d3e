package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// MoveOptions of Move.
type MoveOptions struct {
	From, To string // as Options.DSN
	// Log is told what has happened; nil for silence.
	Log *slog.Logger
	// Progress is told how far it is, often; may be nil.
	Progress func(MoveStep)
	// Switch makes To the database that is used. It is called once when all was copied and compared, while nobody can
	// change either; may be nil. Where it fails, From is still the one that counts.
	Switch func(Moved) error
}

// Phases of a move.
const (
	MoveChecking  = "checking"
	MoveCopying   = "copying"
	MoveComparing = "comparing"
	MoveOver      = "over"
)

// MoveStep is how far a move is: Done rows of Total in this phase.
type MoveStep struct {
	Phase, Table string
	Done, Total  int64
}

// Moved is what was moved and compared.
type Moved struct {
	Version int64 // of the schema
	Tables  []MovedTable
	Left    []string // tables that the schema does not know: they stay where they are
}

// MovedTable is one of the tables that were moved.
type MovedTable struct {
	Name   string
	Rows   int64
	SHA256 string // of all its rows, in the order of their keys, in hex
}

// moveStall ends a move in which nothing moves any more. A server may sort a large table for minutes before it yields the
// first row.
const moveStall = 15 * time.Minute

// moveBatch is how many rows lie between two words of progress.
const moveBatch = 1000

// Move copies all rows of one database to another, empty one, and reads both back to compare them. In order:
//  1. Both are locked: nobody who keeps to the locks changes them until Move returns.
//  2. All rows are looked at: what the other kind of database cannot hold is said before anything is changed.
//  3. To gets a mark that keeps everybody out, and the schema, of the version that From has.
//  4. All rows are copied, in one transaction, and read back from both and compared, each column of each row.
//  5. The mark says that it is complete, and Switch is called.
//
// From is only read. A move that was broken off at any moment can be repeated: To may be empty, or what such a move left.
func Move(ctx context.Context, o MoveOptions) (Moved, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	stall := time.AfterFunc(moveStall, func() { cancel(fmt.Errorf("nothing moved for %v", moveStall)) })
	defer stall.Stop()
	m := &mover{MoveOptions: o, alive: func() { stall.Reset(moveStall) }}
	defer m.close()
	if err := m.open(ctx); err != nil {
		return Moved{}, err
	}
	err := m.move(ctx)
	return m.moved, err
}

// mover is one move under way.
type mover struct {
	MoveOptions
	alive  func()
	src    *Store
	dst    *Store
	read   *sql.Tx // of src: what is moved, and nothing changes it
	tables []table
	total  int64
	moved  Moved
	made   string // the file that was made for it, until something is in it
}

// open locks both databases and finds out what is to be moved.
func (m *mover) open(ctx context.Context) (err error) {
	if m.src, err = attach(ctx, m.From, m.Log); err != nil {
		return named("the database that is moved", err)
	}
	if err := m.src.wrap(ctx, "the database that is moved", m.look(ctx)); err != nil {
		return err
	}
	if m.dst, err = m.attachNew(ctx); err != nil {
		return named("the database that it is moved to", err)
	}
	return m.dst.wrap(ctx, "the database that it is moved to", m.refuseFull(ctx))
}

func (m *mover) move(ctx context.Context) error {
	for _, step := range []struct {
		on *Store
		op string
		do func(context.Context) error
	}{
		{m.src, "looking at the rows", m.check},
		{m.dst, "preparing the new database", m.prepare},
		{m.dst, "copying", m.copy},
		{m.dst, "comparing", m.compare},
		{m.dst, "finishing", func(ctx context.Context) error { return m.dst.setMark(ctx, markComplete, m.src.DSN()) }},
	} {
		if err := step.on.wrap(ctx, step.op, step.do(ctx)); err != nil {
			return err
		}
	}
	m.tell(MoveStep{Phase: MoveOver, Done: m.total, Total: m.total})
	if m.Switch == nil {
		return nil
	}
	return m.Switch(m.moved)
}

func (m *mover) close() {
	if m.read != nil {
		_ = m.read.Rollback() // it has changed nothing
	}
	for _, s := range []*Store{m.dst, m.src} {
		if s == nil {
			continue
		}
		if err := s.Close(); err != nil {
			m.Log.Warn("closing a database of the move", "error", err)
		}
	}
	if m.made == "" {
		return
	}
	for _, of := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(m.made + of) // an empty one: it does no harm where it stays
	}
}

func (m *mover) tell(s MoveStep) {
	m.alive()
	if m.Progress != nil {
		m.Progress(s)
	}
}

// look finds out what is there, in the transaction in which it is read.
func (m *mover) look(ctx context.Context) error {
	if _, err := m.src.pending(ctx, m.src.reader); err != nil {
		return err // newer than this program, or itself half of something
	}
	version, err := m.src.dataVersion(ctx, m.src.reader)
	if err != nil {
		return err
	}
	if version == 0 {
		return &Error{Kind: ErrForeignData, Err: errors.New("no appliance has kept anything in it"), hint: "name the database with --from"}
	}
	m.moved.Version = version
	known, err := m.src.knownVersion(m.src.reader)
	if err != nil {
		return err
	}
	if version > known { // what of it is new is not known here, and would be lost
		return newerData(version, known)
	}
	if m.tables, err = schemaOf(ctx, version); err != nil {
		return err
	}
	if m.read, err = m.src.freeze(ctx, m.tables); err != nil {
		return err
	}
	for _, t := range m.tables {
		var n int64
		if err := m.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quoted(t.name)).Scan(&n); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		m.total += n
	}
	m.moved.Left, err = m.strays(ctx)
	return err
}

// strays are tables that the schema does not know.
func (m *mover) strays(ctx context.Context) ([]string, error) {
	have, err := texts(ctx, m.read, m.src.listTables())
	if err != nil {
		return nil, err
	}
	known := map[string]bool{versionTable: true, holdersTable: true, markTable: true, floorTable: true}
	for _, t := range m.tables {
		known[t.name] = true
	}
	var out []string
	for _, name := range have {
		if !known[name] {
			out = append(out, name)
		}
	}
	return out, nil
}

// listTables is the query for the names of all tables that are no other part's of the database system.
func (s *Store) listTables() string {
	if s.dialect.name == schemePostgres {
		return `SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1`
	}
	return `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY 1`
}

// freeze begins a transaction in which all tables are read as they are now, and during which nobody changes them.
func (s *Store) freeze(ctx context.Context, tables []table) (*sql.Tx, error) {
	if s.dialect.name != schemePostgres {
		return s.writer.BeginTx(ctx, nil) // it takes the file's lock for writing
	}
	tx, err := s.writer.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range tables {
		names = append(names, quoted(t.name))
	}
	for _, word := range []string{"SET LOCAL lock_timeout = '10s'", "LOCK TABLE " + strings.Join(names, ", ") + " IN SHARE MODE"} {
		if _, err := tx.ExecContext(ctx, word); err != nil {
			_ = tx.Rollback()
			return nil, err
		}
	}
	return tx, nil
}

// refuseFull fails unless the new database is empty, or what a move that was broken off has left.
func (m *mover) refuseFull(ctx context.Context) error {
	state, err := m.dst.mark(ctx, m.dst.writer)
	if err != nil {
		return err
	}
	have, err := texts(ctx, m.dst.writer, m.dst.listTables())
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return nil
	}
	hint := "name one that is empty"
	if m.dst.dialect.name == schemePostgres {
		hint += ": createdb -E UTF8 -T template0 NAME"
	}
	if state == "" {
		return &Error{Kind: ErrNotEmpty, Err: fmt.Errorf("%d tables are in it, %s among them; nothing was changed", len(have), have[0]), hint: hint}
	}
	version, err := m.dst.dataVersion(ctx, m.dst.writer)
	if err != nil {
		return err
	}
	if version > m.moved.Version {
		return &Error{Kind: ErrNotEmpty, Err: fmt.Errorf("a move of newer data was broken off in it (version %d, this is %d)", version, m.moved.Version), hint: hint}
	}
	m.Log.InfoContext(ctx, "a move to this database was broken off before; it begins anew")
	return nil
}

// named says which of two databases an error is of.
func named(which string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Op == "" {
		e.Op = which
		return e
	}
	return fmt.Errorf("%s: %w", which, err)
}

// attach opens a database that is there, for this process alone, and leaves its schema as it is.
func attach(ctx context.Context, dsn string, log *slog.Logger) (*Store, error) {
	addr, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	s := &Store{dsn: Redact(dsn), log: log}
	if addr.scheme == schemePostgres {
		if err = s.reachPostgres(ctx, addr.url, stdlib.OptionAfterConnect(holdOn)); err == nil {
			err = s.takeAlone(ctx, addr.url, false)
		}
		if err == nil {
			err = s.holdAlone(ctx)
		}
	} else {
		if _, err := os.Stat(addr.path); err != nil {
			return nil, fileError("", addr.path, err)
		}
		err = s.attachSQLite(ctx, addr.path)
	}
	if err != nil {
		err = s.wrap(ctx, "", err)
		s.Close()
		return nil, err
	}
	return s, nil
}

// attachNew is attach for the database that rows are moved to: a file is made where there is none.
func (m *mover) attachNew(ctx context.Context) (*Store, error) {
	addr, err := parseDSN(m.To)
	if err != nil {
		return nil, err
	}
	if from, err := parseDSN(m.From); err == nil && from == addr {
		return nil, &Error{Kind: ErrNotEmpty, Err: errors.New("it is the one that is moved"), hint: "name another one with --to"}
	}
	if addr.scheme == schemeSQLite {
		if _, err := os.Lstat(addr.path); errors.Is(err, fs.ErrNotExist) {
			m.made = addr.path
		}
		if err := makeFile(addr.path); err != nil {
			return nil, err
		}
	}
	s, err := attach(ctx, m.To, m.Log)
	if err != nil || addr.scheme == schemeSQLite {
		return s, err
	}
	if err := s.mayMakeTables(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
