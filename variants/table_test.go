package variants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/catalog"
)

func load(t *testing.T, ownerFile string) *Table {
	t.Helper()
	table, problems := Load(ownerFile)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return table
}

// The table that the format promises.
func TestBuiltinTable(t *testing.T) {
	table := load(t, "")
	want := []struct {
		name   string
		port   int
		health string
		argv   string
	}{
		{"custom", 0, "", ""},
		{"cmd", 8000, "", ""},
		{"vllm", 8000, "/health", "vllm serve {model_path} --served-model-name {model_name} --host {listen_address} --port {ports[0]}"},
		{"vllm-ray", 8000, "/health", "vllm serve {model_path} --served-model-name {model_name} --host {listen_address} --port {ports[0]}"},
		{"nim", 8000, "/v1/health/ready", ""},
		{"huggingface-tgi", 3000, "/info", "text-generation-launcher --model-id {model_path} --port {ports[0]}"},
		{"sglang", 9001, "/health", "python -m sglang.launch_server --model-path {model_path} --host {listen_address} --port {ports[0]}"},
		{"modular-max", 8000, "/health", "max serve --model {model_path}"},
		{"llama-cpp", 8080, "/health", "llama-server -m {model_file} --host {listen_address} --port {ports[0]} --metrics"},
		{"ollama", 11434, "/", ""},
		{"triton", 8000, "/v2/health/ready", "tritonserver --model-repository={model_path} --http-port={ports[0]}"},
		{"tei", 80, "/health", ""},
	}
	if got := len(table.All()); got != len(want) {
		t.Errorf("%d variants: %v", got, table.Names())
	}
	for i, w := range want {
		v, ok := table.Lookup(w.name)
		if !ok || table.Names()[i] != w.name || !v.BuiltIn || v.Title == "" {
			t.Fatalf("%s: %+v in %v", w.name, v, table.Names())
		}
		health := ""
		if v.Health != nil {
			health = v.Health.Path
			if v.Health.Interval != 10*time.Second || v.Health.MaxRetries != 10 || v.Health.ExpectedStatus != 200 || v.Health.InitialDelay < time.Minute {
				t.Errorf("%s: %+v", w.name, v.Health)
			}
		}
		if v.Port != w.port || health != w.health || strings.Join(v.Command, " ") != w.argv || v.ReadsDefinition != (w.name == Custom) {
			t.Errorf("%s: port %d, health %s, command %q", w.name, v.Port, health, v.Command)
		}
	}
	vllm, _ := table.Lookup("vllm")
	if diff := cmp.Diff([]string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"}, vllm.Metrics.Names["kv_usage"]); diff != "" {
		t.Error(diff)
	}
	if _, ok := table.Lookup("vlm"); ok {
		t.Error("found vlm")
	}
}

const owned = `variants:
  my-engine:
    title: My engine
    port: "9000"
    health-check: {path: ready, max_retries: 3}
    command: [engine, --model, "{model_path}/weights", --port, "{ports[0]}", --json, '{"a": {"b": 1}}']
    arguments_from_environment:
      - {env: ENGINE_THREADS, flag: --threads}
      - {env: ENGINE_ARGS, split: true}
    needs: [{env: ENGINE_LICENSE, hint: ask sales}]
    env: {ENGINE_HOME: /var/cache/engine, ENGINE_WORKERS: 4}
    scratch: [/var/cache/engine]
    metrics: {path: /stats, port: 9001, names: {running: [engine_running]}}
  vllm-nightly:
    extends: vllm
    command: [python3, -m, vllm.entrypoints.openai.api_server, --model, "{model_path}"]
    env: {VLLM_USE_V1: "1"}
`

func TestOwnerVariants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "variants.yaml")
	if err := os.WriteFile(file, []byte(owned), 0o644); err != nil {
		t.Fatal(err)
	}
	table := load(t, file)
	health := catalog.DefaultHealthCheck()
	health.Path, health.MaxRetries = "/ready", 3
	want := Variant{
		Name: "my-engine", Title: "My engine", Port: 9000, Health: &health,
		Command:      []string{"engine", "--model", "{model_path}/weights", "--port", "{ports[0]}", "--json", `{"a": {"b": 1}}`},
		EnvArguments: []EnvArgument{{Env: "ENGINE_THREADS", Flag: "--threads"}, {Env: "ENGINE_ARGS", Split: true}},
		Needs:        []Need{{Env: "ENGINE_LICENSE", Hint: "ask sales"}},
		Env:          map[string]string{"ENGINE_HOME": "/var/cache/engine", "ENGINE_WORKERS": "4"},
		Scratch:      []string{"/var/cache/engine"},
		Metrics:      Metrics{Path: "/stats", Port: 9001, Names: map[string][]string{"running": {"engine_running"}}},
	}
	got, _ := table.Lookup("my-engine")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("my-engine (-want +got):\n%s", diff)
	}
	vllm, _ := table.Lookup("vllm")
	nightly, _ := table.Lookup("vllm-nightly")
	want = vllm
	want.Name, want.BuiltIn = "vllm-nightly", false
	want.Command = []string{"python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "{model_path}"}
	want.Env = map[string]string{"VLLM_USE_V1": "1"}
	if diff := cmp.Diff(want, nightly); diff != "" {
		t.Errorf("vllm-nightly (-want +got):\n%s", diff)
	}
}

func TestOwnerVariantsBad(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"empty", "", "v.yaml:1:1: the file is empty"},
		{"a list", "- a\n", "v.yaml:1:1: is a list; a map is wanted"},
		{"no variants", "a: 1\n", "v.yaml:1:1: warning: a: unknown key\nv.yaml:1:1: variants: is required (begin the file with variants: and the names of the new variants below it)"},
		{"null", "variants:\n  x:\n", "v.yaml:2:5: variants.x: is empty (give it at least a port)"},
		{"no port", "variants:\n  x: {title: X}\n", "v.yaml:2:6: variants.x.port: is required (port: 8000)"},
		{"reserved port", "variants:\n  x: {port: 2200}\n", "v.yaml:2:13: variants.x.port: port 2200 is reserved"},
		{"built-in", "variants:\n  vllm: {port: 8000}\n", "v.yaml:2:9: variants.vllm: there is a variant vllm already (choose another name, and write extends: vllm to begin with what the built-in one says)"},
		{"name", "variants:\n  My Engine: {port: 8000}\n", `v.yaml:2:14: variants.My Engine: "My Engine" cannot be the name of a variant`},
		{"unknown key", "variants:\n  x: {port: 8000, comand: [a]}\n", "v.yaml:2:19: warning: variants.x.comand: unknown key (did you mean command?)"},
		{"template", "variants:\n  x: {port: 8000, command: [a, '{prots[0]}']}\n", "v.yaml:2:32: variants.x.command[1]: unknown name {prots[0]} (known names are {listen_address}, {model_name}, {model_path}, {ports[0]}; write {{prots[0]}} for literal braces)"},
		{"no model file", "variants:\n  x: {port: 8000, env: {A: '{model_file}'}}\n", "v.yaml:2:28: variants.x.env.A: unknown name {model_file}"},
		{"extends", "variants:\n  x: {extends: y}\n", `v.yaml:2:16: variants.x.extends: there is no variant "y"`},
		{"extends custom", "variants:\n  x: {extends: custom, port: 8000}\n", "variants.x.extends: custom cannot be extended"},
		{"definition", "variants:\n  x: {port: 8000, reads_definition: true}\n", "variants.x.reads_definition: only custom reads model definitions"},
		{"values", "variants:\n  x:\n    port: 8000\n    model_folder: maybe\n    model_file: onnx\n    command: []\n    arguments_from_environment: [{env: A}, {flag: -b}, {env: 1C, split: true}]\n    needs: [{}]\n    env: {1A: b, B: [c]}\n    scratch: [cache]\n    metrics: {names: {running: [a-b]}}\n",
			`v.yaml:4:19: variants.x.model_folder: is "maybe" (required (the default) or optional)
v.yaml:5:17: variants.x.model_file: is "onnx" (gguf: the first *.gguf of the folder, or the first shard of a split one)
v.yaml:6:14: variants.x.command: is an empty list (leave it out for the image's own command)
v.yaml:7:34: variants.x.arguments_from_environment[0]: wants a flag, or split, and not both (flag: --quantization for one value, split: true for a line of arguments)
v.yaml:7:44: variants.x.arguments_from_environment[1].env: is required (env: MY_VARIABLE)
v.yaml:7:62: variants.x.arguments_from_environment[2].env: "1C" cannot be the name of an environment variable (letters, digits and _, not beginning with a digit)
v.yaml:8:13: variants.x.needs[0].env: is required (env: MY_VARIABLE)
v.yaml:9:15: variants.x.env.1A: "1A" cannot be the name of an environment variable (letters, digits and _, not beginning with a digit)
v.yaml:9:21: variants.x.env.B: is a list; a string or a number is wanted
v.yaml:10:14: variants.x.scratch: "cache" is not the absolute path of a directory (for example /var/cache/engine)
v.yaml:11:14: variants.x.metrics.path: is required (path: /metrics)
v.yaml:11:32: variants.x.metrics.names.running: "a-b" cannot be the name of a Prometheus metric`},
	}
	t.Chdir(t.TempDir())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile("v.yaml", []byte(tt.src), 0o644); err != nil {
				t.Fatal(err)
			}
			table, problems := Load("v.yaml")
			if !strings.Contains(problems.Error(), tt.want) {
				t.Errorf("got\n%s\nwant\n%s", problems.Error(), tt.want)
			}
			if _, ok := table.Lookup("vllm"); !ok {
				t.Error("the built-in variants are gone")
			}
			if _, ok := table.Lookup("x"); ok && problems.Err() != nil {
				t.Error("a bad variant is in the table")
			}
		})
	}
	if _, problems := Load("nowhere.yaml"); problems.Err() == nil || !strings.Contains(problems.Error(), "nowhere.yaml: open nowhere.yaml: no such file") {
		t.Errorf("%v", problems)
	}
}
