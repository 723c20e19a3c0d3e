package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// metricsAsked is what session metrics was asked for.
type metricsAsked struct {
	session           string
	names             []string
	follow, csv, plot bool
	points            int
}

func (a *app) sessionMetrics() *cobra.Command {
	var q metricsAsked
	cmd := &cobra.Command{
		Use: "metrics SESSION [NAME...]", Short: "Show the figures that a job writes of itself: loss, accuracy, what it likes",
		Args: words("SESSION [NAME...]", 1, -1), ValidArgsFunction: a.completeAt(0, a.sessionNames),
		Long: "Show what a session has written to the file that PALISADE_METRICS names: a JSON object a line, such as\n" +
			"{\"step\": 1, \"loss\": 0.52}. NAMEs may have * for anything. It works for sessions that have ended, too.",
		Example: "  palisade session metrics train\n  palisade session metrics train loss 'val.*' --plot --follow\n" +
			"  palisade session metrics train --csv > figures.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.session, q.names = args[0], args[1:]
			c, err := a.client()
			if err != nil {
				return err
			}
			switch {
			case q.plot && q.follow && a.output != "json":
				return a.followPlot(cmd.Context(), c, q)
			case q.follow:
				return a.followMetrics(cmd.Context(), c, q)
			}
			m, err := c.SessionMetrics(cmd.Context(), q.session, q.query(a))
			if err != nil {
				return err
			}
			return a.showMetrics(m, q)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&q.follow, "follow", "f", false, "go on with what is written until the session ends")
	f.BoolVar(&q.csv, "csv", false, "print points for a spreadsheet: name, x, time, samples, min, max, last")
	f.BoolVar(&q.plot, "plot", false, "draw each over its steps")
	f.IntVar(&q.points, "points", 0, "print this many points of each at most; 1000, for --plot as many as fit")
	cmd.MarkFlagsMutuallyExclusive("csv", "plot")
	return cmd
}

// query is what the API is asked for: no more points than are shown.
func (q metricsAsked) query(a *app) api.SessionMetricsQuery {
	out := api.SessionMetricsQuery{Names: q.names, Points: q.points}
	switch {
	case q.points > 0:
	case q.csv || a.output == "json":
		out.Points = 1000
	case q.plot:
		out.Points = min(max(2*a.frameWidth(), 100), 1000)
	}
	return out
}

func (a *app) showMetrics(m api.SessionMetrics, q metricsAsked) error {
	switch {
	case a.output == "json":
		return a.show(result{json: m})
	case q.csv:
		w := newMetricsCSV(a)
		return w.add(m)
	case len(m.Series) == 0:
		a.noMetrics(m, q)
		return nil
	case q.plot:
		_, err := fmt.Fprint(a.out, strings.Join(plots(m, a.frameWidth(), plotHeight, !a.fancy()), "\n")+"\n")
		return err
	}
	t := newTable("NAME", "LAST", "MIN", "MAX", "SAMPLES", strings.ToUpper(m.Axis))
	r := result{table: t}
	for _, s := range m.Series {
		t.add(s.Name, lastFigure(s.Last), bound(s.Min), bound(s.Max), strconv.Itoa(s.Count), number(s.X))
		r.quiet = append(r.quiet, oneLine(s.Name))
	}
	if err := a.show(r); err != nil {
		return err
	}
	a.noteMetrics(m)
	return nil
}

// fancy tells whether the output is a terminal that shows more than letters.
func (a *app) fancy() bool { return isTerminal(a.Stdout) && a.env("TERM") != "dumb" }

// noMetrics says why there is nothing.
func (a *app) noMetrics(m api.SessionMetrics, q metricsAsked) {
	switch {
	case m.ModifiedAt == nil:
		a.notef("no figures yet: a job that appends lines such as {\"step\": 1, \"loss\": 0.5} to $PALISADE_METRICS (%s) has some", oneLine(m.Path))
	case len(q.names) > 0 && m.Lines > m.BadLines:
		a.notef("no figure is called so; all: palisade session metrics %s", q.session)
	default:
		a.notef("no figures: of %d lines of %s %d are no JSON objects", m.Lines, oneLine(m.Path), m.BadLines)
	}
}

// noteMetrics says what the table does not show.
func (a *app) noteMetrics(m api.SessionMetrics) {
	if a.quiet {
		return
	}
	if m.NamesLeftOut > 0 {
		a.notef("%s more left out: name those that you want, * stands for anything", plural(m.NamesLeftOut, "name"))
	}
	if m.BadLines > 0 {
		a.notef("%s of %s no JSON objects: %s", plural(m.BadLines, "line"), oneLine(m.Path), "NaN and Infinity are fine, what is cut off is not")
	}
	if m.SkippedBytes > 0 {
		a.notef("the file is long: its first %s are not in this", bytesize.Format(m.SkippedBytes))
	}
	for _, s := range m.Series {
		if s.NotNumbers > 0 {
			a.notef("%s: %s no number", oneLine(s.Name), plural(s.NotNumbers, "sample"))
		}
	}
}

// lastFigure is the last sample, as short as it can be read.
func lastFigure(v *float64) string {
	if v == nil {
		return "NaN"
	}
	return number(*v)
}

func bound(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e9 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// followMetrics prints what is written as it is written: a line for each batch, or its points, or it as JSON.
func (a *app) followMetrics(ctx context.Context, c *api.Client, q metricsAsked) error {
	table, enc := newMetricsCSV(a), json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return c.FollowSessionMetrics(ctx, q.session, q.query(a), func(m api.SessionMetrics, _ bool) error {
		switch {
		case a.output == "json":
			return enc.Encode(m)
		case q.csv:
			return table.add(m)
		case len(m.Series) == 0:
			return nil
		}
		line := []string{m.Axis + " " + number(m.Series[0].X)}
		for _, s := range m.Series {
			line = append(line, s.Name+" "+lastFigure(s.Last))
		}
		_, err := fmt.Fprintln(a.out, oneLine(strings.Join(line, "  ")))
		return err
	})
}

// metricsCSV prints points for programs that calculate.
type metricsCSV struct {
	w     *csv.Writer
	begun bool
}

func newMetricsCSV(a *app) *metricsCSV { return &metricsCSV{w: csv.NewWriter(a.out)} }

func (t *metricsCSV) add(m api.SessionMetrics) error {
	if !t.begun {
		_ = t.w.Write([]string{"name", "x", "time", "samples", "min", "max", "last"}) // errors stay with the writer
		t.begun = true
	}
	for _, s := range m.Series {
		for _, p := range s.Points {
			at := ""
			if p.At != nil {
				at = p.At.Format(time.RFC3339Nano)
			}
			_ = t.w.Write([]string{cell(s.Name), plainNumber(p.X), at, strconv.Itoa(p.Count), plainNumber(p.Min), plainNumber(p.Max), plainNumber(p.Last)})
		}
	}
	t.w.Flush()
	return t.w.Error()
}

// followPlot draws anew what there is every second, on the whole terminal; where there is none, once, at the end.
func (a *app) followPlot(ctx context.Context, c *api.Client, q metricsAsked) error {
	out, live := a.Stdout.(*os.File)
	in, typed := a.Stdin.(*os.File)
	if !live || !typed || !isTerminal(out) || !isTerminal(in) {
		err := c.FollowSessionMetrics(ctx, q.session, api.SessionMetricsQuery{Names: q.names}, func(api.SessionMetrics, bool) error { return nil })
		if err != nil {
			return err
		}
		m, err := c.SessionMetrics(ctx, q.session, q.query(a))
		if err != nil {
			return err
		}
		return a.showMetrics(m, q)
	}
	first := plotView{session: q.session, at: a.now(), trouble: "looking", plain: !a.fancy()}
	return watchOn(ctx, &screen{in: in, out: out}, first, watching[plotView]{
		interval: time.Second,
		look: func(ctx context.Context) plotView {
			ctx, cancel := context.WithTimeoutCause(ctx, lookPatience, fmt.Errorf("%s did not answer within %s", c.Host(), lookPatience))
			defer cancel()
			m, err := c.SessionMetrics(ctx, q.session, q.query(a))
			if err != nil {
				return plotView{trouble: a.troubleOf(err)}
			}
			return plotView{figures: m, at: a.now()}
		},
		with: func(v, news plotView) plotView {
			if v.trouble = news.trouble; news.trouble == "" {
				v.figures, v.at = news.figures, news.at
			}
			return v
		},
		press: func(v plotView, key byte) (plotView, bool) {
			return v, key == 'q' || key == 'Q' || key == interruptKey || key == endKey
		},
	})
}
