package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	postgresConns   = 8
	postgresConnect = 5 * time.Second // for one attempt to connect, where the URL says nothing
	postgresIdle    = 5 * time.Minute // then a connection goes, so that a quiet night leaves none half open
)

func (s *Store) openPostgres(ctx context.Context, dsn string, opts Options) error {
	if err := s.reachPostgres(ctx, dsn, stdlib.OptionAfterConnect(letGo)); err != nil {
		return err
	}
	pending, err := s.pending(ctx, s.writer)
	if err != nil {
		return err
	}
	if opts.Alone || opts.Shared {
		// Before anything is changed, the schema too: it is the other's.
		if err := s.takeAlone(ctx, dsn, !opts.Alone); err != nil {
			return err
		}
		if pending, err = s.pending(ctx, s.writer); err != nil { // whoever had it until now may have changed it
			return err
		}
	}
	if pending {
		if err := s.bringOwn(ctx, opts); err != nil {
			return err
		}
	}
	return s.holdAlone(ctx)
}

// postgresConfig is how a server is spoken to.
func postgresConfig(dsn string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, badDSN("this PostgreSQL URL cannot be read: " + parseCause(err))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresConnect
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "palisade"
	}
	return cfg, nil
}

// frozenSettings have the server end a transaction of ours that does not go on, and give its locks to others: of a process that is
// frozen, whose kernel goes on answering, and of a box that has vanished, which by itself takes two hours. Our transactions ask
// nobody else anything.
const frozenSettings = `SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
	('idle_in_transaction_session_timeout', '2s'), ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3'),
	('tcp_user_timeout', '10s')) AS wanted (name, value) USING (name)` // old servers do not know all

// letGo makes conn one of which the server lets go.
func letGo(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, frozenSettings)
	return err
}

// reachPostgres connects and looks whether rows can be kept there. It changes nothing.
func (s *Store) reachPostgres(ctx context.Context, dsn string, options ...stdlib.OptionOpenDB) error {
	s.dialect = postgresDialect()
	cfg, err := postgresConfig(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg, options...)
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	db.SetConnMaxIdleTime(postgresIdle)
	s.writer, s.reader = db, db

	// The first word on a new connection: a bound of its own, for a server that accepts and is silent.
	ctx, cancel := context.WithTimeoutCause(ctx, opTimeout, errNoAnswer)
	defer cancel()
	var encoding string
	var readOnly bool
	if err := db.QueryRowContext(ctx, "SELECT current_setting('server_encoding'), current_setting('transaction_read_only')::boolean").
		Scan(&encoding, &readOnly); err != nil {
		return s.wrap(ctx, "", err)
	}
	if encoding != "UTF8" {
		return &Error{Kind: ErrForeignData, Err: fmt.Errorf("its encoding is %s, not UTF8", encoding),
			hint: "make one with: createdb -E UTF8 -T template0 palisade"}
	}
	if readOnly {
		return &Error{Kind: ErrReadOnly, Err: errors.New("this server, or this user's setting, refuses writes"), hint: postgresStandby}
	}
	return nil
}

// mayMakeTables is asked first, because the migrations would try for seconds before they give up.
func (s *Store) mayMakeTables(ctx context.Context) error {
	var mayCreate bool
	if err := s.writer.QueryRowContext(ctx, "SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE)").Scan(&mayCreate); err != nil {
		return s.wrap(ctx, "", err)
	}
	if !mayCreate {
		return &Error{Kind: ErrDenied, Err: errors.New("the user may not make tables"), hint: postgresNoRights}
	}
	return nil
}

// parseCause is what pgx found wrong with a URL, without the URL.
func parseCause(err error) string {
	msg := err.Error()
	if _, after, ok := strings.Cut(msg, "`: "); ok {
		return after
	}
	return "unknown settings in it"
}

// Hints.
const (
	postgresDown     = "is PostgreSQL running, and may this box reach it?"
	postgresStandby  = "is it a standby? name the primary, or add target_session_attrs=read-write to the URL"
	postgresNoRights = "the user needs the right to make tables: make it the owner of the database"
)

func postgresDialect() dialect {
	return dialect{
		name:     schemePostgres,
		downHint: postgresDown,
		kind:     postgresKind,
		unique:   func(err error) bool { return postgresCode(err) == "23505" },
		missing:  func(err error) bool { return postgresCode(err) == "42P01" },
		again:    postgresAgain,
	}
}

// postgresAgain: the server took back the transaction (deadlock, serialization), or the connection
// turned out dead before COMMIT was sent, as each pooled one does after a restart of the server.
func postgresAgain(err error) bool {
	if _, ok := errors.AsType[commitError](err); ok {
		return false
	}
	switch code := postgresCode(err); {
	case code == "40001", code == "40P01":
		return true
	case code != "":
		return connectionEnded(code)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false // not a stale connection but no server
	}
	return lostConnection(err)
}

// connectionEnded: the server ended the connection on its own account.
func connectionEnded(code string) bool {
	return code == "57P01" || code == "57P02" || code == "57P05" || code == "25P03" || strings.HasPrefix(code, "08")
}

func lostConnection(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || err.Error() == "conn closed"
}

func postgresKind(err error) (hint string, kind error) {
	code := postgresCode(err)
	switch {
	case code == "":
	case code == "53100", code == "53200":
		return "the PostgreSQL server is out of disk or memory: free some", ErrFull
	case code == "25006":
		return postgresStandby, ErrReadOnly
	case strings.HasPrefix(code, "28"):
		return "check user and password in the --database URL, and the server's pg_hba.conf", ErrDenied
	case code == "3D000":
		return "make the database first: createdb -E UTF8 -T template0 NAME", ErrDenied
	case code == "42501":
		return postgresNoRights, ErrDenied
	case strings.HasPrefix(code, "XX"):
		return "see the PostgreSQL server's log", ErrCorrupt
	case code == "23505":
		return "", ErrExists
	case code == "42P07":
		return "give palisade a database of its own: createdb -E UTF8 -T template0 palisade", ErrForeignData
	case strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "08"), code == "25P03":
		return postgresDown, ErrUnavailable
	default:
		return "", nil
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return postgresDown, ErrUnavailable
	}
	if lostConnection(err) {
		return postgresDown, ErrUnavailable
	}
	return "", nil
}

// postgresCode is the five characters by which the server names an error; "" where err is not its.
func postgresCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
