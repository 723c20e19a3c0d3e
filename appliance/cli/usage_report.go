package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) usageCommand() *cobra.Command {
	var q api.UsageQuery
	var since string
	var asCSV, ofSessions bool
	var user, session, kind string
	cmd := &cobra.Command{
		Use: "usage", Short: "Show what was used: requests and tokens, or with --sessions cores, memory and accelerators", Args: words("", 0, 0),
		Long: "Show what was used. Requests are counted when they have ended, and kept by the hour: a period is widened to whole hours.\n" +
			"Without a period it is the last 30 days. Days and months are those of this machine's time zone, or of --zone.\n" +
			"With --sessions it is what sessions held and used, to the millisecond and up to now.",
		Example: "  palisade usage --by token,model --since 7d\n  palisade usage --by day --service chat\n" +
			"  palisade usage --by month,token --from 2026-01 --to 2026-03 --csv > quarter.csv\n" +
			"  palisade usage --sessions --by user,day --since 7d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" && q.From != "" {
				return &usageError{message: "--since and --from both say when it began", hint: "give one of them"}
			}
			from := "--from"
			if since != "" {
				q.From, from = since, "--since"
			}
			if asCSV && a.output != "table" {
				return &usageError{message: "--csv and --output " + a.output + ": one form at a time"}
			}
			if err := fitting(cmd, ofSessions); err != nil {
				return err
			}
			if q.Zone == "" {
				q.Zone = localZone(a.now(), a.env("TZ"))
			}
			if ofSessions {
				return a.sessionUsage(cmd.Context(), api.SessionUsageQuery{
					By: q.By, From: q.From, To: q.To, Zone: q.Zone, All: q.All, User: user, Session: session, Type: kind,
				}, from, asCSV && !a.quiet)
			}
			if len(q.By) == 0 {
				q.By = []string{"service"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.Usage(cmd.Context(), q)
			if err != nil {
				return inFlags(err, flagsOfUsage(from))
			}
			if asCSV && !a.quiet {
				return a.usageCSV(u)
			}
			return a.showUsage(u, q.All)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&ofSessions, "sessions", false, "what sessions held and used: cores, memory and accelerators by time")
	f.StringSliceVar(&q.By, "by", nil, "what to tell apart: token, project, service, model, status; and one of hour, day, month (default service);\n"+
		"of sessions: user, project, session, type; and one of hour, day, month (default user)")
	f.StringVar(&q.From, "from", "", "its beginning: 2026-03-01, 2026-03, 2026-03-01T08:00:00Z, or how long ago: 7d, 12h")
	f.StringVar(&q.To, "to", "", "its end, in the same forms; a day or a month counts to its end (default now)")
	f.StringVar(&since, "since", "", "how long ago it began: 7d, 12h; the same as --from")
	f.StringVar(&q.Service, "service", "", "only this service's, by name or id")
	f.StringVar(&q.Token, "token", "", "only this token's, by name or id")
	f.StringVar(&q.Model, "model", "", "only this model's")
	f.StringVar(&user, "user", "", "only this user's sessions")
	f.StringVar(&session, "session", "", "only this session's, by name or id")
	f.StringVar(&kind, "type", "", "only sessions of this type: interactive, batch, inference, system")
	f.BoolVarP(&q.All, "all", "a", false, "usage of every project, not of this one alone")
	f.StringVar(&q.Zone, "zone", "", "time zone of days and months: UTC, Asia/Seoul, +09:00 (default this machine's)")
	f.BoolVar(&asCSV, "csv", false, "print comma-separated values, for a spreadsheet; without the total")
	_ = cmd.RegisterFlagCompletionFunc("by", fixedWords("token", "project", "service", "model", "status", "user", "session", "type", "hour", "day", "month"))
	_ = cmd.RegisterFlagCompletionFunc("session", a.completeAt(-1, a.sessionNames))
	_ = cmd.RegisterFlagCompletionFunc("type", fixedWords("interactive", "batch", "inference", "system"))
	_ = cmd.RegisterFlagCompletionFunc("service", a.completeAt(-1, a.serviceNames))
	_ = cmd.RegisterFlagCompletionFunc("token", a.completeAt(-1, a.tokenNames))
	return cmd
}

func (a *app) tokenNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Tokens(ctx, "")
	return namesOf(items, err, func(t api.Token) string { return t.Name + "\t" + t.ID })
}

// localZone says this machine's time zone so that another one understands it. One whose clocks are never changed is told
// by how far it is ahead of UTC, for which nobody needs a table of zones.
func localZone(now time.Time, variable string) string {
	now = now.Local()
	_, end := now.ZoneBounds()
	offset := now.Format("-07:00")
	if end.IsZero() {
		return offset
	}
	if variable == "" {
		target, _ := os.Readlink("/etc/localtime")
		_, variable, _ = strings.Cut(target, "zoneinfo/")
	}
	if name := strings.TrimPrefix(variable, ":"); name != "" && !strings.HasPrefix(name, "/") {
		return name
	}
	return offset
}

func (a *app) showUsage(u api.Usage, all bool) error {
	r := result{json: u, quiet: []string{strconv.FormatInt(u.Total.TotalTokens, 10)}}
	if len(u.Groups) == 0 && a.output != "json" && !a.quiet {
		hint := ""
		if !all {
			hint = "; that of other projects: palisade usage --all"
		}
		a.notef("nothing was used from %s to %s%s", clock(u.From, u.Zone), clock(u.To, u.Zone), hint)
		return nil
	}
	r.table, r.wide = usageTable(u, false), usageTable(u, true)
	if err := a.show(r); err != nil {
		return err
	}
	if a.output != "json" && !a.quiet {
		a.notef("from %s to %s", clock(u.From, u.Zone), clock(u.To, u.Zone))
		if u.Total.EstimatedTokens > 0 {
			a.notef("~: of these, some were counted by the router, since the engine did not say how many it made")
		}
	}
	return nil
}

// clock writes a time as clocks of a zone show it.
func clock(at time.Time, zone string) string {
	if ahead, err := time.Parse("-07:00", zone); err == nil {
		at = at.In(ahead.Location())
	} else if place, err := time.LoadLocation(zone); err == nil {
		at = at.In(place)
	}
	return at.Format("2006-01-02 15:04 -07:00")
}

// usageDimension is the cells of what a group differs in from others.
func usageDimension(by string, r *api.UsageRow, wide bool) []string {
	switch by {
	case "token":
		if wide {
			return []string{orDash(r.TokenName), orDash(r.Token)}
		}
		return []string{orDash(cmp.Or(r.TokenName, r.Token))}
	case "user":
		return []string{orDash(r.User)}
	case "project":
		return []string{orDash(r.Project)}
	case "service":
		return []string{orDash(r.Service)}
	case "model":
		return []string{orDash(r.Model)}
	case "status":
		return []string{r.Status}
	}
	return []string{usageStart(by, r)}
}

// usageStart writes the beginning of a group's hour, day or month, in the zone in which it begins.
func usageStart(by string, r *api.UsageRow) string {
	if r.Start == nil {
		return ""
	}
	switch by {
	case "day":
		return r.Start.Format(time.DateOnly)
	case "month":
		return r.Start.Format("2006-01")
	}
	return r.Start.Format("2006-01-02 15:04")
}

func usageTable(u api.Usage, wide bool) *table {
	var head []string
	for _, by := range u.By {
		head = append(head, strings.ToUpper(by))
		if by == "token" && wide {
			head = append(head, "TOKEN ID")
		}
	}
	dimensions := len(head)
	head = append(head, "REQUESTS", "FAILED", "PROMPT", "CACHED", "COMPLETION", "TOKENS", "TTFT", "TIME")
	if wide {
		head = append(head, "ABORTED", "ESTIMATED")
	}
	rows := [][]string{head}
	add := func(cells []string, r *api.UsageRow) {
		mark := ""
		if r.EstimatedTokens > 0 {
			mark = "~"
		}
		cells = append(cells, grouped(r.Requests), grouped(r.Failed), grouped(r.PromptTokens), grouped(r.CachedTokens),
			mark+grouped(r.CompletionTokens), mark+grouped(r.TotalTokens), meanPtr(r.TTFT), mean(r.Duration))
		if wide {
			cells = append(cells, grouped(r.Aborted), grouped(r.EstimatedTokens))
		}
		rows = append(rows, cells)
	}
	for i := range u.Groups {
		var cells []string
		for _, by := range u.By {
			cells = append(cells, usageDimension(by, &u.Groups[i], wide)...)
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

// alignRight puts the cells from a column on at the right of their columns, as figures are read.
func alignRight(rows [][]string, from int) {
	for column := from; column < len(rows[0]); column++ {
		width := 0
		for _, row := range rows {
			width = max(width, cells(row[column]))
		}
		for _, row := range rows {
			row[column] = fitRight(row[column], width)
		}
	}
}

// grouped writes a number with a comma at each thousand.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// mean writes a number of seconds as short as it can be read: 85ms, 2.15s, 312s.
func mean(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.0fms", v*1000)
	case v < 100:
		return fmt.Sprintf("%.2fs", v)
	}
	return fmt.Sprintf("%.0fs", v)
}

func meanPtr(v *float64) string {
	if v == nil {
		return "-"
	}
	return mean(*v)
}

// usageCSV prints groups for programs that calculate.
func (a *app) usageCSV(u api.Usage) error {
	var head []string
	for _, by := range u.By {
		head = append(head, by)
		if by == "token" {
			head = append(head, "token_name")
		}
	}
	w := csv.NewWriter(a.out)
	_ = w.Write(append(head, "requests", "failed", "aborted", "prompt_tokens", "cached_tokens", "completion_tokens", "estimated_tokens",
		"total_tokens", "ttft_seconds", "duration_seconds")) // errors stay with the writer
	for i := range u.Groups {
		r := &u.Groups[i]
		var row []string
		for _, by := range u.By {
			switch by {
			case "token":
				row = append(row, cell(r.Token), cell(r.TokenName))
			case "user":
				row = append(row, cell(r.User))
			case "project":
				row = append(row, cell(r.Project))
			case "service":
				row = append(row, cell(r.Service))
			case "model":
				row = append(row, cell(r.Model))
			case "status":
				row = append(row, r.Status)
			default:
				row = append(row, usageStart(by, r))
			}
		}
		ttft := ""
		if r.TTFT != nil {
			ttft = strconv.FormatFloat(*r.TTFT, 'f', -1, 64)
		}
		for _, n := range []int64{r.Requests, r.Failed, r.Aborted, r.PromptTokens, r.CachedTokens, r.CompletionTokens, r.EstimatedTokens, r.TotalTokens} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		_ = w.Write(append(row, ttft, strconv.FormatFloat(r.Duration, 'f', -1, 64)))
	}
	w.Flush()
	return w.Error()
}

// cell is a text that a spreadsheet takes for text: clients choose the names of models, and =HYPERLINK(...) is a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
