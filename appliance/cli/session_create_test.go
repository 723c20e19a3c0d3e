package cli

import (
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 3, 1, 21, 30, 0, 0, time.FixedZone("here", 3600))
	for text, want := range map[string]time.Time{
		"2026-03-01T22:00:00Z": time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC),
		"2026-03-02 08:00":     time.Date(2026, 3, 2, 8, 0, 0, 0, now.Location()),
		"22:00":                time.Date(2026, 3, 1, 22, 0, 0, 0, now.Location()),
		"21:30":                time.Date(2026, 3, 2, 21, 30, 0, 0, now.Location()),
		"90m":                  now.Add(90 * time.Minute),
		"+2h":                  now.Add(2 * time.Hour),
	} {
		if got, err := parseMoment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "noon", "25:00", "-2h", "0s", "2026-02-30 10:00"} {
		if got, err := parseMoment(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
