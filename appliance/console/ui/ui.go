// Package ui owns how pages write what they show: numbers with their units, times, states with their colours, and small
// pictures as SVG. All of it is pure. It knows nothing of requests, languages, or where values come from.
package ui

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count writes a number so that it can be read at a glance: 1,234, then 12.3 k, 4.5 M.
func Count(n int64) string {
	if n > -10_000 && n < 10_000 {
		return grouped(n)
	}
	v, unit := float64(n), 0
	for ; math.Abs(v) >= 999.95 && unit < 5; unit++ {
		v /= 1000
	}
	return short(v) + " " + []string{"", "k", "M", "G", "T", "P"}[unit]
}

// grouped writes a whole number with a comma every three digits.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}

func short(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// Number writes a number with as many digits as say something: 0.024, 3.4, 128.
func Number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v == 0:
		return "0"
	case abs < 0.001:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case abs < 1:
		return strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0")
	case abs >= 10_000:
		return Count(int64(math.Round(v)))
	}
	return short(v)
}

// Percent writes a share of 1: 12 %.
func Percent(share float64) string {
	if math.IsNaN(share) || math.IsInf(share, 0) {
		return "–"
	}
	return short(share*100) + " %"
}

// Seconds writes a length of time: 350 µs, 12 ms, 3.4 s, 5 min 10 s, 2 h 3 min, 4 d 2 h.
func Seconds(s float64) string {
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return "–"
	case s < 0:
		return "-" + Seconds(-s)
	case s == 0:
		return "0 s"
	case s < 0.001:
		return short(s*1e6) + " µs"
	case s < 1:
		return short(s*1e3) + " ms"
	case s < 59.95:
		return short(s) + " s"
	}
	return long(time.Duration(s * float64(time.Second)).Round(time.Second))
}

func long(d time.Duration) string {
	parts := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, p := range parts {
		if d < p.of {
			continue
		}
		text := fmt.Sprintf("%d %s", d/p.of, p.name)
		if i+1 < len(parts) {
			if rest := d % p.of / parts[i+1].of; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, parts[i+1].name)
			}
		}
		return text
	}
	return "0 s"
}

// Duration writes a length of time as Seconds does.
func Duration(d time.Duration) string { return Seconds(d.Seconds()) }

// Time writes a time element, which the browser shows in its own zone; "–" for no time.
func Time(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	u := t.UTC()
	//nolint:gosec // digits
	return template.HTML(`<time datetime="` + u.Format(time.RFC3339Nano) + `">` + u.Format("2006-01-02 15:04:05") + ` UTC</time>`)
}

// Ago writes a time element that the browser keeps up to date as "5 minutes ago".
func Ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	u := t.UTC()
	//nolint:gosec // digits
	return template.HTML(`<time data-ago datetime="` + u.Format(time.RFC3339Nano) + `">` + u.Format("2006-01-02 15:04") + ` UTC</time>`)
}

// tones are the colours of states: of services, routes, sessions, installs, jobs, devices.
var tones = map[string]string{
	"healthy": "success", "running": "success", "success": "success", "succeeded": "success", "ok": "success", "active": "success", "ready": "success", "done": "success", "enabled": "success", "cached": "success",
	"degraded": "warning", "unhealthy": "warning", "terminating": "warning", "warning": "warning", "paused": "warning", "fenced": "warning", "cancelled": "warning", "restarting": "warning",
	"error": "danger", "failed": "danger", "failure": "danger", "lost": "danger", "refused": "danger", "disabled": "danger",
	"provisioning": "info", "pending": "info", "preparing": "info", "scheduled": "info", "pulling": "info", "creating": "info", "downloading": "info", "waiting": "info", "queued": "info", "starting": "info",
}

// Tone is the colour of a state: "success", "warning", "danger", "info", else "secondary". What it says stands beside it in
// words: colour alone tells nobody anything.
func Tone(state string) string {
	if tone, ok := tones[strings.ToLower(state)]; ok {
		return tone
	}
	return "secondary"
}

// Fullness is the tone of something that is used to a share: "" while there is room, "warning" from 85 %, "danger" from 97 %.
func Fullness(share float64) string {
	switch {
	case share >= 0.97:
		return "danger"
	case share >= 0.85:
		return "warning"
	}
	return ""
}
