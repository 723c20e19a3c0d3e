package store_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/store"
)

// versions are the numbers of all migrations.
func versions(t testing.TB) (out []int64) {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	for _, file := range files {
		var v int64
		_, err := fmt.Sscanf(filepath.Base(file), "%05d_", &v)
		must(t, err)
		out = append(out, v)
	}
	return out
}

// rowsOfEach is in how many rows of each table a version is tried.
const rowsOfEach = 4

// plausible is a value of a column in one row: no two rows have the same, so that they break no key, and what may be missing is missing in
// every other one.
func plausible(column, kind string, null bool, row int) any {
	if null && row%2 == 1 {
		return nil
	}
	switch kind {
	case "TEXT":
		return fmt.Sprint(column, "-", row)
	case "BIGINT":
		return int64(1_700_000_000_000_000 + 3_600_000_000*row) // a time, in hours that differ
	case "BOOLEAN":
		return row%2 == 0
	case "DOUBLE PRECISION":
		return float64(row) + 0.25
	}
	panic("no value for a " + kind)
}

// filledAt makes a SQLite database of a version of the schema, with rows in each of its tables: the schema itself says in which.
func filledAt(t *testing.T, version int64) (dsn string, rows taken) {
	t.Helper()
	dsn = databases["sqlite"](t)
	r, err := store.BeginRefill(t.Context(), dsn, version, "a test", nil)
	must(t, err)
	nothing := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, name := range tablesOf(t, dsn) {
		rows.sums = append(rows.sums, store.Rows{Table: name, SHA256: nothing})
	}
	must(t, r.Keep(t.Context(), rows.sums))
	must(t, r.Finish(t.Context()))
	r.Close()
	db := raw(t, dsn)
	for _, table := range rows.sums {
		if table.Table == "palisade_move" {
			continue
		}
		names, kinds, null := columnsOf(t, db, table.Table)
		marks := make([]string, len(names))
		for i := range marks {
			marks[i] = fmt.Sprint("$", i+1)
		}
		insert := "INSERT INTO " + table.Table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
		for row := range rowsOfEach {
			values := make([]any, len(names))
			for i := range names {
				values[i] = plausible(names[i], kinds[i], null[i], row)
			}
			if _, err := db.Exec(insert, values...); err != nil {
				t.Fatalf("filling %s: %v", table.Table, err)
			}
		}
	}
	return dsn, take(t, dsn)
}

// TestEveryVersionMigrates: from each version that ever was, with rows in every table, the newest schema has all of these rows, and all of
// their values in columns that are still there.
func TestEveryVersionMigrates(t *testing.T) {
	all := versions(t)
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, version := range all {
			t.Run(fmt.Sprint(kind, " ", version), func(t *testing.T) {
				dsn, before := filledAt(t, version)
				if before.version != version {
					t.Fatalf("it is of version %d", before.version)
				}
				if kind == "postgres" {
					other := databases[kind](t)
					move(t, dsn, other)
					dsn = other
				}
				open(t, dsn).Close()
				after := take(t, dsn)
				if after.version != all[len(all)-1] {
					t.Errorf("it is of version %d", after.version)
				}
				for _, was := range before.sums {
					before.survives(t, was, after)
				}
			})
		}
	}
}

// survives compares one table.
func (k taken) survives(t *testing.T, was store.Rows, after taken) {
	t.Helper()
	now := columnsIn(after, was.Table)
	if now == nil {
		t.Errorf("there is no table %s any more: say here where its rows went", was.Table)
		return
	}
	var shared [][2]int // places of columns, before and after
	for i, c := range was.Columns {
		if at := slices.Index(now, c); at >= 0 {
			shared = append(shared, [2]int{i, at})
		}
	}
	text := func(row []any, side int) string {
		var out []any
		for _, at := range shared {
			out = append(out, row[at[side]])
		}
		return fmt.Sprintf("%#v", out)
	}
	var have []string
	for _, row := range after.rows[was.Table] {
		have = append(have, text(row, 1))
	}
	for _, row := range k.rows[was.Table] {
		at := slices.Index(have, text(row, 0))
		if at < 0 {
			t.Errorf("table %s: the row %s is not there any more, or another one:\n%q", was.Table, text(row, 0), have)
			return
		}
		have = slices.Delete(have, at, at+1)
	}
}
