package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/training/accounts"
)

// SessionUsage implements accounts.Store. It sums up in the database, from the coarsest rows that tell apart what the query does:
//
//	times, where sessions are not counted, by project and type: session_usage_projects
//	no times, and not one session by its name:                  session_usage_days, and session_usage for what is before the first and after the last day
//	all else:                                                   session_usage, by the session and the hour; names are those of the hour
//
// Where nobody else writes, what the first two said of days that are over is kept, and only today is summed up.
func (s *Store) SessionUsage(ctx context.Context, q accounts.Query) ([]accounts.Sum, error) {
	u := &sessionSelect{q: &q}
	midnight := dayBefore(q.To)
	if s.past == nil || !q.From.Before(midnight) || q.Session != "" || q.Time() != "" && !u.plain() {
		return s.sessionUsage(ctx, u.statement())
	}
	past, rest := q, q
	past.To, rest.From = midnight, midnight
	out, err := s.past.sessions.answer(ctx, (&sessionSelect{q: &past}).statement(), midnight, s.sessionUsage)
	if err != nil {
		return nil, err
	}
	since, err := s.sessionUsage(ctx, (&sessionSelect{q: &rest, counted: &past}).statement())
	return slices.Concat(out, since), err
}

func (s *Store) sessionUsage(ctx context.Context, st statement) ([]accounts.Sum, error) {
	return list(ctx, s, st, func(row scanner) (r accounts.Sum, err error) {
		err = row.Scan(intoTime{&r.Hour}, &r.Session, &r.Name, &r.User, &r.Project, &r.Type, &r.Sessions, &r.Held, &r.Cores, &r.Memory, &r.Shares, &r.CPU, &r.Used)
		return r, err
	})
}

// sessionSelect makes the statement of a query.
type sessionSelect struct {
	q       *accounts.Query
	counted *accounts.Query // the time before, whose sessions are counted already; nil: none are
	args    []any
}

func (u *sessionSelect) statement() statement {
	st := statement{op: "summing up what sessions used"}
	switch {
	case u.q.Time() != "" && u.plain():
		st.sql = u.over("session_usage_projects")
	case u.q.Time() != "":
		st.sql = u.each()
	default:
		st.sql = u.whole()
	}
	st.args = u.args
	return st
}

func (u *sessionSelect) arg(v any) string {
	u.args = append(u.args, v)
	return fmt.Sprint("$", len(u.args))
}

// plain reports whether sums over time are told apart by no more than session_usage_projects does.
func (u *sessionSelect) plain() bool {
	q := u.q
	return q.Uncounted && q.User == "" && q.Session == "" && !q.Has(accounts.ByUser) && !q.Has(accounts.BySession)
}

// where are the conditions of all but the time; of a table that knows no sessions those of project and type.
func (u *sessionSelect) where() []string {
	where := []string{"1 = 1"}
	for _, c := range []struct{ condition, value string }{
		{"project = ?", u.q.Project}, {"person = ?", u.q.User}, {"(session = ? OR name = ?)", u.q.Session}, {"type = ?", u.q.Type},
	} {
		if c.value != "" {
			where = append(where, strings.ReplaceAll(c.condition, "?", u.arg(c.value)))
		}
	}
	return where
}

// period is where in all of the query's time.
func (u *sessionSelect) period(where []string) string {
	if !u.q.From.IsZero() {
		where = append(where, "hour >= "+u.arg(u.q.From))
	}
	if !u.q.To.IsZero() {
		where = append(where, "hour < "+u.arg(u.q.To))
	}
	return strings.Join(where, " AND ")
}

const summed = "CAST(SUM(?) AS BIGINT)"

// each sums up by the session and the hour.
func (u *sessionSelect) each() string {
	return "SELECT hour, session, MAX(name), person, project, type, 1, " + sessionSums(summed) + " FROM session_usage WHERE " + u.period(u.where()) +
		" GROUP BY session, project, person, type, hour"
}

// over sums up by the hour, or by the day where those begin a whole number of days apart, and by project and type where they are
// told apart.
func (u *sessionSelect) over(table string) string {
	group := []string{"hour"}
	if ahead, constant := u.q.Constant(); constant && u.q.Time() != accounts.ByHour {
		group[0] = fmt.Sprintf("(hour + %d) / %d", ahead.Microseconds(), usageDay.Microseconds())
	}
	column := func(name string, by accounts.Dimension) string {
		if !u.q.Has(by) {
			return "''"
		}
		group = append(group, name)
		return name
	}
	columns := []string{"MIN(hour)", "''", "''", "''", column("project", accounts.ByProject), column("type", accounts.ByType), "0", sessionSums(summed)}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " WHERE " + u.period(u.where()) + " GROUP BY " + strings.Join(group, ", ")
}

// whole sums up all of the time, by what is told apart, and counts the sessions of each.
func (u *sessionSelect) whole() string {
	var group []string
	column := func(name string, by ...accounts.Dimension) string {
		if !slices.ContainsFunc(by, u.q.Has) {
			return "''"
		}
		group = append(group, name)
		return name
	}
	columns := []string{"MAX(hour)", column("session", accounts.BySession)}
	if columns[1] == "session" {
		columns = append(columns, "MAX(name)")
	} else {
		columns = append(columns, "''")
	}
	columns = append(columns, column("person", accounts.ByUser, accounts.BySession), column("project", accounts.ByProject, accounts.BySession), column("type", accounts.ByType, accounts.BySession),
		u.count(), sessionSums(summed))
	text := "SELECT " + strings.Join(columns, ", ") + " FROM (" + strings.Join(u.days(), " UNION ALL ") + ") AS parts"
	if len(group) > 0 {
		return text + " GROUP BY " + strings.Join(group, ", ")
	}
	return text + " HAVING COUNT(*) > 0"
}

// count counts sessions, but for those that are counted already.
func (u *sessionSelect) count() string {
	if u.counted == nil {
		return "COUNT(DISTINCT session)"
	}
	before := "v.hour < " + u.arg(u.counted.To)
	if from := u.counted.From; !from.IsZero() {
		before += " AND v.hour >= " + u.arg(from)
	}
	return "COUNT(DISTINCT CASE WHEN session NOT IN (SELECT session FROM (SELECT DISTINCT session FROM session_usage WHERE " + u.period(nil) +
		") AS now WHERE EXISTS (SELECT 1 FROM session_usage AS v WHERE v.session = now.session AND " + before + ")) THEN session END)"
}

// days are whole days of session_usage_days, and hours of session_usage before and after.
func (u *sessionSelect) days() []string {
	q := u.q
	part := func(table string, more ...string) string {
		return "SELECT hour, session, name, person, project, type, " + sessionSums("?") + " FROM " + table + " WHERE " + strings.Join(append(u.where(), more...), " AND ")
	}
	if q.Session != "" { // it may be a name, and a session may have another one in the next hour
		return []string{"SELECT hour, session, name, person, project, type, " + sessionSums("?") + " FROM session_usage WHERE " + u.period(u.where())}
	}
	first, last := q.From.Truncate(usageDay), q.To.Truncate(usageDay)
	if first.Before(q.From) {
		first = first.Add(usageDay)
	}
	if !q.From.IsZero() && !q.To.IsZero() && !first.Before(last) { // not a whole day between
		return []string{part("session_usage", "hour >= "+u.arg(q.From), "hour < "+u.arg(q.To))}
	}
	var parts, days []string
	if !q.From.IsZero() {
		days = append(days, "hour >= "+u.arg(first))
		if q.From.Before(first) {
			parts = append(parts, part("session_usage", "hour >= "+u.arg(q.From), "hour < "+u.arg(first)))
		}
	}
	if !q.To.IsZero() {
		days = append(days, "hour < "+u.arg(last))
		if last.Before(q.To) {
			parts = append(parts, part("session_usage", "hour >= "+u.arg(last), "hour < "+u.arg(q.To)))
		}
	}
	return append(parts, part("session_usage_days", days...))
}
