package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/usage"
)

// What was used before a restart stays used: of a token's budget and of its project's, in the window of each.
func TestBudgetsGoOnAfterARestart(t *testing.T) {
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	eachStore(t, func(t *testing.T, s *store.Store) {
		tokens, err := router.NewTokens(t.Context(), s, clock)
		must(t, err)
		daily, _, err := tokens.Issue(t.Context(), router.IssueRequest{Project: "red", Duration: "30d", Limits: quota.Limits{Budget: 1000, Window: quota.Day}})
		must(t, err)
		ever, _, err := tokens.Issue(t.Context(), router.IssueRequest{Project: "red", Duration: "30d", Limits: quota.Limits{Budget: 5000}})
		must(t, err)

		row := func(token string, ago time.Duration, prompt, completion int64) usage.Row {
			return usage.Row{
				Hour: now.Add(-ago).Truncate(time.Hour), Key: usage.Key{Token: token, Project: "red", ServiceID: "svc-1", Service: "chat", Model: "m"},
				Class: usage.Class2xx, Sums: usage.Sums{Requests: 1, Prompt: prompt, Completion: completion},
			}
		}
		must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: 1, At: now, Rows: []usage.Row{
			row(daily.ID, 0, 100, 20), row(daily.ID, 15*time.Hour, 3, 0), row(daily.ID, 16*time.Hour, 900, 0),
			row(ever.ID, 0, 7, 0), row(ever.ID, 400*24*time.Hour, 2000, 500), row("", time.Hour, 50, 0),
		}}))

		again, err := router.NewTokens(t.Context(), s, clock)
		must(t, err)
		must(t, again.Limit(t.Context(), map[string]quota.Limits{"red": {Budget: 1 << 30, Window: quota.Hour}, router.OtherProjects: {Concurrent: 4}},
			func(ctx context.Context, from time.Time) (tokens, projects map[string]int64, err error) {
				return usage.Spent(ctx, s, from)
			}))
		for id, want := range map[string]int64{daily.ID: 123, ever.ID: 2507} {
			if got := again.Standing(id).Spent; got != want {
				t.Errorf("%s has spent %d, want %d", id, got, want)
			}
		}
		if got := again.Project("red").State(now).Spent; got != 127 {
			t.Errorf("the project has spent %d in this hour, want 127", got)
		}
		listed := again.List("red", "")
		if len(listed) != 2 || listed[0].Limits == listed[1].Limits || again.Project("blue").Limits() != (quota.Limits{Concurrent: 4}) {
			t.Errorf("%+v", listed)
		}
	})
}
