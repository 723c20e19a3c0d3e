package variants

import (
	"maps"
	"slices"
	"testing"
)

func TestTuned(t *testing.T) {
	table, problems := Load("")
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	for _, row := range []struct {
		variant string
		env     map[string]string
		words   []string
		tune    Tune
		wantEnv map[string]string
		want    []string
	}{
		{"vllm", nil, []string{"--enforce-eager"}, Tune{Context: 8192, Devices: 2}, nil, []string{"--enforce-eager", "--max-model-len", "8192", "--tensor-parallel-size", "2"}},
		{"vllm", nil, []string{"--max_model_len=4096", "-tp", "4"}, Tune{Context: 8192, Sequences: 7, Devices: 2}, nil, []string{"--max_model_len=8192", "-tp", "2"}},
		{"vllm", nil, []string{"-pp", "2"}, Tune{Devices: 4}, nil, []string{"-pp", "2", "--tensor-parallel-size", "2"}},
		{"vllm", nil, nil, Tune{Devices: 1}, nil, nil},
		{"vllm", nil, []string{"-tp", "2"}, Tune{Devices: 1}, nil, []string{"-tp", "1"}},
		{"vllm", map[string]string{"VLLM_TP_SIZE": "2"}, nil, Tune{Devices: 1}, map[string]string{"VLLM_TP_SIZE": "1"}, nil},
		{"huggingface-tgi", map[string]string{"MAX_TOTAL_TOKENS": "4096"}, nil, Tune{Context: 8192}, map[string]string{"MAX_TOTAL_TOKENS": "8192"}, nil},
		{"llama-cpp", nil, []string{"-c", "1"}, Tune{Context: 2048, Sequences: 4}, nil, []string{"-c", "8192", "--parallel", "4"}},
		{"llama-cpp", map[string]string{"LLAMA_ARG_CTX_SIZE": "1"}, nil, Tune{Context: 2048}, map[string]string{"LLAMA_ARG_CTX_SIZE": "2048"}, nil},
		{"nim", map[string]string{"A": "b"}, nil, Tune{Context: 2048, Devices: 2}, map[string]string{"A": "b", "NIM_MAX_MODEL_LEN": "2048", "NIM_TENSOR_PARALLEL_SIZE": "2"}, nil},
		{"ollama", nil, nil, Tune{Context: 2048, Sequences: 2}, map[string]string{"OLLAMA_CONTEXT_LENGTH": "2048", "OLLAMA_NUM_PARALLEL": "2"}, nil},
		{"huggingface-tgi", nil, nil, Tune{Context: 2048}, nil, []string{"--max-total-tokens", "2048"}},
		{"tei", nil, []string{"x"}, Tune{Context: 2048}, nil, []string{"x"}},
		{"custom", map[string]string{"A": "b"}, []string{"x"}, Tune{Context: 2048}, map[string]string{"A": "b"}, []string{"x"}},
	} {
		v, _ := table.Lookup(row.variant)
		before := slices.Clone(row.words)
		env, words := v.Tuned(row.env, row.words, row.tune)
		if !maps.Equal(env, row.wantEnv) || !slices.Equal(words, row.want) || !slices.Equal(before, row.words) {
			t.Errorf("%s %v %v: %v %v", row.variant, row.words, row.tune, env, words)
		}
		// What it is told is what is read of it again.
		if context := row.tune.Context; v.Sizing != nil && context > 0 && len(v.Sizing.Context) > 0 {
			c := command{names: *v.Sizing, args: words, env: func(name string) string { return env[name] }}
			if row.variant == "llama-cpp" {
				context *= max(1, row.tune.Sequences)
			}
			if got := c.number(v.Sizing.Context); got != context {
				t.Errorf("%s is told %d, and reads %d", row.variant, context, got)
			}
		}
	}
}
