package fit

// Engine is a kind of engine, as far as its memory goes, by the name of its runtime variant.
type Engine string

// Engines whose memory is known. Any other can not be told.
const (
	VLLM     Engine = "vllm"
	SGLang   Engine = "sglang"
	TGI      Engine = "huggingface-tgi"
	NIM      Engine = "nim"
	MAX      Engine = "modular-max"
	LlamaCpp Engine = "llama-cpp"
	Ollama   Engine = "ollama"
	TEI      Engine = "tei"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// family is what differs between engines. What a figure rests on is said in docs/memory-fit.md.
type family struct {
	title string
	ggml  bool // llama.cpp and what is built on it: loads GGUF, splits by layers, can use the box's own memory
	pool  bool // keeps what is left of a device as one pool of pages for all sequences
	// encoder engines keep no cache for any model.
	encoder bool
	// shrinks says that the engine itself takes a shorter context where none was asked for.
	shrinks bool
	// windows says that layers with a window keep only that.
	windows bool
	// fraction of a device's whole memory that it claims unless told otherwise, and must find free; 0: what it needs.
	fraction float64

	context   int   // default; 0: the model's longest
	sequences int   // default, each with room for a whole context
	batch     int   // tokens computed at once
	sampled   int   // sequences whose probabilities are computed at once
	overhead  int64 // for each device: driver context, libraries, graphs
	together  int64 // more for each device where there are several: buffers of the exchange
	process   int64 // of the box's memory, where it runs without a device
}

// families, by engine. Measured: llama-cpp (on a CPU, in this repository's tests). From published start-up logs: vllm.
// From documentation or by likeness with those two: all others.
var families = map[Engine]family{
	VLLM:     {title: "vLLM", pool: true, windows: true, fraction: 0.9, sequences: 1, batch: 2048, sampled: 256, overhead: gib, together: gib / 2, process: gib},
	SGLang:   {title: "SGLang", pool: true, shrinks: true, sequences: 1, batch: 8192, sampled: 256, overhead: 3 * gib / 2, together: gib / 2, process: gib},
	TGI:      {title: "TGI", pool: true, shrinks: true, sequences: 1, batch: 4096, sampled: 64, overhead: gib, together: gib / 2, process: gib},
	NIM:      {title: "NIM", pool: true, shrinks: true, sequences: 1, batch: 8192, sampled: 256, overhead: 3 * gib / 2, together: gib / 2, process: gib},
	MAX:      {title: "MAX", pool: true, shrinks: true, sequences: 1, batch: 8192, sampled: 64, overhead: gib, together: gib / 2, process: gib},
	LlamaCpp: {title: "llama.cpp", ggml: true, windows: true, shrinks: true, sequences: 4, batch: 512, overhead: gib / 2, process: 100 * mib},
	Ollama:   {title: "Ollama", ggml: true, windows: true, context: 4096, sequences: 1, batch: 512, overhead: gib / 2, process: 200 * mib},
	TEI:      {title: "TEI", encoder: true, batch: 16384, overhead: gib / 2, process: 300 * mib},
}

// prefers is the format that the engine loads where there are several.
func (e Engine) prefers() Format {
	if families[e].ggml {
		return GGUF
	}
	return Safetensors
}

// Claims is the part of a device's whole memory that the engine takes unless told otherwise, and must find free; 0: what it needs.
func (e Engine) Claims() float64 { return families[e].fraction }

// shortest is the least context that an engine which shrinks it by itself is taken to be content with.
const shortest = 4096
