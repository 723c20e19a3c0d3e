package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

const (
	usageChunk = 10 // rows of one statement: SQLite takes longer for each where there are many parameters

	// writerKept is how long a writer is remembered after its last batch. None waits for the answer to one as long.
	writerKept = 30 * 24 * time.Hour
)

// usageTable is one of the tables that keep usage, each with its own grain.
type usageTable struct {
	name   string
	whose, // columns before the sums
	unique []string // of those: of one row each
	at func(r usage.Row) usage.Row // the row of this table that r counts in
}

// usageTables are those that a batch is added to: by the hour; by the day in UTC; by the hour and the project. The
// latter two are sums of the first.
func usageTables() [3]usageTable {
	all := []string{"hour", "token", "project", "service_id", "service", "model", "class"}
	few := []string{"hour", "project", "class"}
	return [3]usageTable{
		{"usage_hours", all, []string{"hour", "token", "service_id", "model", "class"}, nil},
		{"usage_days", all, all, func(r usage.Row) usage.Row {
			r.Hour = r.Hour.Truncate(usageDay)
			return r
		}},
		{"usage_projects", few, few, func(r usage.Row) usage.Row {
			r.Key = usage.Key{Project: r.Project}
			return r
		}},
	}
}

// usageSums are the columns that are summed up.
func usageSums() []string {
	return []string{"requests", "prompt_tokens", "completion_tokens", "cached_tokens", "estimated_tokens", "streams", "first_us", "took_us"}
}

// AddUsage implements usage.Store. The number of the writer's last batch is kept in the same transaction as its rows:
// that makes a batch that comes again, after an answer that was lost, do nothing.
func (s *Store) AddUsage(ctx context.Context, b usage.Batch) error {
	if s.past != nil {
		defer s.past.requests.added(len(b.Rows), func(i int) time.Time { return b.Rows[i].Hour }) // whatever the answer: it may be in
	}
	return s.write(withoutTerm(ctx), "adding usage", func(ctx context.Context, t *tx) error {
		fresh, err := t.claim(ctx, &b)
		if err != nil || !fresh {
			return err
		}
		for _, table := range usageTables() {
			rows := table.rows(b.Rows)
			whole := len(rows) / usageChunk * usageChunk
			if err := t.addUsage(ctx, &table, rows[:whole], usageChunk); err != nil {
				return err
			}
			if err := t.addUsage(ctx, &table, rows[whole:], 1); err != nil {
				return err
			}
		}
		return nil
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

// rows are those of a batch as the table keeps them: each of its own once, in one order everywhere.
func (u *usageTable) rows(batch []usage.Row) []usage.Row {
	if u.at == nil {
		return batch
	}
	type bucket struct {
		hour  int64
		key   usage.Key
		class usage.Class
	}
	var out []usage.Row
	index := map[bucket]int{}
	for _, r := range batch {
		r = u.at(r)
		k := bucket{r.Hour.UnixMicro(), r.Key, r.Class}
		if at, known := index[k]; known {
			out[at].Add(&r.Sums)
			continue
		}
		index[k] = len(out)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b usage.Row) int {
		return cmp.Or(a.Hour.Compare(b.Hour), strings.Compare(a.Token, b.Token), strings.Compare(a.Project, b.Project), strings.Compare(a.ServiceID, b.ServiceID),
			strings.Compare(a.Service, b.Service), strings.Compare(a.Model, b.Model), cmp.Compare(a.Class, b.Class))
	})
	return out
}

// addUsage adds rows, chunk of them in one statement. The statement is not prepared for all of them: where the context
// ends just then, database/sql gives the connection up without it, and closing it later reaches into a connection that
// is gone.
func (t *tx) addUsage(ctx context.Context, table *usageTable, rows []usage.Row, chunk int) error {
	if len(rows) == 0 {
		return nil
	}
	add := table.add(chunk)
	for some := range slices.Chunk(rows, chunk) {
		var args []any
		for i := range some {
			args = table.args(args, &some[i])
		}
		if _, err := t.exec(ctx, add, args...); err != nil {
			return err
		}
	}
	return nil
}

// args appends the values of a row's columns.
func (u *usageTable) args(args []any, r *usage.Row) []any {
	if len(u.whose) == 3 {
		args = append(args, r.Hour, r.Project, int64(r.Class))
	} else {
		args = append(args, r.Hour, r.Token, r.Project, r.ServiceID, r.Service, r.Model, int64(r.Class))
	}
	return append(args, r.Requests, r.Prompt, r.Completion, r.Cached, r.Estimated, r.Streams, r.First, r.Took)
}

// add is the statement that adds a number of rows to those that are there.
func (u *usageTable) add(rows int) string {
	columns := slices.Concat(u.whose, usageSums())
	var values, sums []string
	for row := range rows {
		marks := make([]string, len(columns))
		for i := range marks {
			marks[i] = fmt.Sprint("$", row*len(columns)+i+1)
		}
		values = append(values, "("+strings.Join(marks, ", ")+")")
	}
	for _, name := range usageSums() {
		sums = append(sums, name+" = "+u.name+"."+name+" + excluded."+name)
	}
	return "INSERT INTO " + u.name + " (" + strings.Join(columns, ", ") + ") VALUES " + strings.Join(values, ", ") +
		" ON CONFLICT (" + strings.Join(u.unique, ", ") + ") DO UPDATE SET " + strings.Join(sums, ", ")
}
