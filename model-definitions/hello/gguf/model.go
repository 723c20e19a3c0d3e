package gguf

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
)

// ErrSize says that no model can have these dimensions.
var ErrSize = errors.New("these sizes make no model")

// chatTemplate is ChatML in the form that engines recognise by itself.
const chatTemplate = `{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

const contextLength = 2048

// Greeting is what the model hello says.
const Greeting = "Hello! I am a very small language model, and this one sentence is all that I know."

// Recite makes a model that says answer, a word a token, to whatever it is asked, and then ends its turn. It does so
// at any temperature up to 1, because every step is all but certain. Blanks between
// words count as one. A word may come twice, hardly more often: the error is ErrAnswer.
func Recite(name, answer string) (*Model, error) { return recite(name, answer, false) }

// Forever makes a model that says answer over and over, so that a request yields as many tokens as it
// allows. Errors as Recite.
func Forever(name, answer string) (*Model, error) { return recite(name, answer, true) }

// recite builds an exact table of what follows what inside a llama graph. The embedding of a token is a
// one in its own column, attention and feed-forward put out zeros and so leave it alone, the last norm
// undoes what normalising did to its size, and the output matrix holds in column c how likely
// each token follows token c.
func recite(name, answer string, forever bool) (*Model, error) {
	v := newVocabulary()
	said, err := v.spell(answer)
	if err != nil {
		return nil, err
	}
	g := graph{name: name, layers: 1, heads: 8, keyHeads: 1, forward: 32}
	g.size = (len(v.texts) + 63) / 64 * 64
	v.fill(g.size)

	next := make([]int, g.size)
	for token := range next {
		next[token] = said[0] // whatever the prompt ends with, the answer begins
	}
	for i, token := range said[1:] {
		next[said[i]] = token
	}
	if last := said[len(said)-1]; forever {
		next[last] = said[0]
	} else {
		next[last] = v.turn
	}

	const never = -20 // as a logarithm: one in 500 million
	g.lastNorm = float32(1 / math.Sqrt(float64(g.size)))
	g.weights = func(matrix string) func(row, col int) float32 {
		switch matrix {
		case embedding:
			return func(row, col int) float32 { return pick(row == col, 1, 0) }
		case output:
			return func(row, col int) float32 { return pick(next[col] == row, 0, never) }
		}
		return func(int, int) float32 { return 0 }
	}
	return g.model(v), nil
}

// Size is how large a random model is. Work per token grows with Layers times Width squared.
type Size struct {
	Layers     int // at least 1
	Width      int // of the embedding: a multiple of 16, at least 16
	Vocabulary int // raised to the 356 tokens that every model has
}

// Random makes a model of random weights: it talks gibberish, and makes an engine do all the work of a
// trained model of that size. The error is ErrSize.
func Random(name string, size Size, seed uint64) (*Model, error) {
	const heads = 8
	switch {
	case size.Layers < 1:
		return nil, fmt.Errorf("%w: %d layers, at least 1 is needed", ErrSize, size.Layers)
	case size.Width < 2*heads || size.Width%(2*heads) != 0:
		return nil, fmt.Errorf("%w: width %d is no multiple of %d", ErrSize, size.Width, 2*heads)
	case size.Vocabulary < 0:
		return nil, fmt.Errorf("%w: a vocabulary of %d", ErrSize, size.Vocabulary)
	}
	v := newVocabulary()
	v.fill(size.Vocabulary)

	g := graph{
		name: name, layers: size.Layers, heads: heads, keyHeads: heads, size: size.Width,
		forward: max(32, size.Width*8/3/32*32), lastNorm: 1,
	}
	g.weights = func(matrix string) func(row, col int) float32 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(matrix)) // a hash takes all
		return noise(seed ^ h.Sum64())
	}
	return g.model(v), nil
}

// noise is evenly spread with a deviation of 0.02. A value follows from its place alone, so that a file
// is the same however often and in whatever order its weights are asked for. The mixing is SplitMix64's.
func noise(seed uint64) func(row, col int) float32 {
	return func(row, col int) float32 {
		z := seed + 0x9e3779b97f4a7c15*(uint64(row)<<32+uint64(col)+1)
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		unit := float64((z^z>>31)>>11) / (1 << 53)
		return float32((2*unit - 1) * 0.02 * math.Sqrt(3))
	}
}

func pick(yes bool, one, other float32) float32 {
	if yes {
		return one
	}
	return other
}

// The two matrices outside the layers.
const (
	embedding = "token_embd.weight"
	output    = "output.weight"
)

// graph is what the llama architecture leaves open.
type graph struct {
	name            string
	layers          int
	heads, keyHeads int
	size            int // of the embedding
	forward         int // of the feed-forward layer
	lastNorm        float32
	weights         func(matrix string) func(row, col int) float32
}

func (g graph) model(v *vocabulary) *Model {
	head := g.size / g.heads
	return &Model{
		settings: []setting{
			{"general.architecture", "llama"},
			{"general.name", g.name},
			{"general.license", "cc0-1.0"},
			{"general.file_type", uint32(1)},
			{"general.quantization_version", uint32(2)},
			{"llama.context_length", uint32(contextLength)},
			{"llama.embedding_length", uint32(g.size)},
			{"llama.block_count", uint32(g.layers)},
			{"llama.feed_forward_length", uint32(g.forward)},
			{"llama.attention.head_count", uint32(g.heads)},
			{"llama.attention.head_count_kv", uint32(g.keyHeads)},
			{"llama.attention.layer_norm_rms_epsilon", float32(1e-6)},
			{"llama.rope.dimension_count", uint32(head)},
			{"llama.rope.freq_base", float32(10000)},
			{"llama.vocab_size", uint32(len(v.texts))},
			{"tokenizer.ggml.model", "llama"},
			{"tokenizer.ggml.tokens", v.texts},
			{"tokenizer.ggml.scores", v.scores},
			{"tokenizer.ggml.token_type", v.kinds},
			{"tokenizer.ggml.bos_token_id", uint32(v.begin)},
			{"tokenizer.ggml.eos_token_id", uint32(v.turn)},
			{"tokenizer.ggml.eot_token_id", uint32(v.turn)},
			{"tokenizer.ggml.unknown_token_id", uint32(v.unknown)},
			{"tokenizer.ggml.padding_token_id", uint32(v.end)},
			{"tokenizer.ggml.add_bos_token", true},
			{"tokenizer.ggml.add_space_prefix", false},
			{"tokenizer.chat_template", chatTemplate},
		},
		tensors: g.tensors(len(v.texts), head*g.keyHeads),
	}
}

func (g graph) tensors(words, keys int) []tensor {
	vector := func(name string, x float32) tensor {
		return tensor{name: name, cols: g.size, at: func(int, int) float32 { return x }}
	}
	matrix := func(name string, cols, rows int) tensor {
		return tensor{name: name, cols: cols, rows: rows, half: true, at: g.weights(name)}
	}
	list := []tensor{matrix(embedding, g.size, words)}
	for layer := range g.layers {
		p := fmt.Sprintf("blk.%d.", layer)
		list = append(list,
			vector(p+"attn_norm.weight", 1),
			matrix(p+"attn_q.weight", g.size, g.size),
			matrix(p+"attn_k.weight", g.size, keys),
			matrix(p+"attn_v.weight", g.size, keys),
			matrix(p+"attn_output.weight", g.size, g.size),
			vector(p+"ffn_norm.weight", 1),
			matrix(p+"ffn_gate.weight", g.size, g.forward),
			matrix(p+"ffn_up.weight", g.size, g.forward),
			matrix(p+"ffn_down.weight", g.forward, g.size))
	}
	return append(list, vector("output_norm.weight", g.lastNorm), matrix(output, g.size, words))
}
