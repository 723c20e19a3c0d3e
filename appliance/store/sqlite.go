package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"

	"modernc.org/sqlite"
	lite "modernc.org/sqlite/lib"
)

// sqliteReaders is how many reads may run beside each other, and beside the one writer.
const sqliteReaders = 3

// sqlitePragmas of every connection.
//
// synchronous=FULL, not NORMAL: with the write-ahead log both survive a kill of the process, but only
// FULL syncs it at every commit and so survives loss of power: a token that was issued, or a service
// that was answered "recorded", must not be gone. It costs one fdatasync a save, and saves are rare.
var sqlitePragmas = []string{
	"busy_timeout(9000)", // another program may hold the lock for a moment, or win it again and again: nearly the 10 s that callers wait for a save
	"synchronous(FULL)",
	"journal_size_limit(67108864)", // a log that grew once gives its space back
}

func (s *Store) openSQLite(ctx context.Context, path string, opts Options) error {
	s.dialect = sqliteDialect(path)
	if err := makeFile(path); err != nil {
		return err
	}
	// The look at the version comes first and reads only: data of a newer palisade stays as it is.
	probe, err := sql.Open("sqlite", sqliteURI(path, "mode=ro"))
	if err != nil {
		return err
	}
	pending, err := s.pending(ctx, probe)
	if closeErr := probe.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}

	if err := s.attachSQLite(ctx, path); err != nil {
		return err
	}
	if pending {
		return s.bringOwn(ctx, opts)
	}
	return nil
}

// attachSQLite opens a file that exists, for writing and for reading.
func (s *Store) attachSQLite(ctx context.Context, path string) (err error) {
	s.dialect = sqliteDialect(path)
	// IMMEDIATE: a transaction that begins as a reader and then writes fails with "busy" at once,
	// without regard to busy_timeout, when another process wrote in between.
	s.writer, err = sql.Open("sqlite", sqliteURI(path, "mode=rw", "_txlock=immediate", "_journal_mode=WAL"))
	if err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return &Error{Kind: ErrUnavailable, Err: errors.New("this file system cannot share memory between processes (journal mode " + mode + ")"),
			hint: "keep " + path + " on a local disk, not on a network file system; or use --database postgres://..."}
	}
	s.reader, err = sql.Open("sqlite", sqliteURI(path, "_query_only=1"))
	if err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(sqliteReaders)
	s.reader.SetMaxIdleConns(sqliteReaders)
	return nil
}

// makeFile makes the database's file for its owner alone: it holds hashes of tokens. The files beside
// it (-wal, -shm) get the same mode from SQLite.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fileError("", path, err)
	}
	// Closed before SQLite opens it: POSIX drops all locks of a process on a file with any close.
	return f.Close()
}

func sqliteURI(path string, params ...string) string {
	params = append(params, "_dqs=0", "_error_rc=1", "_defensive=1")
	for _, p := range sqlitePragmas {
		params = append(params, "_pragma="+url.QueryEscape(p))
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(params, "&")
}

func sqliteDialect(path string) dialect {
	busyHint := "another program holds the lock of " + path + ": is it open in a database browser, or is a backup of it running?"
	return dialect{
		name:     schemeSQLite,
		downHint: busyHint,
		unique: func(err error) bool {
			code := sqliteCode(err)
			return code == lite.SQLITE_CONSTRAINT_UNIQUE || code == lite.SQLITE_CONSTRAINT_PRIMARYKEY
		},
		again: func(error) bool { return false }, // busy_timeout has waited already
		missing: func(err error) bool {
			code := sqliteCode(err) // the second where another program changes the schema just then
			return (code == lite.SQLITE_ERROR || code == lite.SQLITE_SCHEMA) && strings.Contains(err.Error(), "no such table")
		},
		kind: func(err error) (string, error) { return sqliteKind(err, path, busyHint) },
	}
}

func sqliteKind(err error, path, busyHint string) (hint string, kind error) {
	switch sqliteCode(err) & 0xff { // the low byte is the kind, the rest says more of it
	case lite.SQLITE_FULL:
		return fullHint(path), ErrFull
	case lite.SQLITE_READONLY:
		return readOnlyHint(path), ErrReadOnly
	case lite.SQLITE_CORRUPT, lite.SQLITE_NOTADB:
		return "restore " + path + " from a backup, or move it and the files beside it (-wal, -shm) away to begin anew; " +
			"`sqlite3 FILE .recover` may save rows of it", ErrCorrupt
	case lite.SQLITE_BUSY, lite.SQLITE_LOCKED:
		return busyHint, ErrUnavailable
	case lite.SQLITE_CANTOPEN, lite.SQLITE_PERM, lite.SQLITE_AUTH:
		return "check that " + path + " and its directory can be read and written by the user that runs palisade", ErrDenied
	case lite.SQLITE_IOERR:
		return "the disk of " + path + " fails: see dmesg", ErrUnavailable
	case lite.SQLITE_CONSTRAINT:
		return "", ErrExists
	case lite.SQLITE_ERROR:
		if strings.Contains(err.Error(), "already exists") {
			return path + " belongs to another program: choose another file with --database", ErrForeignData
		}
	}
	return "", nil
}

// sqliteCode is SQLite's extended result code; 0 where err is not SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
