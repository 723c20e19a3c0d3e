package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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
		return t.sumSessionUsage(ctx, rows)
	})
}

// sumSessionUsage makes anew what is summed up of the days and hours of rows.
func (t *tx) sumSessionUsage(ctx context.Context, rows []accounts.Row) error {
	type day struct {
		begun   time.Time
		session string
	}
	days, hours := map[day]bool{}, map[time.Time]bool{}
	for i := range rows {
		days[day{rows[i].Hour.UTC().Truncate(usageDay), rows[i].Session}] = true
		hours[rows[i].Hour.UTC()] = true
	}
	const days1 = "INSERT INTO session_usage_days (hour, session, name, person, project, type, "
	for _, d := range slices.SortedFunc(maps.Keys(days), func(a, b day) int { return cmp.Or(a.begun.Compare(b.begun), cmp.Compare(a.session, b.session)) }) {
		if _, err := t.exec(ctx, days1+sessionSums("?")+") SELECT $1, session, MAX(name), MAX(person), MAX(project), MAX(type), "+sessionSums("CAST(SUM(?) AS BIGINT)")+
			" FROM session_usage WHERE session = $2 AND hour >= $1 AND hour < $3 GROUP BY session ON CONFLICT (hour, session) DO UPDATE SET name = excluded.name, "+
			sessionSums("? = excluded.?"), d.begun, d.session, d.begun.Add(usageDay)); err != nil {
			return err
		}
	}
	for _, hour := range slices.SortedFunc(maps.Keys(hours), time.Time.Compare) {
		if _, err := t.exec(ctx, "INSERT INTO session_usage_projects (hour, project, type, "+sessionSums("?")+") SELECT hour, project, type, "+sessionSums("CAST(SUM(?) AS BIGINT)")+
			" FROM session_usage WHERE hour = $1 GROUP BY hour, project, type ON CONFLICT (hour, project, type) DO UPDATE SET "+sessionSums("? = excluded.?"), hour); err != nil {
			return err
		}
	}
	return nil
}

// sessionSums are the columns that are summed up, each put into a text for its question marks.
func sessionSums(as string) string {
	var out []string
	for _, name := range []string{"held_us", "core_us", "mem_mibms", "share_us", "cpu_us", "used_mibms"} {
		out = append(out, strings.ReplaceAll(as, "?", name))
	}
	return strings.Join(out, ", ")
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
