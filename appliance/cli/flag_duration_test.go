package cli

import (
	"testing"
	"time"
)

func TestDurationsOfFlags(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "3600": time.Hour, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second, "15m": 15 * time.Minute, "12h": 12 * time.Hour,
		"3d": 72 * time.Hour, "2w": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond, "-1": -time.Second,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "d", "soon", "5x", "1.5d", "99999w", "9999999999999", "1e9", " 5"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzDurationsOfFlags(f *testing.F) {
	for _, text := range []string{"90", "15m", "3d", "-2w", "1h30m", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		if err != nil || d == 0 || d%time.Millisecond != 0 || max(d, -d) > 1000*time.Hour {
			return
		}
		if again, err := parseDuration((*duration)(&d).String()); err != nil || again != d {
			t.Errorf("%q is %v, and that, written down, %v %v", text, d, again, err)
		}
	})
}
