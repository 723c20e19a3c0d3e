package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const digits = `version: 1
name: digits
description: "<script>alert(1)</script>"
parameters:
  epochs: 5
  target: {default: "0.9", description: least accuracy, choices: ["0.8", "0.9"]}
defaults: {image: host}
tasks:
  - {name: prepare, command: echo data}
  - name: train
    depends_on: [prepare]
    matrix: {rate: ["0.1", "0.01"]}
    command: echo train ${{ params.epochs }}
  - {name: choose, depends_on: [train, prepare], command: echo best}
schedule: {cron: "30 2 * * *", zone: Europe/Berlin}
`

func TestPipelines(t *testing.T) {
	b := newConsole(t)
	showing(t, b.get("/pipelines", "en", 200), "No pipeline is there", "New pipeline")
	for _, language := range []string{"en", "ko"} {
		showing(t, b.get("/pipelines/new", language, 200), `data-check="/api/v1/pipelines/validate?project=default"`, "depends_on: [prepare]", `id="pipeline-save"`)
	}
	w := b.post("/pipelines/apply", url.Values{"definition": {strings.ReplaceAll(digits, "\n", "\r\n")}}, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/pipelines/digits" {
		t.Error(to)
	}
	w = b.post("/pipelines/apply", url.Values{"definition": {strings.Replace(digits, "depends_on: [prepare]", "depends_on: [nothing]", 1)}}, 400)
	showing(t, w.Body.String()+"<main", `data-line="11"`, "nothing")
	for _, language := range []string{"en", "ko"} {
		showing(t, b.get("/pipelines", language, 200), "digits", "30 2 * * *", "!<script>alert")
		showing(t, b.get("/pipelines/digits", language, 200), `class="graph"`, "train", `name="parameters.epochs"`, "least accuracy", "!<script>alert", `id="pipeline-run"`)
	}
	showing(t, b.get("/pipelines/digits/edit", "en", 200), "epochs: 5", "!<script>alert")
	b.get("/pipelines/nothing", "en", 404)
	b.get("/pipelines/nothing/edit", "en", 404)
}

func TestJobs(t *testing.T) {
	b := newConsole(t)
	b.post("/pipelines/apply", url.Values{"definition": {digits}}, 204)
	w := b.post("/pipelines/digits/run", url.Values{"parameters.epochs": {"9"}, "parameters.target": {"0.8"}, "no_cache": {"1"}}, 204)
	at := strings.TrimPrefix(w.Header().Get("HX-Redirect"), "/console")
	if !strings.HasPrefix(at, "/jobs/job-") {
		t.Fatal(at)
	}
	b.post("/pipelines/digits/run", url.Values{"parameters.target": {"2"}}, 400)
	b.post("/pipelines/nothing/run", nil, 404)
	for _, language := range []string{"en", "ko"} {
		page := b.get(at+"?task=train-2", language, 200)
		showing(t, page, "digits.1", "epochs=9", "rate = 0.01", "graph-marked", `id="job-cancel"`, "!id=\"job-remove\"")
		if n := strings.Count(page, "graph-line"); n != 7 {
			t.Errorf("%d lines", n)
		}
	}
	showing(t, b.get("/pipelines/digits", "en", 200), "digits.1", "0 / 4")
	showing(t, b.get("/pipelines", "en", 200), "digits.1", "Running")
	viewer := b.user("vera", false)
	if w := b.as(viewer, http.MethodPost, at+"/cancel", nil); w.Code < 400 {
		t.Errorf("somebody else cancels: %d", w.Code)
	}
	b.post(at+"/remove", nil, 409)
	b.post(at+"/cancel", nil, 204)
	b.post(at+"/cancel", nil, 409)
	showing(t, b.get(at, "en", 200), "Cancelled", `id="job-resume"`, `id="job-remove"`, "!id=\"job-cancel\"")
	b.post(at+"/resume", nil, 204)
	b.post(at+"/cancel", nil, 204)
	if w := b.post(at+"/remove", nil, 204); w.Header().Get("HX-Redirect") != "/console/pipelines/digits" {
		t.Error(w.Header())
	}
	b.get(at, "en", 404)
	b.post("/pipelines/digits/remove", nil, 204)
	b.get("/pipelines/digits", "en", 404)
}
