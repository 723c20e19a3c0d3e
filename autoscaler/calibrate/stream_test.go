package calibrate

import (
	"strings"
	"testing"
	"time"
)

func TestStream(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       answer
		fails      string
	}{
		{"chat", "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: still here\ndata:{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\ndata: [DONE]\n", answer{First: 1, Prompt: 4, Made: 4, Chunks: 2}, ""},
		{"completions", "data: {\"choices\":[{\"text\":\"a\"}]}\ndata: [DONE]\n", answer{First: 1, Chunks: 1}, ""},
		{"thoughts are work too", "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\ndata: [DONE]\n", answer{First: 1, Chunks: 1}, ""},
		{"counts that cannot be", "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":4}}\ndata: [DONE]\n", answer{First: 1, Chunks: 1}, ""},
		{"an error in the middle", "data: {\"choices\":[{\"text\":\"a\"}]}\ndata: {\"error\":{\"message\":\"oom\"}}\n", answer{First: 1, Chunks: 1}, "oom"},
		{"nothing", "", answer{}, "before it began"},
		{"no JSON", "data: <html>\n", answer{}, "reading the engine's stream"},
		{"a line without end", "data: " + strings.Repeat("x", 2<<20), answer{}, "reading the engine's stream"},
	} {
		var a answer
		err := a.stream(strings.NewReader(c.text), func() time.Duration { return 1 }, nil)
		if a != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %+v, %v", c.name, a, err)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"text\":\"a\"}]}\ndata: [DONE]\n")
	f.Fuzz(func(t *testing.T, text string) {
		var a answer
		made := 0
		_ = a.stream(strings.NewReader(text), func() time.Duration { return time.Second }, func() { made++ })
		if a.Chunks != made || a.Prompt < 0 || a.Made < 0 || (a.First > 0) != (a.Chunks > 0) {
			t.Fatalf("%+v, told %d times", a, made)
		}
	})
}

func TestPrompt(t *testing.T) {
	a, b := prompt(50), prompt(50)
	if len(strings.Fields(a)) != 50 || a == b {
		t.Errorf("%q\n%q", a, b)
	}
}
