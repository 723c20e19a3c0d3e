package admin

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

// The bounds of a part of an overview, and of the trend in its rows.
const (
	defaultRows = 50
	maxRows     = 200
	maxOffset   = 1_000_000
	trendLength = 30 * time.Minute
	trendMerge  = 3 // moments to a value
	trendValues = int(trendLength/record.HistoryStep) / trendMerge
)

// rowOrders are the orders in which services can be listed; of equals the names decide.
func rowOrders() map[string]func(a, b *looked) int {
	figure := func(of func(l *looked) float32) func(a, b *looked) int {
		return func(a, b *looked) int { return cmp.Compare(of(a), of(b)) }
	}
	return map[string]func(a, b *looked) int{
		"name":     func(_, _ *looked) int { return 0 },
		"status":   func(a, b *looked) int { return cmp.Compare(severity(a.Status), severity(b.Status)) },
		"model":    func(a, b *looked) int { return cmp.Compare(a.ModelName, b.ModelName) },
		"replicas": func(a, b *looked) int { return cmp.Compare(a.Replicas, b.Replicas) },
		"created":  func(a, b *looked) int { return a.CreatedAt.Compare(b.CreatedAt) },
		"requests": figure(func(l *looked) float32 { return l.did.Rate }),
		"tokens":   figure(func(l *looked) float32 { return l.did.Tokens }),
		"ttft":     figure(func(l *looked) float32 { return l.did.FirstP95 }),
		"latency":  figure(func(l *looked) float32 { return l.did.TookP95 }),
	}
}

// severity orders statuses: what needs somebody comes first.
func severity(s sessions.ServiceStatus) int {
	return slices.Index([]sessions.ServiceStatus{
		sessions.ServiceUnhealthy, sessions.ServiceDegraded, sessions.ServiceProvisioning, sessions.ServiceHealthy, sessions.ServiceIdle,
	}, s)
}

// looked is a service with what it did last.
type looked struct {
	*sessions.ServiceView
	did record.Moment
}

func (s *server) serviceOverview(c *gin.Context) error {
	p := query(c, "search", "status", "sort", "down", "names", "limit", "offset")
	limit, offset, down, names := p.number("limit", defaultRows, 1, maxRows), p.number("offset", 0, 0, maxOffset), p.flag("down"), p.flag("names")
	order, known := rowOrders()[cmp.Or(p.text("sort"), "name")]
	if !known && p.err == nil {
		p.err = badField("?sort", "name, status, model, replicas, created, requests, tokens, ttft or latency", "%q is no order", p.text("sort"))
	}
	if p.err != nil {
		return p.err
	}
	all, out := s.search(p.project(), p.text("search")), api.ServiceOverview{Items: []api.ServiceRow{}, States: map[string]int{}}
	for i := range all {
		out.States[string(all[i].Status)]++
	}
	if status := p.text("status"); status != "" {
		all = slices.DeleteFunc(all, func(l *looked) bool { return !strings.EqualFold(string(l.Status), status) })
	}
	slices.SortStableFunc(all, func(a, b *looked) int {
		by := order(a, b)
		if down {
			by = -by
		}
		return cmp.Or(by, strings.Compare(a.Name, b.Name))
	})
	if down && (p.text("sort") == "" || p.text("sort") == "name") {
		slices.Reverse(all)
	}
	if out.Total = len(all); names {
		out.Names = make(map[string]string, len(all))
		for _, l := range all {
			out.Names[l.ID] = l.Name
		}
	}
	held := claims(s.boxes())
	for _, l := range all[min(offset, len(all)):min(offset+limit, len(all))] {
		row := s.serviceRow(l, held)
		if s.Live != nil {
			row.Trend = trend(s.Live.History(l.ID, s.Now().Add(-trendLength)))
		}
		out.Items = append(out.Items, row)
	}
	return respond(c, http.StatusOK, out)
}

// search finds a project's services that have a word somewhere.
func (s *server) search(project, word string) []*looked {
	latest := map[string]record.Moment{}
	if s.Live != nil {
		latest = s.Live.Latest()
	}
	views, word := s.Services.Services(project), strings.ToLower(strings.TrimSpace(word))
	looks, all := make([]looked, 0, len(views)), make([]*looked, 0, len(views)) // they are large, and are put in order
	for i := range views {
		v := &views[i]
		if word == "" || slices.ContainsFunc([]string{v.Name, v.ModelName, v.Recipe.Variant, v.Recipe.Image}, func(of string) bool {
			return strings.Contains(strings.ToLower(of), word)
		}) {
			looks = append(looks, looked{v, latest[v.ID]})
			all = append(all, &looks[len(looks)-1])
		}
	}
	return all
}

func (s *server) serviceRow(l *looked, held map[string]*api.Claim) api.ServiceRow {
	policy, paused := s.scalingOf(*l.ServiceView)
	row := api.ServiceRow{
		ID: l.ID, Name: l.Name, Project: l.Project, ModelName: l.ModelName, RuntimeVariant: l.Recipe.Variant, CreatedAt: l.CreatedAt.UTC(),
		Status: string(l.Status), Reason: l.Sentence, Replicas: l.Replicas, HealthyRoutes: l.HealthyRoutes, OpenToPublic: l.Public,
		Autoscaled: policy != nil && (len(*policy.Rules) > 0 || *policy.IdleAfter > 0), AutoscalingPaused: paused,
		Places:            []string{},
		RequestsPerSecond: float64(l.did.Rate), TokensPerSecond: float64(l.did.Tokens), TTFTP95: float64(l.did.FirstP95), DurationP95: float64(l.did.TookP95),
		InFlight: int(l.did.InFlight), Waiting: int(l.did.Waiting), Trend: []float64{},
	}
	for _, r := range l.Routes {
		claim := held[r.ID]
		switch {
		case claim == nil:
		case len(claim.Devices) == 0:
			row.Places = append(row.Places, claim.Node)
		default:
			for _, d := range claim.Devices {
				row.Places = append(row.Places, d.Ref)
			}
		}
	}
	slices.Sort(row.Places)
	row.Places = slices.Compact(row.Places)
	return row
}

// trend is tokens a second, or, where none were made, requests.
func trend(all []record.Moment) []float64 {
	of := func(m *record.Moment) float64 { return float64(m.Rate) }
	if slices.ContainsFunc(all, func(m record.Moment) bool { return m.Tokens > 0 }) {
		of = func(m *record.Moment) float64 { return float64(m.Tokens) }
	}
	out := []float64{}
	for range (trendValues*trendMerge - len(all)) / trendMerge { // what is not known yet, so that all rows end now
		out = append(out, 0)
	}
	for part := range slices.Chunk(all, trendMerge) {
		sum := 0.0
		for i := range part {
			sum += of(&part[i])
		}
		out = append(out, sum/float64(len(part)))
	}
	return out
}

func (s *server) serviceHistory(c *gin.Context) error {
	p := query(c, "after")
	now := s.Now()
	after := p.instant("after", now, now.Add(-record.HistoryLength))
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	if s.Live == nil {
		return noLive()
	}
	out := api.ServiceHistory{Step: record.HistoryStep.Seconds(), Points: []api.ServiceMoment{}}
	for _, m := range s.Live.History(v.ID, after) {
		out.Points = append(out.Points, api.ServiceMoment{
			At: m.At.UTC(), RequestsPerSecond: round(m.Rate), ErrorsPerSecond: round(m.ErrorRate), TokensPerSecond: round(m.Tokens), PromptTokensPerSecond: round(m.Prompt),
			TTFTP50: round(m.FirstP50), TTFTP95: round(m.FirstP95), DurationP50: round(m.TookP50), DurationP95: round(m.TookP95),
			InFlight: int(m.InFlight), Waiting: int(m.Waiting), Routes: int(m.Routes),
		})
	}
	return respond(c, http.StatusOK, out)
}

// round keeps as many digits as a picture shows.
func round(v float32) float64 { return math.Round(float64(v)*1e5) / 1e5 }
