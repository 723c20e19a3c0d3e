package console

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// sessionLine is a group of sessions as it is shown.
type sessionLine struct {
	api.SessionUsageRow
	Label, Sub, Path string
	Share            float64 // of the largest
}

type sessionUsagePage struct {
	usageAsked
	Usage api.SessionUsage
	Lines []sessionLine
	More  int
	Chart ui.Chart
}

func sessionUsageData(v *View) (any, error) {
	p := sessionUsagePage{usageAsked: asked(v, "/usage/sessions", "user", "project", "session", "type")}
	var wait sync.WaitGroup
	var over api.SessionUsage
	var failed [2]error
	p.Unit = p.guess()
	query := func(by string) api.SessionUsageQuery {
		return api.SessionUsageQuery{By: []string{by}, From: p.From, To: p.To, Zone: p.Zone, All: p.All, Uncounted: true}
	}
	wait.Go(func() { p.Usage, failed[0] = v.API.SessionUsage(v.Context(), query(p.By)) })
	wait.Go(func() { over, failed[1] = v.API.SessionUsage(v.Context(), query(p.Unit)) })
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	if unit := unitOf(over.From, over.To); unit != p.Unit && p.Last == "" {
		p.Unit = unit
		var err error
		if over, err = v.API.SessionUsage(v.Context(), query(unit)); err != nil {
			return nil, err
		}
	}
	groups := p.Usage.Groups
	p.More = max(0, len(groups)-pageLines)
	for i := range groups[:min(len(groups), pageLines)] {
		p.Lines = append(p.Lines, p.line(v, &groups[i]))
	}
	p.Chart = sessionChart(v, &over, p.Unit)
	return p, nil
}

func (p *sessionUsagePage) line(v *View, r *api.SessionUsageRow) sessionLine {
	l := sessionLine{SessionUsageRow: *r}
	switch p.By {
	case "user":
		l.Label = r.User
	case "project":
		l.Label = r.Project
	case "type":
		l.Label = r.Type
	case "session":
		l.Label, l.Sub, l.Path = r.SessionName, r.Session, "/sessions/"+r.Session
	}
	if l.Label == "" {
		l.Label = v.Say("usage.of_nobody")
	}
	weigh := func(r *api.SessionUsageRow) float64 {
		if p.Usage.Total.ShareSeconds > 0 {
			return r.ShareSeconds
		}
		return r.CoreSeconds
	}
	if most := weigh(&p.Usage.Groups[0]); most > 0 {
		l.Share = weigh(r) / most
	}
	return l
}

func sessionChart(v *View, u *api.SessionUsage, unit string) ui.Chart {
	times := moments(u.From, u.To, u.Zone, unit)
	at := map[int64]int{}
	for i, t := range times {
		at[t.Unix()] = i
	}
	cores, used, shares := make(ui.Values, len(times)), make(ui.Values, len(times)), make(ui.Values, len(times))
	for i := range u.Groups {
		r := &u.Groups[i]
		if r.Start == nil {
			continue
		}
		if n, ok := at[r.Start.Unix()]; ok {
			cores[n], used[n], shares[n] = r.CoreSeconds/3600, r.CPUSeconds/3600, r.ShareSeconds/3600
		}
	}
	return ui.Chart{Unit: "count", Times: times, Empty: v.Say("usage.none"), Series: []ui.Series{
		{Label: v.Say("usage.core_hours"), Values: cores, Bars: true}, {Label: v.Say("usage.used_cores"), Values: used}, {Label: v.Say("usage.gpu_hours"), Values: shares, Tone: "success"},
	}}
}

func sessionUsageCSV(v *View, w http.ResponseWriter) error {
	a := asked(v, "/usage/sessions", "user", "project", "session", "type")
	u, err := v.API.SessionUsage(v.Context(), api.SessionUsageQuery{By: []string{a.By}, From: a.From, To: a.To, Zone: a.Zone, All: a.All})
	if err != nil {
		return err
	}
	head := []string{a.By}
	if a.By == "session" {
		head = append(head, "session_name")
	}
	rows := [][]string{append(head, "sessions", "held_seconds", "core_seconds", "memory_gib_seconds", "share_seconds", "used_core_seconds", "used_gib_seconds", "cost", "currency")}
	for i := range u.Groups {
		r := &u.Groups[i]
		row := []string{map[string]string{"user": r.User, "project": r.Project, "session": r.Session, "type": r.Type}[a.By]}
		if a.By == "session" {
			row = append(row, r.SessionName)
		}
		rows = append(rows, append(row, plainCount(int64(r.Sessions)), plainNumber(r.HeldSeconds), plainNumber(r.CoreSeconds), plainNumber(r.MemorySeconds), plainNumber(r.ShareSeconds),
			plainNumber(r.CPUSeconds), plainNumber(r.UsedMemorySeconds), costOf(r.Cost), u.Currency))
	}
	return sheet(w, "sessions.csv", rows)
}

func plainCount(n int64) string    { return strconv.FormatInt(n, 10) }
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func costOf(cost *float64) string {
	if cost == nil {
		return ""
	}
	return plainNumber(*cost)
}

// sheet answers with rows as comma-separated values. A text that a spreadsheet would take for a formula has an apostrophe
// before it.
func sheet(w http.ResponseWriter, name string, rows [][]string) error {
	return file(w, name, "text/csv; charset=utf-8", func(w *begun) error {
		out := csv.NewWriter(w)
		for _, row := range rows {
			for i, cell := range row {
				if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
					if _, err := strconv.ParseFloat(cell, 64); err != nil {
						row[i] = "'" + cell
					}
				}
			}
			if err := out.Write(row); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
}
