package usage_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/usage"
)

func row(hour int, token, service, model string, class usage.Class, prompt int64) usage.Row {
	return usage.Row{
		Hour:  start.Truncate(time.Hour).Add(time.Duration(hour) * time.Hour),
		Key:   usage.Key{Token: token, Project: "default", Service: service, Model: model},
		Class: class, Sums: usage.Sums{Requests: 1, Prompt: prompt},
	}
}

func TestFold(t *testing.T) {
	rows := []usage.Row{
		row(0, "tok-1", "chat", "chat", usage.Class2xx, 1), // 23:00 UTC, 08:00 of the next day in Seoul
		row(0, "tok-1", "chat", "chat", usage.Class5xx, 0),
		row(1, "tok-2", "chat", "lora", usage.Class2xx, 5),
		row(1, "tok-2", "embed", "embed", usage.ClassAborted, 3),
		row(1, "tok-2", "embed", "embed", usage.ClassCut, 3),
	}
	seoul := time.FixedZone("+09:00", 9*3600)
	day := func(zone *time.Location, d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, zone) }
	sums := func(requests, prompt int64) usage.Sums { return usage.Sums{Requests: requests, Prompt: prompt} }
	for _, c := range []struct {
		name string
		q    usage.Query
		want []usage.Group
	}{
		{"nothing", usage.Query{}, []usage.Group{{Failed: 2, Aborted: 1, Sums: sums(5, 12)}}},
		{"tokens, the largest first", usage.Query{By: []usage.Dimension{usage.ByToken}}, []usage.Group{
			{Token: "tok-2", Failed: 1, Aborted: 1, Sums: sums(3, 11)}, {Token: "tok-1", Failed: 1, Sums: sums(2, 1)},
		}},
		{"days of UTC", usage.Query{By: []usage.Dimension{usage.ByDay}}, []usage.Group{
			{Start: day(time.UTC, 9), Failed: 1, Sums: sums(2, 1)}, {Start: day(time.UTC, 10), Failed: 1, Aborted: 1, Sums: sums(3, 11)},
		}},
		{"days of a zone", usage.Query{By: []usage.Dimension{usage.ByDay}, Zone: seoul}, []usage.Group{
			{Start: day(seoul, 10), Failed: 2, Aborted: 1, Sums: sums(5, 12)},
		}},
		{"months", usage.Query{By: []usage.Dimension{usage.ByMonth}}, []usage.Group{{Start: day(time.UTC, 1), Failed: 2, Aborted: 1, Sums: sums(5, 12)}}},
		{"services of a day", usage.Query{By: []usage.Dimension{usage.ByDay, usage.ByService}, Zone: seoul}, []usage.Group{
			{Start: day(seoul, 10), Project: "default", Service: "chat", Failed: 1, Sums: sums(3, 6)},
			{Start: day(seoul, 10), Project: "default", Service: "embed", Failed: 1, Aborted: 1, Sums: sums(2, 6)},
		}},
		{"how they ended", usage.Query{By: []usage.Dimension{usage.ByStatus}}, []usage.Group{
			{Status: "2xx", Sums: sums(2, 6)}, {Status: "aborted", Aborted: 1, Sums: sums(1, 3)},
			{Status: "cut", Failed: 1, Sums: sums(1, 3)}, {Status: "5xx", Failed: 1, Sums: sums(1, 0)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := usage.Fold(rows, &c.q)
			if d := cmp.Diff(usage.Group{Failed: 2, Aborted: 1, Sums: sums(5, 12)}, got.Total); d != "" {
				t.Errorf("total (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.want, got.Groups); d != "" {
				t.Errorf("groups (-want +got):\n%s", d)
			}
		})
	}
}

func TestReportIsUpToDateAndOfWholeHours(t *testing.T) {
	m := newMeter(&memory{})
	for h := range 3 {
		m.Add(&chat, &usage.Sample{At: start.Add(time.Duration(h) * time.Hour), Status: 200, Prompt: 1})
	}
	got, err := m.Report(t.Context(), usage.Query{From: start, To: start.Add(time.Hour), By: []usage.Dimension{usage.ByModel}})
	if err != nil {
		t.Fatal(err)
	}
	hour := start.Truncate(time.Hour)
	want := usage.Report{
		From: hour, To: hour.Add(2 * time.Hour),
		Groups: []usage.Group{{Model: "chat", Sums: usage.Sums{Requests: 2, Prompt: 2}}}, Total: usage.Group{Sums: usage.Sums{Requests: 2, Prompt: 2}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
}
