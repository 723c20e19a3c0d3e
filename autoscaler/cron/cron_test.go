package cron_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler/cron"
)

func moment(t *testing.T, zone *time.Location, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func loadZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := cron.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestTimes: in Berlin clocks went forward at 2:00 on 2026-03-29 and back at 3:00 on 2026-10-25; in Sao Paulo they went
// forward at midnight on 2018-11-04.
func TestTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, expression, after, next, last string }{
		{"UTC", "0 8 * * *", "2026-01-01 08:00:00", "2026-01-02T08:00:00Z", "2026-01-01T08:00:00Z"},
		{"UTC", "0 8 * * *", "2026-01-01 07:59:59", "2026-01-01T08:00:00Z", "2025-12-31T08:00:00Z"},
		{"UTC", "30 9 29 2 *", "2026-01-01 00:00:00", "2028-02-29T09:30:00Z", "2024-02-29T09:30:00Z"},
		{"UTC", "0 0 13 * 5", "2026-03-14 00:00:00", "2026-03-20T00:00:00Z", "2026-03-13T00:00:00Z"}, // the 13th, or a Friday
		{"UTC", "*/20 6-7 * * 1-5", "2026-03-06 07:45:00", "2026-03-09T06:00:00Z", "2026-03-06T07:40:00Z"},
		// The hour from 2 to 3 is left out: what is in it comes when clocks go forward.
		{"Europe/Berlin", "30 2 * * *", "2026-03-28 12:00:00", "2026-03-29T01:00:00Z", "2026-03-28T01:30:00Z"},
		{"Europe/Berlin", "30 2 * * *", "2026-03-29 12:00:00", "2026-03-30T00:30:00Z", "2026-03-29T01:00:00Z"},
		{"Europe/Berlin", "0 3 * * *", "2026-03-29 01:59:59", "2026-03-29T01:00:00Z", "2026-03-28T02:00:00Z"},
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03 12:00:00", "2018-11-04T03:00:00Z", "2018-11-03T03:00:00Z"},
		{"America/Sao_Paulo", "30 0 * * *", "2018-11-04 12:00:00", "2018-11-05T02:30:00Z", "2018-11-04T03:00:00Z"},
		// The hour from 2 to 3 comes twice: what is in it comes the first time only.
		{"Europe/Berlin", "30 2 * * *", "2026-10-24 12:00:00", "2026-10-25T00:30:00Z", "2026-10-24T00:30:00Z"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25 12:00:00", "2026-10-26T01:30:00Z", "2026-10-25T00:30:00Z"},
		{"Europe/Berlin", "0 3 * * *", "2026-10-25 02:59:00", "2026-10-25T02:00:00Z", "2026-10-24T01:00:00Z"},
		{"America/Sao_Paulo", "30 23 * * *", "2018-02-18 01:00:00", "2018-02-19T02:30:00Z", "2018-02-18T01:30:00Z"},
	} {
		zone := loadZone(t, c.zone)
		times, err := cron.Parse(c.expression, zone)
		if err != nil {
			t.Fatal(err)
		}
		at := moment(t, zone, c.after)
		if got := times.Next(at).UTC().Format(time.RFC3339); got != c.next {
			t.Errorf("%s in %s after %s: %s, not %s", c.expression, c.zone, c.after, got, c.next)
		}
		if got := times.Last(at).UTC().Format(time.RFC3339); got != c.last {
			t.Errorf("%s in %s before %s: %s, not %s", c.expression, c.zone, c.after, got, c.last)
		}
	}
}

// TestTimesRepeated: in the hour that comes again nothing comes again.
func TestTimesRepeated(t *testing.T) {
	t.Parallel()
	zone := loadZone(t, "Europe/Berlin")
	times, err := cron.Parse("30 2 * * *", zone)
	if err != nil {
		t.Fatal(err)
	}
	second := time.Date(2026, 10, 25, 1, 15, 0, 0, time.UTC) // clocks show 2:15 again
	if got := times.Next(second).UTC(); got != time.Date(2026, 10, 26, 1, 30, 0, 0, time.UTC) {
		t.Error(got)
	}
}

// TestTimesAgree: what comes next is what was last right then, and nothing lies between, in zones of all sorts.
func TestTimesAgree(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"} {
		zone := loadZone(t, name)
		for _, expression := range []string{"*/7 * * * *", "30 2 * * *", "0 0 * * 0", "15 1,2,3 25-31 3,10 *", "0 12 1 * *"} {
			times, err := cron.Parse(expression, zone)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			for range 500 {
				next := times.Next(at)
				if !next.After(at) || next.After(at.AddDate(0, 2, 0)) && expression != "15 1,2,3 25-31 3,10 *" {
					t.Fatalf("%s in %s after %s: %s", expression, name, at, next)
				}
				if last := times.Last(next); !last.Equal(next) {
					t.Fatalf("%s in %s: %s is not last at itself: %s", expression, name, next, last)
				}
				if last := times.Last(next.Add(-time.Nanosecond)); last.After(at) {
					t.Fatalf("%s in %s: %s lies between %s and %s", expression, name, last, at, next)
				}
				at = next
			}
		}
	}
}

func FuzzTimes(f *testing.F) {
	for _, s := range []string{"0 8 * * 1-5", "*/5 * * * *", "TZ= 0 0 0 0", "@daily", "0 0 30 2 *", "60 * * * *", "1-0 * * * *", "*/0 * * * *", "0 0 ? * MON"} {
		f.Add(s, int64(1_772_000_000))
	}
	zone := time.UTC
	f.Fuzz(func(t *testing.T, expression string, at int64) {
		times, err := cron.Parse(expression, zone)
		if err != nil {
			return
		}
		now := time.Unix(at%4_000_000_000, 0)
		if next := times.Next(now); !next.IsZero() && !times.Last(next).Equal(next) {
			t.Errorf("%q after %s: %s", expression, now, next)
		}
	})
}
