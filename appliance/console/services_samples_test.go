package console

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Samples are filled in, hold a place for the token, and no name breaks out of its quotes.
func TestSamples(t *testing.T) {
	for _, s := range []sampleOf{
		{Endpoint: "https://box.example/services/chat", Model: "qwen", Variant: "vllm"},
		{Endpoint: "https://box.example/services/embed", Model: "bge", Variant: "tei"},
		{Endpoint: "https://box.example/services/net", Model: "resnet", Variant: "triton"},
		{Endpoint: "https://box.example/services/x", Model: "it's \"quoted\" \\ and\nbroken", Variant: "custom"},
	} {
		all := samples(s)
		if len(all) != 4 {
			t.Fatalf("%d samples", len(all))
		}
		for _, one := range all {
			if !strings.Contains(one.Code, s.Endpoint) || strings.Count(one.Code, tokenPlace) != 1 {
				t.Errorf("%s of %s:\n%s", one.ID, s.Variant, one.Code)
			}
			for _, left := range []string{"{url}", "{base}", "{model}", "{token}", `{"base}`, `{'base}`, `{"model}`, `{"url}`, "{go", "{'body}"} {
				if strings.Contains(one.Code, left) {
					t.Errorf("%s of %s has %s left:\n%s", one.ID, s.Variant, left, one.Code)
				}
			}
			if one.ID == "go" {
				if _, err := parser.ParseFile(token.NewFileSet(), "main.go", one.Code, 0); err != nil {
					t.Errorf("%s: %v\n%s", s.Variant, err, one.Code)
				}
			}
		}
		if curl := all[0].Code; strings.Contains(s.Model, "'") && !strings.Contains(curl, `it'\''s`) {
			t.Errorf("a quote is not quoted:\n%s", curl)
		}
	}
}

func TestSamplesOfWhatIsPublic(t *testing.T) {
	for _, one := range samples(sampleOf{Endpoint: "http://box/services/open", Model: "m", Variant: "vllm", Public: true}) {
		if strings.Contains(one.Code, tokenPlace) || strings.Contains(one.Code, "Authorization") {
			t.Errorf("%s:\n%s", one.ID, one.Code)
		}
	}
}
