package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// personal reports whether a session is a person's.
func personal(s api.Session) bool { return s.Type == "interactive" || s.Type == "batch" }

// ended reports whether nothing of a session is to come.
func ended(s api.Session) bool { return s.Status == "TERMINATED" || s.Status == "CANCELLED" }

// runsOrEnded reports whether there is no use in waiting for a session to start.
func runsOrEnded(s api.Session) bool { return s.Status == "RUNNING" || ended(s) }

func (a *app) psCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "ps", Short: "List people's sessions that live; with --all, ended ones too", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			sessions, err := c.Sessions(cmd.Context(), api.SessionFilter{All: all})
			if err != nil {
				return err
			}
			t := newTable("ID", "NAME", "TYPE", "STATUS", "SINCE", "RESOURCES", "OWNER", "REASON")
			r := result{json: []api.Session{}, table: t}
			rows := []api.Session{}
			for _, s := range sessions {
				if !personal(s) {
					continue
				}
				rows = append(rows, s)
				t.add(s.ID, s.Name, s.Type, s.Status, span(max(0, a.now().Sub(since(s)))), orDash(mapWords(s.Resources)), s.CreatedBy, briefly(endOrReason(s)))
				r.quiet = append(r.quiet, s.ID)
			}
			r.json = rows
			if len(rows) == 0 && a.output != "json" {
				a.notef("nobody has a session that lives; ended ones: palisade ps --all")
				return nil
			}
			return a.show(r)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "ended ones too, and each container of sessions that have several")
	return cmd
}

// since is when a session came to be as it is, as far as a listing tells: ended, started, or asked for.
func since(s api.Session) time.Time {
	switch {
	case s.EndedAt != nil:
		return *s.EndedAt
	case s.StartedAt != nil:
		return *s.StartedAt
	}
	return s.CreatedAt
}

// wishWords are what a person said of a session, for session info.
func (a *app) wishWords(s api.Session) [][2]string {
	if !personal(s) {
		return nil
	}
	mounts := make([]string, len(s.Mounts))
	for i, m := range s.Mounts {
		if mounts[i] = m.Target; m.ReadOnly {
			mounts[i] += " (read-only)"
		}
		if m.Notice != "" {
			mounts[i] += " (" + m.Notice + ")"
		}
	}
	startsAt, preemptible := "", ""
	if s.StartsAt != nil {
		startsAt = s.StartsAt.Local().Format("2006-01-02 15:04:05")
	}
	if s.Preemptible {
		preemptible = "yes"
		if s.MinRuntime > 0 {
			preemptible += ", after " + secondsText(s.MinRuntime)
		}
	}
	pairs := [][2]string{
		{"command", s.StartupCommand}, {"folders", strings.Join(mounts, ", ")}, {"depends on", strings.Join(s.DependsOn, ", ")},
		{"starts at", startsAt}, {"preemptible", preemptible}, {"array", s.ArrayID},
		{"containers", clusterWords(s)},
	}
	pairs = append(pairs, a.idleWords(s.Idle)...)
	if s.Timeout > 0 {
		pairs = append(pairs, [2]string{"timeout", secondsText(s.Timeout)})
	}
	if s.Retries > 0 {
		pairs = append(pairs, [2]string{"retries", plural(s.Retries, "more run")})
	}
	if s.Restarts > 0 {
		pairs = append(pairs, [2]string{"restarted", plural(s.Restarts, "time")})
	}
	return pairs
}

// undefinedResult is that of a session that somebody ended: what it would have come to is not known.
const undefinedResult = "undefined"

// resultWords say how a session ended: "success, task-finished", or that somebody ended it.
func resultWords(s api.Session) string {
	switch {
	case !ended(s) || !personal(s):
		return ""
	case s.Result != undefinedResult:
	case s.Status == "CANCELLED":
		return "cancelled"
	default:
		return "stopped"
	}
	if s.Outcome == "" {
		return s.Result
	}
	return s.Result + ", " + s.Outcome
}
