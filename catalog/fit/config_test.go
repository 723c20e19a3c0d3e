package fit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func configOf(t *testing.T, name string) Model {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata/config", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig(name, src)
	if err != nil {
		t.Fatal(err)
	}
	var m Model
	m.Quantization, _ = c.quantization()
	m.describeConfig(c)
	return m
}

// The figures are those that the models' makers, or engines that load them, publish.
func TestPublishedCaches(t *testing.T) {
	tests := []struct {
		name       string
		kind       Kind
		perToken   int64 // in 16 bits
		long       int   // a context, and what
		atLong     int64 // one sequence of it keeps
		state      int64
		maxContext int
	}{
		{"llama-3-8b", Decoder, 128 << 10, 8192, 1 << 30, 0, 8192},
		{"llama-3-70b", Decoder, 320 << 10, 8192, 2560 << 20, 0, 8192},
		{"qwen2.5-7b", Decoder, 56 << 10, 32768, 1792 << 20, 0, 32768},
		{"qwen3-0.6b", Decoder, 112 << 10, 40960, 4480 << 20, 0, 40960},
		{"qwen3-8b", Decoder, 144 << 10, 40960, 5760 << 20, 0, 40960},
		{"qwen3-30b-a3b", Decoder, 96 << 10, 40960, 3840 << 20, 0, 40960},
		{"mistral-7b", Decoder, 128 << 10, 32768, 512 << 20, 0, 32768},
		{"gemma-3-4b", Decoder, 136 << 10, 131072, 5*4096*131072 + 29*4096*1024, 0, 131072},
		{"deepseek-v3", Decoder, 61 * 576 * 2, 163840, 61 * 576 * 2 * 163840, 0, 163840},
		{"phi-3-mini-4k", Decoder, 384 << 10, 4096, 2047 * (384 << 10), 0, 4096},
		{"gpt-oss-20b", Decoder, 48 << 10, 131072, 12*2048*131072 + 12*2048*128, 0, 131072},
		{"bge-m3", Encoder, 0, 8192, 0, 0, 8194},
		// llama.cpp's log of this model, two sequences: "RS buffer size = 100.50 MiB".
		{"qwen3.5-9b", Decoder, 32 << 10, 1, 32<<10 + 100.5/2*(1<<20), 100.5 / 2 * (1 << 20), 262144},
		{"jamba", Decoder, 16 << 10, 1, 16<<10 + 28*4*(8192*16+3*8192), 28 * 4 * (8192*16 + 3*8192), 262144},
		{"falcon-7b", Decoder, 8 << 10, 2048, 16 << 20, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := configOf(t, tt.name)
			if m.Kind != tt.kind || m.MaxContext != tt.maxContext || m.StateBytes != tt.state {
				t.Errorf("%s, context %d, state %d", m.Kind, m.MaxContext, m.StateBytes)
			}
			if got := m.KVBytesPerToken(Half(), Half()); got != tt.perToken {
				t.Errorf("%d bytes a token, want %d: %+v", got, tt.perToken, m.Cache)
			}
			if got := kept(m, tt.long); got != tt.atLong {
				t.Errorf("%d bytes at %d tokens, want %d: %+v", got, tt.long, tt.atLong, m.Cache)
			}
			if len(m.Unknown) > 0 {
				t.Error(m.Unknown)
			}
		})
	}
}

// llama.cpp's log of Qwen3.5 9B: "KV buffer size = 4352.00 MiB" for 262144 cells in q8_0 of one stream for two sequences.
func TestPublishedQuantizedCache(t *testing.T) {
	m := configOf(t, "qwen3.5-9b")
	need := Estimate(m, Request{Engine: LlamaCpp, Context: 262144, Sequences: 2, KeyType: "q8_0", Unified: new(true)})
	if want := int64((4352 + 100.5) * mib); need.Cache != want {
		t.Errorf("%d, want %d", need.Cache, want)
	}
}

func TestConfigThatSaysTooLittle(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"nothing", `{}`, "does not say how many layers"},
		{"no heads", `{"num_hidden_layers": 4, "hidden_size": 64}`, "does not say how wide the attention heads are"},
		{"a kind of layer", `{"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "layer_types": ["full_attention", "quantum"]}`, `layers of the kind "quantum" are not known`},
		{"states", `{"num_hidden_layers": 2, "num_attention_heads": 4, "layer_types": ["mamba"]}`, "does not say how large the state"},
		{"both", `{"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "is_encoder_decoder": true}`, "the decoder's own tokens only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{"config.json": {Data: []byte(tt.config)}, "model.safetensors": {Data: header(nil)}}
			m, err := Read(files, ".", "")
			if err != nil || !strings.Contains(strings.Join(m.Unknown, "\n"), tt.want) {
				t.Errorf("%v, %q", err, m.Unknown)
			}
		})
	}
}

func TestQuantizationConfig(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{}`, ""},
		{`{"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}`, "gptq 4-bit"},
		{`{"quantization_config": {"quant_method": "awq", "bits": 4}}`, "awq 4-bit"},
		{`{"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}}`, "bitsandbytes 4-bit"},
		{`{"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": true}}`, "bitsandbytes 8-bit"},
		{`{"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}`, "compressed-tensors pack-quantized"},
		{`{"quantization_config": {"quant_method": "mxfp4"}}`, "mxfp4"},
		{`{"quantization_config": "gptq"}`, ""},
	}
	for _, tt := range tests {
		var c config
		if err := json.Unmarshal([]byte(tt.config), &c); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.quantization(); got != tt.want {
			t.Errorf("%s: %q", tt.config, got)
		}
	}
}

func FuzzConfig(f *testing.F) {
	entries, err := os.ReadDir("testdata/config")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		src, err := os.ReadFile(filepath.Join("testdata/config", e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src, 4096, 2)
	}
	f.Add([]byte(`{"num_hidden_layers": 1e99, "hidden_size": 1e18, "num_attention_heads": 1, "head_dim": -5, "kv_lora_rank": 1e30, "qk_rope_head_dim": 7}`), 1<<40, -1)
	f.Fuzz(func(t *testing.T, src []byte, context, sequences int) {
		c, err := parseConfig("config.json", src)
		if err != nil {
			return
		}
		var m Model
		m.describeConfig(c)
		m.Quantization, _ = c.quantization()
		for engine := range families {
			sound(t, Estimate(m, Request{Engine: engine, Context: context, Sequences: sequences, Devices: 2}))
		}
	})
}

// sound is what holds of every need, whatever the files say.
func sound(t *testing.T, n Need) {
	t.Helper()
	for _, v := range []int64{n.Weights, n.Cache, n.Compute, n.Overhead, n.PerDevice, n.Total} {
		if v < 0 || v > huge {
			t.Errorf("out of bounds: %+v", n)
		}
	}
	if n.Context < 0 || n.Sequences < 0 || n.PerDevice > n.Total {
		t.Errorf("%+v", n)
	}
}

// kept is what a sequence of so many tokens keeps in the caches, its recurrent state included.
func kept(m Model, tokens int) int64 {
	sum := m.StateBytes
	for _, c := range m.Cache {
		n := tokens
		if c.Window > 0 {
			n = min(n, c.Window)
		}
		sum += int64(n) * c.perToken(Half(), Half())
	}
	return sum
}
