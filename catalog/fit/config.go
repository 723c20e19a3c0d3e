package fit

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// config is a config.json of transformers. Values that are of another kind than they should be count as not given.
type config map[string]json.RawMessage

func parseConfig(name string, src []byte) (config, error) {
	var c config
	if err := json.Unmarshal(src, &c); err != nil {
		return nil, damaged(name, "is not the JSON that it should be: %v", err)
	}
	return c, nil
}

// nested are the keys that hold the language part of models that also see or hear.
var nested = []string{"text_config", "llm_config", "language_config", "thinker_config", "text_model_config", "language_model_config"}

// language is the part that describes the language model, with what only the outer part says behind it.
func (c config) language() config {
	for range 2 { // thinker_config has a text_config in turn
		for _, key := range nested {
			var inner config
			if json.Unmarshal(c[key], &inner) != nil || len(inner) == 0 {
				continue
			}
			for k, v := range c {
				if _, given := inner[k]; !given && !slices.Contains(nested, k) {
					inner[k] = v
				}
			}
			c = inner
			break
		}
	}
	return c
}

// number returns the first of the keys that is a number, rounded down.
func (c config) number(keys ...string) int {
	for _, key := range keys {
		var f *float64
		if json.Unmarshal(c[key], &f) == nil && f != nil && *f > 0 {
			return int(math.Min(*f, sane))
		}
	}
	return 0
}

// scale is a number that may have a fraction.
func (c config) scale(key string) float64 {
	var f *float64
	if json.Unmarshal(c[key], &f) != nil || f == nil || *f < 0 || *f > sane {
		return 0
	}
	return *f
}

func (c config) numbers(key string) []int {
	var list []float64
	if json.Unmarshal(c[key], &list) != nil {
		return nil
	}
	out := make([]int, 0, min(len(list), maxLayers))
	for _, f := range list[:min(len(list), maxLayers)] {
		out = append(out, int(math.Min(math.Max(f, 0), sane)))
	}
	return out
}

func (c config) text(keys ...string) string {
	for _, key := range keys {
		var s string
		if json.Unmarshal(c[key], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

func (c config) texts(key string) []string {
	var list []string
	if json.Unmarshal(c[key], &list) != nil {
		return nil
	}
	return list[:min(len(list), maxLayers)]
}

// flag reports a boolean, and whether it is given.
func (c config) flag(key string) (is, given bool) {
	var b *bool
	if json.Unmarshal(c[key], &b) != nil || b == nil {
		return false, false
	}
	return *b, true
}

// configEncoders keep no cache.
var configEncoders = []string{
	"bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "distilbert", "mpnet", "nomic_bert", "modernbert", "deberta", "deberta-v2", "camembert", "electra",
	"albert", "mobilebert", "ernie", "new", "gte", "jina_bert", "eurobert", "neobert", "clip", "siglip", "vit", "wav2vec2", "hubert", "esm",
}

// defaults are what transformers takes where a config of this kind leaves it out, as its own authors do.
var defaults = map[string]map[string]int{
	"gemma3_text": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072, "sliding_window_pattern": 6, "vocab_size": 262208},
	"gemma2":      {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window_pattern": 2, "sliding_window": 4096},
	"gemma":       {"head_dim": 256},
	"cohere2":     {"sliding_window_pattern": 4},
}

func (m *Model) configNumber(c config, keys ...string) int {
	if n := c.number(keys...); n > 0 {
		return n
	}
	for _, key := range keys {
		if n := defaults[c.text("model_type")][key]; n > 0 {
			return n
		}
	}
	return 0
}

// describeConfig fills in what config.json says.
func (m *Model) describeConfig(outer config) {
	c := outer.language()
	if names := outer.texts("architectures"); len(names) > 0 {
		m.Architecture = shortened(names[0])
	}
	if m.Architecture == "" {
		m.Architecture = shortened(outer.text("model_type"))
	}
	m.Layers = min(m.configNumber(c, "num_hidden_layers", "n_layer", "n_layers", "num_layers"), maxLayers)
	m.Hidden = m.configNumber(c, "hidden_size", "n_embd", "d_model", "dim")
	m.Heads = m.configNumber(c, "num_attention_heads", "n_head", "n_heads")
	m.Vocabulary = m.configNumber(c, "vocab_size", "padded_vocab_size")
	m.Experts = c.number("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
	m.Intermediate = c.number("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim")
	if m.Intermediate == 0 {
		m.Intermediate = int(min(times(4, int64(m.Hidden)), sane))
	}
	if m.Experts > 0 {
		one := c.number("moe_intermediate_size", "expert_intermediate_size")
		if one == 0 {
			one = m.Intermediate
		}
		active := max(1, c.number("num_experts_per_tok", "num_experts_per_token", "moe_k", "experts_per_token"))
		m.Intermediate = max(m.Intermediate, int(min(times(int64(one), int64(active)), sane)))
	}
	if tied, given := c.flag("tie_word_embeddings"); given {
		m.Tied = tied
	}
	m.MaxContext = longest(c, m.configNumber(c, "max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len", "model_max_length"))
	kind := c.text("model_type")
	encoderDecoder, _ := outer.flag("is_encoder_decoder")
	switch {
	case slices.Contains(configEncoders, kind):
		m.Kind = Encoder
	case m.Layers == 0:
		m.Kind = Other
		m.Unknown = append(m.Unknown, "config.json does not say how many layers there are: only the weights are counted")
	default:
		m.Kind = Decoder
		m.configCache(c)
	}
	if m.Kind == Decoder && encoderDecoder {
		m.Unknown = append(m.Unknown, "the cache of encoder-decoder models is counted for the decoder's own tokens only")
	}
}

// longest is the context after what rope_scaling stretches. Gemma 3's is stretched already.
func longest(c config, context int) int {
	var rope config
	if strings.HasPrefix(c.text("model_type"), "gemma3") || json.Unmarshal(c["rope_scaling"], &rope) != nil || len(rope) == 0 {
		return context
	}
	factor, original := rope.scale("factor"), rope.number("original_max_position_embeddings")
	switch rope.text("rope_type", "type") {
	case "yarn":
		if original > 0 {
			return max(context, int(math.Min(float64(original)*factor, sane)))
		}
		return max(context, int(math.Min(float64(context)*factor, sane)))
	case "linear":
		return max(context, int(math.Min(float64(context)*factor, sane)))
	}
	return context
}

// quantization reads quantization_config: what to call it, and how it packs.
func (c config) quantization() (name string, p packing) {
	var q config
	for _, key := range []string{"quantization_config", "compression_config"} {
		if json.Unmarshal(c[key], &q) == nil && len(q) > 0 {
			break
		}
	}
	method := strings.ToLower(q.text("quant_method", "quant_algo"))
	if method == "" {
		return "", packing{}
	}
	p = packing{method: method, bits: q.number("bits", "w_bit")}
	four, _ := q.flag("load_in_4bit")
	if four && p.bits == 0 {
		p.bits = 4
	}
	if eight, _ := q.flag("load_in_8bit"); eight { // a byte is one weight
		return "bitsandbytes 8-bit", packing{bits: 8}
	}
	switch {
	case method == "mxfp4" || method == "nvfp4" || method == "fp8" || method == "fbgemm_fp8":
		return method, p
	case p.bits > 0:
		return fmt.Sprintf("%s %d-bit", shortened(method), p.bits), p
	case method == "compressed-tensors":
		return strings.TrimSpace(shortened(method + " " + q.text("format"))), p
	}
	return shortened(method), p
}
