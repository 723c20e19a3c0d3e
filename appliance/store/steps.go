package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// step is one migration, and of which kind it is. One that expands adds what a program that does not know it never sees: tables, columns
// that need no value, indexes. So the program of the release before works on, beside. One that contracts takes away what the release
// before still used: programs that do not know it are refused from then on.
type step struct {
	version  int64
	contract bool
}

// contractMark is the line in a migration that makes it one that contracts.
const contractMark = "\n-- Contracts:"

// floorTable holds one row: which version of the schema a program has to know at least, to use a database of which version. It is written
// before a step, so that there is no moment at which a program takes a database for one that it can use, and it is not.
const floorTable = "palisade_floor"

// firstFloor is the version of the schema from which on programs look at floorTable.
const firstFloor = 27

// steps are those of this program, in order.
func steps() (out []step, err error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	for _, e := range entries { // in order: their numbers have as many digits
		var s step
		if _, err := fmt.Sscanf(e.Name(), "%05d_", &s.version); err != nil {
			return nil, fmt.Errorf("reading the migrations: %s: %w", e.Name(), err)
		}
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the migrations: %w", err)
		}
		s.contract = bytes.Contains(text, []byte(contractMark))
		out = append(out, s)
	}
	return out, nil
}

// reach is the version to which data may be brought where some programs at the same database know no more than least: all steps that
// expand, and those that contract up to that version. blocked is the step that has to wait; 0: none.
func reach(all []step, have, least int64) (to, blocked int64) {
	to = have
	for _, s := range all {
		switch {
		case s.version <= have:
		case s.contract && s.version > least:
			return to, s.version
		default:
			to = s.version
		}
	}
	return to, 0
}

// usable tells whether a program may use data of a newer version than it knows.
func (s *Store) usable(ctx context.Context, db *sql.DB, have, known int64) (bool, error) {
	var floor, version int64
	err := db.QueryRowContext(ctx, "SELECT floor, version FROM "+floorTable+" WHERE one = 1").Scan(&floor, &version)
	if err != nil && (s.dialect.missing(err) || errors.Is(err, sql.ErrNoRows)) {
		return false, nil
	}
	return version >= have && floor <= known, err // more than have: a step was cut off, and has not gone beyond what is said
}

// Usable fails with ErrNewerData once a program that knows more has brought the data to a version that this one cannot use.
func (s *Store) Usable(ctx context.Context) error {
	return s.do(ctx, "asking for the schema", func(ctx context.Context) error {
		have, err := s.dataVersion(ctx, s.reader)
		if err != nil {
			return err
		}
		known, err := s.knownVersion(s.reader)
		if err != nil || have <= known {
			return err
		}
		if usable, err := s.usable(ctx, s.reader, have, known); err != nil || usable {
			return err
		}
		return newerData(have, known)
	})
}

// floorOf is what a program has to know to use data of a version.
func floorOf(all []step, version int64) int64 {
	floor := int64(firstFloor)
	for _, s := range all {
		if s.contract && s.version <= version {
			floor = max(floor, s.version)
		}
	}
	return floor
}

// writeFloor says who may use the data once it is of a version. What a program that knows more has said stays.
func (s *Store) writeFloor(ctx context.Context, version int64) error {
	all, err := steps()
	if err != nil {
		return err
	}
	if _, err := s.writer.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+floorTable+" (one BIGINT NOT NULL PRIMARY KEY, floor BIGINT NOT NULL, version BIGINT NOT NULL)"); err != nil && !s.dialect.unique(err) { // another program makes it at this moment
		return err
	}
	_, err = s.writer.ExecContext(ctx, "INSERT INTO "+floorTable+" (one, floor, version) VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE SET floor = excluded.floor, version = excluded.version WHERE excluded.version > "+floorTable+".version", floorOf(all, version), version)
	return err
}

// Schema is how the tables are, and how they could be.
type Schema struct {
	Have    int64 // version of the data
	Known   int64 // the newest that this program has
	Waiting int64 // the next step, where it waits until every program at the database knows it; 0: none does
}

// Schema asks for it.
func (s *Store) Schema(ctx context.Context) (out Schema, err error) {
	err = s.do(ctx, "asking for the schema", func(ctx context.Context) error {
		all, err := steps()
		if err != nil {
			return err
		}
		out.Known = all[len(all)-1].version
		if out.Have, err = s.dataVersion(ctx, s.reader); err != nil {
			return err
		}
		_, out.Waiting = reach(all, out.Have, out.Have)
		return nil
	})
	return out, err
}

// Contract brings the data on, where every program at the database knows at least that version of the schema. Whoever decides calls it:
// ErrDeposed where another does.
func (s *Store) Contract(ctx context.Context, least int64) error {
	if err := s.write(ctx, "changing the schema", func(context.Context, *tx) error { return nil }); err != nil {
		return err
	}
	return s.wrap(ctx, "changing the schema", s.bring(ctx, least))
}

// bring migrates as far as programs allow that know least.
func (s *Store) bring(ctx context.Context, least int64) error {
	all, err := steps()
	if err != nil {
		return err
	}
	have, err := s.dataVersion(ctx, s.writer)
	if err != nil {
		return err
	}
	to, _ := reach(all, have, least)
	if to == have {
		return nil
	}
	if s.dialect.name == schemePostgres {
		if err := s.mayMakeTables(ctx); err != nil {
			return err
		}
	}
	return s.migrate(ctx, to)
}

// bringOwn migrates as far as a program may that opens the database so: one that shares it does not know what the others know.
func (s *Store) bringOwn(ctx context.Context, opts Options) error {
	if opts.Shared {
		return s.bring(ctx, 0)
	}
	known, err := s.knownVersion(s.writer)
	if err != nil {
		return err
	}
	return s.bring(ctx, known)
}
