package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// Pipelines are those that are kept, and their jobs. *keeper.Keeper is one.
type Pipelines interface {
	Validate(ctx context.Context, r keeper.RunRequest) (*pipeline.Definition, error)
	Apply(ctx context.Context, project, by, file, source string) (keeper.Kept, error)
	Pipelines(project string) []keeper.Kept
	Pipeline(project, name string) (keeper.Kept, error)
	RemovePipeline(ctx context.Context, project, name string) error
}

// Jobs are runs of pipelines. *keeper.Keeper is one.
type Jobs interface {
	RunNow(ctx context.Context, r keeper.RunRequest) (pipeline.Job, error)
	Jobs(project, pipeline string) []pipeline.Job // newest first
	Job(project, ref string) (pipeline.Job, error)
	Cancel(ctx context.Context, project, ref, by string) (pipeline.Job, error)
	Resume(ctx context.Context, project, ref, by string) (pipeline.Job, error)
	RemoveJob(ctx context.Context, project, ref string) error
}

// definition puts what a file says into its view.
func definition(out *api.Pipeline, d *pipeline.Definition) {
	out.Name, out.Description = d.Name, d.Description
	for _, p := range d.Parameters {
		out.Parameters = append(out.Parameters, api.PipelineParameter{Name: p.Name, Default: p.Default, Required: p.Required, Description: p.Description, Choices: p.Choices})
	}
	if s := d.Schedule; s != nil {
		out.Schedule = &api.PipelineSchedule{Cron: s.Cron, Zone: s.Zone, Overlap: string(s.Overlap), Enabled: s.Enabled}
		if s.Zone == "" {
			out.Schedule.Zone = "UTC"
		}
	}
	for _, t := range d.Tasks {
		one := api.PipelineTask{Name: t.Name, DependsOn: t.DependsOn, Instances: t.Count()}
		if t.Serve != nil {
			one.Service = t.Serve.Service
		}
		out.Tasks = append(out.Tasks, one)
	}
}

func (s *server) pipeline(k keeper.Kept) api.Pipeline {
	out := api.Pipeline{Name: k.Name, Project: k.Project, Definition: k.Source, AppliedBy: k.AppliedBy, AppliedAt: timePtr(k.AppliedAt), Tasks: []api.PipelineTask{}}
	if d, _ := pipeline.Parse(k.Name, []byte(k.Source)); d != nil && k.Source != "" {
		definition(&out, d)
		if out.Schedule != nil {
			out.Schedule.Next = timePtr(keeper.Next(k, s.Now()))
		}
	}
	if jobs := s.Jobs.Jobs(k.Project, k.Name); len(jobs) > 0 {
		last := job(jobs[0])
		last.Tasks = []api.JobTask{}
		out.LastJob = &last
	}
	return out
}

func job(j pipeline.Job) api.Job {
	out := api.Job{
		ID: j.ID, Name: j.Name(), Number: j.Number, Pipeline: j.Pipeline, Project: j.Project, Status: string(j.Status), Reason: j.Reason,
		CreatedBy: j.CreatedBy, CreatedAt: j.CreatedAt.UTC(), DueAt: timePtr(j.DueAt), StartedAt: timePtr(j.StartedAt), EndedAt: timePtr(j.EndedAt),
		Parameters: j.Parameters, NoCache: j.NoCache, Resumes: j.Resumes, Tasks: []api.JobTask{},
	}
	for i, step := range j.Plan.Steps {
		p := j.Steps[i]
		t := api.JobTask{
			Name: p.Key, Task: step.Task, Matrix: step.Matrix, Status: string(p.Status), Reason: p.Reason, Attempt: p.Attempt, SessionID: p.Session,
			ExitCode: p.ExitCode, StartedAt: timePtr(p.StartedAt), EndedAt: timePtr(p.EndedAt), Outputs: keeper.Outputs(j, p), CachedFrom: p.CachedFrom,
		}
		for _, in := range step.Inputs {
			t.DependsOn = append(t.DependsOn, in.Task)
		}
		if step.Serve != nil {
			t.Service = step.Serve.Service
		}
		if p.Rollout != nil {
			t.Revision = p.Rollout.Revision
		}
		out.Tasks = append(out.Tasks, t)
	}
	for _, n := range j.Notices {
		to := ""
		if n.To < len(j.Plan.Notify) {
			if to = j.Plan.Notify[n.To].URLEnv; to == "" { // the rest of an address is its password
				if u, err := url.Parse(j.Plan.Notify[n.To].URL); err == nil {
					to = u.Host
				}
			}
		}
		out.Notifications = append(out.Notifications, api.JobNotification{
			To: to, Event: n.Event, Tries: n.Tries, SentAt: timePtr(n.SentAt), NextAt: timePtr(n.NextAt), Fault: n.Fault, Lost: n.Lost,
		})
	}
	return out
}

// pipelineIn reads a file that is to be checked or kept.
func (s *server) pipelineIn(c *gin.Context, parameters bool) (in api.PipelineApply, project string, err error) {
	p := query(c)
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return in, "", err
	}
	if in.Parameters != nil && !parameters {
		return in, "", badField("parameters", "give them to its runs, or to its schedule", "are not kept with a pipeline")
	}
	project, err = s.projectOf(c, p, in.Project)
	return in, project, err
}

func (s *server) validatePipeline(c *gin.Context) error {
	in, project, err := s.pipelineIn(c, true)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	d, err := s.Pipelines.Validate(ctx, keeper.RunRequest{
		Project: project, By: actorOf(ctx).Name, File: in.File, Source: in.Definition, Parameters: in.Parameters,
	})
	if err != nil {
		return err
	}
	out := api.Pipeline{Project: project, Tasks: []api.PipelineTask{}}
	definition(&out, d)
	return respond(c, http.StatusOK, out)
}

func (s *server) applyPipeline(c *gin.Context) error {
	in, project, err := s.pipelineIn(c, false)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	k, err := s.Pipelines.Apply(ctx, project, actorOf(ctx).Name, in.File, in.Definition)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.pipeline(k))
}

func (s *server) listPipelines(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	items := []api.Pipeline{}
	for _, k := range s.Pipelines.Pipelines(p.project()) {
		one := s.pipeline(k)
		one.Definition = ""
		items = append(items, one)
	}
	return respondPage(c, p, items, func(v api.Pipeline) string { return v.Name })
}

// findPipeline finds the one that a request is about.
func (s *server) findPipeline(c *gin.Context, p *params) (keeper.Kept, error) {
	if p.err != nil {
		return keeper.Kept{}, p.err
	}
	k, err := s.Pipelines.Pipeline(p.project(), c.Param("id"))
	return k, withNearest(err, c.Param("id"), func() (names []string) {
		for _, one := range s.Pipelines.Pipelines(p.project()) {
			names = append(names, one.Name)
		}
		return names
	})
}

func (s *server) getPipeline(c *gin.Context) error {
	k, err := s.findPipeline(c, query(c))
	if err != nil {
		return err
	}
	out := s.pipeline(k)
	if !s.rights.grant(actorOf(c.Request.Context()), k.Project).meets(member) {
		out.Definition = covered(out.Definition)
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) removePipeline(c *gin.Context) error {
	k, err := s.findPipeline(c, query(c))
	if err != nil {
		return err
	}
	if err := s.Pipelines.RemovePipeline(c.Request.Context(), k.Project, k.Name); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) pipelineGraph(c *gin.Context) error {
	p := query(c, "format")
	k, err := s.findPipeline(c, p)
	if err != nil {
		return err
	}
	d, ps := pipeline.Parse(k.Name, []byte(k.Source))
	if ps.Err() != nil {
		return &hinted{fmt.Errorf("pipeline %s was never applied: %w", k.Name, pipeline.ErrState), "palisade pipeline graph " + k.Name + ".N draws a job of it"}
	}
	return drawing(c, p, d.Name, d.Nodes())
}

func (s *server) jobGraph(c *gin.Context) error {
	p := query(c, "format")
	j, err := s.findJob(c, p)
	if err != nil {
		return err
	}
	return drawing(c, p, j.Name()+" "+string(j.Status), j.Nodes())
}

// drawing answers with a graph.
func drawing(c *gin.Context, p *params, title string, nodes []pipeline.Node) error {
	switch format := p.text("format"); format {
	case "", "text":
		c.Header("Content-Type", "text/plain; charset=utf-8")
		_, _ = c.Writer.WriteString(pipeline.Text(nodes))
	case "svg":
		c.Header("Content-Type", "image/svg+xml")
		c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = c.Writer.Write(pipeline.SVG(title, nodes))
	default:
		return badField("?format", "", "%q: text or svg", format)
	}
	return nil
}

func (s *server) createJob(c *gin.Context) error {
	p := query(c)
	var in api.JobCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return err
	}
	if (in.Pipeline == "") == (in.Definition == "") {
		return badField("pipeline", "", "one of pipeline and definition is wanted")
	}
	ctx := c.Request.Context()
	if in.Pipeline != "" {
		if _, err := s.Pipelines.Pipeline(project, in.Pipeline); err != nil {
			return withNearest(err, in.Pipeline, func() (names []string) {
				for _, one := range s.Pipelines.Pipelines(project) {
					names = append(names, one.Name)
				}
				return names
			})
		}
	}
	j, err := s.Jobs.RunNow(ctx, keeper.RunRequest{
		Project: project, Pipeline: in.Pipeline, Source: in.Definition, File: in.File, Parameters: in.Parameters, NoCache: in.NoCache,
		By: actorOf(ctx).Name,
	})
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/jobs/"+j.ID)
	return respond(c, http.StatusCreated, job(j))
}

func (s *server) listJobs(c *gin.Context) error {
	p := query(c, "pipeline", "status", "limit", "cursor")
	status := strings.ToUpper(p.text("status"))
	items := []api.Job{}
	for _, j := range s.Jobs.Jobs(p.project(), p.text("pipeline")) {
		if status == "" || string(j.Status) == status {
			items = append(items, job(j))
		}
	}
	// Newest first: what is later has the smaller key.
	return respondPage(c, p, items, func(v api.Job) string {
		return fmt.Sprintf("%020d", uint64(1<<63)-uint64(v.CreatedAt.Sub(time.Unix(0, 0)))) + v.ID // after 1970
	})
}

func (s *server) findJob(c *gin.Context, p *params) (pipeline.Job, error) {
	if p.err != nil {
		return pipeline.Job{}, p.err
	}
	j, err := s.Jobs.Job(p.project(), c.Param("id"))
	return j, withNearest(err, c.Param("id"), func() (names []string) {
		for _, one := range s.Jobs.Jobs(p.project(), "") {
			names = append(names, one.Name())
		}
		return names
	})
}

func (s *server) getJob(c *gin.Context) error {
	j, err := s.findJob(c, query(c))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, job(j))
}

func (s *server) cancelJob(c *gin.Context) error {
	j, err := s.findJob(c, query(c))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if j, err = s.Jobs.Cancel(ctx, j.Project, j.ID, actorOf(ctx).Name); err != nil {
		return err
	}
	return respond(c, http.StatusOK, job(j))
}

func (s *server) resumeJob(c *gin.Context) error {
	j, err := s.findJob(c, query(c))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if j, err = s.Jobs.Resume(ctx, j.Project, j.ID, actorOf(ctx).Name); err != nil {
		return err
	}
	return respond(c, http.StatusOK, job(j))
}

func (s *server) removeJob(c *gin.Context) error {
	j, err := s.findJob(c, query(c))
	if err != nil {
		return err
	}
	if err := s.Jobs.RemoveJob(c.Request.Context(), j.Project, j.ID); err != nil {
		return err
	}
	return noContent(c)
}
