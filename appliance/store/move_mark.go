package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// markTable is in a database that a move has begun to fill. It keeps everybody out until what is there was compared with
// where it is from, and tells a move that is repeated that it may begin anew.
const markTable = "palisade_move"

// What the mark says.
const (
	markCopying  = "copying"  // a part may be there
	markComplete = "complete" // all is there and was compared; it goes when the database is first used
)

// refilledFrom begins what is said of where the rows are from, where they are not another database's.
const refilledFrom = "the backup "

// mark is what a move has written about itself; "" for none.
func (s *Store) mark(ctx context.Context, db *sql.DB) (state string, err error) {
	err = db.QueryRowContext(ctx, "SELECT state FROM "+markTable+" WHERE one = 1").Scan(&state)
	if err != nil && (s.dialect.missing(err) || errors.Is(err, sql.ErrNoRows)) {
		return "", nil
	}
	return state, err
}

// refuseHalf keeps a program from taking a part of the rows for all of them.
func (s *Store) refuseHalf(ctx context.Context, db *sql.DB) error {
	state, err := s.mark(ctx, db)
	if err != nil || state != markCopying {
		return err
	}
	var source string
	if err := db.QueryRowContext(ctx, "SELECT source FROM "+markTable+" WHERE one = 1").Scan(&source); err != nil {
		return err
	}
	hint := "that one is still the one that counts: use it, or repeat `palisade database move`"
	if strings.HasPrefix(source, refilledFrom) {
		hint = "a restore of it was broken off: repeat `palisade backup restore`"
	}
	return &Error{Kind: ErrHalf, Err: fmt.Errorf("only a part of %s may be in it", source), hint: hint}
}

// setMark writes the mark, in one transaction with the table that holds it.
func (s *Store) setMark(ctx context.Context, state, source string) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // harmless after the commit
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+markTable+" (one BIGINT NOT NULL PRIMARY KEY, state TEXT NOT NULL, source TEXT NOT NULL, at BIGINT)"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+markTable+" (one, state, source, at) VALUES (1, $1, $2, $3) "+
		"ON CONFLICT (one) DO UPDATE SET state = excluded.state, source = excluded.source, at = excluded.at", state, clean(source), time.Now().UnixMicro()); err != nil {
		return err
	}
	return tx.Commit()
}

// forgetMove takes the mark of a complete move away: from now on the rows live here.
func (s *Store) forgetMove(ctx context.Context) error {
	state, err := s.mark(ctx, s.writer)
	switch {
	case err != nil || state == "":
		return err
	case state == markCopying: // a move began since this was asked for last
		return s.refuseHalf(ctx, s.writer)
	}
	_, err = s.writer.ExecContext(ctx, "DROP TABLE IF EXISTS "+markTable)
	return err
}
