package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/training/pipeline"
)

func (a *app) pipelineCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "pipeline", Aliases: []string{"pipelines"}, Short: "Run tasks that follow one another, by hand or by a schedule: train, evaluate, serve"})
	cmd.AddCommand(a.pipelineValidate(), a.pipelineGraph(), a.pipelineRun(), a.pipelineApply(), a.pipelineList(), a.pipelineInfo())
	cmd.AddCommand(a.pipelineJobs(), a.pipelineJob(), a.pipelineLogs(), a.pipelineCancel(), a.pipelineResume(), a.pipelineRemove())
	return cmd
}

// isFile tells a file from a name: a pipeline's name has neither a slash nor a dot before yaml or yml.
func isFile(ref string) bool {
	return ref == "-" || strings.ContainsRune(ref, os.PathSeparator) || strings.HasSuffix(ref, ".yaml") || strings.HasSuffix(ref, ".yml")
}

// readPipeline reads a pipeline's file; "-" is what comes on standard input.
func (a *app) readPipeline(file string) (in api.PipelineApply, err error) {
	var text []byte
	if file == "-" {
		in.File = "standard input"
		text, err = io.ReadAll(io.LimitReader(a.Stdin, catalog.MaxDocumentSize+1))
	} else {
		in.File = file
		text, err = readSmall(file)
	}
	in.Definition = string(text)
	return in, err
}

// readSmall reads a file that is to be text: no more of it than any pipeline has.
func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &usageError{message: "there is no file " + file, hint: "a pipeline that is kept is named without .yaml: palisade pipeline list"}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, catalog.MaxDocumentSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(file), err)
	}
	return text, nil
}

func (a *app) pipelineValidate() *cobra.Command {
	var params []string
	var offline bool
	cmd := &cobra.Command{
		Use: "validate FILE", Short: "Tell all that is wrong with a pipeline's file, with line and column",
		Long: "Tell all that is wrong with a pipeline's file, with line and column. The appliance is asked too, where it\n" +
			"answers: whether it has the images and folders, and room for what is asked for.",
		Args: words("FILE", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.readPipeline(args[0])
			if err != nil {
				return err
			}
			if in.Parameters, err = pairs("-p", params, nil); err != nil {
				return err
			}
			d, ps := pipeline.Parse(in.File, []byte(in.Definition))
			if ps.Err() != nil {
				return &definitionError{in.File, ps}
			}
			asked := !offline
			if asked {
				c, err := a.client()
				if err == nil {
					_, err = c.ValidatePipeline(cmd.Context(), in)
				}
				if p, is := errors.AsType[*api.Problem](err); is && p.Status < 500 {
					return err
				}
				asked = err == nil
			}
			steps := 0
			for _, t := range d.Tasks {
				steps += t.Count()
			}
			a.notef("%s: pipeline %s, %s: nothing is wrong with it", in.File, d.Name, plural(steps, "task"))
			if !asked && !offline {
				a.notef("the appliance does not answer: whether it has the images and folders is not known")
			}
			return a.show(result{quiet: []string{d.Name}, json: map[string]any{"name": d.Name, "tasks": steps, "asked": asked}, text: func() error {
				fmt.Fprint(a.out, pipeline.Text(d.Nodes()))
				return nil
			}})
		},
	}
	cmd.Flags().StringArrayVarP(&params, "param", "p", nil, "parameter NAME=VALUE to try it with (repeatable)")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the appliance")
	return cmd
}

// definitionError is a file with something wrong.
type definitionError struct {
	file     string
	problems catalog.Problems
}

func (e *definitionError) Error() string {
	return fmt.Sprintf("%s in %s\n    %s", plural(len(e.problems), "problem"), e.file, indented(e.problems.Error()))
}

func (e *definitionError) Hint() string { return "the format: docs/pipelines.md" }

func (a *app) pipelineGraph() *cobra.Command {
	var svg string
	cmd := &cobra.Command{
		Use: "graph FILE|NAME|JOB", Short: "Draw a pipeline, or a job with how its tasks stand", Args: words("FILE|NAME|JOB", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.pipelineNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			drawn, err := a.graph(cmd.Context(), args[0], cmd.Flags().Changed("svg"))
			if err != nil {
				return err
			}
			if svg != "" && svg != "-" {
				return os.WriteFile(svg, drawn, 0o644) // a picture for whoever may look
			}
			_, err = a.out.Write(drawn)
			return err
		},
	}
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture to this file; - is standard output")
	cmd.Flags().Lookup("svg").NoOptDefVal = "-"
	return cmd
}

func (a *app) graph(ctx context.Context, ref string, svg bool) ([]byte, error) {
	if isFile(ref) {
		in, err := a.readPipeline(ref)
		if err != nil {
			return nil, err
		}
		d, ps := pipeline.Parse(in.File, []byte(in.Definition))
		if ps.Err() != nil {
			return nil, &definitionError{in.File, ps}
		}
		if svg {
			return pipeline.SVG(d.Name, d.Nodes()), nil
		}
		return []byte(pipeline.Text(d.Nodes())), nil
	}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	format := "text"
	if svg {
		format = "svg"
	}
	draw := c.PipelineGraph
	if isJob(ref) {
		draw = c.JobGraph
	}
	body, err := draw(ctx, ref, format)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// isJob tells a job from a pipeline.
func isJob(ref string) bool { return strings.HasPrefix(ref, "job-") || strings.ContainsRune(ref, '.') }

func (a *app) pipelineRun() *cobra.Command {
	var params []string
	var noCache, wait bool
	cmd := &cobra.Command{
		Use: "run FILE|NAME", Short: "Run a pipeline: a file, or one that is kept",
		Example: "  palisade pipeline run digits.yaml -p epochs=1 --wait\n  palisade pipeline run digits --no-cache",
		Args:    words("FILE|NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.pipelineNames),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := api.JobCreate{Pipeline: args[0], NoCache: noCache}
			if isFile(args[0]) {
				file, err := a.readPipeline(args[0])
				if err != nil {
					return err
				}
				if _, ps := pipeline.Parse(file.File, []byte(file.Definition)); ps.Err() != nil {
					return &definitionError{file.File, ps}
				}
				in.Pipeline, in.Definition, in.File = "", file.Definition, file.File
			}
			if in.Parameters, err = pairs("-p", params, a.LookupEnv); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			j, err := c.RunPipeline(cmd.Context(), in)
			if err != nil {
				return err
			}
			if wait {
				return a.waitForJob(cmd.Context(), c, j)
			}
			a.notef("how it goes: palisade pipeline job %s", j.Name)
			return a.showJob(j)
		},
	}
	cmd.Flags().StringArrayVarP(&params, "param", "p", nil, "parameter NAME=VALUE; NAME alone takes this shell's variable (repeatable)")
	cmd.Flags().BoolVar(&noCache, "no-cache", false, "every task runs, whatever earlier jobs left")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it has ended, showing what its tasks do; exit code 1 where it does not end well")
	return cmd
}

func (a *app) pipelineApply() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Keep a pipeline by the name that its file gives; its schedule counts from now", Args: words("FILE", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.readPipeline(args[0])
			if err != nil {
				return err
			}
			if _, ps := pipeline.Parse(in.File, []byte(in.Definition)); ps.Err() != nil {
				return &definitionError{in.File, ps}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.ApplyPipeline(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{p.Name}, json: p, text: func() error {
				fmt.Fprintf(a.out, "pipeline %s is kept%s\n", p.Name, a.nextWords(p.Schedule))
				return nil
			}})
		},
	}
}

func (a *app) nextWords(s *api.PipelineSchedule) string {
	switch {
	case s == nil:
		return ""
	case !s.Enabled:
		return "; its schedule is not enabled"
	case s.Next == nil:
		return "; its schedule never comes"
	}
	return "; it runs next " + a.ago(*s.Next) + ", at " + s.Next.Local().Format("2006-01-02 15:04 MST")
}

func (a *app) pipelineList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List pipelines", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.Pipelines(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("NAME", "TASKS", "SCHEDULE", "NEXT", "LAST JOB", "STATUS", "DESCRIPTION")
			r := result{json: notNull(all), table: t}
			for _, p := range all {
				schedule, next, last, status := "-", "-", "-", "-"
				if s := p.Schedule; s != nil {
					schedule = s.Cron + " " + s.Zone
					if !s.Enabled {
						schedule += " (off)"
					}
					next = a.agoPtr(s.Next)
				}
				if j := p.LastJob; j != nil {
					last, status = j.Name, j.Status
				}
				tasks := 0
				for _, one := range p.Tasks {
					tasks += one.Instances
				}
				count := fmt.Sprint(tasks)
				if p.AppliedAt == nil {
					count = "-"
				}
				t.add(p.Name, count, schedule, next, last, status, orDash(cmp.Or(p.Description, notApplied(p))))
				r.quiet = append(r.quiet, p.Name)
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("no pipelines; make one: docs/pipelines.md, then palisade pipeline run FILE")
				return nil
			}
			return a.show(r)
		},
	}
}

func notApplied(p api.Pipeline) string {
	if p.AppliedAt == nil {
		return "(run from a file; palisade pipeline apply keeps it)"
	}
	return ""
}

func (a *app) pipelineInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info NAME", Aliases: []string{"show", "describe"}, Short: "Show a pipeline that is kept", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.pipelineNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Pipeline(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{p.Name}, json: p, text: func() error {
				applied, last, schedule := notApplied(p), "", ""
				if p.AppliedAt != nil {
					applied = a.ago(*p.AppliedAt) + " by " + p.AppliedBy
				}
				if j := p.LastJob; j != nil {
					last = j.Name + " " + j.Status + because(j.Reason)
				}
				if p.Schedule != nil {
					schedule = p.Schedule.Cron + " " + p.Schedule.Zone + a.nextWords(p.Schedule)
				}
				a.fields([2]string{"name", p.Name}, [2]string{"project", p.Project}, [2]string{"description", p.Description},
					[2]string{"applied", applied}, [2]string{"schedule", schedule}, [2]string{"last job", last})
				for _, one := range p.Parameters {
					value := "= " + one.Default
					if one.Required {
						value = "(must be given)"
					}
					fmt.Fprintf(a.out, "parameter %s %s  %s\n", oneLine(one.Name), oneLine(value), oneLine(one.Description))
				}
				if p.AppliedAt != nil {
					fmt.Fprintf(a.out, "\n%s\n", strings.TrimSpace(printable(p.Definition)))
				}
				return nil
			}})
		},
	}
}

func (a *app) pipelineNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Pipelines(ctx)
	return namesOf(items, err, func(p api.Pipeline) string { return p.Name + "\t" + p.Description })
}

func (a *app) jobNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Jobs(ctx, "")
	return namesOf(items, err, func(j api.Job) string { return j.Name + "\t" + j.Status })
}
