package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) batchCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "batch", Short: "Wait for batch jobs"})
	cmd.AddCommand(a.batchWait())
	return cmd
}

func (a *app) batchWait() *cobra.Command { return a.waitForEnd(false) }

// sessionWait is for routes of services as well: who ends one, or sees it fail, waits for its end.
func (a *app) sessionWait() *cobra.Command { return a.waitForEnd(true) }

func (a *app) waitForEnd(routes bool) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait SESSION...", Short: "Wait until sessions have ended; the exit code is that of the first that failed",
		Long: "Wait until sessions have ended; the name of an array stands for all of its sessions. The exit code is that\n" +
			"of the first of them, as they are named, that failed: 124 where it ran into its timeout, 1 where it has no code of its own. What it wrote last is shown.",
		Args: words("SESSION", 1, -1), ValidArgsFunction: a.completeAt(-1, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var all []api.Session
			for _, ref := range args {
				of, err := sessionsOf(cmd.Context(), c, ref)
				if err != nil {
					return err
				}
				all = append(all, of...)
			}
			for _, s := range all {
				if s.Type == "inference" && !routes {
					return &usageError{message: "session " + s.Name + " is a route of a service: it does not end by itself", hint: "palisade service info " + s.ServiceName + "; where it is ended: palisade session wait " + s.ID}
				}
			}
			return a.waitForEnds(cmd.Context(), c, all, timeout)
		},
	}
	cmd.Flags().Var(newDuration(&timeout, 0), "timeout", "give up waiting after that long; the sessions go on (default: wait for ever)")
	return cmd
}

// exitTimedOut is the exit code for a job that ran into its timeout, as timeout(1) has it.
const exitTimedOut = 124

// batchEnded says that a job did not end with success.
type batchEnded struct {
	session api.Session
	log     string // its last lines
}

func (e *batchEnded) Error() string {
	text := fmt.Sprintf("session %s: %s", e.session.Name, briefly(endOrReason(e.session)))
	if e.log != "" {
		text += "\n    " + indented(printable(e.log))
	}
	return text
}

// Hint says what to look at, or what to change.
func (e *batchEnded) Hint() string {
	switch s := e.session; {
	case s.StartedAt == nil && strings.HasPrefix(s.Reason, "pulling "):
		return "images that are here already: palisade image list; one from a file: palisade image import FILE"
	case s.StartedAt == nil:
		return "what it went through: palisade session status-history " + s.ID
	case s.Exit != nil && s.Exit.Reason == "out-of-memory":
		return "its limit is -r mem=SIZE and that of /dev/shm together: give it more; all of its log: palisade session logs " + s.ID
	default:
		return "all of its log: palisade session logs " + s.ID
	}
}

// code is the program's exit code.
func (e *batchEnded) code() int {
	exit := e.session.Exit
	switch {
	case e.session.Outcome == "task-timeout":
		return exitTimedOut
	case exit == nil || exit.Code <= 0 || exit.Code > 255:
		return exitFailed
	}
	return exit.Code
}

// waitForSessions waits until interactive sessions run and batch jobs have ended, and shows them.
func (a *app) waitForSessions(ctx context.Context, c *api.Client, made []api.Session, timeout time.Duration) error {
	if len(made) > 0 && made[0].Type == "batch" {
		return a.waitForEnds(ctx, c, made, timeout)
	}
	for i := range made {
		s, err := a.follow(ctx, c, made[i], runsOrEnded)
		if err != nil {
			return err
		}
		if ended(s) {
			return &batchEnded{session: s, log: a.lastWords(ctx, c, s)}
		}
		made[i] = s
	}
	return a.showCreated(made)
}

func (a *app) waitForEnds(ctx context.Context, c *api.Client, all []api.Session, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errWaitedLongEnough)
		defer cancel()
	}
	var failed error
	for i := range all {
		s, err := a.follow(ctx, c, all[i], ended)
		if err != nil {
			return err
		}
		all[i] = s
		if s.Result == "success" {
			continue
		}
		one := &batchEnded{session: s, log: a.lastWords(ctx, c, s)}
		if failed == nil {
			failed = one
		} else {
			a.report(one)
		}
	}
	t := newTable("ID", "NAME", "RESULT", "CODE", "ENDED", "REASON")
	r := result{json: all, table: t}
	for _, s := range all {
		code := "-"
		if s.Exit != nil {
			code = fmt.Sprint(s.Exit.Code)
		}
		t.add(s.ID, s.Name, orDash(resultWords(s)), code, a.agoPtr(s.EndedAt), briefly(endOrReason(s)))
		one := s.Result
		if one == undefinedResult {
			one = cmp.Or(resultWords(s), one)
		}
		r.quiet = append(r.quiet, one)
	}
	if err := a.show(r); err != nil {
		return err
	}
	return failed
}

// How often a session that is waited for is looked at: quickly at first, for many jobs are short.
const (
	firstLook = 50 * time.Millisecond
	mostLook  = time.Second
)

// follow looks at a session, showing what it goes through, until done says that it is enough.
func (a *app) follow(ctx context.Context, c *api.Client, s api.Session, done func(api.Session) bool) (api.Session, error) {
	show := a.newProgress()
	defer show.clear()
	said := ""
	for wait := firstLook; ; wait = min(wait*2, mostLook) {
		if now := s.Status + " " + briefly(endOrReason(s)); now != said {
			said = now
			show.line(a.now(), fmt.Sprintf("session %s: %s: %s", s.Name, s.Status, briefly(endOrReason(s))))
		}
		if done(s) {
			return s, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return s, a.stoppedWaiting(ctx, s)
		}
		now, err := c.Session(ctx, s.ID)
		switch {
		case err == nil:
			s = now
		case ctx.Err() != nil:
			return s, a.stoppedWaiting(ctx, s)
		case isProblem(err):
			return s, err
		} // else the daemon is being restarted, perhaps: the session goes on, and so does the wait
		if err != nil && wait == mostLook {
			show.line(a.now(), "the appliance does not answer; trying again: "+briefly(err.Error()))
		}
	}
}

func isProblem(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Status < 500
}

func (a *app) stoppedWaiting(ctx context.Context, s api.Session) error {
	err := context.Cause(ctx)
	if errors.Is(err, errWaitedLongEnough) {
		err = fmt.Errorf("session %s has not ended: it is %s: %s", s.Name, s.Status, briefly(endOrReason(s)))
	}
	return &hinted{err, "it goes on: palisade session info " + s.ID}
}

// lastLines are how many lines of a log are shown beside what became of a session.
const lastLines = 10

// lastWords are the last lines of a session's log; "" where there is none.
func (a *app) lastWords(ctx context.Context, c *api.Client, s api.Session) string {
	body, err := c.SessionLogs(ctx, s.ID, api.LogOptions{Tail: lastLines})
	if err != nil {
		return ""
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, 64<<10))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
