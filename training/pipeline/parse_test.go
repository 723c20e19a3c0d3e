package pipeline_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/training/pipeline"
)

const whole = `
version: 1
name: digits
description: all there is
parameters:
  epochs: 5
  target: {default: "0.9", description: least, choices: ["0.8", "0.9"]}
  data:
defaults:
  image: host
  environ: {A: "1", B: "2"}
  timeout: 60
tasks:
  - name: prepare
    command: echo ${{ params.data }} > ${{ outputs }}/data
    cache: false
  - name: train
    depends_on: [prepare]
    matrix: {rate: [0.1, 0.01], seed: [1, 2]}
    max_parallel: 2
    environ: {B: "3", RATE: "${{ matrix.rate }}"}
    command: train ${{ inputs.prepare }} ${{ matrix.seed }} $${{ not this }}
    mounts: ["code/sub:ro", "data:/mnt/data", {folder: other, read_only: true, target: /x}]
    retries: 1
    cluster: {size: 2, run: all}
  - name: choose
    depends_on: [train, prepare]
    command: choose /pipeline/input1/*
  - name: serve
    depends_on: [choose]
    serve:
      service: digits-${{ params.epochs }}
      image: host
      path: model
      wait: 30
      smoke_test:
        path: /v1/completions
        body: {prompt: "${{ params.target }}", n: 1}
        expect: {contains: [ok], json: {choices.0.text: "^a"}}
schedule: {cron: "30 2 * * *", zone: Europe/Berlin, parameters: {data: x}}
notifications: [{url_env: PALISADE_WEBHOOK_TEAM, on: [failure, recovery]}]
`

func parse(t *testing.T, text string) *pipeline.Definition {
	t.Helper()
	d, ps := pipeline.Parse("p.yaml", []byte(text))
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhole(t *testing.T) {
	t.Parallel()
	d := parse(t, whole)
	plan, values, ps := d.Expand(map[string]string{"data": "in.csv"}, pipeline.Naming{Pipeline: "digits", Number: 3, ID: "job-x"})
	if ps.Err() != nil {
		t.Fatal(ps)
	}
	if diff := cmp.Diff(map[string]string{"epochs": "5", "target": "0.9", "data": "in.csv"}, values); diff != "" {
		t.Error(diff)
	}
	var keys []string
	for _, s := range plan.Steps {
		keys = append(keys, s.Key)
	}
	if diff := cmp.Diff([]string{"prepare", "train-1", "train-2", "train-3", "train-4", "choose", "serve"}, keys); diff != "" {
		t.Error(diff)
	}
	two := plan.Steps[2]
	want := &pipeline.Run{
		Image: "host", Command: "train /pipeline/input1 2 ${{ not this }}", Env: map[string]string{"A": "1", "B": "3", "RATE": "0.1"},
		Mounts: []pipeline.Mount{
			{Folder: "code", Sub: "sub", ReadOnly: true}, {Folder: "data", Target: "/mnt/data"}, {Folder: "other", ReadOnly: true, Target: "/x"},
		},
		Cluster: &pipeline.Cluster{Size: 2, Mode: "single-node", Run: "all"}, Timeout: time.Minute, Retries: 1, Cache: true,
	}
	if diff := cmp.Diff(want, two.Run); diff != "" {
		t.Error(diff)
	}
	if two.Matrix["rate"] != "0.1" || two.Matrix["seed"] != "2" || two.MaxParallel != 2 {
		t.Errorf("%+v", two)
	}
	if c := plan.Steps[5]; len(c.Inputs) != 2 || !c.Inputs[0].Matrix || len(c.Inputs[0].Keys) != 4 || c.Inputs[1].Matrix {
		t.Errorf("%+v", c.Inputs)
	}
	if plan.Steps[0].Run.Cache || plan.Steps[0].Run.Command != "echo in.csv > /pipeline/outputs/data" {
		t.Errorf("%+v", plan.Steps[0].Run)
	}
	serve := plan.Steps[6].Serve
	if serve.Service != "digits-5" || serve.From != "choose" || serve.Wait != 30*time.Second || serve.Variant != "custom" {
		t.Errorf("%+v", serve)
	}
	smoke := serve.Smoke
	if smoke.Method != http.MethodPost || smoke.Body != `{"n":1,"prompt":"0.9"}` || smoke.Tries != 3 || smoke.Expect.Status != 200 {
		t.Errorf("%+v", smoke)
	}
	if s := d.Schedule; s == nil || !s.Enabled || s.Overlap != pipeline.OverlapSkip {
		t.Errorf("%+v", s)
	}
	if len(plan.Notify) != 1 || plan.Notify[0].URLEnv != "PALISADE_WEBHOOK_TEAM" {
		t.Errorf("%+v", plan.Notify)
	}
}

// TestTheDocumentedOne: the example in docs is one.
func TestTheDocumentedOne(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	if d := parse(t, text); len(d.Tasks) != 4 {
		t.Errorf("%+v", d)
	}
}

// TestAllThatIsWrong: everything is told at once, each at its place.
func TestAllThatIsWrong(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nname: aa\ndefaults: {image: host}\ntasks:\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":     {"", []string{"1:1: the file is empty"}},
		"no map":    {"[]", []string{"a map is wanted"}},
		"broken":    {"tasks: [", []string{"not valid YAML"}},
		"nothing":   {"{}", []string{"version: is required", "name: is required", "tasks: is required"}},
		"version 2": {"version: 2\nname: aa\ntasks: [{name: a, image: x, command: x}]", []string{"1:10: version: is number 2"}},
		"top": {
			"version: 1\nname: A_b\ntask: []\nmax_parallel: 0\nparameters: {\"1a\": 2, b: {choices: [x], default: y}}\ntasks: []\nschedule: {cron: \"61 * * * *\", zone: Mars}\nnotifications: [{on: [x]}, {url: ftp://x}, {url_env: HOME}]",
			[]string{"2:7: name:", "3:1: task: unknown key (did you mean tasks?)", "max_parallel:", "parameters.1a:", "\"y\" is none of its choices", "tasks: is an empty list", "schedule.cron:", "\"Mars\"", "one of url and url_env", "\"x\" is no end", "no address", "\"HOME\" does not begin"},
		},
		"an id":             {"version: 1\nname: job-aa\ntasks: [{name: a, image: x, command: x}]", []string{"\"job-aa\" begins as the ids of jobs do"}},
		"never":             {head + "  - {name: a, command: x}\nschedule: {cron: \"0 0 30 2 *\"}", []string{"it never comes"}},
		"schedule's values": {head + "  - {name: a, command: x}\nparameters: {must: }\nschedule: {cron: \"0 0 * * *\", parameters: {other: 1}}", []string{"must: has no default", "other: there is no such parameter"}},
		"task": {
			head + "  - {name: -a, comand: x, timeout: -1, retries: x, mounts: [a:b, /x, ~, {target: /y}], matrix: {a: [], 1b: [1, 1]}, cluster: {mode: many, run: x}}\n  -\n  - 5",
			[]string{
				"5:12: tasks[0].name", "did you mean command?", "tasks[0].command: is required", "tasks[0].timeout", "tasks[0].retries", "tasks[0].mounts[0]", "names no folder", "tasks[0].mounts[2]",
				"tasks[0].mounts[3].folder", "tasks[0].matrix.a: has no values", "\"1\" is given twice", "1b: cannot be", "cluster.mode", "cluster.run", "tasks[1]", "tasks[2]",
			},
		},
		"no image": {"version: 1\nname: aa\ntasks: [{name: a, command: x}]", []string{"tasks[0].image: is required"}},
		"names": {
			head + "  - {name: a, command: x, matrix: {v: [1, 2]}}\n  - {name: a-2, command: x}\n  - {name: a, command: x}",
			[]string{"tasks[1].name: a-2 is also an instance of a", "7:12: tasks[2].name: \"a\" is tasks[0] already"},
		},
		"depends": {
			head + "  - {name: a, command: x, depends_on: [a, b, c, c]}\n  - {name: c, command: x}",
			[]string{"a cannot wait for itself", "5:43: tasks[0].depends_on[1]: there is no task \"b\" (tasks: a, c)", "c is named twice"},
		},
		"circle": {
			head + "  - {name: a, command: x, depends_on: [c]}\n  - {name: b, command: x, depends_on: [a]}\n  - {name: c, command: x, depends_on: [b]}\n  - {name: d, command: x}",
			[]string{"a circle: a waits for c waits for b waits for a"},
		},
		"expressions": {
			head + "  - name: a\n    command: ${{ params.x }}\n    environ: {B: \"${{ matrix.y }\", C: \"${{ outputs }}\"}\n    mounts: [\"d:/pipeline/x\"]",
			[]string{"6:14: tasks[0].command: ${{ params.x }} stands for nothing here (known here: outputs, ", "7:18: tasks[0].environ.B: a ${{ is never closed", "/pipeline is for"},
		},
		"serve": {
			head + "  - {name: a, command: x, matrix: {v: [1, 2]}}\n  - {name: b, serve: {service: s, image: i, path: ../x}, depends_on: [a], command: y, retries: 2}\n" +
				"  - {name: c, serve: {service: s, image: i}}\n  - {name: d, serve: {service: s, image: i, from: a}, depends_on: [c]}\n  - {name: e, serve: {service: s, image: i}, depends_on: [c]}",
			[]string{"tasks[1].command: a task that serves has no command", "tasks[1].retries"},
		},
		"serve what": {
			head + "  - {name: a, command: x, matrix: {v: [1, 2]}}\n  - {name: b, serve: {service: s, image: i, path: ../x}, depends_on: [a]}\n" +
				"  - {name: c, serve: {service: s, image: i}}\n  - {name: d, serve: {service: s, image: i, from: a}, depends_on: [c]}\n  - {name: e, serve: {service: s, image: i}, depends_on: [c]}",
			[]string{"a has 2 instances: which one", "\"../x\" leaves", "tasks[2].depends_on: is required", "\"a\" is none of those", "c leaves no outputs"},
		},
		"smoke": {
			head + "  - {name: a, command: x}\n  - {name: b, depends_on: [a], serve: {replicas: 0, smoke_test: {path: x, method: LOOK, body: [1], expect: {matches: \"(\", json: {a: \"[\"}, satus: 1}}}}",
			[]string{"service: is required", "image: is required", "path: \"x\" does not begin", "\"LOOK\"", "expect.matches", "expect.json.a", "did you mean status?", "with no route"},
		},
		"many": {head + "  - {name: a, command: x, matrix: {v: [" + strings.Repeat("1, ", 0) + numbers(20) + "], w: [" + numbers(20) + "]}}", []string{"201 tasks with all instances"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, ps := pipeline.Parse("p.yaml", []byte(c.text))
			if d != nil || ps.Err() == nil {
				t.Fatal("it was taken")
			}
			all := ps.Error()
			for _, words := range c.want {
				if !strings.Contains(all, words) {
					t.Errorf("nothing says %q:\n%s", words, all)
				}
			}
			if len(ps) > len(c.want) {
				t.Errorf("%d problems, %d expected:\n%s", len(ps), len(c.want), all)
			}
		})
	}
}

// TestGrows: a file of a few words and a long parameter do not become a plan that fills the memory.
func TestGrows(t *testing.T) {
	t.Parallel()
	d, ps := pipeline.Parse("p.yaml", []byte("version: 1\nname: aa\nparameters: {x: 1}\ntasks: [{name: a, image: host, command: \""+
		strings.Repeat("${{ params.x }}", 20_000)+"\", matrix: {a: ["+numbers(14)+"], b: ["+numbers(14)+"]}}]"))
	if ps.Err() != nil {
		t.Fatal(ps)
	}
	_, _, ps = d.Expand(map[string]string{"x": strings.Repeat("x", 1<<20)}, pipeline.Naming{Pipeline: "aa", Number: 1})
	if len(ps) != 1 || !strings.Contains(ps.Error(), "more than 8 MiB") {
		t.Errorf("%v", ps)
	}
}

func numbers(n int) string {
	var out []string
	for i := range n {
		out = append(out, strings.Repeat("1", i+1))
	}
	return strings.Join(out, ", ")
}

func TestParameters(t *testing.T) {
	t.Parallel()
	d := parse(t, whole)
	_, _, ps := d.Expand(map[string]string{"target": "2", "epoch": "1"}, pipeline.Naming{})
	var fields []string
	for _, p := range ps {
		fields = append(fields, p.Field)
	}
	slices.Sort(fields)
	if diff := cmp.Diff([]string{"parameters.data", "parameters.epoch", "parameters.target"}, fields); diff != "" {
		t.Error(diff, ps)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("version: 1\nname: aa\ntasks: [{name: a, image: x, command: '${{ ${{ }}'}]")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		d, ps := pipeline.Parse("f", []byte(text))
		if (d == nil) != (ps.Err() != nil) {
			t.Fatalf("%v %v", d, ps)
		}
		if d == nil {
			return
		}
		given := map[string]string{}
		for _, p := range d.Parameters {
			if p.Required {
				given[p.Name] = "x"
				if p.Choices != nil {
					given[p.Name] = p.Choices[0]
				}
			}
		}
		if _, _, ps := d.Expand(given, pipeline.Naming{Pipeline: d.Name, Number: 1}); ps.Err() != nil && !strings.Contains(text, "${{") {
			t.Errorf("what was good cannot be expanded: %v", ps)
		}
		_ = pipeline.Text(d.Nodes())
		_ = pipeline.SVG(d.Name, d.Nodes())
	})
}
