package fit

import (
	"fmt"
	"slices"
	"strings"
)

// layerKind is what one layer keeps between tokens.
type layerKind int

const (
	keepsAll    layerKind = iota // keys and values of all tokens
	keepsWindow                  // keys and values of the last tokens
	keepsState                   // a state of a fixed size
	keepsNone                    // nothing: a layer without attention
	keepsBoth                    // keys, values and a state
)

// configCache works out which layers keep what.
func (m *Model) configCache(c config) {
	kinds := m.layerKinds(c)
	heads := m.configNumber(c, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
	if multi, _ := c.flag("multi_query"); multi && heads == 0 {
		if grouped, _ := c.flag("new_decoder_architecture"); !grouped {
			heads = 1
		}
	}
	if heads == 0 {
		heads = m.Heads
	}
	width := m.configNumber(c, "head_dim", "kv_channels", "attention_head_dim")
	if width == 0 && m.Heads > 0 {
		width = m.Hidden / m.Heads
	}
	whole := Cache{Layers: 1, Key: bounded(heads, width), Value: bounded(heads, width), Heads: max(1, heads)}
	if v := c.number("v_head_dim"); v > 0 {
		whole.Value = bounded(heads, v)
	}
	windowed := whole
	windowed.Window = m.configWindow(c)
	if global := c.number("global_head_dim"); global > 0 {
		n := heads
		if g := c.number("num_global_key_value_heads"); g > 0 {
			n = g
		}
		whole.Key, whole.Value, whole.Heads = bounded(n, global), bounded(n, global), max(1, n)
	}
	if rank, rope := c.number("kv_lora_rank"), c.number("qk_rope_head_dim"); rank > 0 && rope > 0 {
		whole = Cache{Layers: 1, Key: int(min(int64(rank)+int64(rope), sane)), Heads: 1}
		windowed = whole
		if c.number("index_head_dim") > 0 {
			m.Unknown = append(m.Unknown, "the index of sparse attention is not counted: a few percent of the cache")
		}
	}
	state := m.configState(c)
	perLayer := c.numbers("num_key_value_heads")
	for i, kind := range kinds[:max(0, len(kinds)-c.number("num_kv_shared_layers"))] {
		one := whole
		if kind == keepsWindow && windowed.Window > 0 {
			one = windowed
		}
		if i < len(perLayer) && perLayer[i] > 0 {
			one.Key, one.Value, one.Heads = bounded(perLayer[i], width), bounded(perLayer[i], width), perLayer[i]
		}
		if kind == keepsState || kind == keepsBoth {
			m.StateBytes = plus(m.StateBytes, state)
		}
		if kind != keepsState && kind != keepsNone && one.Key > 0 {
			m.addCache(one)
		}
	}
	switch {
	case state == 0 && slices.ContainsFunc(kinds, func(k layerKind) bool { return k == keepsState || k == keepsBoth }):
		m.Unknown = append(m.Unknown, "config.json does not say how large the state of the recurrent layers is: it is not counted")
	case len(m.Cache) == 0 && m.StateBytes == 0:
		m.Unknown = append(m.Unknown, "config.json does not say how wide the attention heads are: no cache is counted")
	}
}

// configWindow is how many tokens a layer with a window keeps; 0 where there is no such window.
func (m *Model) configWindow(c config) int {
	window := m.configNumber(c, "sliding_window", "sliding_window_size", "attention_chunk_size")
	if use, given := c.flag("use_sliding_window"); given && !use {
		return 0
	}
	return window
}

// words are the names of kinds of layers, in the lists of different models.
var words = map[string]layerKind{
	"full_attention": keepsAll, "attention": keepsAll, "global": keepsAll, "hybrid": keepsBoth,
	"sliding_attention": keepsWindow, "chunked_attention": keepsWindow, "local": keepsWindow, "sliding_window": keepsWindow,
	"linear_attention": keepsState, "mamba": keepsState, "mamba2": keepsState, "recurrent": keepsState, "conv": keepsState,
	"mlp": keepsNone, "moe": keepsNone,
}

// layerKinds says what each layer keeps. In this order:
//
//  1. a list of words: layer_types, layers_block_type
//  2. a pattern of letters: hybrid_override_pattern
//  3. where the attention layers are: attn_layer_indices, attn_layer_period, full_attention_interval
//  4. no attention at all: mamba
//  5. each n-th layer looks back all the way: sliding_window_pattern
//  6. all layers have the window, if there is one
func (m *Model) layerKinds(c config) []layerKind {
	kinds := make([]layerKind, m.Layers)
	model := c.text("model_type")
	list := c.texts("layer_types")
	if len(list) == 0 {
		list = c.texts("layers_block_type")
	}
	letters := c.text("hybrid_override_pattern")
	indices, period, interval := c.numbers("attn_layer_indices"), c.number("attn_layer_period"), c.number("full_attention_interval")
	pattern := m.configNumber(c, "sliding_window_pattern")
	for i := range kinds {
		switch {
		case len(list) > 0: // 1
			kinds[i] = m.kindOf(list[i%len(list)])
		case letters != "": // 2
			kinds[i] = keepsNone
			switch letters[i%len(letters)] {
			case '*':
				kinds[i] = keepsAll
			case 'M':
				kinds[i] = keepsState
			}
		case len(indices) > 0: // 3
			kinds[i] = chosen(slices.Contains(indices, i), keepsAll, keepsState)
		case period > 0:
			kinds[i] = chosen(i%period == c.number("attn_layer_offset")%period, keepsAll, keepsState)
		case interval > 0:
			kinds[i] = chosen((i+1)%interval == 0, keepsAll, keepsState)
		case model == "falcon_h1":
			kinds[i] = keepsBoth
		case strings.HasPrefix(model, "mamba") || strings.HasPrefix(model, "rwkv") || model == "falcon_mamba": // 4
			kinds[i] = keepsState
		case pattern > 0: // 5
			kinds[i] = chosen((i+1)%pattern == 0, keepsAll, keepsWindow)
		case strings.HasPrefix(model, "qwen2") || strings.HasPrefix(model, "qwen3"): // 6
			kinds[i] = chosen(i < c.number("max_window_layers"), keepsAll, keepsWindow)
		case c.number("sliding_window") > 0:
			kinds[i] = keepsWindow
		}
	}
	return kinds
}

func (m *Model) kindOf(word string) layerKind {
	kind, known := words[strings.ToLower(word)]
	if !known {
		doubt := fmt.Sprintf("layers of the kind %q are not known: they are taken for whole attention", shortened(word))
		if !slices.Contains(m.Unknown, doubt) && len(m.Unknown) < 16 {
			m.Unknown = append(m.Unknown, doubt)
		}
	}
	return kind
}

func chosen(is bool, yes, no layerKind) layerKind {
	if is {
		return yes
	}
	return no
}

// configState is the bytes of one recurrent layer's state, four a number, which is what most engines keep it in.
func (m *Model) configState(c config) int64 {
	kernel := func(keys ...string) int64 { return int64(max(c.number(keys...)-1, 0)) }
	if values := c.number("linear_num_value_heads"); values > 0 { // gated delta nets
		keyWidth, valueWidth := int64(c.number("linear_key_head_dim")), int64(c.number("linear_value_head_dim"))
		keys := int64(c.number("linear_num_key_heads"))
		convolved := plus(times(2*keys, keyWidth), times(int64(values), valueWidth))
		return times(4, plus(times(int64(values), times(keyWidth, valueWidth)), times(kernel("linear_conv_kernel_dim"), convolved)))
	}
	if short := c.number("conv_L_cache"); short > 0 { // LFM2
		return times(4, times(int64(max(short-1, 0)), int64(m.Hidden)))
	}
	state := int64(c.number("mamba_d_state", "ssm_state_size", "state_size", "mamba_d_ssm_state"))
	inner := int64(c.number("mamba_d_ssm"))
	if heads, width := c.number("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), c.number("mamba_d_head", "mamba_head_dim", "mamba_headdim"); inner == 0 && heads > 0 {
		inner = times(int64(heads), int64(width))
	}
	if inner == 0 {
		expand := c.number("mamba_expand", "expand")
		if expand == 0 {
			expand = 2
		}
		if strings.HasPrefix(c.text("model_type"), "mamba") || strings.HasPrefix(c.text("model_type"), "falcon_mamba") {
			inner = int64(c.number("d_inner"))
			if inner == 0 {
				inner = int64(c.number("intermediate_size"))
			}
		}
		if inner == 0 {
			inner = times(int64(expand), int64(m.Hidden))
		}
	}
	groups := int64(c.number("mamba_n_groups", "n_groups", "mamba_ngroups"))
	convolved := plus(inner, times(2*groups, state))
	return times(4, plus(times(inner, state), times(kernel("mamba_d_conv", "conv_kernel", "mamba_d_conv_kernel"), convolved)))
}
