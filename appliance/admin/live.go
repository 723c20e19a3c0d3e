package admin

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

// Live says what services do now. *record.Live is one.
type Live interface {
	Snapshot(now time.Time) []record.ServiceFigures
	Service(now time.Time, id string) (record.ServiceFigures, bool)
	// History is what is kept of a service after a time, the earliest first; Latest the last moment of every busy one.
	History(id string, after time.Time) []record.Moment
	Latest() map[string]record.Moment
}

// Captures are requests that were kept to be looked at. *record.Captures is one.
type Captures interface {
	List(serviceID string) (all []record.Captured, on bool)
	Get(serviceID, ref string) (record.Captured, bool)
	Clear(serviceID string)
}

// liveEvery is how often a watch of live figures says them.
const liveEvery = time.Second

func (s *server) listLive(c *gin.Context) error {
	p := query(c, "all", "limit", "cursor")
	all := p.flag("all")
	if p.err != nil {
		return p.err
	}
	if s.Live == nil {
		return noLive()
	}
	now, items, views := s.Now(), []api.ServiceLive{}, map[string]sessions.ServiceView{}
	for _, v := range s.Services.Services("") {
		views[v.ID] = v
	}
	for _, f := range s.Live.Snapshot(now) {
		if all || f.Project == p.project() {
			items = append(items, s.liveWith(serviceLive(now, f), views[f.ID])) // a view of nothing where it is gone
		}
	}
	return respondPage(c, p, items, func(v api.ServiceLive) string { return v.Name + "\x00" + v.ID })
}

func noLive() error {
	return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "requests are not watched here")
}

func (s *server) serviceLive(c *gin.Context) error {
	p := query(c, "watch")
	watch := p.flag("watch")
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	if s.Live == nil {
		return noLive()
	}
	if watch {
		return s.watchLive(c, v)
	}
	return respond(c, http.StatusOK, s.liveOf(v))
}

// liveOf is what a service does; nothing where no request could reach it yet.
func (s *server) liveOf(v sessions.ServiceView) api.ServiceLive {
	now := s.Now()
	f, ok := s.Live.Service(now, v.ID)
	if !ok {
		f = record.ServiceFigures{ID: v.ID, Name: v.Name, Project: v.Project}
	}
	return s.liveWith(serviceLive(now, f), v)
}

// liveWith adds how many routes there are and may be to what they do.
func (s *server) liveWith(out api.ServiceLive, v sessions.ServiceView) api.ServiceLive {
	out.HealthyRoutes, out.Replicas = v.HealthyRoutes, v.Replicas
	if policy, paused := s.scalingOf(v); policy != nil && (len(*policy.Rules) > 0 || *policy.IdleAfter > 0) {
		out.MinReplicas, out.MaxReplicas, out.AutoscalingPaused = policy.MinReplicas, policy.MaxReplicas, paused
	}
	return out
}

// watchLive sends what a service does every second as server-sent events: "live" with a ServiceLive, and at the end "gone"
// with a Problem.
func (s *server) watchLive(c *gin.Context, v sessions.ServiceView) error {
	ctx := c.Request.Context()
	rc := http.NewResponseController(c.Writer)
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no")
	c.Writer.WriteHeader(http.StatusOK)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		view, err := s.Services.Service(v.Project, v.ID)
		var event any
		word := "live"
		if err != nil {
			problem := problemOf(ctx, err)
			problem.RequestID = requestIDOf(ctx)
			word, event = "gone", problem
		} else {
			event = s.liveOf(view)
		}
		data, encoding := json.Marshal(event)
		if encoding != nil {
			return encoding
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		fmt.Fprintf(c.Writer, "event: %s\ndata: %s\n\n", word, data)
		if flushing := rc.Flush(); flushing != nil || err != nil {
			return flushing
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func serviceLive(now time.Time, f record.ServiceFigures) api.ServiceLive {
	out := api.ServiceLive{
		At: now.UTC(), ID: f.ID, Name: f.Name, Project: f.Project, InFlight: f.InFlight, Waiting: f.Waiting,
		Last10s: liveFigures(f.Short), Last60s: liveFigures(f.Long), Routes: []api.RouteLive{},
	}
	for _, r := range f.Routes {
		out.Routes = append(out.Routes, api.RouteLive{
			ID: r.ID, Leaving: r.Gone, InFlight: r.InFlight, Last10s: liveFigures(r.Short), Last60s: liveFigures(r.Long),
		})
	}
	return out
}

func liveFigures(f record.Figures) api.LiveFigures {
	return api.LiveFigures{
		Seconds: f.Window.Seconds(), Requests: f.Requests, Errors: f.Errors, Aborted: f.Aborted,
		RequestsPerSecond: f.Rate, ErrorsPerSecond: f.ErrorRate, TokensPerSecond: f.Tokens,
		PromptTokensPerSecond: f.PromptTokens, CachedTokensPerSecond: f.CachedTokens,
		TTFT: quantiles(f.First), Duration: quantiles(f.Took),
	}
}

func quantiles(q record.Quantiles) api.LiveQuantiles {
	return api.LiveQuantiles{Count: q.Count, P50: q.P50.Seconds(), P95: q.P95.Seconds(), P99: q.P99.Seconds()}
}

// captured finds the service of a request about captures, which must keep some.
func (s *server) captured(c *gin.Context) (sessions.ServiceView, []record.Captured, error) {
	v, err := s.find(c, query(c))
	if err != nil {
		return v, nil, err
	}
	if s.Captures != nil {
		if all, on := s.Captures.List(v.ID); on {
			return v, all, nil
		}
	}
	p := api.NewProblem(api.KindState, http.StatusConflict, "no requests of %s are captured", v.Name)
	p.Hint = "to keep the last 20: palisade service update " + v.Name + " --capture 20"
	return v, nil, p
}

func (s *server) listCaptures(c *gin.Context) error {
	_, all, err := s.captured(c)
	if err != nil {
		return err
	}
	page := api.Page[api.Capture]{Items: []api.Capture{}}
	for i := range all {
		page.Items = append(page.Items, capture(&all[i]))
	}
	return respond(c, http.StatusOK, page)
}

func (s *server) getCapture(c *gin.Context) error {
	v, _, err := s.captured(c)
	if err != nil {
		return err
	}
	ref := c.Param("cid")
	got, ok := s.Captures.Get(v.ID, ref)
	if !ok {
		p := api.NewProblem(api.KindNotFound, http.StatusNotFound, "no capture %q of %s is kept", ref, v.Name)
		p.Hint = "those that are: palisade service captures " + v.Name
		return p
	}
	out := capture(&got)
	out.Request, out.Answer = message(&got.Request), message(&got.Answer)
	return respond(c, http.StatusOK, out)
}

func (s *server) clearCaptures(c *gin.Context) error {
	v, _, err := s.captured(c)
	if err != nil {
		return err
	}
	s.Captures.Clear(v.ID)
	return noContent(c)
}

func capture(g *record.Captured) api.Capture {
	d := &g.Did
	return api.Capture{
		Number: g.Number, At: g.At.UTC(), Ended: g.Ended, Method: g.Method, Target: g.Target, RequestSize: g.Request.Size, AnswerSize: g.Answer.Size,
		RequestID: d.ID, Status: d.Status, Error: cmp.Or(d.Code, d.Fault), Route: d.Route, Model: d.Model, Client: d.Client, Token: d.TokenID, TokenName: d.TokenName,
		Aborted: d.Aborted, Repeated: d.Repeated, Retries: d.Retries, Duration: d.Took.Seconds(), TTFT: d.First.Seconds(),
		PromptTokens: d.Usage.Prompt, CachedTokens: d.Usage.Cached, CompletionTokens: d.Usage.Completion,
	}
}

func message(m *record.Message) *api.CaptureMessage {
	out := &api.CaptureMessage{Fields: []api.CaptureField{}, Size: m.Size, Cut: m.Cut}
	for _, f := range m.Fields {
		out.Fields = append(out.Fields, api.CaptureField{Name: f.Name, Value: f.Value})
	}
	if body, ok := text(m.Body, m.Cut); ok {
		out.Body = body
	} else {
		out.Body, out.Base64 = base64.StdEncoding.EncodeToString(m.Body), true
	}
	return out
}

// text is a body as text, if it is. One that was cut may end in the middle of a letter.
func text(body []byte, cut bool) (string, bool) {
	for n := 0; cut && n < utf8.UTFMax && n < len(body) && !utf8.Valid(body); n++ {
		if whole := body[:len(body)-n-1]; utf8.Valid(whole) {
			return string(whole), true
		}
	}
	return string(body), utf8.Valid(body)
}
