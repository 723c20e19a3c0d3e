package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// ValidatePipeline checks a file against the appliance: what is told is what running it would be told.
func (c *Client) ValidatePipeline(ctx context.Context, in PipelineApply) (Pipeline, error) {
	var out Pipeline
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/pipelines/validate", in: in}, &out)
}

// ApplyPipeline keeps a file by the name that it gives.
func (c *Client) ApplyPipeline(ctx context.Context, in PipelineApply) (Pipeline, error) {
	var out Pipeline
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/pipelines", in: in}, &out)
}

// Pipelines lists those of a project, by name.
func (c *Client) Pipelines(ctx context.Context) ([]Pipeline, error) {
	return list[Pipeline](ctx, c, "/pipelines", nil)
}

// Pipeline returns one by name.
func (c *Client) Pipeline(ctx context.Context, name string) (Pipeline, error) {
	var out Pipeline
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/pipelines/" + seg(name)}, &out)
}

// RemovePipeline forgets a pipeline, with its jobs and what they left.
func (c *Client) RemovePipeline(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/pipelines/" + seg(name)}, nil)
}

// PipelineGraph draws a pipeline, as "text" or "svg".
func (c *Client) PipelineGraph(ctx context.Context, name, format string) (io.ReadCloser, error) {
	return c.stream(ctx, "/pipelines/"+seg(name)+"/graph", url.Values{"format": {format}})
}

// RunPipeline makes a job; it does not wait for it.
func (c *Client) RunPipeline(ctx context.Context, in JobCreate) (Job, error) {
	var out Job
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/jobs", in: in}, &out)
}

// Jobs lists jobs, newest first; of one pipeline where a name is given.
func (c *Client) Jobs(ctx context.Context, pipeline string) ([]Job, error) {
	return list[Job](ctx, c, "/jobs", url.Values{"pipeline": {pipeline}})
}

// RecentJobs lists the newest jobs, at most limit of them; of one pipeline where a name is given.
func (c *Client) RecentJobs(ctx context.Context, pipeline string, limit int) ([]Job, error) {
	var out Page[Job]
	q := url.Values{"pipeline": {pipeline}, "limit": {strconv.Itoa(limit)}}
	err := c.unary(ctx, call{method: http.MethodGet, path: "/jobs", query: q}, &out)
	return out.Items, err
}

// Job returns one by its id, its name, or the newest of a pipeline by that one's name.
func (c *Client) Job(ctx context.Context, ref string) (Job, error) {
	var out Job
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/jobs/" + seg(ref)}, &out)
}

// CancelJob ends a job.
func (c *Client) CancelJob(ctx context.Context, ref string) (Job, error) {
	var out Job
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/jobs/" + seg(ref) + "/cancel"}, &out)
}

// ResumeJob has a job go on at what failed.
func (c *Client) ResumeJob(ctx context.Context, ref string) (Job, error) {
	var out Job
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/jobs/" + seg(ref) + "/resume"}, &out)
}

// RemoveJob forgets a job that has ended, and what it left.
func (c *Client) RemoveJob(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/jobs/" + seg(ref)}, nil)
}

// JobGraph draws a job, as "text" or "svg".
func (c *Client) JobGraph(ctx context.Context, ref, format string) (io.ReadCloser, error) {
	return c.stream(ctx, "/jobs/"+seg(ref)+"/graph", url.Values{"format": {format}})
}
