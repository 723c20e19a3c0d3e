package modeldefinitions_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// kind is how GGML stores numbers.
type kind struct {
	number       uint32
	block, bytes int64
}

var (
	f32   = kind{0, 1, 4}
	f16   = kind{1, 1, 2}
	q50   = kind{6, 32, 22}
	q51   = kind{7, 32, 24}
	q80   = kind{8, 32, 34}
	q4K   = kind{12, 256, 144}
	q5K   = kind{13, 256, 176}
	q6K   = kind{14, 256, 210}
	mxfp4 = kind{39, 32, 17}
)

// coarser stands in where rows cannot be cut in blocks of 256.
var coarser = map[kind]kind{q4K: q50, q5K: q51, q6K: q80}

// mix is what llama.cpp's quantize program makes of each tensor.
type mix struct {
	format  string
	arch    string
	layers  int
	experts int64
	tied    bool
}

func (m mix) of(t tensor) (kind, error) {
	if t.class == plain || t.class == router {
		return f32, nil
	}
	var k kind
	switch m.format {
	case "F16":
		k = f16
	case "Q8_0":
		k = q80
	case "MXFP4":
		k = q80
		if t.class == expert {
			k = mxfp4
		}
	case "Q4_K_M":
		k = m.medium(t)
	default:
		return k, fmt.Errorf("%q is no format of GGUF", m.format)
	}
	if t.shape[len(t.shape)-1]%k.block != 0 {
		k = coarser[k]
	}
	return k, nil
}

// medium is Q4_K_M: four bits, and more for what matters more.
func (m mix) medium(t tensor) kind {
	switch {
	case t.class == head, t.class == embedding && m.tied:
		return q6K
	case t.role == "v" && m.more(t.layer):
		return q6K
	case t.role == "v" && m.arch == "llama" && m.layers == 80: // as eight heads share it, it costs little
		return q5K
	case (t.role == "v" || t.role == "k") && m.experts == 8:
		return q80
	case t.role == "o" && m.experts == 8, t.role == "qkv":
		return q5K
	case t.role == "down" && m.more(t.layer):
		return q6K
	}
	return q4K
}

// more says which layers get more bits: the first and the last eighth, and each third between.
func (m mix) more(layer int) bool {
	n := m.layers
	return layer < n/8 || layer >= 7*n/8 || (layer-n/8)%3 == 2
}

// architectures are llama.cpp's names for what config.json calls a model_type.
var architectures = map[string]string{
	"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "phi3": "phi3",
	"gemma3_text": "gemma3", "gpt_oss": "gpt-oss", "qwen2_5_vl": "qwen2vl", "nomic_bert": "nomic-bert", "xlm-roberta": "bert", "bert": "bert",
}

// ggufFile is the file that these tensors make, with what its metadata says of them.
func ggufFile(d dims, tensors []tensor, format string) (claimed, error) {
	d = d.language()
	arch, known := architectures[d.text("model_type")]
	if !known {
		return claimed{}, fmt.Errorf("llama.cpp's name for %q is not known here", d.text("model_type"))
	}
	experts := max(d.number("num_experts"), d.number("num_local_experts"))
	m := mix{format: format, arch: arch, layers: int(d.number("num_hidden_layers")), experts: experts, tied: d.number("tie_word_embeddings") == 1}
	tensors = slices.DeleteFunc(slices.Clone(tensors), func(t tensor) bool {
		return t.class == tower || t.class == head && m.tied // the projector is a file of its own; what is stored twice is left out
	})
	var infos []byte
	var at int64
	for i, t := range tensors {
		k, err := m.of(t)
		if err != nil {
			return claimed{}, err
		}
		name := fmt.Sprintf("blk.%d.%d.weight", t.layer, i)
		switch {
		case t.class == head:
			name = "output.weight"
		case t.class == embedding && i == 0:
			name = "token_embd.weight"
		}
		infos = appendText(infos, name)
		infos = binary.LittleEndian.AppendUint32(infos, uint32(len(t.shape)))
		for _, side := range slices.Backward(t.shape) {
			infos = binary.LittleEndian.AppendUint64(infos, uint64(side))
		}
		infos = binary.LittleEndian.AppendUint32(infos, k.number)
		infos = binary.LittleEndian.AppendUint64(infos, uint64(at))
		at += (t.elements()/k.block*k.bytes + 31) / 32 * 32
	}
	head := append([]byte("GGUF"), 3, 0, 0, 0)
	keys := metadata(d, arch, experts)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(keys)+1))
	head = appendText(head, "general.architecture")
	head = binary.LittleEndian.AppendUint32(head, 8)
	head = appendText(head, arch)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		head = appendText(head, key)
		head = binary.LittleEndian.AppendUint32(head, 4)
		head = binary.LittleEndian.AppendUint32(head, uint32(keys[key]))
	}
	head = append(head, infos...)
	head = append(head, make([]byte, (32-len(head)%32)%32)...)
	return claimed{head: head, size: int64(len(head)) + at}, nil
}

func metadata(d dims, arch string, experts int64) map[string]int64 {
	heads := d.number("num_attention_heads")
	width := d.number("head_dim", d.number("hidden_size")/max(1, heads))
	keys := map[string]int64{
		arch + ".block_count": d.number("num_hidden_layers"), arch + ".embedding_length": d.number("hidden_size"),
		arch + ".attention.head_count": heads, arch + ".attention.head_count_kv": d.number("num_key_value_heads", heads),
		arch + ".attention.key_length": width, arch + ".attention.value_length": width,
		arch + ".feed_forward_length": d.number("intermediate_size"), arch + ".context_length": d.number("max_position_embeddings"),
		arch + ".vocab_size": d.number("vocab_size"),
	}
	if window := d.number("sliding_window"); window > 0 {
		keys[arch+".attention.sliding_window"] = window
	}
	if experts > 0 {
		keys[arch+".expert_count"] = experts
		keys[arch+".expert_used_count"] = d.number("num_experts_per_tok")
		keys[arch+".expert_feed_forward_length"] = d.number("moe_intermediate_size", d.number("intermediate_size"))
	}
	return keys
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}
