package fit

import (
	"fmt"
	"slices"
	"strings"
)

// Request is how a model would be run. Zero values are the engine's own defaults.
type Request struct {
	Engine         Engine
	Path           string  // of the model in its folder; "" for the folder itself
	Context        int     // tokens; for llama.cpp of all sequences together, as its -c is
	Sequences      int     // at once, each with room for a whole context (llama.cpp: for its part of it)
	KeyType        string  // of the cache: f16, fp8, q8_0, ...; "" or auto for the engine's own
	ValueType      string  // "": as KeyType
	Devices        int     // that the model is spread over
	Stages         int     // parts of the layers, one behind the other (pipeline): each on an equal part of Devices; 0 is 1
	BatchTokens    int     // computed at once
	MemoryFraction float64 // of each device that the engine may use
	Quantization   string  // that the engine makes while it loads: fp8, bitsandbytes
	Projector      bool    // the projector beside the model is loaded too
	Unified        *bool   // llama.cpp: one cache for all sequences; nil: where the number of sequences is not given
	DeviceLayers   *int    // llama.cpp: layers on the device; nil: as many as fit
}

// Need is the memory that a model takes, in bytes.
type Need struct {
	Weights  int64 `json:"weights"`
	Cache    int64 `json:"kv_cache"` // keys, values and states of all sequences
	Compute  int64 `json:"compute"`  // what a step needs while it is computed
	Overhead int64 `json:"overhead"` // driver context, libraries, graphs
	Total    int64 `json:"total"`    // of all devices
	// PerDevice is what each of Devices must have.
	PerDevice int64 `json:"per_device"`
	Devices   int   `json:"devices"`

	Context    int    `json:"context,omitempty"`   // tokens that the cache is for
	Sequences  int    `json:"sequences,omitempty"` // at once
	KeyType    string `json:"key_type,omitempty"`
	ValueType  string `json:"value_type,omitempty"`
	PerToken   int64  `json:"kv_bytes_per_token,omitempty"`
	Impossible string `json:"impossible,omitempty"` // why it can not be spread over so many devices

	Assumed []string `json:"assumed,omitempty"`
}

// Estimate works out what a model needs on devices. The formulas, with L layers, C tokens, S sequences, n devices, hidden
// width h, feed-forward width f of one token, vocabulary V and T tokens a step:
//
//	weights    as stored; 32-bit ones are loaded as 16-bit by all but llama.cpp
//	kv cache   for each layer: tokens kept * (key width + value width) * bytes; states of recurrent layers * S
//	           paged:     S * C tokens in pages of 16; a window w keeps w + T (vLLM)
//	           llama.cpp: S streams of C/S cells, or one of C, in steps of 256; a window w keeps w + 512 (one stream: S*w + 512)
//	compute    paged:     T * (4h + 3f) * 2 + 8 * sampled * V
//	           llama.cpp: 512 * max(4V, 4 * (4h + 3f)) + 512 * 2 * cells
//	           TEI:       T * (6h + 2f) * 2
//	a device   weights / n; kv heads / n, at least one (llama.cpp: layers / n); compute and overhead whole
//
// KV widths and cells of llama.cpp are exact, and held against its own log in the tests. Compute of llama.cpp is within a tenth
// of what it reserves on a CPU. The formula of the paged ones was held against published logs of vLLM: 1.15 GiB for the
// 1.19 to 1.26 of Llama-3-8B with T 8192, 0.30 for 0.22 with T 512. Overheads are from such logs, and rough.
func Estimate(m Model, r Request) Need {
	f, known := families[r.Engine]
	if !known {
		f = family{sequences: 1}
	}
	e := estimate{model: m, request: r, family: f}
	e.need.Devices = max(1, r.Devices)
	e.types()
	e.weights()
	e.tokens()
	switch {
	case m.Kind != Decoder || f.encoder:
		e.need.Context, e.need.Sequences, e.need.KeyType, e.need.ValueType, e.need.PerToken = 0, 0, "", "", 0
	case f.ggml:
		e.cells()
	default:
		e.pages()
	}
	e.compute()
	e.sum()
	return e.need
}

// estimate is one call of Estimate.
type estimate struct {
	model      Model
	request    Request
	family     family
	key, value ElementType
	longest    int   // cells of the largest cache
	cacheEach  int64 // of one device
	need       Need
}

func (e *estimate) assume(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(e.need.Assumed, text) {
		e.need.Assumed = append(e.need.Assumed, text)
	}
}

// types finds how the cache is stored. A value type alone is possible, as in llama.cpp.
func (e *estimate) types() {
	find := func(name string, otherwise ElementType) ElementType {
		if name == "" || strings.EqualFold(name, "auto") {
			return otherwise
		}
		t, ok := ElementTypeOf(name)
		if !ok {
			e.assume("the cache type %s is not known: two bytes are taken", shortened(name))
			return Half()
		}
		return t
	}
	e.key = find(e.request.KeyType, Half())
	e.value = e.key
	if e.request.ValueType != "" {
		e.value = find(e.request.ValueType, Half())
	}
	e.need.KeyType, e.need.ValueType = e.key.Name, e.value.Name
	e.need.PerToken = e.model.KVBytesPerToken(e.key, e.value)
}

const halved = "weights of 32 bits are loaded as 16 bits"

func (e *estimate) weights() {
	m := e.model
	e.need.Weights = m.WeightBytes
	if m.Format != GGUF && m.DType == "F32" {
		e.need.Weights /= 2
		e.assume(halved)
	}
	if method := strings.ToLower(e.request.Quantization); m.Quantization == "" && m.Format != GGUF {
		switch {
		case strings.HasPrefix(method, "fp8"):
			e.need.Weights = m.quantized(8)
		case strings.HasPrefix(method, "bitsandbytes-nf4"), strings.HasPrefix(method, "bitsandbytes-fp4"), method == "bitsandbytes":
			e.need.Weights = m.quantized(4.25)
		}
	}
	if e.request.Projector {
		e.need.Weights = plus(e.need.Weights, m.ProjectorBytes)
	}
}

// quantized is the weights with so many bits for each in the layers; embedding and output keep 16.
func (m Model) quantized(bits float64) int64 {
	embedding := times(int64(m.Vocabulary), int64(m.Hidden))
	if !m.Tied {
		embedding *= 2
	}
	embedding = min(embedding, m.Parameters)
	return 2*embedding + int64(float64(m.Parameters-embedding)*bits/8)
}

// tokens finds how many sequences of how many tokens there is to be room for.
func (e *estimate) tokens() {
	n := &e.need
	n.Sequences = max(e.request.Sequences, 0)
	if n.Sequences == 0 {
		n.Sequences = e.family.sequences
	}
	n.Sequences = min(n.Sequences, 1<<16)
	n.Context = max(e.request.Context, 0)
	if n.Context == 0 {
		n.Context = e.family.context
	}
	if n.Context == 0 {
		n.Context = e.model.MaxContext
		if e.request.Engine == LlamaCpp { // which gives each of its sequences the model's longest
			n.Context = int(min(times(int64(n.Context), int64(n.Sequences)), sane))
		}
	}
	if n.Context == 0 && e.model.Kind == Decoder && !e.family.encoder {
		n.Context = shortest
		e.assume("the model does not say how long its context may be: %d tokens are taken", shortest)
	}
	n.Context = min(n.Context, sane)
	if longest := e.model.MaxContext; e.family.pool && longest > 0 && n.Context > longest {
		e.assume("a context of %d is asked for, and the model itself is made for %d", n.Context, longest)
	}
}

// cells counts the caches of llama.cpp.
func (e *estimate) cells() {
	n := &e.need
	unified := e.request.Sequences == 0 && e.request.Engine == LlamaCpp
	if e.request.Unified != nil {
		unified = *e.request.Unified
	}
	streams, context := n.Sequences, n.Context
	if e.request.Engine == Ollama { // it multiplies by itself
		context = int(min(times(int64(context), int64(n.Sequences)), sane))
	}
	if unified {
		streams = 1
	}
	cells := roundUp(max(1, context/max(1, streams)), 256)
	e.longest = cells
	for _, c := range e.model.Cache {
		kept := cells
		if c.Window > 0 {
			windows := c.Window
			if unified {
				windows = int(min(times(int64(c.Window), int64(n.Sequences)), sane))
			}
			kept = roundUp(min(cells, windows+e.batch()), 256)
		}
		n.Cache = plus(n.Cache, times(times(int64(kept), int64(streams)), c.perToken(e.key, e.value)))
	}
	n.Cache = plus(n.Cache, times(e.model.StateBytes, int64(n.Sequences)))
	each := 1.0 / float64(n.Devices)
	if e.model.Layers > 0 {
		each = float64((e.model.Layers+n.Devices-1)/n.Devices) / float64(e.model.Layers)
	}
	e.cacheEach = int64(each * float64(n.Cache))
}

// pages counts what the pool must hold.
func (e *estimate) pages() {
	const page = 16
	n := &e.need
	stages := max(1, min(e.request.Stages, n.Devices))
	across := n.Devices / stages
	switch h := e.model.Heads; {
	case n.Devices%stages != 0:
		n.Impossible = fmt.Sprintf("%d devices can not be divided in %d stages", n.Devices, stages)
	case across > 1 && h > 0 && h%across != 0:
		n.Impossible = fmt.Sprintf("%d attention heads can not be spread evenly over %d devices", h, across)
	}
	for _, c := range e.model.Cache {
		kept := n.Context
		if c.Window > 0 && e.family.windows {
			kept = min(kept, c.Window+e.batch())
		}
		// A head is not cut in two: with fewer of them than devices, several devices keep the same one.
		heads := (c.Heads + across - 1) / across
		each := c
		each.Layers = (c.Layers + stages - 1) / stages
		each.Key, each.Value = c.Key/max(1, c.Heads)*heads, c.Value/max(1, c.Heads)*heads
		if c.Heads <= 1 {
			each.Key, each.Value = c.Key, c.Value
		}
		one := times(int64(roundUp(kept, page)), each.perToken(e.key, e.value))
		e.cacheEach = plus(e.cacheEach, times(one, int64(n.Sequences)))
	}
	e.cacheEach = plus(e.cacheEach, times(e.model.StateBytes, int64(n.Sequences))/int64(n.Devices))
	n.Cache = times(e.cacheEach, int64(n.Devices))
}

func (e *estimate) batch() int {
	if e.request.BatchTokens > 0 {
		return min(e.request.BatchTokens, 1<<24)
	}
	return e.family.batch
}

func (e *estimate) compute() {
	m, t := e.model, int64(e.batch())
	wide := plus(times(4, int64(m.Hidden)), times(3, int64(m.Intermediate)))
	switch {
	case e.family.encoder:
		e.need.Compute = times(2*t, plus(times(6, int64(m.Hidden)), times(2, int64(m.Intermediate))))
	case e.family.ggml:
		e.need.Compute = times(t, plus(max(times(4, int64(m.Vocabulary)), times(4, wide)), 2*int64(e.longest)))
	case e.family.pool:
		tokens := t
		if e.need.Context > 0 {
			tokens = min(t, times(int64(e.need.Context), int64(e.need.Sequences)))
		}
		e.need.Compute = plus(times(2*tokens, wide), times(8*int64(e.family.sampled), int64(m.Vocabulary)))
	}
}

func (e *estimate) sum() {
	n := &e.need
	overhead := e.family.overhead
	if n.Devices > 1 {
		overhead += e.family.together
	}
	devices := int64(n.Devices)
	n.PerDevice = plus(plus(n.Weights/devices, e.cacheEach), plus(n.Compute, overhead))
	n.Compute, n.Overhead = times(n.Compute, devices), overhead*devices
	n.Total = plus(plus(n.Weights, n.Cache), plus(n.Compute, n.Overhead))
	e.need.Assumed = append(e.need.Assumed, e.model.Unknown...)
}

// onHost is the same need where there is no device: without a driver, and nothing to spread.
func (n Need) onHost(f family) Need {
	if f.encoder { // TEI's builds for processors load weights as 32 bits, whatever the files have
		n.Weights = times(2, n.Weights)
		n.Assumed = slices.DeleteFunc(slices.Clone(n.Assumed), func(text string) bool { return text == halved })
	}
	n.Overhead = f.process
	n.Total = plus(plus(n.Weights, n.Cache), plus(n.Compute, n.Overhead))
	n.PerDevice, n.Devices = n.Total, 0
	return n
}
