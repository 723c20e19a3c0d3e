package recipe

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func entry(from, name, version string, more ...func(*Entry)) Entry {
	e := Entry{Catalog: from, Recipe: Recipe{
		Name: name, Version: version, Title: name, Description: "A model.", Task: Chat, Inputs: []string{"text"}, Outputs: []string{"text"},
		Variants: []Variant{{Name: "a", Runtime: "vllm", Accelerators: []string{"cuda"}, Memory: Memory{Weights: 10}}},
	}}
	for _, change := range more {
		change(&e)
	}
	return e
}

func collection() *Collection {
	return NewCollection([]Entry{
		entry(Shipped, "qwen3-8b", "1", func(e *Entry) { e.Tags, e.Title = []string{"reasoning"}, "Qwen3 8B" }),
		entry(Shipped, "qwen3-0.6b", "2"),
		entry(Shipped, "bge-m3", "1", func(e *Entry) { e.Task = Embedding }),
		entry("friends", "qwen3-8b", "10"),
		entry("friends", "qwen3-8b", "9"),
		entry("friends", "whisper", "1.10", func(e *Entry) { e.Task, e.Description = Transcription, "Hears qwen3 say things." }),
		entry("friends", "whisper", "1.9"),
	})
}

func TestFind(t *testing.T) {
	c := collection()
	for text, want := range map[string]string{
		"qwen3-8b":            "palisade/qwen3-8b@1",
		"qwen3-8b@1":          "palisade/qwen3-8b@1",
		"friends/qwen3-8b":    "friends/qwen3-8b@10",
		"friends/qwen3-8b@9":  "friends/qwen3-8b@9",
		"whisper":             "friends/whisper@1.10",
		"whisper@1.9":         "friends/whisper@1.9",
		"palisade/qwen3-0.6b": "palisade/qwen3-0.6b@2",
		"qwen3-8b@10":         `there is no version 10 of qwen3-8b (there is 1)`,
		"palisade/whisper":    `there is no recipe "palisade/whisper" (did you mean friends/whisper?)`,
		"qwen3-9b":            `there is no recipe "qwen3-9b" (did you mean qwen3-8b?)`,
		"qwen":                `there is no recipe "qwen" (did you mean qwen3-0.6b, qwen3-8b, friends/qwen3-8b, whisper?)`,
		"":                    `there is no recipe "" (see: palisade catalog list)`,
		"TheOrg/some-7b-gguf": `there is no recipe "TheOrg/some-7b-gguf" (a model of Hugging Face is hf:TheOrg/some-7b-gguf)`,
		"Qwen/qwen3-8b":       `there is no recipe "Qwen/qwen3-8b" (a model of Hugging Face is hf:Qwen/qwen3-8b; did you mean palisade/qwen3-8b?)`,
		"./models":            `there is no recipe "./models" (a place on the box is given by its whole path: /.../models)`,
		"nothing-of-the-kind": `there is no recipe "nothing-of-the-kind" (see: palisade catalog list)`,
	} {
		e, err := c.Find(text)
		got := e.ID() + "@" + e.Version
		if err != nil {
			hint := err.(interface{ Hint() string }).Hint()
			got = fmt.Sprintf("%v (%s)", err, hint)
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v is no ErrNotFound", text, err)
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if c.Len() != 5 || len(c.All()) != 5 || len(c.Versions("friends", "whisper")) != 2 || c.Versions("friends", "whisper")[0].Version != "1.10" {
		t.Errorf("%d entries, %v", c.Len(), c.Versions("friends", "whisper"))
	}
	if e, err := NewCollection(nil).Find("x"); err == nil {
		t.Errorf("found %v among none", e)
	}
}

func TestSearch(t *testing.T) {
	c := collection()
	for _, row := range []struct {
		query Query
		want  string
	}{
		{Query{}, "palisade/bge-m3 palisade/qwen3-0.6b palisade/qwen3-8b friends/qwen3-8b friends/whisper"},
		{Query{Text: "qwen3"}, "palisade/qwen3-0.6b palisade/qwen3-8b friends/qwen3-8b friends/whisper"},
		{Query{Text: "QWEN3, 8b!"}, "palisade/qwen3-8b friends/qwen3-8b"},
		{Query{Text: "qwen3-8b"}, "palisade/qwen3-8b friends/qwen3-8b"},
		{Query{Text: "reasoning"}, "palisade/qwen3-8b"},
		{Query{Text: "speech to text"}, "friends/whisper"},
		{Query{Text: "embeddings"}, "palisade/bge-m3"},
		{Query{Text: "qwen3 nonsense"}, ""},
		{Query{Text: "qwen3", Limit: 1}, "palisade/qwen3-0.6b"},
		{Query{Task: Embedding}, "palisade/bge-m3"},
		{Query{Tag: "Reasoning"}, "palisade/qwen3-8b"},
		{Query{Catalog: "friends"}, "friends/qwen3-8b friends/whisper"},
		{Query{Runtime: "llama-cpp"}, ""},
		{Query{Runtime: "vllm", Accelerator: "cuda", MaxBytes: 10, Task: Embedding}, "palisade/bge-m3"},
		{Query{MaxBytes: 9}, ""},
		{Query{Accelerator: "rocm"}, ""},
	} {
		var got []string
		for _, f := range c.Search(row.query) {
			got = append(got, f.Entry.ID())
		}
		if s := strings.Join(got, " "); s != row.want {
			t.Errorf("%+v: %s, want %s", row.query, s, row.want)
		}
	}
}

// many is a collection of n recipes that look like real ones.
func many(n int) *Collection {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = entry("big", fmt.Sprintf("model-%d-%db", i, i%400), "1", func(e *Entry) {
			e.Title = fmt.Sprintf("Model %d with %d billion parameters", i, i%400)
			e.Description = strings.Repeat("An open model for chat, tools and long documents in a hundred languages. ", 3)
			e.Tags = []string{"reasoning", "tools", "multilingual"}
			e.Publisher = "Somebody"
		})
	}
	return NewCollection(entries)
}

func BenchmarkSearch(b *testing.B) {
	c := many(10_000)
	for _, text := range []string{"reasoning tools 8b", "nothing like it", "model"} {
		b.Run(strings.ReplaceAll(text, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				c.Search(Query{Text: text, Accelerator: "cuda", Limit: 50})
			}
		})
	}
}

func BenchmarkFindMissing(b *testing.B) {
	c := many(10_000)
	for b.Loop() {
		if _, err := c.Find("model-77-78b"); err == nil {
			b.Fatal("found")
		}
	}
}
