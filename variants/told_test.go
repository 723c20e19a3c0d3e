package variants

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestTold(t *testing.T) {
	table, problems := Load("")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	all := Size{Context: 8192, Sequences: 2, Devices: 4}
	tests := []struct {
		variant string
		env     map[string]string
		words   string
		size    Size
		told    map[string]string
		after   string
	}{
		{"vllm", nil, "", all, map[string]string{"VLLM_TP_SIZE": "4"}, "--max-model-len 8192"},
		{"vllm", nil, "--max-model-len 32768 --x", all, map[string]string{"VLLM_TP_SIZE": "4"}, "--max-model-len 8192 --x"},
		{"vllm", nil, "--max_model_len=32768 --tensor-parallel-size 2", all, map[string]string{}, "--max_model_len=8192 --tensor-parallel-size 4"},
		{"vllm", map[string]string{"VLLM_TP_SIZE": "2"}, "--x", Size{Devices: 1}, map[string]string{"VLLM_TP_SIZE": "1"}, "--x"},
		{"vllm", nil, "--max-model-len 32768", Size{}, map[string]string{}, "--max-model-len 32768"},
		{"sglang", nil, "--context-length 5", all, map[string]string{"SGLANG_TP_SIZE": "4"}, "--context-length 8192"},
		{"llama-cpp", map[string]string{"LLAMA_ARG_CTX_SIZE": "4096", "LLAMA_ARG_N_PARALLEL": "1"}, "", all, map[string]string{"LLAMA_ARG_CTX_SIZE": "16384", "LLAMA_ARG_N_PARALLEL": "2"}, ""},
		{"llama-cpp", nil, "-c 512 --parallel 4", all, map[string]string{}, "-c 16384 --parallel 2"},
		{"huggingface-tgi", map[string]string{"MAX_TOTAL_TOKENS": "4096"}, "", Size{Context: 8192}, map[string]string{"MAX_TOTAL_TOKENS": "8192"}, ""},
		{"nim", nil, "", all, map[string]string{"NIM_MAX_MODEL_LEN": "8192", "NIM_TENSOR_PARALLEL_SIZE": "4"}, ""},
		{"ollama", nil, "", all, map[string]string{"OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_NUM_PARALLEL": "2"}, ""},
		{"tei", map[string]string{"A": "b"}, "", all, map[string]string{"A": "b"}, ""},
		{"custom", map[string]string{"A": "b"}, "--c", all, map[string]string{"A": "b"}, "--c"},
	}
	for _, tt := range tests {
		v, _ := table.Lookup(tt.variant)
		words, before := strings.Fields(tt.words), maps.Clone(tt.env)
		env, after := v.Told(tt.env, words, tt.size)
		if !maps.Equal(env, tt.told) || strings.Join(after, " ") != tt.after {
			t.Errorf("%s %v %q with %+v: %v %q", tt.variant, tt.env, tt.words, tt.size, env, after)
		}
		if !maps.Equal(before, tt.env) || !slices.Equal(words, strings.Fields(tt.words)) {
			t.Errorf("%s: what was given is changed: %v %q", tt.variant, tt.env, words)
		}
	}
}
