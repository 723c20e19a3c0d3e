package variants

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// launch is a definition's process with this command.
func launch(argv ...string) LaunchSpec {
	return LaunchSpec{
		Variant: Custom, Mount: "/models", Env: map[string]string{"LEN": "16384"},
		Processes: []Process{{Argv: argv, WorkDir: "/models", Env: map[string]string{envModelPath: "/models"}}},
	}
}

func TestSizing(t *testing.T) {
	tests := []struct {
		name string
		l    LaunchSpec
		want Sizing
	}{
		{"vllm", launch("vllm", "serve", "/models/chat", "--max-model-len", "8192", "--max-num-seqs", "64", "--kv-cache-dtype", "fp8", "--tensor-parallel-size=2"),
			Sizing{Engine: "vllm", Model: "/models/chat", Context: 8192, KeyType: "fp8", Devices: 2}},
		{"vllm as a module", launch("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "/models", "--max_model_len", "16k", "--gpu_memory_utilization=0.5", "-tp", "2", "-pp", "4"),
			Sizing{Engine: "vllm", Model: "/models", Context: 16000, MemoryFraction: 0.5, Devices: 8, Stages: 4}},
		{"the last counts", launch("vllm", "serve", "/models", "--max-model-len", "1K", "--max-model-len", "2K", "--kv-cache-dtype", "auto"), Sizing{Engine: "vllm", Model: "/models", Context: 2048}},
		{"as much as fits", launch("vllm", "serve", "/models", "--max-model-len", "auto"), Sizing{Engine: "vllm", Model: "/models"}},
		{"a line", launch("/bin/bash", "-c", "set -e\nexport A=1; exec /opt/bin/vllm serve /models \\\n  --max-model-len $LEN --quantization 'fp8' | tee --max-model-len 5"),
			Sizing{Engine: "vllm", Model: "/models", Context: 16384, Quantization: "fp8"}},
		{"a line that is not closed", launch("/bin/sh", "-c", "llama-server -m /models/a.gguf -c ${LEN} 'oops"), Sizing{Engine: "llama-cpp", Model: "/models/a.gguf", Context: 16384}},
		{"llama.cpp", launch("llama-server", "-m", "./a.gguf", "-c", "32768", "-np", "8", "-ctk", "q8_0", "--cache-type-v", "f16", "-ngl", "99", "--mmproj", "/models/mmproj.gguf", "-kvu"),
			Sizing{Engine: "llama-cpp", Model: "/models/a.gguf", Context: 32768, Sequences: 8, KeyType: "q8_0", ValueType: "f16", DeviceLayers: new(99), Projector: true, Unified: new(true)}},
		{"its own defaults", launch("llama-server", "-c", "0", "-np", "-1", "-ngl", "auto"), Sizing{Engine: "llama-cpp", Model: "/models"}},
		{"sglang", launch("python", "-m", "sglang.launch_server", "--model-path", "/models", "--context-length", "4096", "--mem-fraction-static", "0.7", "--tp", "4"),
			Sizing{Engine: "sglang", Model: "/models", Context: 4096, MemoryFraction: 0.7, Devices: 4}},
		{"another program", launch("my-server", "--max-model-len", "8192"), Sizing{Model: "/models"}},
		{"nothing", LaunchSpec{}, Sizing{}},
		{"its image's command", LaunchSpec{Variant: "ollama", Env: map[string]string{"OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_MODELS": "/models"}, Processes: []Process{{}}},
			Sizing{Engine: "ollama", Model: "/models", Context: 8192}},
		{"its variables", LaunchSpec{Variant: "huggingface-tgi", Env: map[string]string{"MAX_TOTAL_TOKENS": "4096", "NUM_SHARD": "2", "CUDA_MEMORY_FRACTION": "7"},
			Processes: []Process{{Argv: []string{"text-generation-launcher", "--max-total-tokens", "2048"}}}}, Sizing{Engine: "huggingface-tgi", Context: 2048, Devices: 2}},
	}
	table := load(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, table.Sizing(tt.l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the variants start is recognised as what it is, with the environment that becomes arguments.
func TestSizingOfVariants(t *testing.T) {
	table := load(t, "")
	env := map[string]string{"VLLM_TP_SIZE": "2", "VLLM_EXTRA_ARGS": "--max-model-len 4096", "SGLANG_TP_SIZE": "2", "NGC_API_KEY": "x"}
	for _, v := range table.All() {
		if v.Sizing == nil {
			if !slices.Contains([]string{Custom, "cmd", "triton"}, v.Name) {
				t.Errorf("nothing is known of the memory of %s", v.Name)
			}
			continue
		}
		spec, problems := table.Resolve(Request{Variant: v.Name, ServiceName: "chat", Files: files(), Env: env})
		if problems.Err() != nil && v.ModelFile == "" {
			t.Fatal(problems)
		}
		s := table.Sizing(spec)
		if s.Engine != v.Sizing.Family || !strings.HasPrefix(v.Name, s.Engine) {
			t.Errorf("%s is taken for %q", v.Name, s.Engine)
		}
		if v.Name == "vllm" && (s.Devices != 2 || s.Context != 4096 || s.Model != "/models") {
			t.Errorf("%+v", s)
		}
	}
}

func TestWithMemoryFraction(t *testing.T) {
	tests := []struct {
		name string
		argv []string
		want string // with blanks between
	}{
		{"vllm", []string{"vllm", "serve", "/models", "--port", "8000"}, "vllm serve --gpu-memory-utilization 0.5 /models --port 8000"},
		{"a module", []string{"python", "-m", "vllm.entrypoints.openai.api_server", "--model", "/models"}, "python -m vllm.entrypoints.openai.api_server --gpu-memory-utilization 0.5 --model /models"},
		{"the owner's", []string{"vllm", "serve", "/models", "--gpu-memory-utilization=0.8"}, "vllm serve /models --gpu-memory-utilization=0.8"},
		{"the owner's, spelled otherwise", []string{"vllm", "serve", "/models", "--gpu_memory_utilization", "0.8"}, "vllm serve /models --gpu_memory_utilization 0.8"},
		{"a line", []string{"/bin/sh", "-c", "sleep 1 && exec vllm serve /models | tee log"}, "/bin/sh -c sleep 1 && exec vllm serve --gpu-memory-utilization 0.5 /models | tee log"},
		{"a line with a comment", []string{"/bin/sh", "-c", "# vllm serve is the engine\nexec /usr/bin/vllm  serve \\\n /models"}, "/bin/sh -c # vllm serve is the engine\nexec /usr/bin/vllm  serve --gpu-memory-utilization 0.5 \\\n /models"},
		{"the owner's line", []string{"/bin/sh", "-c", "vllm serve /models --gpu-memory-utilization $SHARE"}, "/bin/sh -c vllm serve /models --gpu-memory-utilization $SHARE"},
		{"at the end of a line", []string{"/bin/sh", "-c", `"text-generation-launcher"`}, `/bin/sh -c "text-generation-launcher" --cuda-memory-fraction 0.5`},
		{"sglang", []string{"python", "-m", "sglang.launch_server"}, "python -m sglang.launch_server --mem-fraction-static 0.44"},
		{"llama.cpp has none", []string{"llama-server", "-m", "a.gguf"}, "llama-server -m a.gguf"},
		{"not known", []string{"my-server"}, "my-server"},
	}
	table := load(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := launch(slices.Clone(tt.argv)...)
			after := table.WithMemoryFraction(before, 0.5)
			if got := strings.Join(after.Processes[0].Argv, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !slices.Equal(before.Processes[0].Argv, tt.argv) {
				t.Error("the launch that it was given has changed")
			}
			if again := table.WithMemoryFraction(after, 0.25); !cmp.Equal(again, after) && tt.name != "the owner's line" {
				t.Errorf("a second time: %v", again.Processes[0].Argv)
			}
			if s := table.Sizing(after); strings.Contains(tt.want, " 0.5 ") && s.MemoryFraction != 0.5 || strings.Contains(tt.want, "vllm serve --gpu") && s.Model != "/models" {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestWithMemoryFractionElsewhere(t *testing.T) {
	table := load(t, "")
	nim := LaunchSpec{Variant: "nim", Processes: []Process{{}}}
	if got := table.WithMemoryFraction(nim, 0.333).Processes[0].Env["NIM_KVCACHE_PERCENT"]; got != "0.333" || nim.Processes[0].Env != nil {
		t.Errorf("an image's own command: %q", got)
	}
	nim.Env = map[string]string{"NIM_KVCACHE_PERCENT": "0.7"}
	if got := table.WithMemoryFraction(nim, 0.5).Processes[0].Env; got != nil {
		t.Errorf("over the owner's variable: %v", got)
	}
	tgi := launch("text-generation-launcher")
	tgi.Env["CUDA_MEMORY_FRACTION"] = "0.7"
	if got := table.WithMemoryFraction(tgi, 0.5).Processes[0].Argv; len(got) != 1 {
		t.Errorf("over the owner's variable: %v", got)
	}
	two := launch("vllm", "serve", "/models/a")
	two.Processes = append(two.Processes, Process{Argv: []string{"vllm", "serve", "/models/b"}}, Process{Argv: []string{"proxy"}})
	for i, want := range []string{"vllm serve --gpu-memory-utilization 0.3 /models/a", "vllm serve --gpu-memory-utilization 0.3 /models/b", "proxy"} {
		if got := strings.Join(table.WithMemoryFraction(two, 0.6).Processes[i].Argv, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, f := range []float64{0, 1, -1, 2} {
		if got := table.WithMemoryFraction(launch("vllm", "serve", "/models"), f); len(got.Processes[0].Argv) != 3 {
			t.Errorf("%g: %v", f, got.Processes[0].Argv)
		}
	}
}

func TestInFolder(t *testing.T) {
	for model, want := range map[string]string{"/models": ".", "/models/a.gguf": "a.gguf", "/models/../etc": "", "meta-llama/Llama": "", "/other": "", "": ""} {
		if got, ok := (Sizing{Model: model}).InFolder("/models"); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", model, got, ok)
		}
	}
}

func TestOwnersSizing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "variants.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`variants:
  nightly: {extends: vllm, command: [my-vllm, "{model_path}"], sizing: {family: vllm, programs: [my-vllm], context: [--len, MY_LEN], memory_fraction: {argument: --part}}}
  plain: {extends: vllm, sizing: null}
`)
	table := load(t, file)
	spec := launch("my-vllm", "/models", "--len", "4096")
	spec.Variant = "nightly"
	if s := table.Sizing(spec); s.Engine != "vllm" || s.Context != 4096 {
		t.Errorf("%+v", s)
	}
	if got := strings.Join(table.WithMemoryFraction(spec, 0.5).Processes[0].Argv, " "); got != "my-vllm --part 0.5 /models --len 4096" {
		t.Error(got)
	}
	if v, _ := table.Lookup("plain"); v.Sizing != nil {
		t.Errorf("%+v", v.Sizing)
	}
	write("variants:\n  x: {port: 80, sizing: {context: ['a b'], memory_fraction: {scale: 2}, contxt: []}}\n")
	_, problems := Load(file)
	for _, want := range []string{`"a b" is neither an argument nor a variable`, `"2" is not a number above 0 and up to 1`, "wants an argument or an environment variable", "did you mean context?"} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("%s\nlacks %s", problems.Error(), want)
		}
	}
}

func FuzzWithMemoryFraction(f *testing.F) {
	f.Add("exec vllm serve /models --max-model-len ${LEN} | tee $HOME/log", "LEN")
	f.Add("# vllm serve\n'vllm' serve;", "")
	f.Add("$${${LEN", "LEN")
	table, problems := Load("")
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, line, name string) {
		l := launch("/bin/sh", "-c", line)
		l.Env[name] = "1"
		s := table.Sizing(l)
		if s.Context < 0 || s.Sequences < 0 || s.Devices < 0 || s.MemoryFraction < 0 || s.MemoryFraction > 1 {
			t.Errorf("%+v", s)
		}
		after := table.WithMemoryFraction(l, 0.5)
		got := after.Processes[0].Argv[2]
		if len(got) != len(line) && strings.Replace(got, " --gpu-memory-utilization 0.5", "", 1) != line && s.Engine == "vllm" {
			t.Errorf("%q became %q", line, got)
		}
	})
}
