package variants

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-run/palisade/catalog"
)

func files(names ...string) fs.FS {
	m := fstest.MapFS{"README.md": {}}
	for _, name := range names {
		m[name] = &fstest.MapFile{}
	}
	return m
}

func definition(t *testing.T, src string) *catalog.Definition {
	t.Helper()
	def, problems := catalog.ParseDefinition("d.yaml", []byte(src))
	if def == nil {
		t.Fatal(problems)
	}
	return def
}

func TestResolveEngines(t *testing.T) {
	table := load(t, "")
	tests := []struct {
		variant string
		env     map[string]string
		files   fs.FS
		argv    []string
		port    int
	}{
		{"vllm", nil, files(), []string{"vllm", "serve", "/models", "--served-model-name", "chat", "--host", "0.0.0.0", "--port", "8000"}, 8000},
		{"sglang", nil, files(), []string{"python", "-m", "sglang.launch_server", "--model-path", "/models", "--host", "0.0.0.0", "--port", "9001"}, 9001},
		{"huggingface-tgi", nil, files(), []string{"text-generation-launcher", "--model-id", "/models", "--port", "3000"}, 3000},
		{"modular-max", nil, files(), []string{"max", "serve", "--model", "/models"}, 8000},
		{"llama-cpp", nil, files("b.gguf", "a.gguf"), []string{"llama-server", "-m", "/models/a.gguf", "--host", "0.0.0.0", "--port", "8080", "--metrics"}, 8080},
		{"triton", nil, files(), []string{"tritonserver", "--model-repository=/models", "--http-port=8000"}, 8000},
		{"cmd", nil, nil, nil, 8000},
		{"nim", map[string]string{"NGC_API_KEY": "k"}, nil, nil, 8000},
		{"ollama", nil, nil, nil, 11434},
		{"tei", nil, files(), nil, 80},
	}
	for _, tt := range tests {
		t.Run(tt.variant, func(t *testing.T) {
			spec, problems := table.Resolve(Request{Variant: tt.variant, ServiceName: "chat", Env: tt.env, Files: tt.files})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			p := spec.Processes[0]
			if diff := cmp.Diff(tt.argv, p.Argv); diff != "" {
				t.Errorf("argv (-want +got):\n%s", diff)
			}
			workDir := "/models"
			if tt.argv == nil {
				workDir = ""
			}
			if spec.Port != tt.port || p.Port != tt.port || p.WorkDir != workDir || spec.Mount != "/models" || spec.ModelName != "chat" || spec.Variant != tt.variant {
				t.Errorf("%+v", spec)
			}
			if diff := cmp.Diff(map[string]string{"BACKEND_MODEL_NAME": "chat", "BACKEND_MODEL_PATH": "/models"}, p.Env); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResolveEnvironment(t *testing.T) {
	table := load(t, "")
	tests := []struct {
		name    string
		variant string
		env     map[string]string
		added   []string // arguments beyond the table's
		kept    map[string]string
		problem string
	}{
		{"the page's example", "vllm", map[string]string{"VLLM_TP_SIZE": "4", "VLLM_EXTRA_ARGS": "--foo 'a b' --bar"},
			[]string{"--tensor-parallel-size", "4", "--foo", "a b", "--bar"}, nil, ""},
		{"order", "vllm", map[string]string{"VLLM_EXTRA_ARGS": "-x", "VLLM_PP_SIZE": "2", "VLLM_TP_SIZE": "4", "VLLM_QUANTIZATION": "awq"},
			[]string{"--quantization", "awq", "--tensor-parallel-size", "4", "--pipeline-parallel-size", "2", "-x"}, nil, ""},
		{"empty", "vllm", map[string]string{"VLLM_EXTRA_ARGS": "", "VLLM_TP_SIZE": ""}, nil, nil, ""},
		{"blank", "vllm", map[string]string{"VLLM_EXTRA_ARGS": " \n"}, nil, nil, ""},
		{"others stay", "vllm", map[string]string{"VLLM_VERSION": "0.9", "VLLM_USE_V1": "1", "SGLANG_TP_SIZE": "2", "X": ""},
			nil, map[string]string{"VLLM_VERSION": "0.9", "VLLM_USE_V1": "1", "SGLANG_TP_SIZE": "2", "X": ""}, ""},
		{"sglang", "sglang", map[string]string{"SGLANG_PP_SIZE": "2", "SGLANG_TP_SIZE": "4", "SGLANG_QUANTIZATION": "fp8", "SGLANG_EXTRA_ARGS": `--enable-metrics --json '{"a": {"b": "{c}"}}'`},
			[]string{"--quantization", "fp8", "--tensor-parallel-size", "4", "--pipeline-parallel-size", "2", "--enable-metrics", "--json", `{"a": {"b": "{c}"}}`}, nil, ""},
		{"bad quoting", "vllm", map[string]string{"VLLM_EXTRA_ARGS": "--foo 'a b"}, nil, nil,
			`env.VLLM_EXTRA_ARGS: cannot be split into arguments: unterminated single-quoted string (quote like in a shell: --flag "two words")`},
		{"bad escape", "sglang", map[string]string{"SGLANG_EXTRA_ARGS": `a \`}, nil, nil, "env.SGLANG_EXTRA_ARGS: cannot be split into arguments: unterminated backslash-escape"},
		{"bad name", "vllm", map[string]string{"A=B": "c"}, nil, map[string]string{"A=B": "c"}, `env: "A=B" cannot be the name of an environment variable (-e NAME=VALUE)`},
		{"NUL", "vllm", map[string]string{"A": "\x00"}, nil, map[string]string{"A": "\x00"}, "env.A: holds a NUL character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain, _ := table.Resolve(Request{Variant: tt.variant, ServiceName: "chat", Files: files()})
			spec, problems := table.Resolve(Request{Variant: tt.variant, ServiceName: "chat", Files: files(), Env: tt.env})
			if tt.problem == "" && len(problems) > 0 || tt.problem != "" && !strings.HasPrefix(problems.Error(), tt.problem) {
				t.Fatalf("problems %v, want %q", problems, tt.problem)
			}
			added := spec.Processes[0].Argv[len(plain.Processes[0].Argv):]
			if diff := cmp.Diff(tt.added, added, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.kept, spec.Env, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolveModelName(t *testing.T) {
	table := load(t, "")
	env := map[string]string{"BACKEND_MODEL_NAME": "llama", "BACKEND_MODEL_PATH": "sub"}
	spec, problems := table.Resolve(Request{Variant: "vllm", ServiceName: "chat", Files: files("sub/config.json"), Env: env})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := "vllm serve /models/sub --served-model-name llama --host 0.0.0.0 --port 8000"
	if got := strings.Join(spec.Processes[0].Argv, " "); got != want || spec.ModelName != "llama" || len(spec.Env) != 0 {
		t.Errorf("%q, %+v", got, spec)
	}
	if diff := cmp.Diff(map[string]string{"BACKEND_MODEL_NAME": "llama", "BACKEND_MODEL_PATH": "/models/sub"}, spec.Processes[0].Env); diff != "" {
		t.Error(diff)
	}
	env["BACKEND_MODEL_PATH"] = "/models/sup"
	_, problems = table.Resolve(Request{Variant: "vllm", ServiceName: "chat", Files: files("sub/config.json"), Env: env})
	if want := "env.BACKEND_MODEL_PATH: /models/sup does not exist: the model folder has no sup (the folder has README.md, sub/)"; problems.Error() != want {
		t.Errorf("%v", problems)
	}
}

func TestResolveDefaultEnvironment(t *testing.T) {
	table := load(t, "")
	spec, problems := table.Resolve(Request{Variant: "nim", ServiceName: "chat", Env: map[string]string{"NGC_API_KEY": "k", "HF_HOME": "/mine"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := map[string]string{
		"NGC_API_KEY": "k", "HF_HOME": "/mine", "NIM_CACHE_PATH": "/opt/nim/.cache",
		"NIM_HTTP_API_PORT": "8000", "NIM_SERVED_MODEL_NAME": "chat",
	}
	if diff := cmp.Diff(want, spec.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/opt/nim/.cache"}, spec.Scratch); diff != "" {
		t.Error(diff)
	}
	for _, folder := range []fs.FS{nil, files()} {
		spec, _ := table.Resolve(Request{Variant: "ollama", ServiceName: "chat", Files: folder})
		if got := spec.Env["OLLAMA_MODELS"]; got != map[bool]string{true: "/models"}[folder != nil] {
			t.Errorf("OLLAMA_MODELS=%s", got)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	table := load(t, "")
	tests := []struct {
		name string
		req  Request
		want string
	}{
		{"variant", Request{Variant: "vlm"}, `runtime_variant: there is no runtime variant "vlm" (the variants are custom, cmd, vllm, vllm-ray,`},
		{"no folder", Request{Variant: "vllm"}, "model_folder: the runtime variant vllm needs a model folder (create one"},
		{"no definition", Request{Variant: "custom", Files: files()}, "model_folder: the runtime variant custom needs a model definition (write a model-definition.yaml"},
		{"no key", Request{Variant: "nim"}, "env.NGC_API_KEY: the runtime variant nim needs it (make one at"},
		{"relative mount", Request{Variant: "vllm", Files: files(), Mount: "models"}, `model_mount_destination: "models" is not an absolute path (for example /models)`},
		{"root mount", Request{Variant: "vllm", Files: files(), Mount: "//"}, "model_mount_destination: the model folder would hide /, which the session needs"},
		{"system mount", Request{Variant: "vllm", Files: files(), Mount: "/x/../usr/"}, "model_mount_destination: the model folder would hide /usr"},
		{"deep system mount", Request{Variant: "vllm", Files: files(), Mount: "/proc/self"}, "model_mount_destination: the model folder would hide /proc/self"},
		{"no gguf", Request{Variant: "llama-cpp", Files: files("a/b/c.gguf", "mmproj-x.gguf", ".a.gguf", "d.gguf/x")}, "model_folder: the model folder has no *.gguf file (the folder has README.md, a/, d.gguf/, mmproj-x.gguf)"},
		{"part missing", Request{Variant: "llama-cpp", Files: files("m-00001-of-00003.gguf", "m-00003-of-00003.gguf")}, "model_folder: m is split in 3, and part 2 is missing (copy m-00002-of-00003.gguf into the folder too)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := table.Resolve(tt.req)
			if problems.Err() == nil || !strings.HasPrefix(problems.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", problems, tt.want)
			}
		})
	}
}

func TestFirstGGUF(t *testing.T) {
	tests := []struct {
		files []string
		at    string
		want  string
	}{
		{[]string{"b.gguf", "a.gguf"}, ".", "a.gguf"},
		{[]string{"mmproj-a.gguf", "model.gguf"}, ".", "model.gguf"},
		{[]string{"Z.GGUF", "notes.txt"}, ".", "Z.GGUF"},
		{[]string{"m-00002-of-00002.gguf", "m-00001-of-00002.gguf", "z.gguf"}, ".", "m-00001-of-00002.gguf"},
		{[]string{"q8/m.gguf", "q4/m.gguf"}, ".", "q4/m.gguf"},
		{[]string{"q8/m.gguf", "q4/m.gguf"}, "q8", "q8/m.gguf"},
		{[]string{"q8/m.gguf", "a.gguf"}, "q8/m.gguf", "q8/m.gguf"},
		{[]string{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}, "m-00002-of-00002.gguf", "m-00001-of-00002.gguf"},
	}
	for _, tt := range tests {
		got, problem, _ := firstGGUF(files(tt.files...), tt.at)
		if got != tt.want || problem != "" {
			t.Errorf("%v at %s: %s, %s; want %s", tt.files, tt.at, got, problem, tt.want)
		}
	}
}

// The command forms of the format.
func TestResolveCommands(t *testing.T) {
	table := load(t, "")
	tests := []struct {
		service  string
		argv     []string
		fallback string
	}{
		{`{port: 8000, command: "python new.py", start_command: ["python","old.py"], shell: null}`, []string{"python", "new.py"}, ""},
		{`{port: 8000, command: "python new.py", start_command: ["python","old.py"]}`, []string{"/bin/bash", "-c", "python new.py"}, "/bin/sh"},
		{`{port: 8000, start_command: "python service.py --flag 'a b'", shell: null}`, []string{"python", "service.py", "--flag", "a b"}, ""},
		{`{port: 8000, start_command: "python service.py --flag 'a b'", shell: ""}`, []string{"python", "service.py", "--flag", "a b"}, ""},
		{`{port: 8000, start_command: "python a.py && echo ok", shell: /bin/bash}`, []string{"/bin/bash", "-c", "python a.py && echo ok"}, ""},
		{`{port: 8000, start-command: ["python", "{model_path}", "$HOME {ports[0]}"]}`, []string{"python", "/models", "$HOME 8000"}, ""},
		{`{port: 8000, command: null, start_command: [a]}`, []string{"a"}, ""},
		{`{port: 8000}`, nil, ""},
	}
	for _, tt := range tests {
		def := definition(t, "models:\n  - name: a\n    service: "+tt.service+"\n")
		spec, problems := table.Resolve(Request{Variant: Custom, Definition: def, ServiceName: "s"})
		if len(problems) > 0 {
			t.Errorf("%s: %v", tt.service, problems)
			continue
		}
		p := spec.Processes[0]
		if diff := cmp.Diff(tt.argv, p.Argv); diff != "" || p.ShellFallback != tt.fallback || p.WorkDir != "/models" {
			t.Errorf("%s: %+v\n%s", tt.service, p, diff)
		}
	}
}

func TestResolveDefinition(t *testing.T) {
	def := definition(t, `
models:
  - name: data
  - name: first model
    model_path: weights/a.bin
    service:
      port: 8000
      start_command: ["serve", "--name={model_name}", "{model_path}"]
      health_check: {path: /up}
  - name: second
    service: {port: 8001, start_command: [helper, "{model_name}"]}
`)
	env := map[string]string{"BACKEND_MODEL_NAME": "asked", "BACKEND_MODEL_PATH": "/x", "VLLM_TP_SIZE": "2"}
	table := load(t, "")
	spec, problems := table.Resolve(Request{Variant: Custom, Definition: def, ServiceName: "s", Files: files("weights/a.bin"), Env: env, Mount: "/srv/m/"})
	if problems.Err() != nil || problems.Error() != "warning: env.BACKEND_MODEL_PATH: has no effect: the definition says where the model is (set model_path in the definition)" {
		t.Errorf("%v", problems)
	}
	if spec.ModelName != "asked" || spec.Port != 8000 || spec.Health.Path != "/up" || spec.Mount != "/srv/m" || spec.Metrics.Path != "/metrics" {
		t.Errorf("%+v", spec)
	}
	if diff := cmp.Diff(map[string]string{"VLLM_TP_SIZE": "2"}, spec.Env); diff != "" {
		t.Error(diff)
	}
	want := []Process{
		{
			Name: "first model", Argv: []string{"serve", "--name=asked", "/srv/m/weights/a.bin"}, WorkDir: "/srv/m/weights", Port: 8000,
			Env: map[string]string{"BACKEND_MODEL_NAME": "asked", "BACKEND_MODEL_PATH": "/srv/m/weights/a.bin"},
		},
		{
			Name: "second", Argv: []string{"helper", "second"}, WorkDir: "/srv/m", Port: 8001,
			Env: map[string]string{"BACKEND_MODEL_NAME": "second", "BACKEND_MODEL_PATH": "/srv/m"},
		},
	}
	if diff := cmp.Diff(want, spec.Processes); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
}

// Resolving twice gives the same, and leaves what it was given alone.
func TestResolveIsPure(t *testing.T) {
	table := load(t, "")
	def := definition(t, "models:\n  - name: a\n    service:\n      port: 8000\n      pre_start_actions: [{action: run_command, args: {command: ['{model_name}']}}, {action: write_tempfile, ref: r, args: {body: ['{ports[0]}']}}]\n      command: ['{r}']\n")
	for _, variant := range table.Names() {
		req := Request{Variant: variant, Definition: def, Files: files("m.gguf"), ServiceName: "s", Env: map[string]string{"NGC_API_KEY": "k", "VLLM_TP_SIZE": "2"}}
		first, problems := table.Resolve(req)
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		again, _ := table.Resolve(req)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%s: %s", variant, diff)
		}
	}
}
