package autoscaler

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

// TestWindow plays two years of windows over each change of the clocks, and adds up how long they are open.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		start, end, zone, at string
		open                 bool
	}{
		{"0 9 * * 1-5", "0 18 * * *", "UTC", "2026-03-07 12:00:00", false},         // a Saturday: more ends than starts
		{"0 9 * * *", "0 18 * * 5", "UTC", "2026-03-10 12:00:00", true},            // more starts than ends
		{"0 22 * * *", "0 6 * * *", "UTC", "2026-03-10 02:00:00", true},            // over midnight
		{"0 8,12 * * *", "0 12,18 * * *", "UTC", "2026-03-10 12:00:00", true},      // one after the other
		{"30 2 * * *", "0 18 * * *", "Europe/Berlin", "2026-03-29 02:59:59", true}, // 3:59:59: opened when clocks went forward
		{"30 2 * * *", "0 18 * * *", "Europe/Berlin", "2026-03-28 20:00:00", false},
		{"0 22 * * *", "30 2 * * *", "Europe/Berlin", "2026-03-29 01:59:59", true},
		{"0 22 * * *", "30 2 * * *", "Europe/Berlin", "2026-03-29 03:00:00", false},
		{"30 2 * * *", "0 18 * * *", "Europe/Berlin", "2026-10-25 02:45:00", true},
		{"0 22 * * *", "30 2 * * *", "Europe/Berlin", "2026-10-25 03:00:00", false},
	} {
		zone := loadZone(t, c.zone)
		s, err := readSchedule(&Rule{Start: c.start, End: c.end, Zone: c.zone})
		if err != nil {
			t.Fatal(err)
		}
		if w := s.at(moment(t, zone, c.at), ""); w.Open != c.open {
			t.Errorf("%s to %s at %s in %s: %+v", c.start, c.end, c.at, c.zone, w)
		}
	}
}

// TestWindowKept: what was worked out is used until it ends, and not when the schedule or the clock is another.
func TestWindowKept(t *testing.T) {
	t.Parallel()
	r := &Rule{Kind: KindSchedule, Start: "0 8 * * *", End: "0 18 * * *", Zone: "Europe/Berlin"}
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	w, fresh := window(r, Window{}, at)
	if !fresh || w.Open || !w.Until.Equal(at.Add(time.Hour)) {
		t.Fatalf("%+v", w)
	}
	if _, again := window(r, w, at.Add(59*time.Minute)); again {
		t.Error("worked out again")
	}
	if open, again := window(r, w, at.Add(time.Hour)); !again || !open.Open {
		t.Errorf("%+v", open)
	}
	if _, again := window(r, w, at.Add(-time.Second)); !again {
		t.Error("the clock went back")
	}
	r.End = "0 20 * * *"
	if _, again := window(r, w, at); !again {
		t.Error("the schedule is another")
	}
}
