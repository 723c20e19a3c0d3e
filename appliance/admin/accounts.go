package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/accounts"
)

// Accounts say what sessions held and used. *accounts.Meter is one.
type Accounts interface {
	Report(ctx context.Context, q accounts.Query) (accounts.Report, error)
}

func (s *server) getSessionUsage(c *gin.Context) error {
	p := query(c, "by", "from", "to", "zone", "user", "session", "type", "all", "uncounted")
	if s.Accounts == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "what sessions hold is not counted here")
	}
	q := p.sessionUsage(s)
	all := p.flag("all")
	if p.err != nil {
		return p.err
	}
	if !all {
		q.Project = p.project()
	}
	report, err := s.Accounts.Report(c.Request.Context(), q)
	if err != nil {
		return err
	}
	if report.Total.Sessions == 0 && q.Session != "" {
		if err := s.knownSession(&q); err != nil {
			return err
		}
	}
	if len(report.Groups) > usageGroups {
		return badField("?by", "ask for less time, for one user or session, or by fewer things", "that makes %d groups, more than %d", len(report.Groups), usageGroups)
	}
	out := sessionUsageAnswer(&report, &q)
	if hour, known := s.Prices.Hour(s.deviceKinds()); known {
		out.Currency = s.Prices.Currency
		for _, row := range append(pointers(out.Groups), &out.Total) {
			row.Cost = new(cents(row.ShareSeconds / 3600 * hour))
		}
	}
	return respond(c, http.StatusOK, out)
}

// deviceKinds are how many accelerators of each kind there are.
func (s *server) deviceKinds() map[string]int {
	kinds := map[string]int{}
	for _, b := range s.boxes() {
		for _, d := range b.State.Node().Devices {
			kinds[d.Name]++
		}
	}
	return kinds
}

func pointers[T any](items []T) []*T {
	out := make([]*T, 0, len(items)+1)
	for i := range items {
		out = append(out, &items[i])
	}
	return out
}

// sessionUsage reads what the query is about, but for the project.
func (p *params) sessionUsage(s *server) accounts.Query {
	q := accounts.Query{User: p.text("user"), Session: p.text("session"), Type: p.text("type"), Uncounted: p.flag("uncounted")}
	var known []string
	for _, d := range accounts.Dimensions() {
		known = append(known, string(d))
	}
	for _, word := range p.dimensions("by", known, func(word string) bool { return accounts.Dimension(word).OfTime() }) {
		q.By = append(q.By, accounts.Dimension(word))
	}
	q.From, q.To, q.Zone = p.period(s.Now())
	return q
}

// knownSession tells a session that held nothing from one that is misspelt.
func (s *server) knownSession(q *accounts.Query) error {
	var names []string
	for _, v := range s.Sessions.Sessions(q.Project, sessions.SessionFilter{}) {
		if v.Name == q.Session || v.ID == q.Session {
			return nil
		}
		names = append(names, v.Name)
	}
	return withNearest(fmt.Errorf("session %q, now or in that time: %w", q.Session, sessions.ErrNotFound), q.Session, func() []string { return names })
}

func sessionUsageAnswer(r *accounts.Report, q *accounts.Query) api.SessionUsage {
	out := api.SessionUsage{
		From: r.From.UTC(), To: r.To.UTC(), Zone: cmp.Or(q.Zone.String(), "UTC"), By: []string{}, Groups: []api.SessionUsageRow{},
		Total: sessionUsageRow(&r.Total),
	}
	for _, d := range q.By {
		out.By = append(out.By, string(d))
	}
	if len(q.By) == 0 {
		return out // the one group is the total
	}
	for i := range r.Groups {
		out.Groups = append(out.Groups, sessionUsageRow(&r.Groups[i]))
	}
	return out
}

func sessionUsageRow(g *accounts.Group) api.SessionUsageRow {
	row := api.SessionUsageRow{
		User: g.User, Project: g.Project, Session: g.Session, SessionName: g.Name, Type: g.Type, Sessions: g.Sessions,
		HeldSeconds: milliseconds(g.Held / 1000), CoreSeconds: milliseconds(g.Cores / 1000), ShareSeconds: milliseconds(g.Shares / 1000),
		MemorySeconds: gibSeconds(g.Memory), CPUSeconds: milliseconds(g.CPU / 1000), UsedMemorySeconds: gibSeconds(g.Used),
	}
	if !g.Start.IsZero() {
		row.Start = new(g.Start) // in the zone that was asked for: it is the beginning of a day there
	}
	return row
}

// milliseconds are n of them in seconds.
func milliseconds(n int64) float64 { return float64(n) / 1000 }

// gibSeconds are MiB-milliseconds in GiB-seconds, to the thousandth.
func gibSeconds(n int64) float64 { return milliseconds(n / 1024) }
