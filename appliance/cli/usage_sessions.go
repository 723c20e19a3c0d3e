package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// fitting refuses flags that say nothing of what is asked for.
func fitting(cmd *cobra.Command, ofSessions bool) error {
	of, wrong, hint := "sessions", []string{"token", "service", "model"}, "these are of requests: leave --sessions out"
	if !ofSessions {
		of, wrong, hint = "requests", []string{"user", "session", "type"}, "these are of sessions: add --sessions"
	}
	for _, name := range wrong {
		if cmd.Flags().Changed(name) {
			return &usageError{message: "--" + name + " says nothing of " + of, hint: hint}
		}
	}
	return nil
}

// sessionUsage shows what sessions held and used.
func (a *app) sessionUsage(ctx context.Context, q api.SessionUsageQuery, from string, asCSV bool) error {
	if len(q.By) == 0 {
		q.By = []string{"user"}
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	u, err := c.SessionUsage(ctx, q)
	if err != nil {
		return inFlags(err, flagsOfUsage(from))
	}
	if asCSV {
		return a.sessionUsageCSV(u)
	}
	r := result{json: u, quiet: []string{plainNumber(u.Total.CoreSeconds)}}
	if len(u.Groups) == 0 && a.output != "json" && !a.quiet {
		hint := ""
		if !q.All {
			hint = "; that of other projects: palisade usage --sessions --all"
		}
		a.notef("sessions held nothing from %s to %s%s", clock(u.From, u.Zone), clock(u.To, u.Zone), hint)
		return nil
	}
	r.table, r.wide = sessionUsageTable(u, false), sessionUsageTable(u, true)
	if err := a.show(r); err != nil {
		return err
	}
	if a.output != "json" && !a.quiet {
		a.notef("from %s to %s; hours of cores, GiB and accelerators that were held, and in USED those that were really used", clock(u.From, u.Zone), clock(u.To, u.Zone))
	}
	return nil
}

// sessionUsageDimension is the cells of what a group differs in from others.
func sessionUsageDimension(by string, r *api.SessionUsageRow, wide bool) []string {
	switch by {
	case "user":
		return []string{orDash(r.User)}
	case "project":
		return []string{orDash(r.Project)}
	case "type":
		return []string{orDash(r.Type)}
	case "session":
		if wide {
			return []string{orDash(r.SessionName), r.Session}
		}
		return []string{orDash(cmp.Or(r.SessionName, r.Session))}
	}
	return []string{usageStart(by, &api.UsageRow{Start: r.Start})}
}

func sessionUsageTable(u api.SessionUsage, wide bool) *table {
	var head []string
	for _, by := range u.By {
		head = append(head, strings.ToUpper(by))
		if by == "session" && wide {
			head = append(head, "SESSION ID")
		}
	}
	dimensions := len(head)
	head = append(head, "SESSIONS", "TIME", "CORE-HOURS", "USED", "GIB-HOURS", "USED", "DEVICE-HOURS")
	rows := [][]string{head}
	add := func(cells []string, r *api.SessionUsageRow) {
		rows = append(rows, append(cells, strconv.Itoa(r.Sessions), heldFor(r.HeldSeconds), inHours(r.CoreSeconds), inHours(r.CPUSeconds),
			inHours(r.MemorySeconds), inHours(r.UsedMemorySeconds), inHours(r.ShareSeconds)))
	}
	for i := range u.Groups {
		var cells []string
		for _, by := range u.By {
			cells = append(cells, sessionUsageDimension(by, &u.Groups[i], wide)...)
		}
		add(cells, &u.Groups[i])
	}
	total := make([]string, dimensions)
	total[0] = "TOTAL"
	add(total, &u.Total)
	alignRight(rows, dimensions)
	t := newTable(rows[0]...)
	for _, row := range rows[1:] {
		t.add(row...)
	}
	return t
}

// inHours writes seconds as hours, as short as it can be read.
func inHours(seconds float64) string {
	switch h := seconds / 3600; {
	case h == 0:
		return "-"
	case h < 10:
		return strconv.FormatFloat(h, 'f', 3, 64)
	case h < 1000:
		return strconv.FormatFloat(h, 'f', 1, 64)
	default:
		return grouped(int64(h))
	}
}

func heldFor(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// plainNumber writes a number for programs: all of it, and no more.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// sessionUsageCSV prints groups for programs that calculate.
func (a *app) sessionUsageCSV(u api.SessionUsage) error {
	var head []string
	for _, by := range u.By {
		head = append(head, by)
		if by == "session" {
			head = append(head, "session_name")
		}
	}
	w := csv.NewWriter(a.out)
	_ = w.Write(append(head, "sessions", "held_seconds", "core_seconds", "used_core_seconds", "memory_gib_seconds", "used_gib_seconds", "share_seconds")) // errors stay with the writer
	for i := range u.Groups {
		r := &u.Groups[i]
		var row []string
		for _, by := range u.By {
			switch by {
			case "user":
				row = append(row, cell(r.User))
			case "project":
				row = append(row, cell(r.Project))
			case "type":
				row = append(row, r.Type)
			case "session":
				row = append(row, r.Session, cell(r.SessionName))
			default:
				row = append(row, usageStart(by, &api.UsageRow{Start: r.Start}))
			}
		}
		row = append(row, strconv.Itoa(r.Sessions))
		for _, v := range []float64{r.HeldSeconds, r.CoreSeconds, r.CPUSeconds, r.MemorySeconds, r.UsedMemorySeconds, r.ShareSeconds} {
			row = append(row, plainNumber(v))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}
