package console

import (
	"math"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// rehearsed is what the policy in the editor would have done, beside the one that there is.
type rehearsed struct {
	api.Rehearsal
	Replicas, Demand ui.Chart
	Rows             []rehearsedRow
}

// rehearsedRow is one figure of both.
type rehearsedRow struct {
	Text          string // key
	Now, Proposed float64
	Unit          string // hours, seconds, count
	Better        string // "now", "proposed"; "": neither
}

func rehearseScaling(v *View) (Outcome, error) {
	policy, numbers, err := policyOf(v)
	if err != nil {
		return Outcome{}, err
	}
	r, err := v.API.Rehearse(v.Context(), v.PathValue("id"), api.Rehearse{Since: v.Field("since"), Autoscaling: &policy})
	if err != nil {
		return Outcome{}, inForm(err, numbers)
	}
	return Outcome{Fragment: "fragment-rehearsal", Data: rehearsedOf(r, v.Say)}, nil
}

// rehearsedOf makes pictures and a comparison of a rehearsal.
func rehearsedOf(r api.Rehearsal, say func(key string, args ...any) string) rehearsed {
	out := rehearsed{Rehearsal: r}
	longer := r.Now.Points
	if r.Proposed != nil && len(r.Proposed.Points) > len(longer) {
		longer = r.Proposed.Points
	}
	times := make(ui.Times, 0, len(longer))
	for _, p := range longer {
		times = append(times, p.At)
	}
	of := func(points []api.RehearsalPoint, value func(p *api.RehearsalPoint) float64) ui.Values {
		values := make(ui.Values, len(longer))
		for i := range values {
			if values[i] = math.NaN(); i < len(points) {
				values[i] = value(&points[i])
			}
		}
		return values
	}
	ready := func(p *api.RehearsalPoint) float64 { return p.Ready }
	waiting := func(p *api.RehearsalPoint) float64 { return float64(p.Waiting) }
	out.Replicas = ui.Chart{Unit: "count", Times: times, Sync: "rehearsal", Series: []ui.Series{{Label: say("services.rehearsal.now"), Values: of(r.Now.Points, ready), Steps: true}}}
	out.Demand = ui.Chart{Unit: "count", Times: times, Sync: "rehearsal", Series: []ui.Series{
		{Label: say("services.rehearsal.demand"), Values: of(r.Now.Points, func(p *api.RehearsalPoint) float64 { return p.Demand })},
		{Label: say("services.rehearsal.waiting_now"), Values: of(r.Now.Points, waiting)},
	}}
	if r.Proposed == nil {
		return out
	}
	out.Replicas.Series = append(out.Replicas.Series, ui.Series{Label: say("services.rehearsal.proposed"), Values: of(r.Proposed.Points, ready), Steps: true})
	out.Demand.Series = append(out.Demand.Series, ui.Series{Label: say("services.rehearsal.waiting_proposed"), Values: of(r.Proposed.Points, waiting)})
	for _, step := range r.Proposed.Steps[:min(len(r.Proposed.Steps), 60)] {
		out.Replicas.Marks = append(out.Replicas.Marks, ui.Mark{At: ui.Instant(step.At), Text: step.Reason, Tone: "primary"})
	}
	out.Rows = compareRuns(&r.Now, r.Proposed)
	return out
}

// compareRuns puts the figures of two runs side by side. What is not known, because so many were sent away, is worst.
func compareRuns(now, proposed *api.RehearsalRun) []rehearsedRow {
	never := func(n *float64) float64 {
		if n == nil {
			return math.Inf(1)
		}
		return *n
	}
	rows := []rehearsedRow{
		{Text: "hours", Unit: "hours", Now: now.DeviceHours, Proposed: proposed.DeviceHours},
		{Text: "wait_p50", Unit: "seconds", Now: never(now.WaitP50), Proposed: never(proposed.WaitP50)},
		{Text: "wait_p95", Unit: "seconds", Now: never(now.WaitP95), Proposed: never(proposed.WaitP95)},
		{Text: "wait_p99", Unit: "seconds", Now: never(now.WaitP99), Proposed: never(proposed.WaitP99)},
		{Text: "ttft_p95", Unit: "seconds", Now: never(now.TTFTP95), Proposed: never(proposed.TTFTP95)},
		{Text: "held", Unit: "count", Now: float64(now.Held), Proposed: float64(proposed.Held)},
		{Text: "refused", Unit: "count", Now: float64(now.Refused), Proposed: float64(proposed.Refused)},
		{Text: "most_routes", Unit: "count", Now: float64(now.MostRoutes), Proposed: float64(proposed.MostRoutes)},
		{Text: "actions", Unit: "count", Now: float64(now.Actions), Proposed: float64(proposed.Actions)},
	}
	for i := range rows[:7] { // the rest is neither better nor worse
		switch a, b := rows[i].Now, rows[i].Proposed; {
		case a < b*0.99-1e-9:
			rows[i].Better = "now"
		case b < a*0.99-1e-9:
			rows[i].Better = "proposed"
		}
	}
	return rows
}

// Value writes a figure.
func (r rehearsedRow) Value(n float64) string {
	switch {
	case math.IsInf(n, 0):
		return "∞"
	case r.Unit == "seconds":
		return ui.Seconds(n)
	case r.Unit == "hours":
		return ui.Number(n) + " h"
	}
	return ui.Count(int64(n))
}

// Length is how long what was played took.
func (r rehearsed) Length() time.Duration { return r.To.Sub(r.From).Round(time.Minute) }
