package store_test

import (
	"fmt"
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
			{accounts.Query{}, 1001, 3000*2999/2 + one.Held},
			{accounts.Query{Project: "red", Session: "ses-7"}, 1, 21 + 22 + 23},
			{accounts.Query{Session: "ses-7", By: []accounts.Dimension{accounts.ByDay}}, 3, 21 + 22 + 23},
			{accounts.Query{Session: "ses-7", From: midnight.Add(time.Hour), To: midnight.Add(2 * time.Hour)}, 1, 22},
			{accounts.Query{User: "user-1", Session: "train-1", Type: "batch"}, 100, -1},
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
