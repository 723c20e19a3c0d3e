package console

import (
	"errors"
	"net/url"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

func pipelinesActions() []Action {
	return []Action{
		{Pattern: "/pipelines/apply", Do: applyPipeline},
		{Pattern: "/pipelines/{name}/run", Do: runPipeline},
		{Pattern: "/pipelines/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{To: "/pipelines"}, v.API.RemovePipeline(v.Context(), v.PathValue("name"))
		}},
		{Pattern: "/jobs/{job}/cancel", Do: func(v *View) (Outcome, error) {
			_, err := v.API.CancelJob(v.Context(), v.PathValue("job"))
			return Outcome{Toast: v.Say("pipelines.cancelling")}, err
		}},
		{Pattern: "/jobs/{job}/resume", Do: func(v *View) (Outcome, error) {
			_, err := v.API.ResumeJob(v.Context(), v.PathValue("job"))
			return Outcome{Toast: v.Say("pipelines.resuming")}, err
		}},
		{Pattern: "/jobs/{job}/remove", Do: removeJob},
	}
}

// pipelineFile is the name by which messages call what is in the editor.
const pipelineFile = "pipeline.yaml"

// pipelineEdit is what the editor shows.
type pipelineEdit struct {
	Name  string // of the pipeline that is changed; "": a new one
	Text  string
	Check string // where it is checked
	File  string
}

// firstPipeline is what a new one begins with.
const firstPipeline = `version: 1
name: first
description: Prepares something, then works on it.
parameters:
  greeting: hello
defaults:
  image: IMAGE
tasks:
  - name: prepare
    command: echo "${{ params.greeting }}" > /pipeline/outputs/words.txt
  - name: work
    depends_on: [prepare]
    command: cat /pipeline/input1/words.txt
`

func checkPath(v *View) string {
	return api.Prefix + "/pipelines/validate?" + url.Values{"project": {v.Project}}.Encode()
}

func newPipeline(v *View) (any, error) {
	image := "palisade/base"
	if images, err := v.API.Images(v.Context()); errors.Is(err, api.KindError(api.KindNotSupported)) {
		image = "host"
	} else if err == nil && len(images) > 0 {
		image = images[0].Name
	}
	return pipelineEdit{Text: strings.ReplaceAll(firstPipeline, "IMAGE", image), Check: checkPath(v), File: pipelineFile}, nil
}

func editPipeline(v *View) (any, error) {
	p, err := v.API.Pipeline(v.Context(), v.PathValue("name"))
	return pipelineEdit{Name: p.Name, Text: p.Definition, Check: checkPath(v), File: pipelineFile}, err
}

func applyPipeline(v *View) (Outcome, error) {
	p, err := v.API.ApplyPipeline(v.Context(), api.PipelineApply{Definition: strings.ReplaceAll(v.Field("definition"), "\r\n", "\n"), File: pipelineFile})
	return Outcome{To: "/pipelines/" + url.PathEscape(p.Name)}, err
}

func runPipeline(v *View) (Outcome, error) {
	in := api.JobCreate{Pipeline: v.PathValue("name"), NoCache: v.Field("no_cache") != "", Parameters: map[string]string{}}
	for field, values := range v.PostForm {
		if name, is := strings.CutPrefix(field, "parameters."); is {
			in.Parameters[name] = values[0]
		}
	}
	j, err := v.API.RunPipeline(v.Context(), in)
	return Outcome{To: "/jobs/" + url.PathEscape(j.ID)}, err
}

func removeJob(v *View) (Outcome, error) {
	j, err := v.API.Job(v.Context(), v.PathValue("job"))
	if err == nil {
		err = v.API.RemoveJob(v.Context(), j.ID)
	}
	return Outcome{To: "/pipelines/" + url.PathEscape(j.Pipeline)}, err
}
