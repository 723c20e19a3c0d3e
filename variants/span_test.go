package variants

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// placed is the line that a container of a rank runs, of two or more.
func placed(spec LaunchSpec, rank int) string {
	at := Place{Rank: rank, HeadPort: 29500, NodePort: 29501}
	for i := 1; i < spec.Span.Nodes; i++ {
		at.Workers = append(at.Workers, fmt.Sprintf("sub%d:29501", i))
	}
	if rank > 0 {
		spec = spec.Workers()
	}
	p := at.Placed(spec).Processes[0]
	line := strings.Join(p.Argv, " ")
	if len(p.Await) > 0 {
		line += " after " + strings.Join(p.Await, " ")
	}
	return line
}

func TestSpans(t *testing.T) {
	table := load(t, "")
	model := fstest.MapFS{"config.json": {}, "model.gguf": {Data: []byte("GGUF")}}
	const (
		vllm   = "vllm serve /models --served-model-name big --host 0.0.0.0 --port 8000"
		mp     = " --nnodes 2 --node-rank %d --master-addr {head_address} --master-port 29500"
		sglang = "python -m sglang.launch_server --model-path /models --host 0.0.0.0 --port 9001"
		ray    = `sh -c ray start --head --node-ip-address="$1" --port="$2" --include-dashboard=false --disable-usage-stats && shift 2 && exec "$@" ray-head {node_address} 29500 `
	)
	for name, c := range map[string]struct {
		variant        string
		env            map[string]string
		nodes, devices int
		head, worker   string
	}{
		"vLLM, without Ray": {
			"vllm", nil, 2, 8,
			vllm + " --tensor-parallel-size 8 --pipeline-parallel-size 2" + fmt.Sprintf(mp, 0),
			vllm + " --tensor-parallel-size 8 --pipeline-parallel-size 2" + fmt.Sprintf(mp, 1) + " --headless",
		},
		"as its owner spreads it": {
			"vllm", map[string]string{"VLLM_TP_SIZE": "16", "VLLM_EXTRA_ARGS": "--max-model-len 8k"}, 2, 8,
			vllm + " --tensor-parallel-size 16 --max-model-len 8k" + fmt.Sprintf(mp, 0),
			vllm + " --tensor-parallel-size 16 --max-model-len 8k" + fmt.Sprintf(mp, 1) + " --headless",
		},
		"without devices": {
			"vllm", map[string]string{"VLLM_EXTRA_ARGS": "--dtype auto"}, 2, 0,
			vllm + " --dtype auto --tensor-parallel-size 1 --pipeline-parallel-size 2" + fmt.Sprintf(mp, 0),
			vllm + " --dtype auto --tensor-parallel-size 1 --pipeline-parallel-size 2" + fmt.Sprintf(mp, 1) + " --headless",
		},
		"on Ray": {
			"vllm-ray", map[string]string{"VLLM_EXTRA_ARGS": "--dtype auto"}, 3, 4,
			ray + vllm + " --dtype auto --tensor-parallel-size 4 --pipeline-parallel-size 3 --distributed-executor-backend ray",
			"ray start --address={head_address}:29500 --node-ip-address={node_address} --disable-usage-stats --block after {head_address}:29500",
		},
		"SGLang": {
			"sglang", nil, 2, 8,
			sglang + " --tp-size 16 --nnodes 2 --node-rank 0 --dist-init-addr {head_address}:29500",
			sglang + " --tp-size 16 --nnodes 2 --node-rank 1 --dist-init-addr {head_address}:29500",
		},
		"SGLang with a pipeline": {
			"sglang", map[string]string{"SGLANG_EXTRA_ARGS": "--tp 8 --pp-size 2"}, 2, 8,
			sglang + " --tp 8 --pp-size 2 --nnodes 2 --node-rank 0 --dist-init-addr {head_address}:29500",
			sglang + " --tp 8 --pp-size 2 --nnodes 2 --node-rank 1 --dist-init-addr {head_address}:29500",
		},
		"llama.cpp": {
			"llama-cpp", map[string]string{"LLAMA_EXTRA_ARGS": "-c 4096"}, 3, 1,
			"llama-server -m /models/model.gguf --host 0.0.0.0 --port 8080 --metrics -c 4096 --rpc sub1:29501,sub2:29501 after sub1:29501,sub2:29501",
			`sh -c if command -v ggml-rpc-server >/dev/null; then exec ggml-rpc-server "$@"; else exec rpc-server "$@"; fi rpc-server -H {node_address} -p 29501`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec, problems := table.Resolve(Request{Variant: c.variant, ServiceName: "big", Files: model, Env: c.env, Nodes: c.nodes, Devices: c.devices})
			if len(problems) > 0 || spec.Span == nil || spec.Span.Nodes != c.nodes {
				t.Fatal(problems, spec.Span)
			}
			if got := placed(spec, 0); got != c.head {
				t.Errorf("the head runs\n%s\nwant\n%s", got, c.head)
			}
			if got := placed(spec, 1); got != c.worker {
				t.Errorf("a worker runs\n%s\nwant\n%s", got, c.worker)
			}
			if w := spec.Workers(); !spec.Processes[0].Together || !w.Processes[0].Together || w.Port != 0 || w.Health != nil || w.Metrics.Path != "" || w.Span != nil || w.Mount != spec.Mount {
				t.Errorf("head %+v, worker %+v", spec.Processes[0], w)
			}
			alone, problems := table.Resolve(Request{Variant: c.variant, ServiceName: "big", Files: model, Env: c.env, Nodes: 1, Devices: c.devices})
			if line := strings.Join(alone.Processes[0].Argv, " "); len(problems) > 0 || alone.Span != nil || strings.Contains(line, "node") || strings.Contains(line, "ray") || strings.Contains(line, "rpc") {
				t.Errorf("in one container: %s", line)
			}
		})
	}
}

// TestSpansOnPortsOfTheBox: where containers share their boxes' ports each engine listens at its own one, on loopback, and is told all that
// was promised, in its environment too.
func TestSpansOnPortsOfTheBox(t *testing.T) {
	file := filepath.Join(t.TempDir(), "variants.yaml")
	text := `variants:
  ray: {extends: vllm-ray, command: [vllm, run, "{model_path}", --port, "{ports[0]}"]}
  told:
    port: 9000
    command: [told]
    env: {TOLD_PORT: "{listen_address}:{ports[0]}"}
    multi_node:
      env: {TOLD: "{node_rank} of {nodes} {head_port} {node_port} {workers} {head_address} {node_address}"}
  rigid:
    port: 9000
    command: [rigid, --port, "9000"]
    multi_node: {worker: {command: [rigid-worker]}}
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table := load(t, file)
	at := Place{Rank: 1, HeadPort: 20064, NodePort: 20065, Workers: []string{"sub1:20065"}, OwnPort: 20129}
	for name, want := range map[string]struct {
		head, worker         string
		env                  string
		port, workers, fixed int
	}{
		"sglang": {head: "--host 127.0.0.1 --port 20129", worker: "--host 127.0.0.1 --port 20129", port: 20129, workers: 20129},
		"ray":    {head: "ray-head {node_address} 20064 vllm run /models --port 20129", worker: "--block", port: 20129},
		"told":   {head: "told", worker: "told", env: "127.0.0.1:20129, 1 of 2 20064 20065 sub1:20065 {head_address} {node_address}", port: 20129, workers: 20129},
		"rigid":  {head: "--port 9000", worker: "rigid-worker", port: 9000},
		"cmd":    {port: 8000, workers: 8000, fixed: 1},
	} {
		spec, problems := table.Resolve(Request{Variant: name, ServiceName: "big", Files: files(), Nodes: 2})
		if len(problems) > 0 {
			t.Fatal(name, problems)
		}
		if spec.FixedPort() != (want.fixed == 1) {
			t.Errorf("%s: FixedPort is %v", name, spec.FixedPort())
		}
		head, worker := at.Placed(spec), at.Placed(spec.Workers())
		if line := strings.Join(head.Processes[0].Argv, " "); !strings.Contains(line, want.head) || head.Port != want.port || head.Processes[0].Port != want.port || spec.PortAt(20129) != want.port || spec.PortAt(0) != spec.Port {
			t.Errorf("%s: the head runs %s, at %d, %d", name, line, head.Port, head.Processes[0].Port)
		}
		if line := strings.Join(worker.Processes[0].Argv, " "); !strings.Contains(line, want.worker) || worker.Port != 0 || worker.Processes[0].Port != want.workers {
			t.Errorf("%s: a worker runs %s, at %d, %d", name, line, worker.Port, worker.Processes[0].Port)
		}
		if got := head.Env["TOLD_PORT"] + ", " + head.Env["TOLD"]; want.env != "" && (got != want.env || worker.Env["TOLD"] != head.Env["TOLD"]) {
			t.Errorf("%s: %v %v", name, head.Env, worker.Env)
		}
	}
}

// TestSpansSized: what is known of the memory of an engine counts all that it is spread over.
func TestSpansSized(t *testing.T) {
	table := load(t, "")
	spec, problems := table.Resolve(Request{Variant: "vllm-ray", ServiceName: "big", Files: files(), Nodes: 2, Devices: 4})
	if s := table.Sizing(spec); len(problems) > 0 || s.Engine != "vllm" || s.Devices != 8 || s.Stages != 2 || s.Model != "/models" {
		t.Errorf("%v %+v", problems, s)
	}
	half := table.WithMemoryFraction(spec, 0.5)
	if line := strings.Join(half.Processes[0].Argv, " "); !strings.Contains(line, "vllm serve --gpu-memory-utilization 0.5 /models") {
		t.Error(line)
	}
}

// TestSpansOfTheirOwn: a definition's command and an image's own go by their environment, and by nothing else.
func TestSpansOfTheirOwn(t *testing.T) {
	table := load(t, "")
	spec, problems := table.Resolve(Request{Variant: "cmd", ServiceName: "big", Nodes: 2})
	if len(problems) > 0 || len(spec.Span.Worker) != 1 || spec.Processes[0].Together || spec.Span.Worker[0].Together {
		t.Errorf("%v %+v", problems, spec)
	}
	_, problems = table.Resolve(Request{Variant: "tei", ServiceName: "big", Files: files(), Nodes: 2})
	if len(problems) != 1 || problems[0].Field != "cluster_size" || !strings.Contains(problems[0].Hint, "vllm, vllm-ray, sglang, llama-cpp") || !strings.Contains(problems[0].Hint, "custom") {
		t.Errorf("%+v", problems)
	}
}

func TestSpansOfTheOwner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "variants.yaml")
	read := func(text string) (*Table, string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("variants:\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		table, problems := Load(file)
		var said []string
		for _, p := range problems {
			said = append(said, p.String())
		}
		return table, strings.Join(said, "\n")
	}
	table, said := read(`  mine:
    port: 9000
    command: [mine, "{model_path}"]
    multi_node:
      env: {MINE_ADDRESS: "{node_address}", MINE_SIZE: "{nodes}"}
      head: {arguments: [--lead, "{node_rank}/{nodes}"], await: ["{workers}"]}
      worker: {command: [mine-worker, "{devices}"], arguments: [--at, "{node_port}"]}
  alone: {extends: vllm, multi_node: null}
`)
	if said != "" {
		t.Fatal(said)
	}
	spec, problems := table.Resolve(Request{Variant: "mine", ServiceName: "big", Files: files(), Nodes: 3, Devices: 2, Env: map[string]string{"MINE_SIZE": "many"}})
	if len(problems) > 0 || spec.Env["MINE_ADDRESS"] != "{node_address}" || spec.Env["MINE_SIZE"] != "many" {
		t.Errorf("%v %v", problems, spec.Env)
	}
	if got := placed(spec, 0) + "; " + placed(spec, 2); got != "mine /models --lead 0/3 after sub1:29501,sub2:29501; mine-worker 2 --at 29501" {
		t.Error(got)
	}
	if _, problems := table.Resolve(Request{Variant: "alone", ServiceName: "big", Files: files(), Nodes: 2}); problems.Err() == nil {
		t.Error("multi_node: null takes nothing back")
	}
	_, said = read(`  mine:
    port: 9000
    multi_node:
      head: {arguments: [--rank, "{rank}"]}
      workers: {}
`)
	for _, want := range []string{"unknown name {rank}", "{node_rank}", "takes no arguments", "workers"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing of %q in\n%s", want, said)
		}
	}
}
