package recipe

import "strings"

// Schema is the newest version of a recipe's file that is read.
const Schema = 1

// Recipe is one model that can be installed by name. docs/recipes.md shows its file.
type Recipe struct {
	Name        string // lower case, digits, '-', '.': qwen3-8b
	Version     string // of the recipe: 1, 2, ...; a new one is an update
	Title       string
	Description string // one or two sentences
	License     License
	Publisher   string
	Homepage    string
	Tags        []string
	Task        Task
	Inputs      []string // modalities: text, image, audio, video
	Outputs     []string // text, image, audio, vector, score
	Parameters  int64    // all of them
	Active      int64    // of a token, where that is fewer (experts); else 0
	Context     int      // tokens that the model was made for; 0 where it has none
	Sources     []Source
	Variants    []Variant // in the order in which they are preferred
	SmokeTest   *SmokeTest
	Verified    []Verified // what was seen where; empty: nothing was
}

// Task is what a model does.
type Task string

// Tasks.
const (
	Chat          Task = "chat"
	Completion    Task = "completion"
	Embedding     Task = "embedding"
	Rerank        Task = "rerank"
	Transcription Task = "transcription"
	Speech        Task = "speech"
	Images        Task = "images"
	Vision        Task = "vision"
	Other         Task = "other"
)

// Tasks are all of them.
func Tasks() []Task {
	return []Task{Chat, Completion, Embedding, Rerank, Transcription, Speech, Images, Vision, Other}
}

// License is what an owner agrees to.
type License struct {
	ID     string // SPDX where there is one: Apache-2.0, MIT, llama3.1
	URL    string
	Accept bool // must be accepted in so many words before anything is fetched
}

// Source is where files of a model are.
type Source struct {
	Name     string            // by which variants name it
	From     string            // fetch.Ref's text: hf:Qwen/Qwen3-8B
	Mirrors  []string          // refs of the same files, tried in turn
	Files    []string          // globs; empty: all
	Checksum map[string]string // file: sha256, where the recipe pins them
	Bytes    int64             // of all its files, about; 0: not said
	Secret   string            // name of the secret that opens it, where it is gated: HF_TOKEN
}

// Where is its place, and which of the files there: sources of the same have the same files.
func (s Source) Where() string {
	if len(s.Files) == 0 {
		return s.From
	}
	return s.From + " " + strings.Join(s.Files, ",")
}

// Variant is one way to run the model.
type Variant struct {
	Name         string // fp8, q4-k-m, awq
	Runtime      string // runtime variant: vllm, llama-cpp, ...
	Images       []Image
	Accelerators []string // cuda, rocm, cpu, ...: the kinds that it runs on
	Minimum      string   // architecture of the accelerator from which on it runs: sm_80; empty: any
	Platforms    []string // amd64, arm64; empty: amd64 and arm64
	Source       string   // a Source's name; empty: none (NIM, Ollama fetch themselves)
	Model        string   // BACKEND_MODEL_PATH: a part of the folder
	Quantization string
	Context      int // tokens that it is started with
	Concurrency  int // sequences at once that memory is worked out for
	Environment  map[string]string
	Arguments    []string // further arguments of the engine
	Memory       Memory
	MinimumNeeds map[string]string // resources: cpu, mem, cuda.device, cuda.shares
	Recommended  map[string]string
	Secrets      []string // environment variables that are filled in from secrets: NGC_API_KEY
}

// CPU is the kind of accelerator of a variant that runs without one.
const CPU = "cpu"

// Image is an engine's image for a kind of accelerator.
type Image struct {
	Accelerator string // empty: any
	Platform    string // empty: any
	Reference   string
}

// Memory is what the recipe says that the variant needs, of all its devices together; a test holds it against catalog/fit.
type Memory struct {
	Weights  int64 // bytes
	Cache    int64 // of Context tokens and Concurrency sequences
	Overhead int64
}

// Total is all of it.
func (m Memory) Total() int64 { return m.Weights + m.Cache + m.Overhead }

// SmokeTest is one request, and what its answer must hold.
type SmokeTest struct {
	Method, Path string            // POST, /v1/chat/completions
	Body         string            // JSON, with {model}
	Form         map[string]string // instead of Body: fields of a multipart form; @tone.wav is a second of sound that is made up
	Status       int               // 200
	Holds        []string          // each a path and what it holds: choices[0].message.content ~ (?i)paris
	MaxSeconds   int
}

// Verified is one thing that was seen to work.
type Verified struct {
	What string // arithmetic, download, start, answers
	On   string // on which machine and accelerator
	With string // engine and version
	Date string // 2026-11-22
}

// Source finds a source by its name; false for the name of none.
func (r Recipe) Source(name string) (Source, bool) {
	for _, s := range r.Sources {
		if s.Name == name {
			return s, true
		}
	}
	return Source{}, false
}

// Variant finds a variant by its name.
func (r Recipe) Variant(name string) (Variant, bool) {
	for _, v := range r.Variants {
		if v.Name == name {
			return v, true
		}
	}
	return Variant{}, false
}

// Image is the image for a kind of accelerator on a platform: the one that says most of both. "" where there is none for it.
func (v Variant) Image(accelerator, platform string) string {
	best, reference := -1, ""
	for _, i := range v.Images {
		if i.Accelerator != "" && i.Accelerator != accelerator || i.Platform != "" && i.Platform != platform {
			continue
		}
		says := 0
		if i.Accelerator != "" {
			says += 2
		}
		if i.Platform != "" {
			says++
		}
		if says > best {
			best, reference = says, i.Reference
		}
	}
	return reference
}
