package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// jobRows is how many jobs a page shows.
const jobRows = 25

func pipelinesPages() []Page {
	return []Page{
		{Pattern: "/pipelines", Name: "pipelines/list", Section: "pipelines", Data: pipelinesList},
		{Pattern: "/pipelines/new", Name: "pipelines/edit", Section: "pipelines", Data: newPipeline, Still: true},
		{Pattern: "/pipelines/{name}", Name: "pipelines/show", Section: "pipelines", Data: showPipeline},
		{Pattern: "/pipelines/{name}/edit", Name: "pipelines/edit", Section: "pipelines", Data: editPipeline, Still: true},
		{Pattern: "/jobs/{job}", Name: "pipelines/job", Section: "pipelines", Data: showJob},
	}
}

// pipelineRow is a pipeline in the list.
type pipelineRow struct {
	api.Pipeline
	State string // of its last job, in words
	Tasks int
}

func pipelinesList(v *View) (any, error) {
	var all []api.Pipeline
	var jobs []api.Job
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { all, errs[0] = v.API.Pipelines(v.Context()) })
	wg.Go(func() { jobs, errs[1] = v.API.RecentJobs(v.Context(), "", jobRows) })
	wg.Wait()
	out := struct {
		Rows []pipelineRow
		Jobs []jobRow
	}{}
	for _, p := range all {
		row := pipelineRow{Pipeline: p}
		for _, t := range p.Tasks {
			row.Tasks += max(t.Instances, 1)
		}
		if p.LastJob != nil {
			row.State = stateWord(v, p.LastJob.Status)
		}
		out.Rows = append(out.Rows, row)
	}
	for _, j := range jobs {
		out.Jobs = append(out.Jobs, rowOfJob(v, j))
	}
	return out, cmp.Or(errs[0], errs[1])
}

// jobRow is a job in a list.
type jobRow struct {
	api.Job
	State   string
	Seconds float64 // that it took, or has taken; 0 before it began
	Share   float64 // of the longest in the list
	Done    int     // tasks that have ended well
}

func rowOfJob(v *View, j api.Job) jobRow {
	row := jobRow{Job: j, State: stateWord(v, j.Status)}
	if j.StartedAt != nil {
		end := v.console.Now()
		if j.EndedAt != nil {
			end = *j.EndedAt
		}
		row.Seconds = max(end.Sub(*j.StartedAt).Round(1e9).Seconds(), 0)
	}
	for _, t := range j.Tasks {
		if t.Status == "SUCCEEDED" || t.Status == "CACHED" {
			row.Done++
		}
	}
	return row
}

// pipelineView is what the page of a pipeline shows.
type pipelineView struct {
	api.Pipeline
	Nodes  []ui.Node
	Jobs   []jobRow
	Values []parameterValue
}

// parameterValue is a parameter in the form that runs a pipeline.
type parameterValue struct {
	api.PipelineParameter
	Value string
}

func showPipeline(v *View) (any, error) {
	name := v.PathValue("name")
	p, err := v.API.Pipeline(v.Context(), name)
	if err != nil {
		return nil, err
	}
	jobs, err := v.API.RecentJobs(v.Context(), p.Name, jobRows)
	if err != nil {
		return nil, err
	}
	out := pipelineView{Pipeline: p}
	longest := 0.0
	for _, j := range jobs {
		row := rowOfJob(v, j)
		longest = max(longest, row.Seconds)
		out.Jobs = append(out.Jobs, row)
	}
	for i := range out.Jobs {
		if longest > 0 {
			out.Jobs[i].Share = out.Jobs[i].Seconds / longest
		}
	}
	for _, t := range p.Tasks {
		n := ui.Node{Name: t.Name, After: t.DependsOn}
		switch {
		case t.Service != "":
			n.Note = v.Say("pipelines.serves", t.Service)
		case t.Instances > 1:
			n.Note = v.Say("pipelines.instances", t.Instances)
		}
		out.Nodes = append(out.Nodes, n)
	}
	for _, one := range p.Parameters {
		out.Values = append(out.Values, parameterValue{one, one.Default})
	}
	return out, nil
}

// jobView is what the page of a job shows.
type jobView struct {
	jobRow
	Nodes      []ui.Node
	Rows       []taskRow
	Over       bool
	Resumable  bool
	Parameters []parameter
	Looked     *taskRow // the task whose log is shown
}

type parameter struct{ Name, Value string }

// taskRow is a task of a job.
type taskRow struct {
	api.JobTask
	State   string
	Seconds float64
	Folder  string // of its outputs
	Within  string // the directory in it
	Link    string // to the task on this page
	On      bool
}

// instancesOf are the names in a job of all instances of tasks that the file calls so.
func instancesOf(all []api.JobTask, tasks []string) (names []string) {
	for _, t := range all {
		if slices.Contains(tasks, t.Task) {
			names = append(names, t.Name)
		}
	}
	return names
}

func showJob(v *View) (any, error) {
	j, err := v.API.Job(v.Context(), v.PathValue("job"))
	if err != nil {
		return nil, err
	}
	out := jobView{jobRow: rowOfJob(v, j), Over: j.EndedAt != nil, Resumable: j.Status == "FAILED" || j.Status == "CANCELLED"}
	for _, name := range slices.Sorted(maps.Keys(j.Parameters)) {
		out.Parameters = append(out.Parameters, parameter{name, j.Parameters[name]})
	}
	looked := v.Parameter("task")
	for _, t := range j.Tasks {
		row := taskRow{JobTask: t, State: stateWord(v, t.Status), Link: Prefix + "/jobs/" + url.PathEscape(j.ID) + "?" + url.Values{"task": {t.Name}}.Encode(), On: t.Name == looked}
		if t.StartedAt != nil {
			end := v.console.Now()
			if t.EndedAt != nil {
				end = *t.EndedAt
			}
			row.Seconds = max(end.Sub(*t.StartedAt).Round(1e9).Seconds(), 0)
		}
		row.Folder, row.Within, _ = strings.Cut(t.Outputs, "/")
		out.Rows = append(out.Rows, row)
		n := ui.Node{Name: t.Name, After: instancesOf(j.Tasks, t.DependsOn), State: t.Status, Word: row.State, Link: row.Link, Marked: row.On}
		if row.Seconds > 0 {
			n.Note = ui.Seconds(row.Seconds)
		}
		out.Nodes = append(out.Nodes, n)
	}
	if i := slices.IndexFunc(out.Rows, func(r taskRow) bool { return r.On }); i >= 0 {
		out.Looked = &out.Rows[i]
	}
	return out, nil
}
