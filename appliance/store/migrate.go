package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable keeps which migrations have run. It is not goose's default name: a database that is
// shared with another program that uses goose must not mix the two up.
const versionTable = "palisade_schema"

// pending reports whether the tables are older than this program, and fails with ErrNewerData when they are newer, and by more than
// steps that expand. It only reads.
func (s *Store) pending(ctx context.Context, db *sql.DB) (bool, error) {
	if err := s.refuseHalf(ctx, db); err != nil {
		return false, err
	}
	have, err := s.dataVersion(ctx, db)
	if err != nil {
		return false, err
	}
	known, err := s.knownVersion(db)
	if err != nil {
		return false, err
	}
	if have <= known {
		return have < known, nil
	}
	usable, err := s.usable(ctx, db, have, known)
	if err != nil {
		return false, err
	}
	if !usable {
		return false, newerData(have, known)
	}
	s.log.InfoContext(ctx, "the data is of a newer palisade, beside which this one can work", "version", have, "known", known)
	return false, nil
}

func newerData(have, known int64) error {
	return &Error{Kind: ErrNewerData,
		Err:  fmt.Errorf("the data is of version %d, this palisade knows up to %d; nothing was changed", have, known),
		hint: "start the palisade that wrote it, or a newer one; or restore the backup made before the update"}
}

// knownVersion is the number of the newest migration that this program has.
func (s *Store) knownVersion(db *sql.DB) (int64, error) {
	p, err := s.provider(db)
	if err != nil {
		return 0, err
	}
	return lastVersion(p), nil
}

// dataVersion is the number of the newest migration that has run; 0 for an empty database.
func (s *Store) dataVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var v sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM "+versionTable).Scan(&v)
	if err != nil && s.dialect.missing(err) {
		return 0, nil
	}
	return v.Int64, err
}

// migrate brings the tables to a version, 0 for this program's. Several programs may do so at once: on
// PostgreSQL an advisory lock makes them wait for each other; on SQLite, which has none, each step
// is a transaction, and the one that comes too late sees it and looks again.
func (s *Store) migrate(ctx context.Context, version int64) error {
	var options []goose.ProviderOption
	if s.dialect.name == schemePostgres {
		// One second is the shortest that the locker can wait.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(opTimeout.Seconds())))
		if err != nil {
			return fmt.Errorf("preparing the migrations' lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := s.provider(s.writer, options...)
	if err != nil {
		return err
	}
	if version == 0 {
		version = lastVersion(p)
	}
	have, err := s.dataVersion(ctx, s.writer)
	if err != nil {
		return err
	}
	if have >= version {
		return nil
	}
	if have > 0 { // of an empty database it is not known yet whether it is to be ours
		if err := s.writeFloor(ctx, version); err != nil {
			return err
		}
	}
	from, begun := have, time.Now()
	for {
		done, err := p.UpTo(ctx, version)
		for _, r := range done {
			s.log.DebugContext(ctx, "database migrated by one step", "version", r.Source.Version, "took", r.Duration)
		}
		if err == nil {
			s.log.InfoContext(ctx, "database migrated", "from", from, "to", version, "took", time.Since(begun))
			if have == 0 {
				return s.writeFloor(ctx, version)
			}
			return nil
		}
		// A step failed. If the data went forward all the same, another start has done it: look again.
		// This ends: every round needs a version that was not there before.
		now, versionErr := s.dataVersion(ctx, s.writer)
		if versionErr != nil || now <= have {
			return s.migrationError(err)
		}
		have = now
	}
}

func (s *Store) migrationError(err error) error {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		if hint, kind := s.dialect.kind(partial.Err); kind != nil {
			return &Error{Kind: kind, Op: "migrating the database", Err: partial.Err, hint: hint}
		}
	}
	return fmt.Errorf("migrating the database: %w", err)
}

func (s *Store) provider(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	dialect := goose.DialectSQLite3
	if s.dialect.name == schemePostgres {
		dialect = goose.DialectPostgres
	}
	options = append(options, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	p, err := goose.NewProvider(dialect, db, dir, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return p, nil
}

func lastVersion(p *goose.Provider) int64 {
	var last int64
	for _, src := range p.ListSources() {
		last = max(last, src.Version)
	}
	return last
}
