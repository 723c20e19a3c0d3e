package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// FuzzLiveFrame: whatever the window, the names and the figures are, no line is wider than the window, no frame is higher,
// and nothing commands the terminal.
func FuzzLiveFrame(f *testing.F) {
	f.Add(80, 24, "chat\x1b[2J", 0.5, 3)
	f.Add(0, 0, "模型", -1.0, 0)
	f.Add(41, 7, "e\u0301👩‍👩‍👧", 1e300, 60)
	f.Fuzz(func(t *testing.T, width, height int, name string, number float64, many int) {
		width, height, many = width&0xff, height&0x7f, many&0x3f
		q := api.LiveQuantiles{Count: int64(many), P50: number, P95: number, P99: number}
		w := api.LiveFigures{RequestsPerSecond: number, ErrorsPerSecond: number, TokensPerSecond: number, PromptTokensPerSecond: number, CachedTokensPerSecond: number, TTFT: q, Duration: q}
		for _, one := range []bool{true, false} {
			v := liveView{host: name, trouble: name, one: one, keys: many%2 == 0}
			for range many {
				s := api.ServiceLive{Name: name, InFlight: many, Waiting: many, Last10s: w, Last60s: w}
				for range many {
					s.Routes = append(s.Routes, api.RouteLive{ID: name, Leaving: true, Last10s: w, Last60s: w})
				}
				v.services = append(v.services, s)
				if one {
					break
				}
			}
			got := v.frame(width, height)
			lines := strings.Split(got, "\n")
			if height > 0 && len(lines) > max(height, leastHeight) {
				t.Errorf("%d lines in a window of %d", len(lines), height)
			}
			for _, l := range lines {
				if n := cells(l); n > max(width, leastWidth) {
					t.Errorf("%d columns in a window of %d: %q", n, width, l)
				}
			}
			if strings.ContainsAny(got, "\x1b\a\r\t") {
				t.Errorf("%q commands the terminal", got)
			}
		}
	})
}

func TestFiguresForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0", .014: "0.01", .999: "1.00", 1: "1.0", 99.94: "99.9", 99.96: "100", 4321: "4321", 12345: "12.3k", 2.5e6: "2.5M"} {
		if got := rate(n); got != want {
			t.Errorf("rate(%v) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		65 * time.Microsecond: "0.1ms", 5 * time.Millisecond: "5.0ms", 9960 * time.Microsecond: "10ms", 850 * time.Millisecond: "850ms", 999600 * time.Microsecond: "1.00s",
		9996 * time.Millisecond: "10.0s", 99 * time.Second: "99.0s", 100 * time.Second: "1m40s", 2 * time.Hour: "120m00s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %s, want %s", d, got, want)
		}
	}
}
