package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
)

// Sight is what a look at a database has shown.
type Sight struct {
	Kind    string // "sqlite" or "postgres"
	DSN     string // without a password in it
	Version int64  // of its schema; 0: there is none
	Known   int64  // the newest that this program has
	Bytes   int64
	Tables  []MovedTable // with Rows alone
	Holder  string       // who has a PostgreSQL database alone: "process 123 on box"; "" for nobody
	Half    bool         // a move to it was broken off
}

// Look looks at a database, which may be in use, and changes nothing in it.
func Look(ctx context.Context, dsn string) (Sight, error) {
	const op = "looking at the database"
	addr, err := parseDSN(dsn)
	if err != nil {
		return Sight{}, named(op, err)
	}
	s := &Store{dsn: Redact(dsn), log: slog.New(slog.DiscardHandler)}
	defer s.Close()
	if addr.scheme == schemePostgres {
		err = s.reachPostgres(ctx, addr.url)
	} else {
		s.dialect = sqliteDialect(addr.path)
		if _, err := os.Stat(addr.path); err != nil {
			return Sight{}, fileError(op, addr.path, err)
		}
		s.reader, err = sql.Open("sqlite", sqliteURI(addr.path, "mode=ro"))
		s.writer = s.reader
	}
	out := Sight{Kind: s.dialect.name, DSN: s.dsn}
	if err == nil {
		err = s.see(ctx, addr, &out)
	}
	return out, s.wrap(ctx, op, err)
}

func (s *Store) see(ctx context.Context, addr address, out *Sight) (err error) {
	state, err := s.mark(ctx, s.reader)
	if err != nil {
		return err
	}
	out.Half = state == markCopying
	if out.Version, err = s.dataVersion(ctx, s.reader); err != nil {
		return err
	}
	if out.Known, err = s.knownVersion(s.reader); err != nil {
		return err
	}
	if err := s.measure(ctx, addr, out); err != nil || out.Version == 0 {
		return err
	}
	// Of a newer schema what is known of it is counted.
	tables, err := schemaOf(ctx, min(out.Version, out.Known))
	if err != nil {
		return err
	}
	for _, t := range tables {
		one := MovedTable{Name: t.name}
		err := s.reader.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quoted(t.name)).Scan(&one.Rows)
		if err != nil && !s.dialect.missing(err) {
			return err
		}
		out.Tables = append(out.Tables, one)
	}
	return nil
}

// measure finds out how large it is, and who has it.
func (s *Store) measure(ctx context.Context, addr address, out *Sight) error {
	if addr.scheme == schemeSQLite {
		for _, of := range []string{"", "-wal"} {
			if info, err := os.Stat(addr.path + of); err == nil {
				out.Bytes += info.Size()
			}
		}
		return nil
	}
	if err := s.reader.QueryRowContext(ctx, "SELECT pg_database_size(current_database())").Scan(&out.Bytes); err != nil {
		return err
	}
	var pid int32
	var name, from string
	err := s.reader.QueryRowContext(ctx, holderOf, int32(aloneSpace)).Scan(&pid, &name, &from)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	out.Holder = holderWords(name, from)
	return err
}
