package store_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

// tablesOf are all tables that a new database has but those of the migrations, of a move and of the lock, which writes it when it is
// taken, as the database itself lists them.
func tablesOf(t testing.TB, dsn string) []string {
	t.Helper()
	query := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
	if strings.HasPrefix(dsn, "postgres") {
		query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
	}
	names := column[string](t, dsn, query)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "palisade_schema" || n == "palisade_floor" || n == "holders" })
	slices.Sort(names)
	return names
}

func column[T any](t testing.TB, dsn, query string, args ...any) []T {
	t.Helper()
	rows, err := raw(t, dsn).Query(query, args...)
	must(t, err)
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		must(t, rows.Scan(&v))
		out = append(out, v)
	}
	must(t, rows.Err())
	return out
}

// oddTexts are what languages sort in another order than bytes, and what quoting and encoding may break.
var oddTexts = []string{"Zz", "zz", "ä", "a-b", "a_b", "A", "", "o'ne \"two\" \\n\n\t\r", "日本 🙂 e\u0301 \uFFFD", "\\N", "NULL", "1e999", "0x10", strings.Repeat("é", 9000)}

// fillTables puts rows into every table of a SQLite database, whatever it is for: in each column every odd value of its
// type, and NULL where there may be one.
func fillTables(t testing.TB, dsn string, rows int) {
	t.Helper()
	db := raw(t, dsn)
	for _, name := range tablesOf(t, dsn) {
		names, kinds, null := columnsOf(t, db, name)
		marks := make([]string, len(names))
		for i := range marks {
			marks[i] = fmt.Sprint("$", i+1)
		}
		_, err := db.Exec("DELETE FROM " + name)
		must(t, err)
		for row := range rows {
			args := make([]any, len(names))
			for i := range args {
				if args[i] = oddValue(kinds[i], row+i, row); null[i] && (row+i)%5 == 0 {
					args[i] = nil
				}
			}
			if _, err := db.Exec("INSERT INTO "+name+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", args...); err != nil {
				t.Fatalf("filling %s: %v", name, err)
			}
		}
	}
}

// columnsOf are the names and types of a table's columns, and whether each may be NULL.
func columnsOf(t testing.TB, db *sql.DB, table string) (names, kinds []string, null []bool) {
	t.Helper()
	info, err := db.Query("SELECT name, type, \"notnull\" FROM pragma_table_info($1)", table)
	must(t, err)
	defer info.Close()
	for info.Next() {
		var n, k string
		var notNull int
		must(t, info.Scan(&n, &k, &notNull))
		names, kinds, null = append(names, n), append(kinds, k), append(null, notNull == 0)
	}
	must(t, info.Err())
	return names, kinds, null
}

func oddValue(kind string, n, row int) any {
	switch kind {
	case "TEXT":
		text := oddTexts[n%len(oddTexts)]
		if len(text) > 1000 && row > 2 {
			text = "short"
		}
		return fmt.Sprint(text, row) // no two are the same
	case "BIGINT":
		if few := []int64{math.MaxInt64, math.MinInt64, 0, -1}; row < len(few) {
			return few[row]
		}
		return int64(n) * 1000003
	case "BOOLEAN":
		return n%2 == 0
	case "DOUBLE PRECISION":
		return []float64{0.1, -1e300, 5e-324, math.Inf(1), 0, math.MaxFloat64, 3}[n%7]
	}
	panic("no value for a " + kind)
}

// dump are all rows of a database as text, in an order of its own making.
func dump(t testing.TB, dsn string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, name := range tablesOf(t, dsn) {
		if name == "palisade_move" {
			continue
		}
		out[name] = rowsText(t, dsn, name)
		slices.Sort(out[name])
	}
	return out
}

func rowsText(t testing.TB, dsn, table string) (out []string) {
	t.Helper()
	rows, err := raw(t, dsn).Query("SELECT * FROM " + table)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		must(t, rows.Scan(into...))
		var parts []string
		for i, c := range columns {
			if truth, ok := values[i].(bool); ok { // SQLite's are numbers
				values[i] = map[bool]int64{false: 0, true: 1}[truth]
			}
			parts = append(parts, fmt.Sprintf("%s=%T(%q)", c, values[i], fmt.Sprint(values[i])))
		}
		slices.Sort(parts)
		out = append(out, strings.Join(parts, " "))
	}
	must(t, rows.Err())
	return out
}

// fresh is a new, migrated and closed database.
func fresh(t testing.TB, dsn string) string {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	must(t, err)
	must(t, s.Close())
	return dsn
}

func move(t testing.TB, from, to string) store.Moved {
	t.Helper()
	moved, err := store.Move(t.Context(), store.MoveOptions{From: from, To: to})
	must(t, err)
	return moved
}

// Every table, with every value that it can hold, comes to PostgreSQL and back as it was.
func TestMoveThereAndBack(t *testing.T) {
	from := fresh(t, databases["sqlite"](t))
	fillTables(t, from, 40)
	before := dump(t, from)
	server := databases["postgres"](t)
	moved := move(t, from, server)
	var names []string
	for _, one := range moved.Tables {
		names = append(names, one.Name)
		if one.Rows != int64(len(before[one.Name])) || one.Rows != 40 || len(one.SHA256) != 64 {
			t.Errorf("%+v of %d rows", one, len(before[one.Name]))
		}
	}
	if d := gocmp.Diff(tablesOf(t, from), names); d != "" {
		t.Errorf("tables (-there +moved):\n%s", d)
	}
	if d := gocmp.Diff(before, dump(t, server)); d != "" {
		t.Errorf("in PostgreSQL (-before +after):\n%.3000s", d)
	}
	if d := gocmp.Diff(before, dump(t, from)); d != "" {
		t.Errorf("the old one changed:\n%.3000s", d)
	}
	fresh(t, server) // it can be used, and is then no move's any more
	if d := gocmp.Diff(tablesOf(t, from), tablesOf(t, server)); d != "" {
		t.Errorf("tables once it was used (-want +got):\n%s", d)
	}
	back := databases["sqlite"](t)
	returned := move(t, server, back)
	if d := gocmp.Diff(moved, returned); d != "" {
		t.Errorf("what was moved (-there +back):\n%s", d)
	}
	if d := gocmp.Diff(before, dump(t, back)); d != "" {
		t.Errorf("back again (-before +after):\n%.3000s", d)
	}
	if info, err := os.Stat(strings.TrimPrefix(back, "sqlite:")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What makes copying table by table right: see the head of the first migration.
func TestNothingPointsFromTableToTable(t *testing.T) {
	lite, server := fresh(t, databases["sqlite"](t)), fresh(t, databases["postgres"](t))
	for _, name := range tablesOf(t, lite) {
		if to := column[string](t, lite, "SELECT \"table\" FROM pragma_foreign_key_list($1)", name); len(to) > 0 {
			t.Errorf("%s has foreign keys to %v: the move would have to copy those first", name, to)
		}
	}
	if keys := column[string](t, server, "SELECT conname FROM pg_constraint WHERE contype = 'f'"); len(keys) > 0 {
		t.Errorf("foreign keys: %v", keys)
	}
	if counters := column[string](t, server, `SELECT s.relname FROM pg_class s WHERE s.relkind = 'S' AND NOT EXISTS
		(SELECT 1 FROM pg_depend d WHERE d.objid = s.oid AND d.refobjid = 'palisade_schema'::regclass)`); len(counters) > 0 {
		t.Errorf("sequences: %v: the move would have to set them", counters)
	}
}

func TestMoveIsRefused(t *testing.T) {
	full := fresh(t, databases["sqlite"](t))
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run("to a "+name+" that is not empty", func(t *testing.T) {
			to := fresh(t, databases[name](t))
			before := dump(t, to)
			_, err := store.Move(t.Context(), store.MoveOptions{From: full, To: to})
			wantKind(t, err, store.ErrNotEmpty)
			if d := gocmp.Diff(before, dump(t, to)); d != "" {
				t.Error(d)
			}
		})
		t.Run("from an empty "+name, func(t *testing.T) {
			from := databases[name](t)
			if path, ok := strings.CutPrefix(from, "sqlite:"); ok {
				must(t, os.WriteFile(path, nil, 0o600))
			}
			_, err := store.Move(t.Context(), store.MoveOptions{From: from, To: databases["sqlite"](t)})
			wantKind(t, err, store.ErrForeignData)
		})
		t.Run("from a newer "+name, func(t *testing.T) {
			from := fresh(t, databases[name](t))
			_, err := raw(t, from).Exec("INSERT INTO palisade_schema (version_id, is_applied) VALUES (999, TRUE)")
			must(t, err)
			_, err = store.Move(t.Context(), store.MoveOptions{From: from, To: databases["sqlite"](t)})
			wantKind(t, err, store.ErrNewerData)
		})
		t.Run("from a "+name+" that is used", func(t *testing.T) {
			from := databases[name](t)
			s, err := store.Open(t.Context(), store.Options{DSN: from, Alone: true})
			must(t, err)
			defer s.Close()
			if name == "sqlite" { // its daemon's lock is the data directory's; this one is somebody who writes
				_, err := raw(t, from).Exec("BEGIN IMMEDIATE")
				must(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 100*1e6)
				defer cancel()
				if _, err = store.Move(ctx, store.MoveOptions{From: from, To: databases["postgres"](t)}); err == nil {
					t.Error("it was moved while somebody wrote")
				}
				return
			}
			_, err = store.Move(t.Context(), store.MoveOptions{From: from, To: databases["sqlite"](t)})
			wantKind(t, err, store.ErrTaken)
		})
	}
	t.Run("to itself", func(t *testing.T) {
		_, err := store.Move(t.Context(), store.MoveOptions{From: full, To: strings.TrimPrefix(full, "sqlite:")})
		wantKind(t, err, store.ErrNotEmpty)
	})
	t.Run("from nowhere", func(t *testing.T) {
		to := databases["sqlite"](t)
		_, err := store.Move(t.Context(), store.MoveOptions{From: databases["sqlite"](t), To: to})
		wantKind(t, err, store.ErrUnavailable)
		if _, err := os.Stat(strings.TrimPrefix(to, "sqlite:")); err == nil {
			t.Error("a file was made all the same")
		}
	})
}

// SQLite keeps what PostgreSQL does not: it is found before anything is done, and named.
func TestUnfitRows(t *testing.T) {
	from := fresh(t, databases["sqlite"](t))
	db := raw(t, from)
	for _, change := range []string{
		"INSERT INTO secrets (name, ciphertext, created_at) VALUES ('nul', CAST(X'610062' AS TEXT), 1)",
		"INSERT INTO secrets (name, ciphertext, created_at) VALUES ('latin', CAST(X'61FF' AS TEXT), 1)",
		"INSERT INTO secrets (name, ciphertext, created_at) VALUES ('bytes', X'00', 1)",
		"INSERT INTO secrets (name, ciphertext, created_at) VALUES ('late', '', 9223372036854775808)",
		"INSERT INTO secrets (name, ciphertext, created_at) VALUES ('word', '', 'soon')",
		"INSERT INTO project_members (project, person, role, added_by) VALUES ('p', CAST(X'00' AS TEXT), 1, '')",
		"INSERT INTO catalogs VALUES ('c', '', '', '', '', 7, '', '', '', 0, '', '', 1, 1, 1, '')",
	} {
		_, err := db.Exec(change)
		must(t, err)
	}
	before, to := dump(t, from), databases["postgres"](t)
	_, err := store.Move(t.Context(), store.MoveOptions{From: from, To: to})
	wantKind(t, err, store.ErrUnfit)
	for _, want := range []string{
		"secrets, row name=nul, column ciphertext: PostgreSQL keeps no NUL in text, and byte 2 of 3 is one",
		"secrets, row name=latin, column ciphertext: it is not UTF-8 from byte 2 of 2 on",
		"secrets, row name=bytes, column ciphertext: it is bytes, where text belongs",
		"secrets, row name=late, column created_at: the number is not whole, or larger",
		"secrets, row name=word, column created_at: it is text, where a bigint belongs",
		`project_members, row project=p, person="\x00", column person: PostgreSQL keeps no NUL`,
		"catalogs, row name=c, column unsigned: it is a number, where a boolean belongs",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it is not said that %s:\n%v", want, err)
		}
	}
	if d := gocmp.Diff(before, dump(t, from)); d != "" {
		t.Error(d)
	}
	if made := tablesOf(t, to); len(made) > 0 {
		t.Errorf("%v were made", made)
	}
}

// What only the server itself can tell is found while rows are copied: the row is named, and the new database is none.
func TestARowThatTheServerRefuses(t *testing.T) {
	from := fresh(t, databases["sqlite"](t))
	long, dice := make([]byte, 9000), rand.New(rand.NewPCG(1, 2))
	for i := range long { // nothing that could be packed
		long[i] = byte('!' + dice.IntN(90))
	}
	_, err := raw(t, from).Exec("INSERT INTO catalog_keys (id, name, text, added_by) VALUES ('a', '', '', ''), ($1, '', '', '')", string(long))
	must(t, err)
	to := databases["postgres"](t)
	_, err = store.Move(t.Context(), store.MoveOptions{From: from, To: to})
	wantKind(t, err, store.ErrUnfit)
	if !strings.Contains(err.Error(), "catalog_keys, row id=") || !strings.Contains(err.Error(), "(9000 bytes): ") {
		t.Error(err)
	}
	refused(t, to, store.ErrHalf)
	_, err = raw(t, from).Exec("DELETE FROM catalog_keys WHERE length(id) = 9000")
	must(t, err)
	move(t, from, to)
	fresh(t, to)
}

// One byte that is not what it was, a row that went and a row that came are found.
func TestComparingFindsAByte(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		for _, tt := range []struct{ change, want string }{
			{"UPDATE services SET last_error = last_error || ' ' WHERE replicas = (SELECT MAX(replicas) FROM services)", "column last_error is not the same"},
			{"UPDATE services SET public = NOT public WHERE id = (SELECT MIN(id) FROM services)", "column public is not the same"},
			{"UPDATE services SET created_at = 1 WHERE id = (SELECT id FROM services WHERE created_at IS NULL LIMIT 1)", "column created_at is not the same"},
			{"DELETE FROM services WHERE id = (SELECT MAX(id) FROM services)", "it is not there"},
			{"INSERT INTO secrets VALUES ('~', '', 1, 1)", "it is there and was not before"},
		} {
			t.Run(name+" "+tt.want, func(t *testing.T) {
				from, to := fresh(t, databases["sqlite"](t)), databases[name](t)
				fillTables(t, from, 12)
				changed := false
				_, err := store.Move(t.Context(), store.MoveOptions{From: from, To: to,
					Switch: func(store.Moved) error { t.Error("it was switched all the same"); return nil },
					Progress: func(s store.MoveStep) {
						if s.Phase != store.MoveComparing || changed {
							return
						}
						changed = true
						if n, err := raw(t, to).Exec(tt.change); err != nil {
							t.Error(err)
						} else if n, _ := n.RowsAffected(); n != 1 {
							t.Errorf("%d rows were changed", n)
						}
					}})
				wantKind(t, err, store.ErrDifferent)
				if !strings.Contains(err.Error(), tt.want) {
					t.Error(err)
				}
				refused(t, to, store.ErrHalf)
			})
		}
	}
}

// moveRole is the role of a child that moves a database and kills itself at a step of it.
const moveRole = "move:"

// toEnv tells it where to.
const toEnv = "PALISADE_STORE_TEST_TO"

func movingChild(role string) error {
	at, err := strconv.Atoi(strings.TrimPrefix(role, moveRole))
	if err != nil {
		return err
	}
	step := 0
	die := func() {
		if step++; step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	_, err = store.Move(context.Background(), store.MoveOptions{From: os.Getenv(dsnEnv), To: os.Getenv(toEnv),
		Progress: func(store.MoveStep) { die() }, Switch: func(store.Moved) error { die(); return nil }})
	return err
}

// A move that is killed at whatever step leaves the old database as it was, and can be repeated.
func TestMoveThatIsKilled(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run("to "+name, func(t *testing.T) {
			from, to := fresh(t, databases["sqlite"](t)), databases[name](t)
			if name == "sqlite" {
				server := databases["postgres"](t)
				fillTables(t, from, 8)
				move(t, from, server)
				from = fresh(t, server)
			} else {
				fillTables(t, from, 8)
			}
			before := dump(t, from)
			tables := len(tablesOf(t, from))
			// At the first and last table of each phase, at the end, and when it was to be switched.
			steps := []int{1, tables + 1, tables + tables/2, 2 * tables, 2*tables + 1, 3 * tables, 3*tables + 1, 3*tables + 2}
			for _, at := range steps {
				exe, err := os.Executable()
				must(t, err)
				cmd := exec.Command(exe)
				cmd.Env = append(os.Environ(), childEnv+"="+moveRole+strconv.Itoa(at), dsnEnv+"="+from, toEnv+"="+to)
				out, err := cmd.CombinedOutput()
				if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
					t.Fatalf("at step %d: %v %s", at, err, out)
				}
				if at > tables && at <= 3*tables {
					refused(t, to, store.ErrHalf)
				}
			}
			if d := gocmp.Diff(before, dump(t, from)); d != "" {
				t.Errorf("what is moved changed:\n%.2000s", d)
			}
			fresh(t, from) // it is still to be used
			move(t, from, to)
			if d := gocmp.Diff(before, dump(t, fresh(t, to))); d != "" {
				t.Errorf("after the last one (-before +after):\n%.2000s", d)
			}
		})
	}
}

// What an older program wrote is moved as it is, and brought up to date by whoever uses it then.
func TestMoveOfOlderData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "palisade.db")
	text, err := os.ReadFile("testdata/version6.sql")
	must(t, err)
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	_, err = db.ExecContext(t.Context(), string(text))
	must(t, err)
	must(t, db.Close())
	was, err := os.ReadFile(path)
	must(t, err)
	to := databases["postgres"](t)
	if moved := move(t, path, to); moved.Version != 6 {
		t.Errorf("version %d", moved.Version)
	}
	if is, err := os.ReadFile(path); err != nil || !bytes.Equal(was[100:], is[100:]) { // the head says how its log is kept
		t.Error("the old one changed: ", err)
	}
	s := open(t, to)
	services, err := s.Services(t.Context())
	if err != nil || len(services) != 1 || services[0].Name != "chat" {
		t.Errorf("%+v, %v", services, err)
	}
	all, err := s.Sessions(t.Context())
	must(t, err)
	slices.SortFunc(all, func(a, b sessions.Session) int { return cmp.Compare(a.ID, b.ID) })
	if len(all) != 2 || all[0].ID != "ses-done" {
		t.Errorf("%+v", all)
	}
}
