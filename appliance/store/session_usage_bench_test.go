package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/training/accounts"
)

// BenchmarkSessionUsage sums up what ten thousand sessions held for a hundred hours each: a million rows.
func BenchmarkSessionUsage(b *testing.B) {
	s := open(b, "sqlite:"+filepath.Join(b.TempDir(), "palisade.db"))
	end := time.Now().UTC().Truncate(time.Hour)
	fillSessionUsage(b, s, end)
	for _, one := range []struct {
		name string
		days int
		by   []accounts.Dimension
	}{
		{"30d_by_user", 30, []accounts.Dimension{accounts.ByUser}}, {"30d_by_day", 30, []accounts.Dimension{accounts.ByDay}},
		{"365d_by_session", 365, []accounts.Dimension{accounts.BySession}}, {"365d_by_month", 365, []accounts.Dimension{accounts.ByMonth}},
	} {
		b.Run(one.name, func(b *testing.B) {
			q := accounts.Query{By: one.by, From: end.AddDate(0, 0, -one.days), To: end.Add(time.Hour), Zone: time.UTC, Project: "default"}
			for b.Loop() {
				rows, err := s.SessionUsage(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				accounts.Fold(rows, &q)
			}
		})
	}
}

func fillSessionUsage(b *testing.B, s *store.Store, end time.Time) {
	b.Helper()
	const sessions, hours = 10_000, 100
	var rows []accounts.Row
	for i := range sessions {
		begun := end.Add(-time.Duration(i%8600) * time.Hour)
		for h := range hours {
			at := begun.Add(-time.Duration(h) * time.Hour)
			rows = append(rows, accounts.Row{
				Hour: at, Session: fmt.Sprintf("ses-%07d", i), Name: fmt.Sprint("job-", i), User: fmt.Sprint("user-", i%50), Project: "default", Type: "batch",
				Sums: accounts.Sums{Held: 3_600_000_000, Cores: 7_200_000_000, Memory: 3_600_000 * 512, CPU: 1_000_000_000}, Until: at.Add(time.Hour), Run: at,
			})
		}
		if i%500 == 499 {
			must(b, s.SaveSessionUsage(b.Context(), rows))
			rows = rows[:0]
		}
	}
}

// BenchmarkSessionUsageFlush is what bringing an hour of a thousand running sessions to the store takes.
func BenchmarkSessionUsageFlush(b *testing.B) {
	for name, fresh := range databases {
		b.Run(name, func(b *testing.B) {
			s := open(b, fresh(b))
			var rows []accounts.Row
			for i := range 1000 {
				rows = append(rows, accounts.Row{Hour: midnight, Session: fmt.Sprintf("ses-%07d", i), Name: fmt.Sprint("job-", i), User: "ann", Project: "default", Type: "batch"})
			}
			for b.Loop() {
				for i := range rows {
					rows[i].Held++
				}
				must(b, s.SaveSessionUsage(b.Context(), rows))
			}
		})
	}
}
