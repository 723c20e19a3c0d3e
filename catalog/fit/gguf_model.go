package fit

import (
	"fmt"
	"io/fs"
	"slices"
)

const maxLayers = 4096

// ggufEncoders keep no cache.
var ggufEncoders = []string{
	"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert", "eurobert", "t5encoder", "gemma-embedding",
	"wavtokenizer-dec",
}

// ggufPatterns are the architectures whose layers look back through a window except each n-th, where the file does
// not say so itself; llama.cpp knows them by name. In any other it looks back through all.
var ggufPatterns = map[string]int{
	"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "exaone4": 4, "olmo2": 4, "llama4": 4, "smallthinker": 4, "afmoe": 4,
}

// readGGUFModel reads the model that name is the file, or one of the files, of.
func readGGUFModel(files fs.FS, name string) (Model, error) {
	parts, err := ggufParts(files, name)
	if err != nil {
		return Model{}, err
	}
	w := new(weights)
	var meta metadata
	for i, part := range parts {
		found, err := w.readGGUF(files, part)
		if err != nil {
			return Model{}, err
		}
		if i == 0 {
			meta = found
		}
	}
	m := Model{
		Path: parts[0], Format: GGUF, Parameters: w.parameters, WeightBytes: w.bytes, DType: w.dtype(), Files: w.files, Unknown: w.unknown,
	}
	m.describeGGUF(meta, w)
	return m, nil
}

// describeGGUF fills in what the metadata says.
func (m *Model) describeGGUF(meta metadata, w *weights) {
	arch := meta.text("general.architecture")
	key := func(name string) string { return arch + "." + name }
	m.Architecture = shortened(arch)
	if kind, ok := meta["general.file_type"].(int64); ok {
		m.Quantization = ggufFileTypes[kind&^1024] // the bit says that somebody guessed
	}
	if m.Quantization == "F16" || m.Quantization == "BF16" || m.Quantization == "F32" {
		m.Quantization = ""
	}
	m.Layers = min(meta.number(key("block_count")), maxLayers)
	m.Hidden = meta.number(key("embedding_length"))
	m.Heads = slices.Max(append(meta.each(key("attention.head_count"), m.Layers, 0), 0))
	m.Experts = meta.number(key("expert_count"))
	m.Intermediate = slices.Max(append(meta.each(key("feed_forward_length"), m.Layers, 0), 0))
	if m.Experts > 0 {
		one := meta.number(key("expert_feed_forward_length"))
		if one == 0 {
			one = m.Intermediate
		}
		m.Intermediate = max(m.Intermediate, int(min(times(int64(one), int64(meta.number(key("expert_used_count")))), sane)))
	}
	m.Vocabulary = meta.number(key("vocab_size"))
	if m.Vocabulary == 0 && m.Hidden > 0 {
		m.Vocabulary = int(min(w.names.embedding/int64(m.Hidden), sane))
	}
	m.Tied = !w.names.head
	m.MaxContext = meta.number(key("context_length"))
	switch {
	case meta.text("general.type") == "adapter":
		m.Kind, m.Base = Adapter, meta.text("general.base_model.0.name")
	case arch == "clip" || meta.text("general.type") == "mmproj":
		m.Kind = Other
	case slices.Contains(ggufEncoders, arch):
		m.Kind = Encoder
	case arch == "" || m.Layers == 0:
		m.Kind = Other
		m.Unknown = append(m.Unknown, "the file does not say what its layers are: only its weights are counted")
	default:
		m.Kind = Decoder
		m.ggufCache(meta, key)
	}
	if m.Kind == Decoder && arch == "t5" {
		m.Unknown = append(m.Unknown, "the cache of encoder-decoder models is counted for the decoder's own tokens only")
	}
}

// ggufCache works out which layers keep what.
func (m *Model) ggufCache(meta metadata, key func(string) string) {
	heads := meta.each(key("attention.head_count_kv"), m.Layers, m.Heads)
	width := 0
	if m.Heads > 0 {
		width = m.Hidden / m.Heads
	}
	keyWidth, valueWidth := meta.number(key("attention.key_length")), meta.number(key("attention.value_length"))
	if keyWidth == 0 {
		keyWidth = width
	}
	if valueWidth == 0 {
		valueWidth = width
	}
	mla := meta.number(key("attention.key_length_mla")) > 0 && meta.number(key("attention.value_length_mla")) > 0
	windowed := m.ggufWindows(meta, key)
	keyWindow, valueWindow := meta.number(key("attention.key_length_swa")), meta.number(key("attention.value_length_swa"))
	recurrent := m.ggufRecurrent(meta, key, heads)
	shared := min(meta.number(key("attention.shared_kv_layers")), m.Layers)
	predicting := min(meta.number(key("nextn_predict_layers")), m.Layers)
	for i := range m.Layers - max(shared, predicting) {
		if recurrent[i] {
			continue
		}
		c := Cache{Layers: 1, Key: bounded(heads[i], keyWidth), Value: bounded(heads[i], valueWidth), Heads: heads[i]}
		switch {
		case mla:
			c.Value, c.Heads = 0, 1
		case windowed[i] > 0:
			c.Window = windowed[i]
			if keyWindow > 0 && valueWindow > 0 {
				c.Key, c.Value = bounded(heads[i], keyWindow), bounded(heads[i], valueWindow)
			}
		}
		if c.Key > 0 {
			m.addCache(c)
		}
	}
	if len(m.Cache) == 0 && m.StateBytes == 0 {
		m.Unknown = append(m.Unknown, "the file does not say how wide its attention heads are: no cache is counted")
	}
}

// ggufWindows is how far each layer looks back; 0 for all the way.
func (m *Model) ggufWindows(meta metadata, key func(string) string) []int {
	out := make([]int, m.Layers)
	window := meta.number(key("attention.sliding_window"))
	if m.Architecture == "llama4" {
		window = 8192 // llama.cpp's own number: the file has none
	}
	if window == 0 {
		return out
	}
	pattern := key("attention.sliding_window_pattern")
	if list, ok := meta[pattern].([]int64); ok && len(list) > 0 {
		for i := range out {
			if list[i%len(list)] != 0 {
				out[i] = window
			}
		}
		return out
	}
	each, known := ggufPatterns[m.Architecture]
	if v, ok := meta[pattern].(int64); ok && v >= 0 {
		each, known = int(v), true
	}
	if !known {
		m.Unknown = append(m.Unknown, fmt.Sprintf("a window of %d is set, and llama.cpp is not known to use it with %s: whole caches are counted", window, m.Architecture))
		return out
	}
	for i := range out {
		if each == 0 || i%each < each-1 {
			out[i] = window
		}
	}
	return out
}

// ggufRecurrent says which layers keep a state of a fixed size instead of a cache, and counts that state. llama.cpp
// keeps it in four bytes a number.
func (m *Model) ggufRecurrent(meta metadata, key func(string) string, heads []int) []bool {
	out := make([]bool, m.Layers)
	inner, state := meta.number(key("ssm.inner_size")), meta.number(key("ssm.state_size"))
	short := meta.number(key("shortconv.l_cache"))
	if inner == 0 && short == 0 {
		return out
	}
	interval := meta.number(key("full_attention_interval"))
	if interval == 0 && (m.Architecture == "qwen3next" || m.Architecture == "qwen35" || m.Architecture == "qwen35moe") {
		interval = 4
	}
	perLayer := 4 * int64(short-1) * int64(m.Hidden)
	if inner > 0 {
		groups, kernel := meta.number(key("ssm.group_count")), meta.number(key("ssm.conv_kernel"))
		convolution := times(int64(max(kernel-1, 0)), plus(int64(inner), times(2*int64(groups), int64(state))))
		perLayer = times(4, plus(convolution, times(int64(state), int64(inner))))
	}
	attending := slices.ContainsFunc(heads, func(h int) bool { return h > 0 }) && m.Architecture != "mamba" && m.Architecture != "mamba2"
	for i := range out {
		switch {
		case m.Architecture == "falcon-h1": // both, in every layer
			m.StateBytes = plus(m.StateBytes, perLayer)
			continue
		case interval > 0:
			out[i] = (i+1)%interval != 0
		default:
			out[i] = !attending || heads[i] == 0
		}
		if out[i] {
			m.StateBytes = plus(m.StateBytes, perLayer)
		}
	}
	return out
}

// addCache adds a layer, to the kind that it is of.
func (m *Model) addCache(c Cache) {
	for i := range m.Cache {
		same := m.Cache[i]
		same.Layers = c.Layers
		if same == c {
			m.Cache[i].Layers += c.Layers
			return
		}
	}
	m.Cache = append(m.Cache, c)
}

// bounded is the width of so many heads.
func bounded(heads, width int) int { return int(min(times(int64(heads), int64(width)), sane)) }
