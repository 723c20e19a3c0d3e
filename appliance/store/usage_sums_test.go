package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router/usage"
)

// randomUsage asks for any stretch of three days, by anything.
func randomUsage(random *rand.Rand, zones []*time.Location) usage.Query {
	q := usage.Query{Zone: zones[random.IntN(len(zones))]}
	all := usage.Dimensions()
	for _, d := range random.Perm(len(all))[:random.IntN(3)] {
		if !all[d].OfTime() || q.Time() == "" {
			q.By = append(q.By, all[d])
		}
	}
	hour := func() time.Time { return midnight.Add(time.Duration(random.IntN(90)-9) * time.Hour) }
	if random.IntN(5) > 0 {
		q.From = hour()
	}
	if random.IntN(5) > 0 {
		q.To = hour()
	}
	if random.IntN(3) == 0 {
		q.Project = "red"
	}
	if random.IntN(4) == 0 {
		q.Tokens = []string{"tok-1", "tok-2"}
	}
	if random.IntN(6) == 0 {
		q.Prices = &usage.Prices{Models: map[string]usage.ModelPrice{"m1": {Prompt: 1000}}}
	}
	return q
}

// sameSums asks random questions, and compares with what summing up the hours one by one gives.
func sameSums(t *testing.T, s *store.Store, rows []usage.Row, seed uint64) {
	t.Helper()
	var zones []*time.Location
	for _, name := range []string{"UTC", "Asia/Seoul", "America/New_York"} {
		zone, err := time.LoadLocation(name)
		must(t, err)
		zones = append(zones, zone)
	}
	random := rand.New(rand.NewPCG(seed, 5))
	for range 150 {
		q := randomUsage(random, zones)
		var chosen []usage.Row
		for _, r := range rows {
			if !r.Hour.Before(q.From) && (q.To.IsZero() || r.Hour.Before(q.To)) && (q.Project == "" || q.Project == r.Project) &&
				(q.Tokens == nil || slices.Contains(q.Tokens, r.Token)) {
				chosen = append(chosen, r)
			}
		}
		got, err := s.Usage(t.Context(), q)
		must(t, err)
		if d := cmp.Diff(usage.Fold(chosen, &q), usage.Fold(got, &q), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
			t.Fatalf("%+v (-want +got):\n%s", q, d)
		}
	}
}

// since are the words that drop all columns and tables that a migration and those after it have made.
func since(t *testing.T, version int) []string {
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	var columns, tables []string
	for _, file := range files {
		var of int
		_, err := fmt.Sscanf(filepath.Base(file), "%d_", &of)
		must(t, err)
		if of < version {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, made := range regexp.MustCompile(`CREATE TABLE (\w+)`).FindAllSubmatch(text, -1) {
			tables = append(tables, "DROP TABLE "+string(made[1]))
		}
		for _, added := range regexp.MustCompile(`ALTER TABLE (\w+) ADD COLUMN (\w+)`).FindAllSubmatch(text, -1) {
			columns = append(columns, fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", added[1], added[2]))
		}
	}
	return append(columns, tables...)
}

// Sums by days and projects are those of their hours, whatever is asked, also of what was there before there were any; and
// of hours that are added to late.
func TestSumsOfUsageAreThoseOfItsHours(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		rows := usageRows(rand.New(rand.NewPCG(7, 8)))
		add := func(s *store.Store, number int64, rows []usage.Row) {
			must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: number, At: at, Rows: rows}))
		}
		s, err := store.Open(t.Context(), store.Options{DSN: dsn})
		must(t, err)
		add(s, 1, rows[:200])
		must(t, s.Close())

		db := raw(t, dsn) // as an older program left it
		for _, change := range append(since(t, 22), "DELETE FROM palisade_schema WHERE version_id >= 22") {
			if _, err := db.ExecContext(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, dsn)
		sameSums(t, s, rows[:200], 1)
		add(s, 2, rows[200:])
		add(s, 2, rows[200:]) // the answer was lost
		sameSums(t, s, rows, 2)
		add(s, 3, rows[:50])
		sameSums(t, s, slices.Concat(rows, rows[:50]), 3)
	})
}

// TestDaysThatAreOver: what is kept of an answer is forgotten when something is added to its days late, also while it is read.
func TestDaysThatAreOver(t *testing.T) {
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "palisade.db"))
	row := func(hour time.Time) usage.Row {
		return usage.Row{Hour: hour, Key: usage.Key{Token: "tok-1", Project: "red", ServiceID: "svc", Service: "demo", Model: "m"}, Class: usage.Class2xx, Sums: usage.Sums{Requests: 1}}
	}
	today := midnight.Truncate(24 * time.Hour)
	q := usage.Query{By: []usage.Dimension{usage.ByService}, Zone: time.UTC, From: today.AddDate(0, 0, -3), To: today.Add(6 * time.Hour)}
	number := int64(0)
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{today.AddDate(0, 0, -2), 1}, {today.Add(time.Hour), 2}, {today.Add(2 * time.Hour), 3}, {today.AddDate(0, 0, -1), 4}, {today.AddDate(0, 0, -10), 4}, {today.Add(-time.Hour), 5}, {today, 6}} {
		number++
		must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: number, At: at, Rows: []usage.Row{row(c.at)}}))
		for range 2 {
			rows, err := s.Usage(t.Context(), q)
			must(t, err)
			if got := usage.Fold(rows, &q).Total.Requests; got != c.want {
				t.Errorf("after one at %s: %d, want %d", c.at, got, c.want)
			}
		}
	}
	// Many ask while somebody adds to yesterday: who asks afterwards is told of all of it.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 50 {
				of := q
				of.From = today.AddDate(0, 0, -1-i%3)
				if _, err := s.Usage(t.Context(), of); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 30 {
		number++
		must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: number, At: at, Rows: []usage.Row{row(today.Add(-2 * time.Hour))}}))
	}
	all.Wait()
	rows, err := s.Usage(t.Context(), q)
	must(t, err)
	if got := usage.Fold(rows, &q).Total.Requests; got != 36 {
		t.Errorf("after many: %d, want 36", got)
	}
}
