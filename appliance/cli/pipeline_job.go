package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) pipelineJobs() *cobra.Command {
	return &cobra.Command{
		Use: "jobs [NAME]", Short: "List jobs, newest first; of one pipeline where it is named", Args: words("NAME", 0, 1),
		ValidArgsFunction: a.completeAt(0, a.pipelineNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			all, err := c.Jobs(cmd.Context(), name)
			if err != nil {
				return err
			}
			t := newTable("JOB", "ID", "STATUS", "TASKS", "CREATED", "TOOK", "BY", "REASON")
			r := result{json: notNull(all), table: t}
			for _, j := range all {
				by := j.CreatedBy
				if j.DueAt != nil {
					by = "schedule"
				}
				t.add(j.Name, j.ID, j.Status, doneWords(j), a.ago(j.CreatedAt), a.took(j.StartedAt, j.EndedAt), by, briefly(j.Reason))
				r.quiet = append(r.quiet, j.Name)
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("no jobs; make one: palisade pipeline run FILE")
				return nil
			}
			return a.show(r)
		},
	}
}

// doneWords is how many tasks of a job have ended well: 3/5.
func doneWords(j api.Job) string {
	well := 0
	for _, t := range j.Tasks {
		if t.Status == "SUCCEEDED" || t.Status == "CACHED" {
			well++
		}
	}
	return fmt.Sprintf("%d/%d", well, len(j.Tasks))
}

// took is how long something took, or has taken so far.
func (a *app) took(from, to *time.Time) string {
	if from == nil {
		return "-"
	}
	until := a.now()
	if to != nil {
		until = *to
	}
	d := max(until.Sub(*from), 0)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func (a *app) pipelineJob() *cobra.Command {
	return a.oneJob("job JOB", "Show a job and its tasks; the name of a pipeline is its newest job", (*api.Client).Job)
}

func (a *app) pipelineResume() *cobra.Command {
	return a.oneJob("resume JOB", "Have a job go on at the tasks that failed, were cancelled or skipped", (*api.Client).ResumeJob)
}

// oneJob is a command that shows the job that it gets, and with --wait stays until that has ended.
func (a *app) oneJob(use, short string, get func(c *api.Client, ctx context.Context, ref string) (api.Job, error)) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: words("JOB", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.jobNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			j, err := get(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if wait {
				return a.waitForJob(cmd.Context(), c, j)
			}
			return a.showJob(j)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it has ended; exit code 1 where it does not end well")
	return cmd
}

func (a *app) showJob(j api.Job) error {
	return a.show(result{quiet: []string{j.Name}, json: j, text: func() error {
		due := ""
		if j.DueAt != nil {
			due = j.DueAt.Local().Format("2006-01-02 15:04 MST")
		}
		var params []string
		for _, name := range slices.Sorted(maps.Keys(j.Parameters)) {
			params = append(params, name+"="+j.Parameters[name])
		}
		a.fields([2]string{"job", j.Name}, [2]string{"id", j.ID}, [2]string{"status", j.Status}, [2]string{"reason", j.Reason},
			[2]string{"created", a.ago(j.CreatedAt) + " by " + j.CreatedBy}, [2]string{"scheduled for", due},
			[2]string{"took", strings.Trim(a.took(j.StartedAt, j.EndedAt), "-")}, [2]string{"parameters", strings.Join(params, " ")})
		for _, n := range j.Notifications {
			fmt.Fprintf(a.out, "notification to %s: %s\n", oneLine(n.To), oneLine(a.noticeWords(n)))
		}
		fmt.Fprintln(a.out)
		t := newTable("TASK", "STATUS", "TOOK", "SESSION", "OUTPUTS", "REASON")
		for _, one := range j.Tasks {
			name := one.Name
			if len(one.Matrix) > 0 {
				name += " (" + mapWords(one.Matrix) + ")"
			}
			t.add(name, one.Status, a.took(one.StartedAt, one.EndedAt), orDash(one.SessionID), orDash(one.Outputs), briefly(one.Reason))
		}
		t.write(a.out)
		return nil
	}})
}

func (a *app) noticeWords(n api.JobNotification) string {
	switch {
	case n.SentAt != nil:
		return n.Event + ", sent " + a.ago(*n.SentAt)
	case n.Lost:
		return n.Event + ", given up after " + plural(n.Tries, "try") + ": " + n.Fault
	case n.Fault != "":
		return n.Event + ", tried again " + a.agoPtr(n.NextAt) + ": " + n.Fault
	}
	return n.Event + ", on its way"
}

// jobEnded says that a job did not end well.
type jobEnded struct {
	job  api.Job
	logs string // the last lines of the tasks that failed
}

func (e *jobEnded) Error() string {
	return fmt.Sprintf("job %s: %s: %s%s", e.job.Name, e.job.Status, oneLine(briefly(e.job.Reason)), e.logs)
}

func (e *jobEnded) Hint() string {
	for _, t := range e.job.Tasks {
		if t.Status == "FAILED" && t.SessionID != "" {
			return fmt.Sprintf("all of its log: palisade pipeline logs %s %s; once it is mended: palisade pipeline resume %[1]s", e.job.Name, t.Name)
		}
	}
	return "palisade pipeline job " + e.job.Name
}

func jobIsOver(j api.Job) bool { return j.Status != "QUEUED" && j.Status != "RUNNING" }

// waitForJob waits until a job has ended, showing what its tasks do.
func (a *app) waitForJob(ctx context.Context, c *api.Client, j api.Job) error {
	show := a.newProgress()
	defer show.clear()
	said := map[string]string{}
	for wait := firstLook; ; wait = min(wait*2, mostLook) {
		for _, t := range j.Tasks {
			if now := t.Status + ": " + briefly(t.Reason); t.Status != "WAITING" && said[t.Name] != now {
				said[t.Name] = now
				show.line(a.now(), t.Name+": "+now)
				wait = firstLook
			}
		}
		if jobIsOver(j) {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &hinted{context.Cause(ctx), "it goes on: palisade pipeline job " + j.Name}
		}
		now, err := c.Job(ctx, j.ID)
		switch {
		case err == nil:
			j = now
		case ctx.Err() != nil:
			return &hinted{context.Cause(ctx), "it goes on: palisade pipeline job " + j.Name}
		case isProblem(err):
			return err
		case wait == mostLook:
			show.line(a.now(), "the appliance does not answer; trying again: "+briefly(err.Error()))
		}
	}
	if err := a.showJob(j); err != nil {
		return err
	}
	if j.Status == "SUCCEEDED" {
		return nil
	}
	ended := &jobEnded{job: j}
	for _, t := range j.Tasks {
		if t.Status == "FAILED" && t.SessionID != "" {
			if words := a.lastWords(ctx, c, api.Session{ID: t.SessionID}); words != "" {
				ended.logs += "\n    " + t.Name + ":\n    " + indented(printable(words))
			}
		}
	}
	return ended
}

func (a *app) pipelineLogs() *cobra.Command {
	var o api.LogOptions
	cmd := &cobra.Command{
		Use: "logs JOB [TASK]", Short: "Print what a job's task writes; of one task of a job, or of all in turn", Args: words("JOB TASK", 1, 2),
		ValidArgsFunction: a.completeAt(0, a.jobNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			j, err := c.Job(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(args) == 2 {
				return a.taskLog(cmd.Context(), c, j, args[1], o)
			}
			if o.Follow {
				return &usageError{message: "--follow is for one task", hint: "palisade pipeline logs " + j.Name + " TASK --follow"}
			}
			var failed error
			for _, t := range j.Tasks {
				a.logHead(t.Name, t.Status, t.Reason)
				if t.SessionID == "" {
					continue
				}
				body, err := c.SessionLogs(cmd.Context(), t.SessionID, o)
				failed = errors.Join(failed, a.copyLog(cmd.Context(), body, err))
			}
			return failed
		},
	}
	addLogFlags(cmd, &o)
	return cmd
}

func (a *app) taskLog(ctx context.Context, c *api.Client, j api.Job, task string, o api.LogOptions) error {
	var names []string
	for _, t := range j.Tasks {
		names = append(names, t.Name)
		if t.Name != task {
			continue
		}
		switch {
		case t.SessionID != "":
			body, err := c.SessionLogs(ctx, t.SessionID, o)
			return a.copyLog(ctx, body, err)
		case t.CachedFrom != "":
			return &hinted{fmt.Errorf("task %s did not run: %s", task, oneLine(t.Reason)), "palisade pipeline logs " + t.CachedFrom + " " + task}
		case t.Service != "":
			return &hinted{fmt.Errorf("task %s runs no command, it serves: %s", task, oneLine(t.Reason)), "palisade service logs " + t.Service}
		}
		return fmt.Errorf("task %s has not run: it is %s: %s", task, t.Status, oneLine(t.Reason))
	}
	return &usageError{message: fmt.Sprintf("job %s has no task %q", j.Name, task), hint: "its tasks: " + strings.Join(names, ", ")}
}

func (a *app) pipelineCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel JOB...", Short: "End jobs: what runs of them is stopped, and nothing more starts", Args: words("JOB", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.jobNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error {
				_, err := c.CancelJob(cmd.Context(), ref)
				return err
			})
		},
	}
}

func (a *app) pipelineRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME|JOB...", Short: "Forget a job that has ended, or a pipeline with all its jobs, and delete what they left; services stay",
		Args: words("NAME|JOB", 1, -1), ValidArgsFunction: a.completeAt(-1, a.pipelineNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error {
				if isJob(ref) {
					return c.RemoveJob(cmd.Context(), ref)
				}
				return c.RemovePipeline(cmd.Context(), ref)
			})
		},
	}
}
