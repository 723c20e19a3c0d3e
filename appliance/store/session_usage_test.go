package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/training/accounts"
)

var _ accounts.Store = (*store.Store)(nil)

// TestSessionUsage: a row is what was written last; sums are of what was chosen.
func TestSessionUsage(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		var rows []accounts.Row
		for i := range 3000 {
			rows = append(rows, accounts.Row{
				Hour: midnight.Add(time.Duration(i%3) * time.Hour), Session: fmt.Sprint("ses-", i/3), Name: fmt.Sprint("train-", i/3%2),
				User: fmt.Sprint("user-", i/3%5), Project: "red", Type: "batch", Until: midnight.Add(time.Duration(i) * time.Millisecond),
				Sums: accounts.Sums{Held: int64(i), Cores: 1e12, Memory: 1e13, Shares: 3, CPU: 4, Used: 5},
			})
		}
		one := filled[accounts.Row]()
		one.Hour = midnight
		must(t, s.SaveSessionUsage(t.Context(), append(rows, one)))
		must(t, s.SaveSessionUsage(t.Context(), append(rows, one))) // the answer to the first was lost
		older := one
		older.Held++
		must(t, s.SaveSessionUsage(t.Context(), []accounts.Row{older, one})) // the last one counts
		last, err := s.LastSessionUsage(t.Context(), []string{one.Session, "ses-7", "ses-none"})
		must(t, err)
		want := []accounts.Row{rows[23], one}
		if len(last) == 2 && last[0].Session == one.Session {
			last[0], last[1] = last[1], last[0]
		}
		if d := cmp.Diff(want, last); d != "" {
			t.Error(d)
		}
		for _, c := range []struct {
			q    accounts.Query
			rows int
			held int64
		}{
			{accounts.Query{}, 1, 3000*2999/2 + one.Held},
			{accounts.Query{By: []accounts.Dimension{accounts.BySession}}, 1001, 3000*2999/2 + one.Held},
			{accounts.Query{By: []accounts.Dimension{accounts.ByUser}}, 6, 3000*2999/2 + one.Held},
			{accounts.Query{By: []accounts.Dimension{accounts.ByHour, accounts.ByProject}, Uncounted: true}, 4, 3000*2999/2 + one.Held},
			{accounts.Query{Project: "red", Session: "ses-7"}, 1, 21 + 22 + 23},
			{accounts.Query{Session: "ses-7", By: []accounts.Dimension{accounts.ByDay}}, 3, 21 + 22 + 23},
			{accounts.Query{Session: "ses-7", From: midnight.Add(time.Hour), To: midnight.Add(2 * time.Hour)}, 1, 22},
			{accounts.Query{User: "user-1", Session: "train-1", Type: "batch", By: []accounts.Dimension{accounts.BySession}}, 100, -1},
			{accounts.Query{User: "nobody"}, 0, 0},
		} {
			got, err := s.SessionUsage(t.Context(), c.q)
			must(t, err)
			held := int64(0)
			for _, r := range got {
				held += r.Held
			}
			if len(got) != c.rows || c.held >= 0 && held != c.held {
				t.Errorf("%+v: %d rows, held %d", c.q, len(got), held)
			}
		}
	})
}

// TestSessionUsageIsTheSameEitherWay: what is summed up before says what all rows say, whichever the time and the zone, and after rows
// were written again.
func TestSessionUsageIsTheSameEitherWay(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		var rows []accounts.Row
		for i := range 400 {
			rows = append(rows, accounts.Row{
				Hour: midnight.Add(time.Duration(i*7%100-50) * time.Hour), Session: fmt.Sprint("ses-", i%13), Name: fmt.Sprint("job-", (i%13+i/100)%13), User: fmt.Sprint("user-", i%13%4), // renamed now and then
				Project: []string{"red", "blue"}[i%13%2], Type: []string{"batch", "interactive"}[i%13%3%2], Sums: accounts.Sums{Held: int64(i), Cores: int64(i * i), Memory: 1, Shares: int64(i % 3), CPU: 2, Used: 3},
			})
		}
		kept := map[string]accounts.Row{}
		for round := range 2 {
			for i := range rows {
				rows[i].Held += int64(round * 1000)
				kept[rows[i].Hour.String()+rows[i].Session] = rows[i]
			}
			must(t, s.SaveSessionUsage(t.Context(), rows))
		}
		korea := time.FixedZone("KST", 9*3600)
		for _, by := range [][]accounts.Dimension{
			nil, {accounts.ByUser}, {accounts.ByProject}, {accounts.BySession}, {accounts.ByType}, {accounts.ByProject, accounts.ByType}, {accounts.ByDay}, {accounts.ByHour, accounts.ByProject}, {accounts.ByDay, accounts.ByType}, {accounts.ByDay, accounts.ByUser},
		} {
			for _, q := range []accounts.Query{
				{}, {From: midnight.Add(-30 * time.Hour), To: midnight.Add(25 * time.Hour)}, {From: midnight.Add(time.Hour), To: midnight.Add(5 * time.Hour)}, {From: midnight, To: midnight.Add(24 * time.Hour)},
				{From: midnight.Add(-10 * time.Hour), To: midnight.Add(24 * time.Hour)}, {Project: "red"}, {User: "user-1"}, {Session: "job-3"}, {Type: "batch", To: midnight.Add(3 * time.Hour)}, {From: midnight.Add(-3 * time.Hour), Zone: korea},
			} {
				for _, uncounted := range []bool{false, true} {
					q.By, q.Uncounted = by, uncounted
					var all []accounts.Sum
					for _, r := range kept {
						if (q.From.IsZero() || !r.Hour.Before(q.From)) && (q.To.IsZero() || r.Hour.Before(q.To)) && (q.Project == "" || r.Project == q.Project) && (q.User == "" || r.User == q.User) && (q.Session == "" || r.Name == q.Session) && (q.Type == "" || r.Type == q.Type) {
							all = append(all, accounts.Sum{Row: r})
						}
					}
					got, err := s.SessionUsage(t.Context(), q)
					must(t, err)
					want, have := accounts.Fold(all, &q), accounts.Fold(got, &q)
					for _, r := range []*accounts.Report{&want, &have} { // of several names of a session one is shown
						for i := range r.Groups {
							r.Groups[i].Name = ""
						}
					}
					if uncounted && q.Time() != "" {
						for _, r := range []*accounts.Report{&want, &have} {
							r.Total.Sessions = 0
							for i := range r.Groups {
								r.Groups[i].Sessions = 0
							}
						}
					}
					if d := cmp.Diff(want, have); d != "" {
						t.Fatalf("%+v\n%s", q, d)
					}
				}
			}
		}
	})
}

// TestSessionsOfDaysThatAreOver asks again and again while rows come, late ones among them: what is kept of days that are over is never
// seen to be old, and a session of yesterday that goes on today is one.
func TestSessionsOfDaysThatAreOver(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		random := rand.New(rand.NewPCG(3, 9))
		today := midnight.Truncate(24 * time.Hour)
		kept := map[string]accounts.Row{}
		for range 40 {
			var rows []accounts.Row
			for range 1 + random.IntN(8) {
				i := random.IntN(12)
				r := accounts.Row{
					Hour: today.Add(time.Duration(random.IntN(60)-48) * time.Hour), Session: fmt.Sprint("ses-", i), Name: fmt.Sprint("job-", i), User: fmt.Sprint("user-", i%3),
					Project: []string{"red", "blue"}[i%2], Type: "batch", Sums: accounts.Sums{Held: random.Int64N(1000), Cores: 1},
				}
				rows = append(rows, r)
				kept[r.Hour.String()+r.Session] = r
			}
			must(t, s.SaveSessionUsage(t.Context(), rows))
			for _, by := range [][]accounts.Dimension{nil, {accounts.ByUser}, {accounts.BySession}, {accounts.ByProject, accounts.ByDay}} {
				q := accounts.Query{By: by, From: today.Add(-30 * time.Hour), To: today.Add(time.Duration(random.IntN(12)) * time.Hour), Uncounted: len(by) == 2}
				if random.IntN(4) == 0 {
					q.From = time.Time{}
				}
				if random.IntN(3) == 0 {
					q.Project = "red"
				}
				var all []accounts.Sum
				for _, r := range kept {
					if !r.Hour.Before(q.From) && r.Hour.Before(q.To) && (q.Project == "" || r.Project == q.Project) {
						all = append(all, accounts.Sum{Row: r})
					}
				}
				want := accounts.Fold(all, &q)
				if q.Uncounted {
					want.Total.Sessions = 0
					for i := range want.Groups {
						want.Groups[i].Sessions = 0
					}
				}
				for range 2 {
					got, err := s.SessionUsage(t.Context(), q)
					must(t, err)
					if d := cmp.Diff(want, accounts.Fold(got, &q)); d != "" {
						t.Fatalf("%+v\n%s", q, d)
					}
				}
			}
		}
	})
}
