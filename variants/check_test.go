package variants

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests got as what they want")

// golden compares got with the file that holds what is wanted.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func text(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Definitions as people have them, each with the report that they get.
func TestCheckSamples(t *testing.T) {
	table := load(t, "")
	for name, ok := range map[string]bool{
		"gpt-neox-triton": true, "koalpaca": true, "shell-script": true, "simple-http": true,
		"misindented": false,
		"everything":  true, "templates": false,
	} {
		t.Run(name, func(t *testing.T) {
			report := table.Check(CheckRequest{Path: "testdata/check/" + name + ".yaml", Env: map[string]string{"HF_TOKEN": "hf_secret", "LEVEL": "a b"}})
			if report.OK != ok {
				t.Errorf("ok is %t: %v", report.OK, report.Errors)
			}
			golden(t, "testdata/check/"+name+".txt", text(t, report))
			encoded, err := json.MarshalIndent(report, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/check/"+name+".json", string(encoded)+"\n")
		})
	}
}

func TestCheckStrict(t *testing.T) {
	table := load(t, "")
	request := CheckRequest{Path: "testdata/check/everything.yaml"}
	if r := table.Check(request); !r.OK || len(r.Warnings) == 0 {
		t.Errorf("%v", r)
	}
	request.Strict = true
	if r := table.Check(request); r.OK || len(r.Warnings) != 0 || len(r.Errors) == 0 {
		t.Errorf("strict: %v", r)
	}
}

// folder writes a model folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckFolders(t *testing.T) {
	table := load(t, "")
	const good = "models:\n  - name: a\n    model_path: /models/weights\n    service: {port: 8000}\n"
	tests := []struct {
		name  string
		files map[string]string
		req   CheckRequest
		ok    bool
		words string
	}{
		{"good", map[string]string{"model-definition.yml": good, "weights/x": ""}, CheckRequest{}, true, "DIR/model-definition.yml: good\n"},
		{"explicit", map[string]string{"other/d.yaml": good, "weights/x": ""}, CheckRequest{DefinitionPath: "other/d.yaml"}, true, "DIR/other/d.yaml: good\n"},
		{"model path missing", map[string]string{"model-definition.yaml": good, "waits/x": ""}, CheckRequest{}, false,
			"DIR/model-definition.yaml:3:17: models[0].model_path: /models/weights does not exist: the model folder has no weights (the folder has model-definition.yaml, waits/)"},
		{"no definition", map[string]string{"m.gguf": ""}, CheckRequest{}, false, "DIR: the folder has no model-definition.yaml (the folder's files look like the runtime variant llama-cpp"},
		{"escape", nil, CheckRequest{DefinitionPath: "../x.yaml"}, false, `DIR: "../x.yaml" leaves the folder`},
		{"llama-cpp", map[string]string{"b.gguf": "", "a.gguf": ""}, CheckRequest{Variant: "llama-cpp"}, true, "llama-server -m /models/a.gguf --host 0.0.0.0 --port 8080 --metrics\n"},
		{"metadata only warns", map[string]string{"b.gguf": "", "model-definition.yaml": "models:\n  - name: x\n    metadata: {title: 5}\n"}, CheckRequest{Variant: "llama-cpp"}, true, "good, with 1 warning\n  DIR/model-definition.yaml:3:23: warning: models[0].metadata.title: is number 5"},
		{"title", map[string]string{"model-definition.yaml": "models:\n  - name: x\n    metadata: {title: Five}\n"}, CheckRequest{Variant: "vllm"}, true, "title         Five\n"},
		{"nim", nil, CheckRequest{Variant: "nim"}, false, "env.NGC_API_KEY: the runtime variant nim needs it (make one at https://"},
		{"nim with key", nil, CheckRequest{Variant: "nim", Env: map[string]string{"NGC_API_KEY": "nvapi-1"}}, true, "NGC_API_KEY='(7 characters, hidden)'"},
		{"unknown variant", nil, CheckRequest{Variant: "vlm"}, false, `runtime_variant: there is no runtime variant "vlm" (the variants are custom, cmd, vllm,`},
		{"nowhere", nil, CheckRequest{Path: "nowhere.yaml"}, false, "nowhere.yaml: will not start (1 error)\n  nowhere.yaml: no such file or folder\n"},
		{"data only", map[string]string{"model-definition.yaml": "models:\n  - name: a\n"}, CheckRequest{}, false, "no model has a service: there is nothing to start"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.files)
			if tt.req.Path == "" {
				tt.req.Path = dir
			}
			report := table.Check(tt.req)
			got := strings.ReplaceAll(text(t, report), dir, "DIR")
			if report.OK != tt.ok || !strings.Contains(got, tt.words) {
				t.Errorf("ok is %t, want %t, with %q in\n%s", report.OK, tt.ok, tt.words, got)
			}
		})
	}
}
