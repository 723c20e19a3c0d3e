package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/palisade-run/palisade/appliance/audit"
)

// AppendAudit implements audit.Store.
func (s *Store) AppendAudit(ctx context.Context, next func(audit.Head) (audit.Record, error)) error {
	return s.write(ctx, "keeping who changed what", func(ctx context.Context, t *tx) error { return appendAudit(ctx, t, next) })
}

func appendAudit(ctx context.Context, t *tx, next func(audit.Head) (audit.Record, error)) error {
	// Two servers of one PostgreSQL come one after the other: the second waits here until the first has committed.
	if _, err := t.exec(ctx, "UPDATE audit_turn SET turn = turn + 1 WHERE one = 1"); err != nil {
		return err
	}
	var head audit.Head
	err := t.sql.QueryRowContext(ctx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").Scan(&head.Seq, &head.Hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r, err := next(head)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO audit (seq, entry, prev, hash, at, actor, project, action, target)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Seq, string(r.Text), r.Prev, r.Hash, r.At, r.Actor, r.Project, r.Action, r.Target)
	return err
}

// Audit implements audit.Store.
func (s *Store) Audit(ctx context.Context, q audit.Query) ([]audit.Record, error) {
	st := statement{op: "reading who changed what"}
	where := []string{"1 = 1"}
	only := func(condition string, v any) {
		st.args = append(st.args, v)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprint("$", len(st.args))))
	}
	if q.After > 0 {
		only("seq > ?", q.After)
	}
	if q.Before > 0 {
		only("seq < ?", q.Before)
	}
	if !q.From.IsZero() {
		only("at >= ?", q.From)
	}
	if !q.To.IsZero() {
		only("at < ?", q.To)
	}
	for _, c := range [][2]string{{"actor = ?", q.Actor}, {"project = ?", q.Project}, {"action = ?", q.Action}} {
		if c[1] != "" {
			only(c[0], c[1])
		}
	}
	if q.Target != "" {
		// What is below it begins with it and a slash. LIKE would want some letters escaped, and does not tell Ann from ann.
		only(fmt.Sprintf("(target = ? OR substr(target, 1, %d) = ? || '/')", utf8.RuneCountInString(q.Target)+1), q.Target)
	}
	st.sql = "SELECT seq, entry, prev, hash, at, actor, project, action, target FROM audit WHERE " + strings.Join(where, " AND ") + " ORDER BY seq"
	if q.Newest {
		st.sql += " DESC"
	}
	if q.Limit > 0 {
		st.sql += fmt.Sprint(" LIMIT ", q.Limit)
	}
	return list(ctx, s, st, scanAudit)
}

func scanAudit(row scanner) (audit.Record, error) {
	var r, columns audit.Record
	var text string
	c := &columns
	if err := row.Scan(&r.Seq, &text, &r.Prev, &r.Hash, intoTime{&c.At}, &c.Actor, &c.Project, &c.Action, &c.Target); err != nil {
		return r, err
	}
	r.Text = []byte(text)
	// One that somebody has changed into what is no JSON is still to be seen, and Verify says what is wrong with it.
	_ = json.Unmarshal(r.Text, &r.Entry)
	r.At, r.Actor, r.Project, r.Action, r.Target = c.At, c.Actor, c.Project, c.Action, c.Target
	return r, nil
}
