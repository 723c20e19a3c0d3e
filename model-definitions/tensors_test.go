package modeldefinitions_test

import (
	"cmp"
	"fmt"
)

// class is what may become of a tensor when a model is quantized.
type class int

const (
	plain     class = iota // norms, biases, convolutions: never packed
	matrix                 // of a layer
	expert                 // of a layer's experts, all of them in one
	router                 // which expert a token goes to
	embedding              // of tokens
	head                   // of the output, where it is a matrix of its own
	tower                  // of what sees or hears: no maker of quantizations touches it
)

// tensor is one tensor of a model, or several of one shape in one.
type tensor struct {
	role  string // q, k, v, o, qkv, gate, up, down; of a matrix or an expert
	layer int
	class class
	shape []int64 // rows, then columns; of experts their number first
}

func (t tensor) elements() int64 {
	n := int64(1)
	for _, side := range t.shape {
		n *= side
	}
	return n
}

// dims are numbers of a config.json. A language model inside of one that sees has them below text_config.
type dims map[string]any

func (d dims) number(key string, otherwise ...int64) int64 {
	switch n := d[key].(type) {
	case int:
		return int64(n)
	case bool:
		if n {
			return 1
		}
		return 0
	}
	if len(otherwise) > 0 {
		return otherwise[0]
	}
	return 0
}

func (d dims) text(key string) string {
	s, _ := d[key].(string)
	return s
}

func (d dims) below(key string) dims {
	inner, _ := d[key].(dims)
	return inner
}

// language is the part that speaks.
func (d dims) language() dims {
	if inner := d.below("text_config"); inner != nil {
		return inner
	}
	return d
}

// shapes collects the tensors of a model.
type shapes struct {
	list  []tensor
	layer int
}

func (s *shapes) add(c class, role string, shape ...int64) {
	s.list = append(s.list, tensor{role: role, layer: s.layer, class: c, shape: shape})
}

// linear is a matrix from so many to so many, with a bias where it has one.
func (s *shapes) linear(c class, role string, from, to int64, bias bool) {
	s.add(c, role, to, from)
	if bias {
		s.add(plain, "", to)
	}
}

// tensorsOf are all tensors of the model that a config describes.
func tensorsOf(d dims) ([]tensor, error) {
	s := new(shapes)
	switch kind := d.text("model_type"); kind {
	case "xlm-roberta", "bert", "nomic_bert":
		s.encoder(d)
	case "whisper":
		s.whisper(d)
	case "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "phi3", "gemma3_text", "gpt_oss", "deepseek_v3", "glm4_moe_lite":
		s.decoder(d)
	case "gemma3":
		s.decoder(d.language())
		s.siglip(d.below("vision_config"), d.language().number("hidden_size"))
	case "qwen2_5_vl":
		s.decoder(d)
		s.qwenVision(d.below("vision_config"), true)
	case "qwen3_5", "qwen3_5_moe":
		s.decoder(d.language())
		s.qwenVision(d.below("vision_config"), false)
	case "mistral3":
		s.decoder(d.language())
		s.pixtral(d.below("vision_config"), d.language().number("hidden_size"))
	default:
		return nil, fmt.Errorf("the tensors of a %q are not known here", kind)
	}
	return s.list, nil
}

// decoder is a language model: an embedding, layers of attention and feed-forward parts, and an output.
func (s *shapes) decoder(d dims) {
	h, vocabulary := d.number("hidden_size"), d.number("vocab_size")
	s.add(embedding, "", vocabulary, h)
	layers := d.number("num_hidden_layers")
	for i := range layers {
		s.layer = int(i)
		s.block(d, i)
	}
	s.layer = 0
	s.add(plain, "", h)
	if d.number("tie_word_embeddings") == 0 || d.number("stored_head") == 1 {
		s.add(head, "", vocabulary, h)
	}
	if d.number("mtp_num_hidden_layers") == 1 { // a layer that guesses the token after the next
		s.linear(matrix, "", 2*h, h, false)
		s.add(plain, "", 3*h)
		s.block(d, layers-1)
	}
	if d.number("num_nextn_predict_layers") == 1 {
		s.linear(matrix, "", 2*h, h, false)
		s.add(plain, "", 3*h)
		s.add(embedding, "", vocabulary, h)
		s.add(head, "", vocabulary, h)
		s.block(d, layers-1)
	}
}

func (s *shapes) block(d dims, i int64) {
	h := d.number("hidden_size")
	s.add(plain, "", h)
	s.add(plain, "", h)
	switch interval := d.number("full_attention_interval"); {
	case interval > 0 && (i+1)%interval != 0:
		s.deltaNet(d)
	case d.number("kv_lora_rank") > 0:
		s.latentAttention(d)
	default:
		s.attention(d)
	}
	if d.text("model_type") == "gemma3_text" { // norms after each part, too
		s.add(plain, "", 2*h)
	}
	experts := cmp.Or(d.number("num_experts"), d.number("num_local_experts"), d.number("n_routed_experts"))
	if experts == 0 || i < d.number("first_k_dense_replace") {
		s.feedForward(matrix, h, d.number("intermediate_size"), d.text("model_type") == "phi3")
		return
	}
	s.experts(d, experts)
}

func (s *shapes) attention(d dims) {
	h, heads := d.number("hidden_size"), d.number("num_attention_heads")
	keys, width := d.number("num_key_value_heads", heads), d.number("head_dim", h/heads)
	kind := d.text("model_type")
	bias := kind == "qwen2" || kind == "qwen2_5_vl" || kind == "gpt_oss"
	if kind == "phi3" {
		s.linear(matrix, "qkv", h, (heads+2*keys)*width, false)
	} else {
		gated := int64(1)
		if d.number("attn_output_gate") == 1 {
			gated = 2
		}
		s.linear(matrix, "q", h, gated*heads*width, bias)
		s.linear(matrix, "k", h, keys*width, bias)
		s.linear(matrix, "v", h, keys*width, bias)
	}
	s.linear(matrix, "o", heads*width, h, kind == "gpt_oss")
	switch kind {
	case "qwen3", "qwen3_moe", "gemma3_text", "qwen3_5_text", "qwen3_5_moe_text":
		s.add(plain, "", 2*width)
	case "gpt_oss":
		s.add(plain, "", heads) // sinks
	}
}

// latentAttention keeps a short form of keys and values.
func (s *shapes) latentAttention(d dims) {
	h, heads := d.number("hidden_size"), d.number("num_attention_heads")
	rank, rope, nope, value := d.number("kv_lora_rank"), d.number("qk_rope_head_dim"), d.number("qk_nope_head_dim"), d.number("v_head_dim")
	q := d.number("q_lora_rank")
	s.linear(matrix, "q", h, q, false)
	s.add(plain, "", q)
	s.linear(matrix, "q", q, heads*(nope+rope), false)
	s.linear(matrix, "k", h, rank+rope, false)
	s.add(plain, "", rank)
	s.linear(matrix, "v", rank, heads*(nope+value), false)
	s.linear(matrix, "o", heads*value, h, false)
}

// deltaNet is a layer that keeps a state of a fixed size.
func (s *shapes) deltaNet(d dims) {
	h := d.number("hidden_size")
	keys := d.number("linear_num_key_heads") * d.number("linear_key_head_dim")
	heads := d.number("linear_num_value_heads")
	values := heads * d.number("linear_value_head_dim")
	s.linear(matrix, "", h, 2*keys+values, false)
	s.linear(matrix, "", h, values, false)
	s.linear(router, "", h, 2*heads, false)
	s.add(plain, "", 2*keys+values, d.number("linear_conv_kernel_dim"))
	s.add(plain, "", 2*heads+d.number("linear_value_head_dim"))
	s.linear(matrix, "", values, h, false)
}

func (s *shapes) feedForward(c class, h, width int64, fused bool) {
	if fused {
		s.linear(c, "up", h, 2*width, false)
	} else {
		s.linear(c, "gate", h, width, false)
		s.linear(c, "up", h, width, false)
	}
	s.linear(c, "down", width, h, false)
}

func (s *shapes) experts(d dims, n int64) {
	h, kind := d.number("hidden_size"), d.text("model_type")
	width := d.number("moe_intermediate_size", d.number("intermediate_size"))
	s.linear(router, "", h, n, kind == "gpt_oss" || kind == "deepseek_v3" || kind == "glm4_moe_lite")
	s.add(expert, "gate", n, width, h)
	s.add(expert, "up", n, width, h)
	s.add(expert, "down", n, h, width)
	if kind == "gpt_oss" {
		s.add(plain, "", n, 2*width+h)
	}
	if shared := d.number("n_shared_experts") * width; shared > 0 {
		s.feedForward(matrix, h, shared, false)
	}
	if shared := d.number("shared_expert_intermediate_size"); shared > 0 {
		s.feedForward(matrix, h, shared, false)
		s.linear(router, "", h, 1, false)
	}
}

// encoder reads a text and says what it is about.
func (s *shapes) encoder(d dims) {
	h, f := d.number("hidden_size"), d.number("intermediate_size")
	s.add(embedding, "", d.number("vocab_size"), h)
	s.add(plain, "", d.number("type_vocab_size"), h)
	s.add(plain, "", 2*h)
	kind := d.text("model_type")
	if kind != "nomic_bert" { // it turns instead
		s.add(embedding, "", d.number("max_position_embeddings"), h)
	}
	for i := range d.number("num_hidden_layers") {
		s.layer = int(i)
		bias := kind != "nomic_bert"
		for _, role := range []string{"q", "k", "v", "o"} {
			s.linear(matrix, role, h, h, bias)
		}
		if kind == "nomic_bert" {
			s.feedForward(matrix, h, f, false)
		} else {
			s.linear(matrix, "up", h, f, true)
			s.linear(matrix, "down", f, h, true)
		}
		s.add(plain, "", 4*h)
	}
	if d.number("pooler") == 1 {
		s.linear(matrix, "", h, h, true)
	}
	if d.number("classifier") == 1 {
		s.linear(matrix, "", h, h, true)
		s.linear(matrix, "", h, 1, true)
	}
}
