package daemon

import (
	"testing"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// TestARecipeThatWasMadeUpGoesIntoABundle: an install of files has a recipe that nobody wrote, and that lacks what a recipe must say.
func TestARecipeThatWasMadeUpGoesIntoABundle(t *testing.T) {
	for runtime, onCPU := range map[string]bool{"llama-cpp": true, "vllm": false} {
		r := bundled(recipe.Recipe{
			Name: "tiny", Version: "1", Title: "/srv/models/tiny", Task: recipe.Chat,
			Sources: []recipe.Source{{Name: "files", From: "/srv/models/tiny", Bytes: 1 << 20}, {Name: "others", From: "hf:org/others"}},
			Variants: []recipe.Variant{
				{Name: "a", Runtime: runtime, Source: "files", Memory: recipe.Memory{Weights: 1 << 20}, Images: []recipe.Image{{Accelerator: "gaudi", Reference: "example.com/engine:1"}}},
				{Name: "b", Runtime: runtime, Source: "others", Memory: recipe.Memory{Weights: 1 << 20}},
			},
		}, "files")
		text, err := recipe.Write(r)
		if err != nil {
			t.Fatal(err)
		}
		read, problems := recipe.Parse(recipe.File, text)
		if err := problems.Err(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if v := read.Variants; len(v) != 1 || read.Title != "tiny" || (v[0].Accelerators[len(v[0].Accelerators)-1] == recipe.CPU) != onCPU {
			t.Errorf("%s: %+v", runtime, read)
		}
	}
}
