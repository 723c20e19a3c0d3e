package scan

import (
	"slices"
	"strings"
	"testing"
)

func TestPrompt(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"messages", `{"model":"m","messages":[{"role":"system","content":"be \"kind\""},{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:x"}}]}],"stop":["x"]}`,
			[]string{"system", `be \"kind\"`, "user", "text", "hi", "image_url", "data:x"}},
		{"system comes first", `{"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"t"}],"system":"be kind","model":"m"}`,
			[]string{"be kind", `[{"name":"t"}]`, "user", "hi"}},
		{"prompt", `{"prompt":"once upon","model":"m"}`, []string{"once upon"}},
		{"prompts", `{"prompt":["a","b"]}`, []string{"a", "b"}},
		{"numbers", `{"prompt":[1, 2,3]}`, []string{"[1, 2,3]"}},
		{"responses", `{"input":[{"role":"user","content":"hi"}],"instructions":"be kind"}`, []string{"be kind", "user", "hi"}},
		{"not below others", `{"metadata":{"prompt":"x"},"prompt":"y"}`, []string{"y"}},
		{"white space", "{ \"prompt\" :\n\"a\" }", []string{"a"}},
		{"empty", `{"prompt":"","messages":[]}`, []string{"[]"}},
		{"none", `{}`, nil},
		{"cut off", `{"prompt":"a`, nil},
		{"long", `{"x":"` + strings.Repeat("y", 5*windowLen) + `","prompt":"` + strings.Repeat("z", 3*windowLen) + `"}`, []string{strings.Repeat("z", 3*windowLen)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			Prompt([]byte(c.body), func(text []byte) bool {
				got = append(got, string(text))
				return true
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
			n := 0
			Prompt([]byte(c.body), func([]byte) bool { n++; return false })
			if n > 1 {
				t.Errorf("it went on %d times after its end", n-1)
			}
		})
	}
}

func FuzzPrompt(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":"hi"}],"system":"x"}`))
	f.Add([]byte(`]]}"{"`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		Prompt(body, func([]byte) bool { return true })
	})
}

func BenchmarkPrompt(b *testing.B) {
	body := chatBody(64<<10, false)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		Prompt(body, func(text []byte) bool { n += len(text); return true })
	}
}
