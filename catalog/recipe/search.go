package recipe

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Query is what is looked for. What is zero is not asked.
type Query struct {
	Text        string // words, all of which an entry must have
	Task        Task
	Tag         string
	Runtime     string // that one of its variants has,
	Accelerator string // on this kind,
	MaxBytes    int64  // in so much memory
	Catalog     string
	Limit       int // 0: all
}

// Found is an entry that was found. A higher score is a better answer.
type Found struct {
	Entry Entry
	Score int
}

// searched is an entry as it is searched, in small letters.
type searched struct {
	name, title string
	tags        []string
	text        string // all of it, with a space before every word
}

// called is what people call the tasks.
var called = map[Task]string{
	Chat:          "llm language model assistant instruct conversation text generation",
	Completion:    "llm language model text generation base",
	Embedding:     "embeddings embed vectors semantic search rag",
	Rerank:        "reranker reranking ranking relevance rag",
	Transcription: "stt asr speech to text recognition whisper audio",
	Speech:        "tts text to speech voice audio",
	Images:        "image generation text to image diffusion picture",
	Vision:        "vlm multimodal image understanding ocr",
}

func searchedOf(e Entry) searched {
	s := searched{name: strings.ToLower(e.Name), title: strings.ToLower(e.Title)}
	parts := []string{s.name, s.title, e.Description, e.Publisher, string(e.Task), called[e.Task], e.License.ID, e.Catalog}
	for _, tag := range e.Tags {
		s.tags = append(s.tags, strings.ToLower(tag))
	}
	parts = append(parts, s.tags...)
	parts = append(append(parts, e.Inputs...), e.Outputs...)
	for _, v := range e.Variants {
		parts = append(append(parts, v.Name, v.Runtime, v.Quantization), v.Accelerators...)
	}
	s.text = " " + strings.Join(words(strings.Join(parts, " ")), " ")
	return s
}

// words are the parts of a text that are searched for, in small letters: qwen3-8b stays one, and its parts are found in it.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsNumber(c) && c != '.' && c != '-' && c != '+'
	})
}

// Search finds entries, the best first: those with the words in their name, then in their title and tags, then anywhere. Of
// equals, those of the preferred catalogs come first, and then by name.
func (c *Collection) Search(q Query) []Found {
	wanted := words(q.Text)
	type hit struct{ at, score int }
	hits := make([]hit, 0, 64)
	for _, at := range c.listed {
		if !q.takes(&c.entries[at]) {
			continue
		}
		if score, is := c.search[at].score(wanted); is {
			hits = append(hits, hit{at, score})
		}
	}
	if len(wanted) > 0 {
		slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	}
	if q.Limit > 0 && len(hits) > q.Limit {
		hits = hits[:q.Limit]
	}
	out := make([]Found, len(hits))
	for i, h := range hits {
		out[i] = Found{Entry: c.entries[h.at], Score: h.score}
	}
	return out
}

// takes says whether an entry is of the kind that is asked for.
func (q Query) takes(e *Entry) bool {
	if q.Task != "" && e.Task != q.Task || q.Catalog != "" && e.Catalog != q.Catalog {
		return false
	}
	if q.Tag != "" && !slices.ContainsFunc(e.Tags, func(tag string) bool { return strings.EqualFold(tag, q.Tag) }) {
		return false
	}
	if q.Runtime == "" && q.Accelerator == "" && q.MaxBytes == 0 {
		return true
	}
	for i := range e.Variants {
		if v := &e.Variants[i]; (q.Runtime == "" || v.Runtime == q.Runtime) && (q.Accelerator == "" || slices.Contains(v.Accelerators, q.Accelerator)) &&
			(q.MaxBytes == 0 || v.Memory.Total() <= q.MaxBytes) {
			return true
		}
	}
	return false
}

// score is how well an entry answers: the sum over the words, and false where one of them is not in it at all.
func (s *searched) score(wanted []string) (sum int, is bool) {
	for _, word := range wanted {
		at := strings.Index(s.text, word)
		if at < 0 {
			return 0, false
		}
		switch {
		case s.name == word:
			sum += 1000
		case strings.HasPrefix(s.name, word):
			sum += 300
		case strings.Contains(s.name, word):
			sum += 200
		case slices.Contains(s.tags, word):
			sum += 120
		case strings.Contains(s.title, word):
			sum += 100
		case strings.Contains(s.text, " "+word):
			sum += 20
		default:
			sum++
		}
	}
	return sum, true
}
