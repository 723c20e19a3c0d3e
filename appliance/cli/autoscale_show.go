package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/rehearse"
)

// rehearsal is what the command answers in JSON.
type rehearsal struct {
	Trace   rehearsedTrace     `json:"trace"`
	Setup   setupShown         `json:"setup"`
	Results []*rehearse.Result `json:"results,omitempty"`
	Keys    []string           `json:"keys,omitempty"` // of a sweep
	Rows    []rehearse.Row     `json:"rows,omitempty"`
}

type rehearsedTrace struct {
	Name     string    `json:"name"`
	Start    time.Time `json:"start"`
	Seconds  float64   `json:"seconds"`
	Requests int       `json:"requests"`
}

// setupShown is a setup with its times in seconds, as everywhere in JSON.
type setupShown struct {
	rehearse.Setup
	LoadTime    float64 `json:"load_time"`
	HoldTimeout float64 `json:"hold_timeout"`
}

func newRehearsal(t *rehearse.Trace, s rehearse.Setup) rehearsal {
	return rehearsal{
		Trace: rehearsedTrace{t.Name, t.Start, t.Length().Seconds(), len(t.Requests)},
		Setup: setupShown{s, s.LoadTime.Seconds(), s.HoldTimeout.Seconds()},
	}
}

func (a *app) showRehearsal(cmd *cobra.Command, t *rehearse.Trace, p *autoscaler.Policy, o *simulateOptions) error {
	results, err := o.play(cmd, t, p)
	if err != nil {
		return err
	}
	for _, note := range results[0].Notes {
		a.notef("%s", note)
	}
	if o.output == "svg" {
		return rehearse.WriteSVG(a.out, fmt.Sprintf("%s: %s requests in %s", t.Name, grouped(int64(len(t.Requests))), span(t.Length().Round(time.Minute))), results)
	}
	answer := newRehearsal(t, o.setup)
	answer.Results = results
	r := result{json: answer, table: newTable(rehearsalHead(false)...), wide: newTable(rehearsalHead(true)...)}
	for _, x := range results {
		r.table.add(rehearsalCells(x, false)...)
		r.wide.add(rehearsalCells(x, true)...)
		r.quiet = append(r.quiet, x.Wait.P95.String())
	}
	if err := a.show(r); err != nil || o.output == "json" || !o.explain {
		return err
	}
	for _, x := range results {
		if a.quiet {
			break
		}
		log := newTable("TIME", strings.ToUpper(x.Formula))
		for _, s := range x.Steps {
			reason := s.Reason
			if !strings.Contains(reason, " -> ") {
				reason = fmt.Sprintf("%d -> %d: %s", s.Was, s.Replicas, s.Reason)
			}
			log.add(t.Start.Add(seconds(float64(s.At))).Format("Mon 15:04:05"), reason)
		}
		fmt.Fprintln(a.out)
		log.write(a.out)
		if x.Actions > len(x.Steps) {
			a.notef("and %d more", x.Actions-len(x.Steps))
		}
	}
	return nil
}

func rehearsalHead(wide bool) []string {
	head := []string{"FORMULA", "REQUESTS", "HELD", "REFUSED", "TIMED OUT", "P50 WAIT", "P95", "P99", "P95 TTFT", "GPU-HOURS", "CHANGES"}
	if wide {
		head = append(head, "MEAN WAIT", "MAX", "P50 TTFT", "P99", "MOST HELD", "LOADS", "MOST ROUTES")
	}
	return head
}

func rehearsalCells(r *rehearse.Result, wide bool) []string {
	count := func(n int) string { return grouped(int64(n)) }
	cells := []string{
		r.Formula, count(r.Requests), count(r.Held), count(r.Refused), count(r.TimedOut),
		r.Wait.P50.String(), r.Wait.P95.String(), r.Wait.P99.String(), r.TTFT.P95.String(), hours(r.GPUHours), count(r.Actions),
	}
	if wide {
		cells = append(cells, r.Wait.Mean.String(), r.Wait.Most.String(), r.TTFT.P50.String(), r.TTFT.P99.String(), count(r.MostHeld), count(r.Loads), count(r.MostRoutes))
	}
	return cells
}

func hours(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func (a *app) showSweep(t *rehearse.Trace, o *simulateOptions, sweeps []rehearse.Sweep, rows []rehearse.Row) error {
	answer := newRehearsal(t, o.setup)
	answer.Rows = rows
	var head []string
	for _, s := range sweeps {
		answer.Keys = append(answer.Keys, s.Key)
		head = append(head, strings.ToUpper(s.Key))
	}
	for _, note := range rows[0].Notes {
		a.notef("%s", note)
	}
	head = append(head, "BEST")
	r := result{json: answer, table: newTable(append(head, rehearsalHead(false)[2:]...)...), wide: newTable(append(head, rehearsalHead(true)[2:]...)...)}
	for _, row := range rows {
		mark := ""
		if row.Front {
			mark = "*"
			r.quiet = append(r.quiet, strings.Join(row.Values, ","))
		}
		cells := append(append([]string{}, row.Values...), mark)
		r.table.add(append(cells, rehearsalCells(row.Result, false)[2:]...)...)
		r.wide.add(append(cells, rehearsalCells(row.Result, true)[2:]...)...)
	}
	if err := a.show(r); err != nil {
		return err
	}
	if a.output != "json" {
		a.notef("*: none is better, cheaper in GPU-hours or with a shorter p95 wait and in the other no worse")
	}
	return nil
}
