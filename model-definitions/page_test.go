package modeldefinitions_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
)

const (
	page  = "../docs/shipped-recipes.md"
	begin = "<!-- written by go test ./model-definitions -update -->\n"
	end   = "<!-- end -->\n"
)

// The page for people says the same as the recipe.
func TestReadmesSayTheMemory(t *testing.T) {
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		want, err := readme(e)
		if err != nil {
			t.Fatal(err)
		}
		if want != string(e.Readme) {
			t.Errorf("README.md is not what the recipe says: go test ./model-definitions -update writes it: %s", want)
		}
	})
}

// docs/shipped-recipes.md lists what there is.
func TestThePageListsAllRecipes(t *testing.T) {
	var rows []row
	each(t, func(_ *testing.T, e recipe.Entry, f facts) { rows = append(rows, row{e, f}) })
	want, is, err := listed(rows)
	if err != nil {
		t.Fatal(err)
	}
	if want != is {
		t.Errorf("%s is not what there is: go test ./model-definitions -update writes it", page)
	}
}

// variantRow is a row of a README's table of variants; its last cell is the memory.
var variantRow = regexp.MustCompile("(?m)^(\\| `([a-z0-9.-]+)` \\|.*\\|)[^|]*\\|$")

// readme is a recipe's page, with the memory of its variants.
func readme(e recipe.Entry) (string, error) {
	rows := variantRow.FindAllSubmatch(e.Readme, -1)
	if len(rows) != len(e.Variants) {
		return "", fmt.Errorf("README.md has %d rows of variants, the recipe %d", len(rows), len(e.Variants))
	}
	out := string(e.Readme)
	for i, v := range e.Variants {
		if string(rows[i][2]) != v.Name {
			return "", fmt.Errorf("README.md has %s where the recipe has %s", rows[i][2], v.Name)
		}
		out = strings.Replace(out, string(rows[i][0]), fmt.Sprintf("%s %s |", rows[i][1], bytesize.Format(v.Memory.Total())), 1)
	}
	return out, nil
}

// row is one recipe of the page.
type row struct {
	recipe.Entry
	facts facts
}

// listed is the page as it should be, and as it is.
func listed(rows []row) (want, is string, err error) {
	slices.SortFunc(rows, func(a, b row) int {
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
			e.Name, e.Name, e.Task, count(e.Entry), context, licence, enginesOf(e.Entry, e.facts), bytesize.Format(least.Memory.Total()))
	}
	src, err := os.ReadFile(page)
	if err != nil {
		return "", "", err
	}
	before, rest, found := strings.Cut(string(src), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return "", "", fmt.Errorf("%s has no place for its table", page)
	}
	return before + begin + out.String() + end + after, string(src), nil
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
