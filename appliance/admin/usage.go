package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/spelling"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
)

// Usage says what was used. *usage.Meter is one.
type Usage interface {
	Report(ctx context.Context, q usage.Query) (usage.Report, error)
}

const (
	usageDays   = 30     // that are shown where no period is named
	usageGroups = 20_000 // that are answered at most
)

func (s *server) getUsage(c *gin.Context) error {
	p := query(c, "by", "from", "to", "zone", "token", "service", "model", "all")
	if s.Usage == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "nothing is counted here")
	}
	q := p.usage(s.Now())
	all := p.flag("all")
	if p.err != nil {
		return p.err
	}
	if !all {
		q.Project = p.project()
	}
	if s.Prices.Any() {
		q.Prices = s.Prices
	}
	names, err := s.usageTokens(p.text("token"), &q)
	if err != nil {
		return err
	}
	report, err := s.Usage.Report(c.Request.Context(), q)
	if err != nil {
		return err
	}
	if report.Total.Requests == 0 && q.Service != "" {
		if err := s.knownService(&q); err != nil {
			return err
		}
	}
	if len(report.Groups) > usageGroups {
		return badField("?by", "ask for less time, for one service or token, or by fewer things", "that makes %d groups, more than %d", len(report.Groups), usageGroups)
	}
	return respond(c, http.StatusOK, usageAnswer(&report, &q, names))
}

// usageTokens finds the tokens that a word means: an id, or the name of one or several; and returns the names of all that
// the project has. A token that is not kept any more can be named by its id.
func (s *server) usageTokens(word string, q *usage.Query) (names map[string]string, err error) {
	names, q.Users = map[string]string{}, map[string]string{}
	var known []string
	for _, t := range s.Tokens.List("", "") {
		names[t.ID], q.Users[t.ID] = t.Name, t.CreatedBy
		if q.Project != "" && t.Project != q.Project {
			continue
		}
		known = append(known, t.Name, t.ID)
		if word != "" && (t.ID == word || t.Name == word) {
			q.Tokens = append(q.Tokens, t.ID)
		}
	}
	switch {
	case word == "" || len(q.Tokens) > 0:
		return names, nil
	case strings.HasPrefix(word, "tok-"):
		q.Tokens = []string{word}
		return names, nil
	}
	return nil, withNearest(fmt.Errorf("token %q: %w", word, router.ErrNotFound), word, func() []string { return known })
}

// knownService tells a service that was not used from one that is misspelt.
func (s *server) knownService(q *usage.Query) error {
	var names []string
	for _, v := range s.Services.Services(q.Project) {
		if v.Name == q.Service || v.ID == q.Service {
			return nil
		}
		names = append(names, v.Name)
	}
	return withNearest(fmt.Errorf("service %q, now or in that time: %w", q.Service, sessions.ErrNotFound), q.Service, func() []string { return names })
}

// usage reads what the query is about, but for the project and the tokens.
func (p *params) usage(now time.Time) usage.Query {
	q := usage.Query{Service: p.text("service"), Model: p.text("model")}
	var known []string
	for _, d := range usage.Dimensions() {
		known = append(known, string(d))
	}
	for _, word := range p.dimensions("by", known, func(word string) bool { return usage.Dimension(word).OfTime() }) {
		q.By = append(q.By, usage.Dimension(word))
	}
	q.From, q.To, q.Zone = p.period(now)
	return q
}

// period reads from, to and zone.
func (p *params) period(now time.Time) (from, to time.Time, zone *time.Location) {
	zone = p.zone("zone")
	to = now
	if word := p.text("to"); word != "" {
		_, to = p.span("to", word, now.In(zone))
	}
	if word := p.text("from"); word != "" {
		from, _ = p.span("from", word, now.In(zone))
	} else {
		end := to.In(zone)
		from = time.Date(end.Year(), end.Month(), end.Day()-usageDays+1, 0, 0, 0, 0, zone)
	}
	if !from.Before(to) && p.err == nil {
		p.err = badField("?from", "", "%s does not lie before %s", p.text("from"), cmp.Or(p.text("to"), "now"))
	}
	return from, to, zone
}

// dimensions reads words with commas between them, each one of those that are known; of those of time one at most.
func (p *params) dimensions(name string, known []string, ofTime func(string) bool) []string {
	var out []string
	for word := range strings.SplitSeq(p.text(name), ",") {
		word = strings.TrimSpace(word)
		wrong, hint := "", ""
		switch before := slices.IndexFunc(out, ofTime); {
		case word == "" && p.text(name) == "":
			continue
		case !slices.Contains(known, word):
			wrong, hint = fmt.Sprintf("%q is nothing that usage is told apart by", word), "known: "+strings.Join(known, ", ")
			if near := spelling.Nearest(word, known); near != "" {
				hint = "did you mean \"" + near + "\"?"
			}
		case slices.Contains(out, word):
			wrong = word + " is given twice"
		case ofTime(word) && before >= 0:
			wrong, hint = fmt.Sprintf("both %s and %s", out[before], word), "one length of time is possible"
		}
		if wrong != "" && p.err == nil {
			p.err = badField("?"+name, hint, "%s", wrong)
		}
		out = append(out, word)
	}
	return out
}

// zone reads where days begin at midnight: Asia/Seoul, +09:00; UTC where it is not said.
func (p *params) zone(name string) *time.Location {
	word := p.text(name)
	if word == "" || word == "UTC" {
		return time.UTC
	}
	if at, err := time.Parse("-07:00", strings.Replace(word, " ", "+", 1)); err == nil { // a + that was not escaped is a space
		_, ahead := at.Zone()
		return time.FixedZone(at.Format("-07:00"), ahead)
	}
	zone, err := time.LoadLocation(word)
	if err == nil && word != "Local" {
		return zone
	}
	if p.err == nil {
		p.err = badField("?"+name, "name one as Asia/Seoul, or how far it is ahead of UTC, as +09:00", "%q is no time zone that this box knows", word)
	}
	return time.UTC
}

// span reads a time, or a length of time by its name: then from and to are its ends. In order:
//  1. RFC 3339;
//  2. a day, 2026-03-01, or a month, 2026-03;
//  3. how long before now: 90m, 7d.
func (p *params) span(name, word string, now time.Time) (from, to time.Time) {
	zone := now.Location()
	if at, err := time.Parse(time.RFC3339, word); err == nil { // 1
		return at, at
	}
	if day, err := time.ParseInLocation(time.DateOnly, word, zone); err == nil { // 2
		return day, day.AddDate(0, 0, 1)
	}
	if month, err := time.ParseInLocation("2006-01", word, zone); err == nil {
		return month, month.AddDate(0, 1, 0)
	}
	for unit, days := range map[string]int{"d": 1, "w": 7} { // 3
		number, ok := strings.CutSuffix(word, unit)
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 0 && n <= 10_000 {
			at := now.AddDate(0, 0, -n*days)
			return at, at
		}
	}
	if d, err := time.ParseDuration(word); err == nil && d >= 0 {
		return now.Add(-d), now.Add(-d)
	}
	if p.err == nil {
		p.err = badField("?"+name, "", "%q: must be a day such as %s, a month such as %s, a time such as %s, or how long ago, such as 7d or 12h",
			word, now.Format(time.DateOnly), now.Format("2006-01"), now.UTC().Format(time.RFC3339))
	}
	return now, now
}

func usageAnswer(r *usage.Report, q *usage.Query, names map[string]string) api.Usage {
	out := api.Usage{From: r.From.UTC(), To: r.To.UTC(), Zone: cmp.Or(q.Zone.String(), "UTC"), By: []string{}, Groups: []api.UsageRow{}, Total: usageRow(&r.Total, q, names)}
	if q.Prices != nil {
		out.Currency = q.Prices.Currency
	}
	for _, d := range q.By {
		out.By = append(out.By, string(d))
	}
	if len(q.By) == 0 {
		return out // the one group is the total
	}
	for i := range r.Groups {
		out.Groups = append(out.Groups, usageRow(&r.Groups[i], q, names))
	}
	return out
}

func usageRow(g *usage.Group, q *usage.Query, names map[string]string) api.UsageRow {
	row := api.UsageRow{
		Token: g.Token, TokenName: names[g.Token], User: g.User, Project: g.Project, Service: g.Service, Model: g.Model, Status: g.Status,
		Requests: g.Requests, Failed: g.Failed, Aborted: g.Aborted, PromptTokens: g.Prompt, CompletionTokens: g.Completion,
		CachedTokens: g.Cached, EstimatedTokens: g.Estimated, TotalTokens: g.Prompt + g.Completion,
	}
	if !g.Start.IsZero() {
		row.Start = new(g.Start) // in the zone that was asked for: it is the beginning of a day there
	}
	if q.Prices != nil {
		row.Cost, row.UnpricedTokens = new(cents(g.Cost)), g.Unpriced
	}
	if g.Streams > 0 {
		row.TTFT = new(meanSeconds(g.First, g.Streams))
	}
	if g.Requests > 0 {
		row.Duration = meanSeconds(g.Took, g.Requests)
	}
	return row
}

// cents rounds a cost to a millionth: what is added up bit by bit has more digits than mean anything.
func cents(cost float64) float64 { return math.Round(cost*1e6) / 1e6 }

// meanSeconds is the mean of n durations, to the microsecond.
func meanSeconds(microseconds, n int64) float64 { return float64(microseconds/n) / 1e6 }
