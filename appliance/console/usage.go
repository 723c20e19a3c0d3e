package console

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

func usagePages() []Page {
	return []Page{
		{Pattern: "/usage", Name: "usage/requests", Section: "usage", Data: usageData, Still: true},
		{Pattern: "/usage/sessions", Name: "usage/sessions", Section: "usage", Data: sessionUsageData, Still: true},
	}
}

func usageRaws() []Raw {
	return []Raw{{Pattern: "GET /usage.csv", Serve: usageCSV}, {Pattern: "GET /usage/sessions.csv", Serve: sessionUsageCSV}}
}

// pageLines is how many groups a table shows; all are in the CSV file.
const pageLines = 100

// usageAsked is what a page of usage is about.
type usageAsked struct {
	By       string
	Bys      []string // that there are
	From, To string   // as the API reads them
	Last     string   // one of Lasts, where the period is one of them
	Lasts    []string
	Zone     string
	All      bool
	Unit     string // hour, day or month: of the chart
	CSV      string
	At       string // the page's own path
}

func asked(v *View, at string, bys ...string) usageAsked {
	a := usageAsked{
		By: v.Parameter("by"), Bys: bys, From: v.Parameter("from"), To: v.Parameter("to"), Lasts: []string{"1d", "7d", "30d", "90d", "365d"},
		Zone: v.Parameter("zone"), All: v.Parameter("all") == "true" && v.May("admin"), At: at, CSV: Prefix + at + ".csv?" + v.URL.RawQuery,
	}
	if !slices.Contains(bys, a.By) {
		a.By = bys[0]
	}
	if a.From == "" && a.To == "" {
		a.From = "30d"
	}
	if a.To == "" && slices.Contains(a.Lasts, a.From) {
		a.Last = a.From
	}
	return a
}

// unitOf is the length of time by which a period is drawn.
func unitOf(from, to time.Time) string {
	switch days := to.Sub(from).Hours() / 24; {
	case days <= 3:
		return "hour"
	case days <= 120:
		return "day"
	}
	return "month"
}

// guess is the unit before the API has said what the period is.
func (a *usageAsked) guess() string {
	switch a.Last {
	case "1d":
		return "hour"
	case "365d":
		return "month"
	}
	return "day"
}

// usageLine is a group as it is shown.
type usageLine struct {
	api.UsageRow
	Label, Sub, Path string
	Share            float64 // of the largest
}

type usagePage struct {
	usageAsked
	Usage api.Usage
	Lines []usageLine
	More  int
	Chart ui.Chart
}

func usageData(v *View) (any, error) {
	p := usagePage{usageAsked: asked(v, "/usage", "service", "user", "model", "token", "project")}
	var wait sync.WaitGroup
	var over api.Usage
	var failed [2]error
	p.Unit = p.guess()
	query := func(by string) api.UsageQuery {
		return api.UsageQuery{By: []string{by}, From: p.From, To: p.To, Zone: p.Zone, All: p.All}
	}
	wait.Go(func() { p.Usage, failed[0] = v.API.Usage(v.Context(), query(p.By)) })
	wait.Go(func() { over, failed[1] = v.API.Usage(v.Context(), query(p.Unit)) })
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	if unit := unitOf(over.From, over.To); unit != p.Unit && p.Last == "" { // a period of the viewer's own
		p.Unit = unit
		var err error
		if over, err = v.API.Usage(v.Context(), query(unit)); err != nil {
			return nil, err
		}
	}
	groups := p.Usage.Groups
	p.More = max(0, len(groups)-pageLines)
	for i := range groups[:min(len(groups), pageLines)] {
		p.Lines = append(p.Lines, p.line(v, &groups[i]))
	}
	p.Chart = usageChart(v, &over, p.Unit)
	return p, nil
}

func (p *usagePage) line(v *View, r *api.UsageRow) usageLine {
	l := usageLine{UsageRow: *r}
	switch p.By {
	case "user":
		l.Label = r.User
	case "model":
		l.Label = r.Model
	case "project":
		l.Label = r.Project
	case "service":
		l.Label, l.Sub = r.Service, r.Project
		if l.Path = "/services/" + r.Service; r.Project == v.Project {
			l.Sub = ""
		} else {
			l.Path = ""
		}
	case "token":
		if l.Label, l.Sub = r.TokenName, r.Token; r.TokenName == "" && r.Token != "" {
			l.Label, l.Sub = v.Say("usage.gone", r.Token), ""
		}
	}
	if l.Label == "(other)" || l.Sub == "(other)" {
		l.Label, l.Sub = v.Say("usage.other"), ""
	}
	if l.Label == "" {
		l.Label = v.Say(map[string]string{"token": "usage.nobody", "user": "usage.nobody"}[p.By])
	}
	if most := p.Usage.Groups[0].TotalTokens; most > 0 {
		l.Share = float64(r.TotalTokens) / float64(most)
	}
	return l
}

// moments are the beginnings of all hours, days or months of a period, in its zone.
func moments(from, to time.Time, zone, unit string) []time.Time {
	at := from.In(zoneOf(zone))
	switch unit {
	case "day":
		at = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, at.Location())
	case "month":
		at = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, at.Location())
	}
	const most = 3000
	var out []time.Time
	for at.Before(to) && len(out) < most {
		out = append(out, at)
		switch unit {
		case "hour":
			at = at.Add(time.Hour)
		case "day":
			at = at.AddDate(0, 0, 1)
		default:
			at = at.AddDate(0, 1, 0)
		}
	}
	return out
}

// zoneOf reads a zone as the API writes it: Asia/Seoul, +09:00.
func zoneOf(name string) *time.Location {
	if at, err := time.Parse("-07:00", name); err == nil {
		_, ahead := at.Zone()
		return time.FixedZone(name, ahead)
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

func usageChart(v *View, u *api.Usage, unit string) ui.Chart {
	times := moments(u.From, u.To, u.Zone, unit)
	at := map[int64]int{}
	for i, t := range times {
		at[t.Unix()] = i
	}
	prompt, completion := make(ui.Values, len(times)), make(ui.Values, len(times))
	for i := range u.Groups {
		r := &u.Groups[i]
		if r.Start == nil {
			continue
		}
		if n, ok := at[r.Start.Unix()]; ok {
			prompt[n], completion[n] = float64(r.PromptTokens), float64(r.CompletionTokens)
		}
	}
	return ui.Chart{Unit: "tokens", Times: times, Stacked: true, Empty: v.Say("usage.none"), Series: []ui.Series{
		{Label: v.Say("usage.prompt"), Values: prompt, Bars: true}, {Label: v.Say("usage.completion"), Values: completion, Bars: true},
	}}
}

func usageCSV(v *View, w http.ResponseWriter) error {
	a := asked(v, "/usage", "service", "user", "model", "token", "project")
	u, err := v.API.Usage(v.Context(), api.UsageQuery{By: []string{a.By}, From: a.From, To: a.To, Zone: a.Zone, All: a.All})
	if err != nil {
		return err
	}
	head := []string{a.By}
	if a.By == "token" {
		head = append(head, "token_name")
	}
	head = append(head, "requests", "failed", "aborted", "prompt_tokens", "cached_tokens", "completion_tokens", "estimated_tokens", "total_tokens", "ttft_seconds", "duration_seconds", "cost", "currency")
	rows := [][]string{head}
	for i := range u.Groups {
		r := &u.Groups[i]
		row := []string{map[string]string{"service": r.Service, "user": r.User, "model": r.Model, "token": r.Token, "project": r.Project}[a.By]}
		if a.By == "token" {
			row = append(row, r.TokenName)
		}
		ttft := ""
		if r.TTFT != nil {
			ttft = plainNumber(*r.TTFT)
		}
		row = append(row, plainCount(r.Requests), plainCount(r.Failed), plainCount(r.Aborted), plainCount(r.PromptTokens), plainCount(r.CachedTokens), plainCount(r.CompletionTokens),
			plainCount(r.EstimatedTokens), plainCount(r.TotalTokens), ttft, plainNumber(r.Duration), costOf(r.Cost), u.Currency)
		rows = append(rows, row)
	}
	return sheet(w, "usage.csv", rows)
}
