package fit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// header is the beginning of a safetensors file with these tensors, one after the other.
func header(tensors map[string]tensor) []byte {
	at := int64(0)
	doc := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		n := safetensorsBits[t.DType]
		for _, side := range t.Shape {
			n *= side
		}
		t.Offsets = [2]int64{at, at + n/8}
		at += n / 8
		doc[name] = t
	}
	src, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(src))), src...)
}

func dataBytes(tensors map[string]tensor) (sum int64) {
	for _, t := range tensors {
		n := safetensorsBits[t.DType]
		for _, side := range t.Shape {
			n *= side
		}
		sum += n / 8
	}
	return sum
}

// write makes a file of these tensors without their data: it is as long as with them, and takes no disk.
func write(t *testing.T, name string, tensors map[string]tensor) {
	t.Helper()
	head := header(tensors)
	if err := os.WriteFile(name, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, int64(len(head))+dataBytes(tensors)); err != nil {
		t.Fatal(err)
	}
}

// decoder is the tensors of a model of llama's form.
func decoder(m Model, intermediate, experts, head, kvHeads int64, extra ...string) map[string]tensor {
	out := map[string]tensor{}
	h, heads := int64(m.Hidden), int64(m.Heads)
	add := func(name string, shape ...int64) { out[name] = tensor{DType: "BF16", Shape: shape} }
	add("model.embed_tokens.weight", int64(m.Vocabulary), h)
	add("model.norm.weight", h)
	if !m.Tied {
		add("lm_head.weight", int64(m.Vocabulary), h)
	}
	for layer := range m.Layers {
		p := fmt.Sprintf("model.layers.%d.", layer)
		add(p+"input_layernorm.weight", h)
		add(p+"post_attention_layernorm.weight", h)
		add(p+"self_attn.q_proj.weight", heads*head, h)
		add(p+"self_attn.k_proj.weight", kvHeads*head, h)
		add(p+"self_attn.v_proj.weight", kvHeads*head, h)
		add(p+"self_attn.o_proj.weight", h, heads*head)
		if slices.Contains(extra, "bias") {
			add(p+"self_attn.q_proj.bias", heads*head)
			add(p+"self_attn.k_proj.bias", kvHeads*head)
			add(p+"self_attn.v_proj.bias", kvHeads*head)
		}
		if slices.Contains(extra, "norm") {
			add(p+"self_attn.q_norm.weight", head)
			add(p+"self_attn.k_norm.weight", head)
		}
		if experts > 0 {
			add(p+"mlp.gate.weight", experts, h)
		}
		for e := range max(experts, 1) {
			q := p + "mlp."
			if experts > 0 {
				q += fmt.Sprintf("experts.%d.", e)
			}
			add(q+"gate_proj.weight", intermediate, h)
			add(q+"up_proj.weight", intermediate, h)
			add(q+"down_proj.weight", h, intermediate)
		}
	}
	return out
}

func TestPublishedParameters(t *testing.T) {
	tests := []struct {
		name                                 string
		intermediate, experts, head, kvHeads int64
		extra                                string
		want                                 int64
	}{
		{"llama-3-8b", 14336, 0, 128, 8, "", 8_030_261_248},
		{"llama-3-70b", 28672, 0, 128, 8, "", 70_553_706_496},
		{"qwen2.5-7b", 18944, 0, 128, 4, "bias", 7_615_616_512},
		{"qwen3-0.6b", 3072, 0, 128, 8, "norm", 596_049_920},
		{"qwen3-8b", 12288, 0, 128, 8, "norm", 8_190_735_360},
		{"qwen3-30b-a3b", 768, 128, 128, 4, "norm", 30_532_122_624},
		{"mistral-7b", 14336, 0, 128, 8, "", 7_241_732_096},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tensors := decoder(configOf(t, tt.name), tt.intermediate, tt.experts, tt.head, tt.kvHeads, tt.extra)
			m := inFolder(t, tt.name, tensors)
			if m.Parameters != tt.want || m.WeightBytes != 2*tt.want || m.DType != "BF16" || m.Kind != Decoder {
				t.Errorf("%d parameters in %d bytes of %s, want %d", m.Parameters, m.WeightBytes, m.DType, tt.want)
			}
		})
	}
}

// inFolder reads a model of these tensors in three files, with an index.
func inFolder(t *testing.T, name string, tensors map[string]tensor) Model {
	t.Helper()
	dir := t.TempDir()
	src, err := os.ReadFile("testdata/config/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	parts := [3]map[string]tensor{{}, {}, {}}
	index := map[string]any{}
	where := map[string]string{}
	for i, key := range slices.Sorted(maps.Keys(tensors)) {
		parts[i%3][key] = tensors[key]
		where[key] = fmt.Sprintf("model-%05d-of-00003.safetensors", i%3+1)
	}
	index["weight_map"] = where
	for i, part := range parts {
		write(t, filepath.Join(dir, fmt.Sprintf("model-%05d-of-00003.safetensors", i+1)), part)
	}
	write(t, filepath.Join(dir, "consolidated.safetensors"), parts[0]) // there a second time: not in the index
	doc, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{"config.json": src, "model.safetensors.index.json": doc} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m, err := Read(root.FS(), ".", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != 3 {
		t.Error(m.Files)
	}
	return m
}

// GPT-OSS 20B keeps its experts in 4 bits with a scale for each 32: 20.9 billion parameters in 13.8 GB.
func TestPackedParameters(t *testing.T) {
	tensors := map[string]tensor{}
	add := func(dtype, name string, shape ...int64) { tensors[name] = tensor{DType: dtype, Shape: shape} }
	const h, v, experts = 2880, 201088, 32
	add("BF16", "model.embed_tokens.weight", v, h)
	add("BF16", "lm_head.weight", v, h)
	add("BF16", "model.norm.weight", h)
	for layer := range 24 {
		p := fmt.Sprintf("model.layers.%d.", layer)
		add("BF16", p+"input_layernorm.weight", h)
		add("BF16", p+"post_attention_layernorm.weight", h)
		for name, rows := range map[string]int64{"q_proj": 4096, "k_proj": 512, "v_proj": 512} {
			add("BF16", p+"self_attn."+name+".weight", rows, h)
			add("BF16", p+"self_attn."+name+".bias", rows)
		}
		add("BF16", p+"self_attn.o_proj.weight", h, 4096)
		add("BF16", p+"self_attn.o_proj.bias", h)
		add("BF16", p+"self_attn.sinks", 64)
		add("BF16", p+"mlp.router.weight", experts, h)
		add("BF16", p+"mlp.router.bias", experts)
		add("U8", p+"mlp.experts.gate_up_proj_blocks", experts, 2*h, 90, 16)
		add("U8", p+"mlp.experts.gate_up_proj_scales", experts, 2*h, 90)
		add("BF16", p+"mlp.experts.gate_up_proj_bias", experts, 2*h)
		add("U8", p+"mlp.experts.down_proj_blocks", experts, h, 90, 16)
		add("U8", p+"mlp.experts.down_proj_scales", experts, h, 90)
		add("BF16", p+"mlp.experts.down_proj_bias", experts, h)
	}
	m := inFolder(t, "gpt-oss-20b", tensors)
	if m.Parameters != 20_914_757_184 || m.WeightBytes < 13.7e9 || m.WeightBytes > 13.8e9 || m.Quantization != "mxfp4" || m.Experts != 32 {
		t.Errorf("%d parameters, %d bytes, %s", m.Parameters, m.WeightBytes, m)
	}
}

func TestPackings(t *testing.T) {
	tests := []struct {
		p           packing
		name, dtype string
		elements    int64
		want        int64
	}{
		{packing{}, "a.weight", "BF16", 64, 64},
		{packing{method: "gptq", bits: 4}, "a.qweight", "I32", 64, 512},
		{packing{method: "gptq", bits: 8}, "a.qweight", "I32", 64, 256},
		{packing{method: "awq"}, "a.qweight", "I32", 64, 512},
		{packing{method: "awq"}, "a.qzeros", "I32", 64, 0},
		{packing{method: "awq"}, "a.scales", "F16", 64, 0},
		{packing{method: "compressed-tensors"}, "a.weight_packed", "I32", 64, 512},
		{packing{method: "compressed-tensors"}, "a.weight_packed", "U8", 64, 128},
		{packing{method: "fp8"}, "a.weight", "F8_E4M3", 64, 64},
		{packing{method: "fp8"}, "a.weight_scale_inv", "F32", 64, 0},
		{packing{method: "bitsandbytes", bits: 4}, "a.weight", "U8", 64, 128},
		{packing{method: "bitsandbytes", bits: 4}, "a.weight.absmax", "U8", 64, 0},
		{packing{method: "bitsandbytes", bits: 4}, "a.weight.quant_state.bitsandbytes__nf4", "U8", 64, 0},
		{packing{bits: 8}, "a.weight", "I8", 64, 64},
	}
	for _, tt := range tests {
		if got := tt.p.parameters(tt.name, tt.dtype, tt.elements); got != tt.want {
			t.Errorf("%+v %s %s: %d", tt.p, tt.name, tt.dtype, got)
		}
	}
}

func raw(length uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, length), rest...)
}

func TestDamagedSafetensors(t *testing.T) {
	whole := header(map[string]tensor{"a.weight": {DType: "F16", Shape: []int64{4, 4}}})
	entry := func(text string) []byte { return raw(uint64(len(text)), text) }
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "ends within its first 8 bytes"},
		{"a header longer than the file", raw(1<<20, "{}"), "claims a header of 1048576 bytes, the file has 10"},
		{"a header longer than anything", raw(math.MaxUint64, "{}"), "claims a header"},
		{"no JSON", entry("[1,2,3]"), "its header is not the JSON that it should be"},
		{"cut in the header", entry(`{"a": {"dtype": "F16"`), "ends within its header"},
		{"cut in the data", append(whole, make([]byte, 31)...), "it is not all there"},
		{"sides", entry(`{"a": {"dtype": "F16", "shape": [-1], "data_offsets": [0, 0]}}`), "has a side of -1"},
		{"backwards", entry(`{"a": {"dtype": "F16", "shape": [1], "data_offsets": [2, 0]}}`), "lies at 2 to 0"},
		{"bytes", append(entry(`{"a": {"dtype": "F16", "shape": [3], "data_offsets": [0, 4]}}`), 0, 0, 0, 0), "has 3 elements of F16 in 4 bytes"},
		{"overflow", append(entry(`{"a": {"dtype": "F16", "shape": [4294967296, 4294967296, 4294967296], "data_offsets": [0, 0]}}`), 0), "elements of F16 in 0 bytes"},
		{"twice the same bytes", append(entry(`{"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}, "b": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}`), 0, 0, 0, 0), "overlapping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(fstest.MapFS{"model.safetensors": {Data: tt.data}}, ".", "")
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Read(fstest.MapFS{"model.safetensors": {Data: append(bytes.Clone(whole), make([]byte, 32)...)}}, ".", ""); err != nil {
		t.Error(err)
	}
}

func TestDamagedIndex(t *testing.T) {
	for index, want := range map[string]string{
		`{"weight_map": {"a": "../../etc/passwd"}}`:    "is not the name of a file beside it",
		`{"weight_map": {"a": "model-1.safetensors"}}`: "model-1.safetensors is missing",
		`{"weight_map": {}}`:                           "names no files",
		`{"weight_map": [`:                             "is not the JSON that it should be",
		strings.Repeat(" ", maxConfig) + `{"weight_ma`: "is larger than 4 MiB",
	} {
		files := fstest.MapFS{"model.safetensors.index.json": {Data: []byte(index)}, "model.safetensors": {Data: header(nil)}}
		if _, err := Read(files, ".", ""); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(header(map[string]tensor{"a.weight": {DType: "F16", Shape: []int64{4, 4}}}))
	f.Add(raw(1<<40, "{}"))
	f.Add(append(raw(62, `{"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 4]}}  `), 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(fstest.MapFS{"m.safetensors": {Data: data}}, ".", "")
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if m.WeightBytes < 0 || m.WeightBytes > int64(len(data)) || m.Parameters < 0 {
			t.Errorf("%d bytes of weights in a file of %d, %d parameters", m.WeightBytes, len(data), m.Parameters)
		}
	})
}
