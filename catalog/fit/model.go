package fit

import (
	"errors"
	"math"
)

var (
	// ErrNoModel says that there is no file of a kind that is known. It is no reason to refuse anything.
	ErrNoModel = errors.New("no model files that can be read")
	// ErrDamaged says that a file contradicts itself or ends too early: no engine will load it.
	ErrDamaged = errors.New("damaged model file")
)

// Format is how weights are stored.
type Format string

// Formats of weights.
const (
	Safetensors Format = "safetensors"
	GGUF        Format = "gguf"
	PyTorch     Format = "pytorch" // pickles: only their size is known
)

// Kind is what a model is, as far as memory goes.
type Kind string

// Kinds of models.
const (
	Decoder Kind = "decoder" // keeps a cache for every token of a conversation
	Encoder Kind = "encoder" // embeddings, rerankers, classifiers: no cache
	Adapter Kind = "adapter" // LoRA: of no use without its base
	Other   Kind = "other"   // a picture or sound model, or one that is not known: weights only
)

// Model is what the files of a model say about the memory that it needs.
type Model struct {
	Path         string `json:"path"` // of the model in its folder
	Format       Format `json:"format"`
	Kind         Kind   `json:"kind"`
	Architecture string `json:"architecture,omitempty"` // LlamaForCausalLM, llama
	Parameters   int64  `json:"parameters,omitempty"`   // 0 where the format does not say
	WeightBytes  int64  `json:"weight_bytes"`           // all tensors as they are stored
	DType        string `json:"dtype,omitempty"`        // of most of the weights: BF16, F8_E4M3, Q4_K
	Quantization string `json:"quantization,omitempty"` // awq 4-bit, fp8, Q4_K_M; "" for none

	Layers       int  `json:"layers,omitempty"`
	Hidden       int  `json:"hidden,omitempty"`       // width of the embedding
	Heads        int  `json:"heads,omitempty"`        // of the queries
	Intermediate int  `json:"intermediate,omitempty"` // width of what a token's feed-forward part makes, all its experts together
	Vocabulary   int  `json:"vocabulary,omitempty"`
	Experts      int  `json:"experts,omitempty"`
	Tied         bool `json:"tied,omitempty"` // one matrix for embedding and output
	MaxContext   int  `json:"max_context,omitempty"`

	Cache      []Cache `json:"cache,omitempty"`       // kinds of layers with a KV cache
	StateBytes int64   `json:"state_bytes,omitempty"` // of recurrent layers, for each sequence, however long it is

	// ProjectorBytes is what a separate projector (mmproj*.gguf) beside the model has. It counts only when the
	// engine is told to load it.
	ProjectorBytes int64    `json:"projector_bytes,omitempty"`
	Base           string   `json:"base,omitempty"` // of an adapter
	Files          []File   `json:"files"`
	Unknown        []string `json:"unknown,omitempty"` // what could not be told, and what was assumed instead
}

// File is one file that weights lie in.
type File struct {
	Name  string `json:"name"` // its path in the folder
	Bytes int64  `json:"bytes"`
}

// Cache is layers of one kind, in elements for each token of each layer.
type Cache struct {
	Layers int `json:"layers"`
	Key    int `json:"key"`              // heads times the width of one
	Value  int `json:"value"`            // 0 where keys hold all (MLA)
	Heads  int `json:"heads"`            // 1 where the cache cannot be split over devices
	Window int `json:"window,omitempty"` // tokens that such a layer looks back; 0: all
}

// KVBytesPerToken is what one more token costs while every layer keeps it: the usual figure of comparisons. Layers
// with a window stop to grow when it is full.
func (m Model) KVBytesPerToken(key, value ElementType) int64 {
	var sum int64
	for _, c := range m.Cache {
		sum += c.perToken(key, value)
	}
	return sum
}

// perToken is the bytes of one token in all layers of the kind.
func (c Cache) perToken(key, value ElementType) int64 {
	return times(int64(c.Layers), key.row(c.Key)+value.row(c.Value))
}

// sane is more than any real count of anything in a model; what a file claims beyond it is not believed.
const sane = 1 << 30

// huge is where sums and products stop: far above any memory, far below an overflow.
const huge = math.MaxInt64 / 8

// times multiplies without overflow. Both are zero or more.
func times(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > huge/b {
		return huge
	}
	return a * b
}

// plus adds without overflow.
func plus(a, b int64) int64 { return min(a+b, huge) }

func roundUp(n, to int) int { return (n + to - 1) / to * to }
