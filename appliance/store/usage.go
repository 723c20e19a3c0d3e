package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

const (
	usageColumns = "hour, token, project, service_id, service, model, class, " +
		"requests, prompt_tokens, completion_tokens, cached_tokens, estimated_tokens, streams, first_us, took_us"
	usageWidth = 15 // columns
	usageChunk = 10 // rows of one statement: SQLite takes longer for each where there are many parameters

	// writerKept is how long a writer is remembered after its last batch. None waits for the answer to one as long.
	writerKept = 30 * 24 * time.Hour
)

// AddUsage implements usage.Store. The number of the writer's last batch is kept in the same transaction as its rows:
// that makes a batch that comes again, after an answer that was lost, do nothing.
func (s *Store) AddUsage(ctx context.Context, b usage.Batch) error {
	return s.write(ctx, "adding usage", func(ctx context.Context, t *tx) error {
		fresh, err := t.claim(ctx, &b)
		if err != nil || !fresh {
			return err
		}
		whole := len(b.Rows) / usageChunk * usageChunk
		if err := t.addUsage(ctx, b.Rows[:whole], usageChunk); err != nil {
			return err
		}
		return t.addUsage(ctx, b.Rows[whole:], 1)
	})
}

// claim notes that the batch is in, and reports whether it was not before.
func (t *tx) claim(ctx context.Context, b *usage.Batch) (bool, error) {
	n, err := t.exec(ctx, "UPDATE usage_writers SET number = $2, at = $3 WHERE writer = $1 AND number < $2", b.Writer, b.Number, b.At)
	if err != nil || n > 0 {
		return n > 0, err
	}
	n, err = t.exec(ctx, "INSERT INTO usage_writers (writer, number, at) VALUES ($1, $2, $3) ON CONFLICT (writer) DO NOTHING", b.Writer, b.Number, b.At)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = t.exec(ctx, "DELETE FROM usage_writers WHERE at < $1", b.At.Add(-writerKept)) // once for each start of a daemon
	return true, err
}

// addUsage adds rows, chunk of them in one statement. The statement is not prepared for all of them: where the context
// ends just then, database/sql gives the connection up without it, and closing it later reaches into a connection that
// is gone.
func (t *tx) addUsage(ctx context.Context, rows []usage.Row, chunk int) error {
	if len(rows) == 0 {
		return nil
	}
	add := addUsage(chunk)
	for some := range slices.Chunk(rows, chunk) {
		args := make([]any, 0, usageWidth*chunk)
		for i := range some {
			r := &some[i]
			args = append(args, r.Hour, r.Token, r.Project, r.ServiceID, r.Service, r.Model, int64(r.Class),
				r.Requests, r.Prompt, r.Completion, r.Cached, r.Estimated, r.Streams, r.First, r.Took)
		}
		if _, err := t.exec(ctx, add, args...); err != nil {
			return err
		}
	}
	return nil
}

// addUsage is the statement that adds a number of rows to those that are there.
func addUsage(rows int) string {
	var values, sums []string
	for row := range rows {
		marks := make([]string, usageWidth)
		for i := range marks {
			marks[i] = fmt.Sprint("$", row*usageWidth+i+1)
		}
		values = append(values, "("+strings.Join(marks, ", ")+")")
	}
	for _, name := range usageSums() {
		sums = append(sums, name+" = usage_hours."+name+" + excluded."+name)
	}
	return "INSERT INTO usage_hours (" + usageColumns + ") VALUES " + strings.Join(values, ", ") +
		" ON CONFLICT (hour, token, service_id, model, class) DO UPDATE SET " + strings.Join(sums, ", ")
}

// usageSums are the columns that are summed up; those before them say whose they are.
func usageSums() []string { return strings.Split(usageColumns, ", ")[7:] }

// Usage implements usage.Store.
func (s *Store) Usage(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	st := usageStatement(&q)
	return list(ctx, s, st, func(row scanner) (usage.Row, error) {
		var r usage.Row
		var class int64
		err := row.Scan(intoTime{&r.Hour}, &r.Token, &r.Project, &r.Service, &r.Model, &class,
			&r.Requests, &r.Prompt, &r.Completion, &r.Cached, &r.Estimated, &r.Streams, &r.First, &r.Took)
		r.Class = usage.Class(class)
		return r, err
	})
}

// usageStatement sums up in the database as far as it can: by the hour only where days do not begin a whole number of
// days apart, since a year of hours is a lot to carry over.
func usageStatement(q *usage.Query) statement {
	st := statement{op: "summing up usage"}
	arg := func(v any) string {
		st.args = append(st.args, v)
		return fmt.Sprint("$", len(st.args))
	}
	group := []string{"class"}
	column := func(name string, wanted bool) string {
		if !wanted {
			return "''"
		}
		group = append(group, name)
		return name
	}
	columns := []string{
		"MIN(hour)", column("token", q.Has(usage.ByToken)), column("project", q.Has(usage.ByProject) || q.Has(usage.ByService)),
		column("service", q.Has(usage.ByService)), column("model", q.Has(usage.ByModel)), "class",
	}
	for _, name := range usageSums() {
		columns = append(columns, "CAST(SUM("+name+") AS BIGINT)")
	}
	switch ahead, constant := q.Constant(); {
	case q.Time() == "":
	case q.Time() == usage.ByHour || !constant:
		group = append(group, "hour")
	default:
		group = append(group, fmt.Sprintf("(hour + %d) / %d", ahead.Microseconds(), (24*time.Hour).Microseconds()))
	}
	where := []string{"1 = 1"}
	if !q.From.IsZero() {
		where = append(where, "hour >= "+arg(q.From))
	}
	if !q.To.IsZero() {
		where = append(where, "hour < "+arg(q.To))
	}
	if q.Project != "" {
		where = append(where, "project = "+arg(q.Project))
	}
	if q.Service != "" {
		name := arg(q.Service)
		where = append(where, "(service = "+name+" OR service_id = "+name+")")
	}
	if q.Model != "" {
		where = append(where, "model = "+arg(q.Model))
	}
	if len(q.Tokens) > 0 {
		var ids []string
		for _, id := range q.Tokens {
			ids = append(ids, arg(id))
		}
		where = append(where, "token IN ("+strings.Join(ids, ", ")+")")
	}
	st.sql = "SELECT " + strings.Join(columns, ", ") + " FROM usage_hours WHERE " + strings.Join(where, " AND ") +
		" GROUP BY " + strings.Join(group, ", ")
	return st
}
