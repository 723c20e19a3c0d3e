package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) sessionCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "session", Aliases: []string{"sessions"}, Short: "Take sessions of your own, work in them, and look at all that runs: logs, history, results"})
	cmd.AddCommand(a.sessionCreate(), a.sessionRename(), a.sessionPriority(), a.sessionRestart(), a.sessionCommit(), a.sessionMetrics())
	cmd.AddCommand(a.sessionList(), a.sessionInfo(), a.sessionLogs(), a.sessionHistory(), a.sessionWait(), a.sessionExec(), a.sessionAttach(), a.sessionRemove())
	return cmd
}

func (a *app) sessionList() *cobra.Command {
	var f api.SessionFilter
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List sessions that live; with --all, ended ones too", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			sessions, err := c.Sessions(cmd.Context(), f)
			if err != nil {
				return err
			}
			t := newTable("ID", "STATUS", "TYPE", "SERVICE", "IMAGE", "PID", "ADDRESS", "CREATED", "REASON")
			r := result{json: notNull(sessions), table: t}
			for _, s := range sessions {
				t.add(s.ID, s.Status, s.Type, orDash(s.ServiceName), s.Image, pidOf(s), orDash(s.Address), a.ago(s.CreatedAt), briefly(endOrReason(s)))
				r.quiet = append(r.quiet, s.ID)
			}
			if len(sessions) == 0 && a.output != "json" {
				a.notef("no sessions live; ended ones: palisade session list --all")
				return nil
			}
			return a.show(r)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&f.All, "all", "a", false, "ended ones too")
	fl.StringVar(&f.Status, "status", "", "only those in this status")
	fl.StringVar(&f.Type, "type", "", "only this type: interactive, batch, inference, system")
	fl.StringVar(&f.Service, "service", "", "only the routes of this service")
	_ = cmd.RegisterFlagCompletionFunc("service", a.completeAt(-1, a.serviceNames))
	_ = cmd.RegisterFlagCompletionFunc("type", fixedWords("interactive", "batch", "inference", "system"))
	return cmd
}

// pidOf is the process of a session as the box sees it, "-" for one that has none.
func pidOf(s api.Session) string {
	if s.PID == 0 {
		return "-"
	}
	return strconv.Itoa(s.PID)
}

func endOrReason(s api.Session) string {
	if s.Exit != nil && s.Exit.Message != "" {
		return s.Exit.Message
	}
	if len(s.Waits) > 0 {
		return firstWait(s.Waits)
	}
	return s.Reason
}

func (a *app) sessionInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info SESSION", Aliases: []string{"show", "describe"}, Short: "Show a session, and why it is as it is", Args: words("SESSION", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Session(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var stats *api.Stats
			if s.Status == "RUNNING" {
				// Best effort: the session may end in between, and a runtime may not know.
				if got, err := c.Stats(cmd.Context(), s.ID); err == nil {
					stats = &got
				}
			}
			return a.show(result{quiet: []string{s.Status}, json: s, text: func() error {
				a.printSession(s, stats)
				a.printLastWords(cmd.Context(), c, s)
				return nil
			}})
		},
	}
}

func (a *app) printSession(s api.Session, stats *api.Stats) {
	exit, uses := "", ""
	if s.Exit != nil {
		exit = fmt.Sprintf("%s, code %d", s.Exit.Reason, s.Exit.Code)
		if s.Exit.Signal != "" {
			exit += ", " + s.Exit.Signal
		}
		if s.Exit.Message != s.Reason { // which is the line before
			exit += because(s.Exit.Message)
		}
	}
	if stats != nil {
		uses = fmt.Sprintf("%s of memory, %d processes and threads, %.1f s of CPU", bytesize.Format(stats.Memory), stats.Pids, stats.CPUTime)
		if stats.DeviceMemory >= 0 {
			uses += ", " + bytesize.Format(stats.DeviceMemory) + " of accelerators' memory"
		}
	}
	reason, waits, more := s.Reason, "", []string{}
	for i, w := range s.Waits {
		if i == 0 {
			waits, reason = strings.TrimPrefix(waitWords(w), "waits "), "" // the first wait says it, and the field its verb
			continue
		}
		more = append(more, waitWords(w))
	}
	lines := [][2]string{
		{"id", s.ID}, {"name", s.Name}, {"project", s.Project}, {"type", s.Type},
		{"status", s.Status}, {"reason", reason}, {"waits", waits}, {"waits too", strings.Join(more, ". ")},
		{"result", resultWords(s)}, {"exit", exit}, {"priority", strconv.Itoa(s.Priority)}, {"asks for", mapWords(s.Resources)}, {"holds", claimWords(s.Claim)},
		{"service", s.ServiceName}, {"image", s.Image}, {"variant", s.Variant},
		{"address", s.Address}, {"process", pidOf(s)}, {"uses", uses},
		{"created", a.ago(s.CreatedAt) + " by " + s.CreatedBy},
		{"started", a.agoPtr(s.StartedAt)}, {"ended", a.agoPtr(s.EndedAt)},
	}
	a.fields(append(lines, a.wishWords(s)...)...)
	a.printContainers(s)
}

// printLastWords shows what a person's session wrote last.
func (a *app) printLastWords(ctx context.Context, c *api.Client, s api.Session) {
	if !personal(s) {
		return
	}
	if words := a.lastWords(ctx, c, s); words != "" {
		fmt.Fprintf(a.out, "last of its log:\n    %s\n", indented(printable(words)))
	}
}

func (a *app) sessionLogs() *cobra.Command {
	var o api.LogOptions
	var earlier bool
	cmd := &cobra.Command{
		Use: "logs SESSION", Short: "Print what a session writes; of an array, all in turn", Args: words("SESSION", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if earlier {
				body, err := c.EarlierLogs(cmd.Context(), args[0])
				return a.copyLog(cmd.Context(), body, err)
			}
			body, err := c.SessionLogs(cmd.Context(), args[0], o)
			if isProblem(err) {
				body, err = a.laterLog(cmd.Context(), c, args[0], o, err)
			}
			if errors.Is(err, api.KindError(api.KindNotFound)) { // of a session that has none, too
				if all, none := sessionsOf(cmd.Context(), c, args[0]); none == nil && (len(all) > 1 || all[0].ID != args[0] && all[0].Name != args[0]) {
					return a.arrayLogs(cmd.Context(), c, all, o)
				}
			}
			return a.copyLog(cmd.Context(), body, err)
		},
	}
	addLogFlags(cmd, &o)
	cmd.Flags().BoolVar(&earlier, "earlier", false, "what it wrote in earlier runs: before it gave way, failed, or was started again")
	cmd.MarkFlagsMutuallyExclusive("earlier", "follow")
	return cmd
}

// laterLog is the log of a session that has none yet, because of none: who follows it waits until it begins.
func (a *app) laterLog(ctx context.Context, c *api.Client, ref string, o api.LogOptions, none error) (io.ReadCloser, error) {
	s, err := c.Session(ctx, ref)
	if err != nil || ended(s) && s.StartedAt == nil {
		return nil, none
	}
	if !o.Follow && !ended(s) {
		return nil, &hinted{err: none, hint: "wait for it: palisade session logs -f " + s.Name}
	}
	if s, err = a.follow(ctx, c, s, runsOrEnded); err != nil {
		return nil, err
	}
	return c.SessionLogs(ctx, s.ID, o)
}

func (a *app) sessionHistory() *cobra.Command {
	return &cobra.Command{
		Use: "status-history SESSION", Short: "List what a session went through", Args: words("SESSION", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			history, err := c.StatusHistory(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			t := newTable("AT", "AFTER", "FROM", "TO", "REASON")
			r := result{json: notNull(history), table: t}
			for i, h := range history {
				after := "-"
				if i > 0 {
					after = h.At.Sub(history[i-1].At).Round(time.Millisecond).String()
				}
				t.add(h.At.Local().Format("2006-01-02 15:04:05.000"), after, orDash(h.From), h.To, briefly(h.Reason))
				r.quiet = append(r.quiet, h.To)
			}
			return a.show(r)
		},
	}
}

func (a *app) sessionRemove() *cobra.Command {
	var forced bool
	cmd := &cobra.Command{
		Use: "rm SESSION...", Aliases: []string{"terminate", "remove", "delete", "kill", "stop", "cancel", "end"}, Short: "End sessions, or all of an array; a service replaces a route that was ended",
		Args: words("SESSION", 1, -1), ValidArgsFunction: a.completeAt(-1, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return terminate(cmd.Context(), c, ref, forced) })
		},
	}
	cmd.Flags().BoolVar(&forced, "forced", false, "at once, without a grace")
	return cmd
}
