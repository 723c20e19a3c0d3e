package modeldefinitions_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/recipe"
)

const (
	page  = "../docs/shipped-recipes.md"
	begin = "<!-- written by go test ./model-definitions -update -->\n"
	end   = "<!-- end -->\n"
)

// docs/shipped-recipes.md lists what there is.
func TestThePageListsAllRecipes(t *testing.T) {
	var rows []recipe.Entry
	engines := make(map[string]string)
	each(t, func(_ *testing.T, e recipe.Entry, f facts) {
		rows = append(rows, e)
		engines[e.Name] = enginesOf(e, f)
	})
	slices.SortFunc(rows, func(a, b recipe.Entry) int {
		order := recipe.Tasks()
		return cmp.Or(cmp.Compare(slices.Index(order, a.Task), slices.Index(order, b.Task)), cmp.Compare(a.Parameters, b.Parameters), strings.Compare(a.Name, b.Name))
	})
	var out strings.Builder
	out.WriteString("| name | task | weights | context | licence | engines | memory, from |\n|---|---|---|---|---|---|---|\n")
	for _, e := range rows {
		least := slices.MinFunc(e.Variants, func(a, b recipe.Variant) int { return cmp.Compare(a.Memory.Total(), b.Memory.Total()) })
		licence, context := e.License.ID, "-"
		if e.License.Accept {
			licence += ", to be accepted"
		}
		if e.Context > 0 {
			context = fmt.Sprint(e.Context)
		}
		fmt.Fprintf(&out, "| [%s](../model-definitions/%s/README.md) | %s | %s | %s | %s | %s | %s |\n",
			e.Name, e.Name, e.Task, count(e), context, licence, engines[e.Name], people(least.Memory.Total()))
	}
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(src), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		t.Fatalf("%s has no place for its table", page)
	}
	want := before + begin + out.String() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(src) {
		t.Errorf("%s is not what there is: go test ./model-definitions -update writes it", page)
	}
}

// enginesOf names the engines of a recipe, each once.
func enginesOf(e recipe.Entry, f facts) string {
	titles := map[string]string{"vllm": "vLLM", "sglang": "SGLang", "huggingface-tgi": "TGI", "tei": "TEI", "llama-cpp": "llama.cpp", "nim": "NIM", "ollama": "Ollama"}
	var out []string
	for _, v := range e.Variants {
		image := ""
		if len(v.Images) > 0 {
			image = v.Images[0].Reference
		}
		title := titles[v.Runtime]
		switch {
		case strings.Contains(image, "/tritonserver:"):
			title = "Triton"
		case strings.Contains(image, "/vllm-omni:"):
			title = "vLLM-Omni"
		case strings.Contains(image, "/whisper.cpp:"):
			title = "whisper.cpp"
		case strings.Contains(image, "/kokoro-fastapi"):
			title = "Kokoro-FastAPI"
		case title == "":
			title = titles[f.Engines[v.Name]]
		}
		if !slices.Contains(out, title) {
			out = append(out, title)
		}
	}
	return strings.Join(out, ", ")
}

func count(e recipe.Entry) string {
	short := func(n int64) string {
		if n < 999_500_000 {
			return fmt.Sprintf("%.3gM", float64(n)/1e6)
		}
		return fmt.Sprintf("%.3gB", float64(n)/1e9)
	}
	if e.Active > 0 {
		return short(e.Parameters) + ", " + short(e.Active) + " a token"
	}
	return short(e.Parameters)
}
