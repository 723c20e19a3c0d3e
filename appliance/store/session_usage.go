package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/training/accounts"
)

const (
	sessionUsageColumns = "hour, session, name, person, project, type, held_us, core_us, mem_mibms, share_us, cpu_us, used_mibms, until_at, run_at, clock"
	sessionUsageIDs     = 500 // that one query asks for
)

// SaveSessionUsage implements accounts.Store.
func (s *Store) SaveSessionUsage(ctx context.Context, rows []accounts.Row) error {
	return s.write(ctx, "saving what sessions used", func(ctx context.Context, t *tx) error {
		for i := range rows {
			r := &rows[i]
			if _, err := t.exec(ctx, `INSERT INTO session_usage (`+sessionUsageColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
				ON CONFLICT (hour, session) DO UPDATE SET name = excluded.name, person = excluded.person, project = excluded.project,
				type = excluded.type, held_us = excluded.held_us, core_us = excluded.core_us, mem_mibms = excluded.mem_mibms,
				share_us = excluded.share_us, cpu_us = excluded.cpu_us, used_mibms = excluded.used_mibms,
				until_at = excluded.until_at, run_at = excluded.run_at, clock = excluded.clock`,
				r.Hour, r.Session, r.Name, r.User, r.Project, r.Type, r.Held, r.Cores, r.Memory, r.Shares, r.CPU, r.Used, r.Until, r.Run, int64(r.Clock),
			); err != nil {
				return err
			}
		}
		return nil
	})
}

// LastSessionUsage implements accounts.Store.
func (s *Store) LastSessionUsage(ctx context.Context, sessions []string) ([]accounts.Row, error) {
	var out []accounts.Row
	for some := range slices.Chunk(sessions, sessionUsageIDs) {
		st := statement{op: "reading what sessions used last"}
		marks := make([]string, len(some))
		for i, id := range some {
			st.args = append(st.args, id)
			marks[i] = fmt.Sprint("$", i+1)
		}
		st.sql = "SELECT " + sessionUsageColumns + " FROM session_usage u WHERE session IN (" + strings.Join(marks, ", ") +
			") AND hour = (SELECT MAX(hour) FROM session_usage v WHERE v.session = u.session)"
		rows, err := list(ctx, s, st, func(row scanner) (r accounts.Row, err error) {
			err = row.Scan(intoTime{&r.Hour}, &r.Session, &r.Name, &r.User, &r.Project, &r.Type, &r.Held, &r.Cores, &r.Memory, &r.Shares,
				&r.CPU, &r.Used, intoTime{&r.Until}, intoTime{&r.Run}, &r.Clock)
			return r, err
		})
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// SessionUsage implements accounts.Store. It sums up by the session, and where times are told apart by the hour.
func (s *Store) SessionUsage(ctx context.Context, q accounts.Query) ([]accounts.Row, error) {
	st := statement{op: "summing up what sessions used"}
	where := []string{"1 = 1"}
	only := func(condition string, v any) {
		st.args = append(st.args, v)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprint("$", len(st.args))))
	}
	for _, c := range []struct {
		condition, value string
	}{{"project = ?", q.Project}, {"person = ?", q.User}, {"(session = ? OR name = ?)", q.Session}, {"type = ?", q.Type}} {
		if c.value != "" {
			only(c.condition, c.value)
		}
	}
	for _, c := range []struct {
		condition string
		at        time.Time
	}{{"hour >= ?", q.From}, {"hour < ?", q.To}} {
		if !c.at.IsZero() {
			only(c.condition, c.at)
		}
	}
	group := "session, project, person, type"
	if q.Time() != "" {
		group += ", hour"
	}
	sums := []string{}
	for _, name := range []string{"held_us", "core_us", "mem_mibms", "share_us", "cpu_us", "used_mibms"} {
		sums = append(sums, "CAST(SUM("+name+") AS BIGINT)")
	}
	st.sql = "SELECT MAX(hour), session, MAX(name), person, project, type, " + strings.Join(sums, ", ") +
		" FROM session_usage WHERE " + strings.Join(where, " AND ") + " GROUP BY " + group
	return list(ctx, s, st, func(row scanner) (r accounts.Row, err error) {
		err = row.Scan(intoTime{&r.Hour}, &r.Session, &r.Name, &r.User, &r.Project, &r.Type, &r.Held, &r.Cores, &r.Memory, &r.Shares, &r.CPU, &r.Used)
		return r, err
	})
}
