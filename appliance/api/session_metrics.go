package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// SessionMetrics are the figures that a session has written of itself, all of them or those of a time.
type SessionMetrics struct {
	Path         string          `json:"path"`                  // of the file, as the session sees it
	Size         int64           `json:"size"`                  // of the file, in bytes
	SkippedBytes int64           `json:"skipped_bytes"`         // at its beginning, that were not read: it is too long
	ModifiedAt   *time.Time      `json:"modified_at,omitempty"` // left out where there is no file
	Lines        int             `json:"lines"`                 // that were read
	BadLines     int             `json:"bad_lines"`             // of those: no JSON objects
	Axis         string          `json:"axis"`                  // what x is: step, epoch, or line
	NamesLeftOut int             `json:"names_left_out"`        // beside those in series: there are too many
	Series       []SessionMetric `json:"series"`                // in the order in which they were written first
}

// SessionMetric is one figure in time.
type SessionMetric struct {
	Name       string               `json:"name"`  // that of an object within another has dots: train.loss
	Count      int                  `json:"count"` // samples
	NotNumbers int                  `json:"not_numbers"`
	X          float64              `json:"x"`              // of the last sample
	Last       *float64             `json:"last,omitempty"` // left out where the last one is no number: NaN, Infinity
	Min        *float64             `json:"min,omitempty"`
	Max        *float64             `json:"max,omitempty"`
	Points     []SessionMetricPoint `json:"points"`
}

// SessionMetricPoint stands for one sample, or for several that follow each other.
type SessionMetricPoint struct {
	X     float64    `json:"x"`            // of the last of them
	At    *time.Time `json:"at,omitempty"` // of the last of them, if it says
	Count int        `json:"count"`
	Min   float64    `json:"min"`
	Max   float64    `json:"max"`
	Last  float64    `json:"last"`
}

// SessionMetricsQuery chooses figures.
type SessionMetricsQuery struct {
	Names  []string // with * for anything; none: all
	Points int      // of each at most; 0: none
}

func (q SessionMetricsQuery) values() url.Values {
	v := url.Values{"names": q.Names, "points": {strconv.Itoa(q.Points)}}
	if len(q.Names) == 0 {
		v.Del("names")
	}
	return v
}

// SessionMetrics returns the figures that a session has written.
func (c *Client) SessionMetrics(ctx context.Context, ref string, q SessionMetricsQuery) (SessionMetrics, error) {
	var out SessionMetrics
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions/" + seg(ref) + "/metrics", query: q.values()}, &out)
}

// FollowSessionMetrics calls each with the figures that there are (anew), and then with those that are added, until the
// session ends, each returns an error (ErrStopWatch is none), ctx ends, or the session is forgotten (a Problem of
// KindNotFound). Anew again: there is another file.
func (c *Client) FollowSessionMetrics(ctx context.Context, ref string, q SessionMetricsQuery, each func(m SessionMetrics, anew bool) error) error {
	values := q.values()
	values.Set("follow", "true")
	return c.watch(ctx, "/sessions/"+seg(ref)+"/metrics", values, func(event string, data []byte) error {
		switch event {
		case "metrics", "more":
			return given(data, func(m SessionMetrics) error { return each(m, event == "metrics") })
		case "ended":
			return ErrStopWatch
		}
		return nil
	})
}
