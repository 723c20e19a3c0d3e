package store

import (
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
	sessionUsageIDs     = 500 // that one statement asks for
)

// SaveSessionUsage implements accounts.Store.
func (s *Store) SaveSessionUsage(ctx context.Context, rows []accounts.Row) error {
	rows = lastOfEach(rows)
	if s.past != nil {
		defer s.past.sessions.added(len(rows), func(i int) time.Time { return rows[i].Hour }) // whatever the answer: it may be in
	}
	return s.write(ctx, "saving what sessions used", func(ctx context.Context, t *tx) error {
		whole := len(rows) / usageChunk * usageChunk
		if err := t.putSessionUsage(ctx, rows[:whole], usageChunk); err != nil {
			return err
		}
		if err := t.putSessionUsage(ctx, rows[whole:], 1); err != nil {
			return err
		}
		return t.sumSessionUsage(ctx, rows)
	})
}

// lastOfEach leaves out what a later row of the same hour and session replaces: one statement may not write a row twice.
func lastOfEach(rows []accounts.Row) []accounts.Row {
	type key struct {
		hour    int64
		session string
	}
	at := make(map[key]int, len(rows))
	out := make([]accounts.Row, 0, len(rows))
	for _, r := range rows {
		k := key{r.Hour.UnixMicro(), r.Session}
		if i, is := at[k]; is {
			out[i] = r
			continue
		}
		at[k] = len(out)
		out = append(out, r)
	}
	return out
}

// putSessionUsage writes rows, chunk of them in one statement.
func (t *tx) putSessionUsage(ctx context.Context, rows []accounts.Row, chunk int) error {
	if len(rows) == 0 {
		return nil
	}
	columns := strings.Count(sessionUsageColumns, ",") + 1
	values := make([]string, chunk)
	for i := range values {
		values[i] = "(" + marks(i*columns, columns) + ")"
	}
	put := "INSERT INTO session_usage (" + sessionUsageColumns + ") VALUES " + strings.Join(values, ", ") + `
		ON CONFLICT (hour, session) DO UPDATE SET name = excluded.name, person = excluded.person, project = excluded.project,
		type = excluded.type, held_us = excluded.held_us, core_us = excluded.core_us, mem_mibms = excluded.mem_mibms,
		share_us = excluded.share_us, cpu_us = excluded.cpu_us, used_mibms = excluded.used_mibms,
		until_at = excluded.until_at, run_at = excluded.run_at, clock = excluded.clock`
	for some := range slices.Chunk(rows, chunk) {
		args := make([]any, 0, chunk*columns)
		for i := range some {
			r := &some[i]
			args = append(args, r.Hour, r.Session, r.Name, r.User, r.Project, r.Type, r.Held, r.Cores, r.Memory, r.Shares, r.CPU, r.Used, r.Until, r.Run, int64(r.Clock))
		}
		if _, err := t.exec(ctx, put, args...); err != nil {
			return err
		}
	}
	return nil
}

// marks are the places of n values behind those of before.
func marks(before, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("$", before+i+1)
	}
	return strings.Join(out, ", ")
}

// sumSessionUsage makes anew what is summed up of the days and hours of rows.
func (t *tx) sumSessionUsage(ctx context.Context, rows []accounts.Row) error {
	days, hours := map[time.Time]map[string]bool{}, map[time.Time]bool{}
	for i := range rows {
		day := rows[i].Hour.UTC().Truncate(usageDay)
		if days[day] == nil {
			days[day] = map[string]bool{}
		}
		days[day][rows[i].Session] = true
		hours[rows[i].Hour.UTC()] = true
	}
	for _, day := range slices.SortedFunc(maps.Keys(days), time.Time.Compare) {
		for some := range slices.Chunk(slices.Sorted(maps.Keys(days[day])), sessionUsageIDs) {
			if err := t.sumDay(ctx, day, some); err != nil {
				return err
			}
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

// sumDay makes anew what is summed up of a day of sessions, no more than sessionUsageIDs.
func (t *tx) sumDay(ctx context.Context, day time.Time, sessions []string) error {
	places := sessionUsageIDs
	for _, few := range []int{50, 5, 1} { // few statements, that databases know
		if len(sessions) <= few {
			places = few
		}
	}
	args := []any{day, day.Add(usageDay)}
	for i := range places {
		args = append(args, sessions[min(i, len(sessions)-1)])
	}
	_, err := t.exec(ctx, "INSERT INTO session_usage_days (hour, session, name, person, project, type, "+sessionSums("?")+
		") SELECT $1, session, MAX(name), MAX(person), MAX(project), MAX(type), "+sessionSums("CAST(SUM(?) AS BIGINT)")+
		" FROM session_usage WHERE hour >= $1 AND hour < $2 AND session IN ("+marks(2, places)+") GROUP BY session ON CONFLICT (hour, session) DO UPDATE SET name = excluded.name, "+
		sessionSums("? = excluded.?"), args...)
	return err
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
		for _, id := range some {
			st.args = append(st.args, id)
		}
		st.sql = "SELECT " + sessionUsageColumns + " FROM session_usage u WHERE session IN (" + marks(0, len(some)) +
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
