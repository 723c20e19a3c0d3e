package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/figures"
)

// Figures are what sessions say of themselves. *figures.Keep has them.
type Figures interface {
	Of(s sessions.Session) (*figures.File, error)
}

const (
	// figuresEvery is how often it is looked for more.
	figuresEvery = time.Second
	// figuresQuiet is how long a stream of figures may say nothing: what lies between it and its reader may cut it off.
	figuresQuiet = 15 * time.Second
	// figuresPoints of a series where nothing is said.
	figuresPoints = 200
)

func (s *server) sessionMetrics(c *gin.Context) error {
	p := query(c, "names...", "points", "follow")
	w := figures.Want{Points: p.number("points", figuresPoints, 0, figures.MaxPoints)}
	for _, names := range p.values["names"] {
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); name != "" {
				w.Names = append(w.Names, name)
			}
		}
	}
	follow := p.flag("follow")
	v, err := s.findSession(c, p)
	if err != nil {
		return err
	}
	if s.Figures == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "the figures of sessions are not read here")
	}
	file, err := s.Figures.Of(v)
	if err != nil {
		return err
	}
	if follow {
		return s.followMetrics(c, v, file, w)
	}
	b, err := file.Read(c.Request.Context(), w, true)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, sessionMetrics(file.Path, &b))
}

// followMetrics sends figures as server-sent events: "metrics" with a SessionMetrics of all there are, and again where the
// file was begun anew; "more" with what was added; at the end "ended" with the Session, or "gone" with a Problem.
func (s *server) followMetrics(c *gin.Context, v sessions.Session, file *figures.File, w figures.Want) error {
	ctx := c.Request.Context()
	tick := time.NewTicker(figuresEvery)
	defer tick.Stop()
	var out *eventStream
	for {
		now, gone := s.Sessions.Session(v.Project, v.ID)
		ended := gone == nil && now.Status.Terminal()
		b, err := file.Read(ctx, w, ended || gone != nil)
		switch {
		case err != nil && out == nil:
			return err
		case err != nil:
			return out.problem(ctx, err)
		case out == nil:
			out = newEventStream(c)
			err = out.send("metrics", sessionMetrics(file.Path, &b))
		case b.Changed && b.Anew:
			err = out.send("metrics", sessionMetrics(file.Path, &b))
		case b.Changed:
			err = out.send("more", sessionMetrics(file.Path, &b))
		default:
			err = out.breathe(s.Now())
		}
		switch {
		case err != nil:
			return err
		case gone != nil:
			return out.problem(ctx, gone)
		case ended:
			return out.send("ended", session(now, s.serviceNames(v.Project), nil))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// eventStream is an answer of server-sent events.
type eventStream struct {
	c    *gin.Context
	rc   *http.ResponseController
	last time.Time // when something was said
}

func newEventStream(c *gin.Context) *eventStream {
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no")
	c.Writer.WriteHeader(http.StatusOK)
	return &eventStream{c: c, rc: http.NewResponseController(c.Writer)}
}

func (e *eventStream) send(word string, event any) error {
	data, err := json.Marshal(event)
	if err != nil {
		return err
	}
	return e.write(fmt.Sprintf("event: %s\ndata: %s\n\n", word, data))
}

// problem ends the stream with why.
func (e *eventStream) problem(ctx context.Context, err error) error {
	p := problemOf(ctx, err)
	p.RequestID = requestIDOf(ctx)
	return e.send("gone", p)
}

// breathe says something that means nothing where nothing was said for long.
func (e *eventStream) breathe(now time.Time) error {
	if e.last.IsZero() {
		e.last = now
	}
	if now.Sub(e.last) < figuresQuiet {
		return nil
	}
	return e.write(":\n\n")
}

func (e *eventStream) write(text string) error {
	e.last = time.Time{}
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = e.c.Writer.WriteString(text) // the flush tells
	return e.rc.Flush()
}

func sessionMetrics(path string, b *figures.Batch) api.SessionMetrics {
	out := api.SessionMetrics{
		Path: path, Size: b.Size, SkippedBytes: b.Skipped, ModifiedAt: timePtr(b.Modified), Lines: b.Lines, BadLines: b.Bad,
		Axis: cmp.Or(b.Axis, "line"), NamesLeftOut: b.LeftOut(), Series: []api.SessionMetric{},
	}
	for _, s := range b.Series() {
		m := api.SessionMetric{
			Name: s.Name, Count: s.Count, NotNumbers: s.NotNumbers, X: s.X, Last: finite(s.Last), Min: finite(s.Min), Max: finite(s.Max),
			Points: []api.SessionMetricPoint{},
		}
		for _, p := range s.Points() {
			m.Points = append(m.Points, api.SessionMetricPoint{X: p.X, At: timePtr(p.At), Count: p.Count, Min: p.Min, Max: p.Max, Last: p.Last})
		}
		out.Series = append(out.Series, m)
	}
	return out
}

// finite is v, or nil where JSON has no word for it.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
