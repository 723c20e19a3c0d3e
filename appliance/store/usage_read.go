package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// usageDay is the grain of usage_days, whose days begin in UTC.
const usageDay = 24 * time.Hour

// dayBefore is the beginning of the day that goes on right before to. In a day's last hour people ask for what was used until midnight: that
// day is not over.
func dayBefore(to time.Time) time.Time { return to.Add(-time.Nanosecond).Truncate(usageDay) }

// Usage implements usage.Store. Where nobody else writes, what days gave that are over is kept; all that is read is read in one
// statement: what is written meanwhile is in all of it or in none.
func (s *Store) Usage(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	midnight := dayBefore(q.To)
	if s.past == nil || !q.From.Before(midnight) {
		return s.usage(ctx, usageStatement(&q))
	}
	past, rest := q, q
	past.To, rest.From = midnight, midnight
	out, err := s.past.requests.answer(ctx, usageStatement(&past), midnight, s.usage)
	if err != nil {
		return nil, err
	}
	since, err := s.usage(ctx, usageStatement(&rest))
	return slices.Concat(out, since), err
}

func (s *Store) usage(ctx context.Context, st statement) ([]usage.Row, error) {
	return list(ctx, s, st, func(row scanner) (usage.Row, error) {
		var r usage.Row
		var class int64
		err := row.Scan(intoTime{&r.Hour}, &r.Token, &r.Project, &r.Service, &r.Model, &class,
			&r.Requests, &r.Prompt, &r.Completion, &r.Cached, &r.Estimated, &r.Streams, &r.First, &r.Took)
		r.Class = usage.Class(class)
		return r, err
	})
}

// usageSelect makes the statement of a query.
type usageSelect struct {
	q    *usage.Query
	args []any
}

func (u *usageSelect) arg(v any) string {
	u.args = append(u.args, v)
	return fmt.Sprint("$", len(u.args))
}

// usageStatement sums up in the database as far as it can, from the coarsest rows that tell apart what the query does:
//
//	by project, status and time: usage_projects
//	whole days in UTC:           usage_days, and usage_hours for what is before the first and after the last of them
//	all else:                    usage_hours
func usageStatement(q *usage.Query) statement {
	u := &usageSelect{q: q}
	var parts []string
	switch {
	case u.ofProjects():
		parts = u.fromHours("usage_projects")
	case u.ofDays():
		parts = u.fromDays()
	default:
		parts = u.fromHours("usage_hours")
	}
	return statement{op: "summing up usage", sql: strings.Join(parts, " UNION ALL "), args: u.args}
}

func (u *usageSelect) ofProjects() bool {
	q := u.q
	fine := func(d usage.Dimension) bool { return d != usage.ByProject && d != usage.ByStatus && !d.OfTime() }
	return q.Prices == nil && q.Service == "" && q.Model == "" && len(q.Tokens) == 0 && !slices.ContainsFunc(q.By, fine)
}

// ofDays reports whether a day in UTC lies in one of the times that are told apart.
func (u *usageSelect) ofDays() bool {
	ahead, constant := u.q.Constant()
	return u.q.Time() == "" || u.q.Time() != usage.ByHour && constant && ahead%usageDay == 0
}

func (u *usageSelect) fromHours(table string) []string {
	var where []string
	if !u.q.From.IsZero() {
		where = append(where, "hour >= "+u.arg(u.q.From))
	}
	if !u.q.To.IsZero() {
		where = append(where, "hour < "+u.arg(u.q.To))
	}
	return []string{u.part(table, where)}
}

// fromDays takes whole days from usage_days. The last one is whole also where nothing was used behind the query's end, as
// is so for most queries: they end now.
func (u *usageSelect) fromDays() []string {
	q := u.q
	first, last := q.From.Truncate(usageDay), q.To.Truncate(usageDay)
	if first.Before(q.From) {
		first = first.Add(usageDay)
	}
	if !q.From.IsZero() && !q.To.IsZero() && last.Before(first) { // not a midnight between
		return u.fromHours("usage_hours")
	}
	var parts, days []string
	if !q.From.IsZero() {
		begin := u.arg(first)
		days = append(days, "hour >= "+begin)
		if q.From.Before(first) {
			parts = append(parts, u.part("usage_hours", []string{"hour >= " + u.arg(q.From), "hour < " + begin}))
		}
	}
	if !q.To.IsZero() {
		end, midnight := u.arg(q.To), u.arg(last)
		more := "EXISTS (SELECT 1 FROM usage_projects WHERE hour >= " + end + ")"
		days = append(days, "hour < CASE WHEN "+more+" THEN "+midnight+" ELSE "+end+" END")
		if last.Before(q.To) {
			parts = append(parts, u.part("usage_hours", []string{"hour >= " + midnight, "hour < " + end, more}))
		}
	}
	return append(parts, u.part("usage_days", days))
}

// part sums up rows of a table.
func (u *usageSelect) part(table string, where []string) string {
	q := u.q
	group := []string{"class"}
	column := func(name string, wanted bool) string {
		if !wanted {
			return "''"
		}
		group = append(group, name)
		return name
	}
	columns := []string{
		"MIN(hour)", column("token", q.Has(usage.ByToken) || q.Has(usage.ByUser)), column("project", q.Has(usage.ByProject) || q.Has(usage.ByService)),
		column("service", q.Has(usage.ByService) || q.Prices != nil), column("model", q.Has(usage.ByModel) || q.Prices != nil), "class",
	}
	for _, name := range usageSums() {
		columns = append(columns, "CAST(SUM("+name+") AS BIGINT)")
	}
	// By the hour only where days do not begin a whole number of days apart: a year of hours is a lot to carry over.
	switch ahead, constant := q.Constant(); {
	case q.Time() == "":
	case q.Time() == usage.ByHour || !constant:
		group = append(group, "hour")
	default:
		group = append(group, fmt.Sprintf("(hour + %d) / %d", ahead.Microseconds(), usageDay.Microseconds()))
	}
	where = append(u.filters(), where...)
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " WHERE " + strings.Join(where, " AND ") +
		" GROUP BY " + strings.Join(group, ", ")
}

// filters are conditions of all but the time.
func (u *usageSelect) filters() []string {
	where := []string{"1 = 1"}
	if u.q.Project != "" {
		where = append(where, "project = "+u.arg(u.q.Project))
	}
	if u.q.Service != "" {
		name := u.arg(u.q.Service)
		where = append(where, "(service = "+name+" OR service_id = "+name+")")
	}
	if u.q.Model != "" {
		where = append(where, "model = "+u.arg(u.q.Model))
	}
	if len(u.q.Tokens) > 0 {
		var ids []string
		for _, id := range u.q.Tokens {
			ids = append(ids, u.arg(id))
		}
		where = append(where, "token IN ("+strings.Join(ids, ", ")+")")
	}
	return where
}
