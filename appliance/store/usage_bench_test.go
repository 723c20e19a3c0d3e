package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// A million rows of 208 days: a hundred tokens, each with its two services, at every hour.
func BenchmarkUsageMillion(b *testing.B) {
	s := open(b, databases["sqlite"](b))
	end := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	for h := range 5000 {
		var rows []usage.Row
		for k := range 200 {
			rows = append(rows, usage.Row{
				Hour:  end.Add(-time.Duration(h+1) * time.Hour),
				Key:   usage.Key{Token: fmt.Sprint("tok-", k/2), Project: "default", ServiceID: fmt.Sprint("svc-", k), Service: fmt.Sprint("s", k), Model: fmt.Sprint("m", k)},
				Class: usage.Class2xx, Sums: usage.Sums{Requests: 5, Prompt: 100, Completion: 50},
			})
		}
		must(b, s.AddUsage(b.Context(), usage.Batch{Writer: "w", Number: int64(h + 1), At: end, Rows: rows}))
	}
	seoul, err := time.LoadLocation("Asia/Seoul")
	must(b, err)
	for _, days := range []int{1, 7, 30, 90, 208} {
		for _, q := range []usage.Query{
			{By: []usage.Dimension{usage.ByDay}, Zone: seoul}, {By: []usage.Dimension{usage.ByService}}, {By: []usage.Dimension{usage.ByToken}},
		} {
			q.Project, q.From, q.To = "default", end.AddDate(0, 0, -days), end
			b.Run(fmt.Sprint(days, "d-", q.By[0]), func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Usage(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
