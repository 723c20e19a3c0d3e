package autoscaler

import (
	"maps"
	"math"
	"strconv"
	"time"
)

// clamped says that a wish is outside of the bounds.
func (j *judge) clamped(want int) string {
	switch {
	case want > j.high:
		return ", wishes " + strconv.Itoa(want) + ", at most " + strconv.Itoa(j.high) + j.windowName()
	case want < j.low:
		return ", at least " + strconv.Itoa(j.low) + j.windowName()
	}
	return ""
}

// boundsOf is "2 to 6 routes", "at least 2", "at most 6".
func boundsOf(r *Rule) string {
	switch low, high := r.MinReplicas, r.MaxReplicas; {
	case low != nil && high != nil:
		return strconv.Itoa(*low) + " to " + routes(*high)
	case low != nil:
		return "at least " + routes(*low)
	case high != nil:
		return "at most " + routes(*high)
	}
	return "no bounds of its own"
}

// number is a value as people read it: whole from 100 on, else with as much behind the point as says something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 100 && a < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10 && a < 100:
		return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	case a >= 0.1 && a < 10:
		return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// span is a length of time as people read it: "42s", "2m", "1h5m".
func span(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	d = d.Round(time.Second)
	s := d.String()
	if d%time.Minute == 0 && len(s) > 2 {
		s = s[:len(s)-2] // without 0s
	}
	if d%time.Hour == 0 && len(s) > 2 {
		s = s[:len(s)-2] // without 0m
	}
	return s
}

// clock is a moment in its own zone, with the day where it is not near.
func clock(t, now time.Time) string {
	if d := t.Sub(now); d < 20*time.Hour && d > -20*time.Hour {
		return t.Format("15:04 MST")
	}
	return t.Format("2006-01-02 15:04 MST")
}

func routes(n int) string {
	if n == 1 {
		return "1 route"
	}
	return strconv.Itoa(n) + " routes"
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return strconv.Itoa(n) + " requests"
}

func starts(n int) string {
	if n == 1 {
		return "1 route starts"
	}
	return strconv.Itoa(n) + " routes start"
}

func phrase(m Metric) string {
	if w := lookUp(m); w != nil {
		return w.phrase
	}
	if m.Source == SourcePrometheus {
		return "by the query"
	}
	return m.Name
}

func totals(m Metric) bool {
	if w := lookUp(m); w != nil {
		return w.totals
	}
	return m.Source == SourcePrometheus || addsUp(m.Name)
}

// with is a map with one entry more. The map that is given stays as it is.
func with[V any](m map[string]V, key string, v V) map[string]V {
	out := make(map[string]V, len(m)+1)
	maps.Copy(out, m)
	out[key] = v
	return out
}

// without is a map with one entry less; nil where it was the last.
func without[V any](m map[string]V, key string) map[string]V {
	if _, had := m[key]; !had {
		return m
	}
	if len(m) == 1 {
		return nil
	}
	out := maps.Clone(m)
	delete(out, key)
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
