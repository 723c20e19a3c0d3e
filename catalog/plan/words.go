package plan

import (
	"fmt"
	"strings"
	"time"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// size is bytes as people read them: 18.2 GiB, 193.6 MiB.
func size(n int64) string {
	switch {
	case n >= gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d KiB", (n+1023)/1024)
}

// like is bytes in the unit of a whole, without it: 15.3 of 18.2 GiB.
func like(n, whole int64) string {
	switch {
	case whole >= gib:
		return fmt.Sprintf("%.1f", float64(n)/gib)
	case whole >= mib:
		return fmt.Sprintf("%.1f", float64(n)/mib)
	}
	return fmt.Sprint((n + 1023) / 1024)
}

// About is a duration as people say it: 40 s, 3 min, 1 h 20 min.
func About(d time.Duration) string {
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// plural is "1 device", "2 devices".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// listed is "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
