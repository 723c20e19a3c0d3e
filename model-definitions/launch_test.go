package modeldefinitions_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/variants"
)

func runtimes(t *testing.T) *variants.Table {
	t.Helper()
	table, problems := variants.Load("")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return table
}

// Each is as its author would want it: no key that is not known, nothing missing, no image without a version.
func TestRecipesAreLintClean(t *testing.T) {
	table := runtimes(t)
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		_, problems := recipe.Lint(os.DirFS("."), e.Name, table.Names())
		for _, p := range problems {
			t.Error(p)
		}
		if e.Icon == nil || len(e.Icon) > 1024 || e.Definition == nil {
			t.Errorf("an icon of %d bytes, a definition of %d", len(e.Icon), len(e.Definition))
		}
	})
}

// What a variant is started with is what its memory was worked out for: the engine is told the context, the number of sequences
// and of devices that the recipe states.
func TestLaunchesAreThoseOfTheArithmetic(t *testing.T) {
	table := runtimes(t)
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		definition, problems := catalog.ParseDefinition(recipe.DefinitionFile, e.Definition)
		for _, p := range problems {
			t.Error(p)
		}
		for _, v := range e.Variants {
			launched(t, table, definition, v)
		}
	})
}

func launched(t *testing.T, table *variants.Table, definition *catalog.Definition, v recipe.Variant) {
	t.Helper()
	env := make(map[string]string)
	maps.Copy(env, v.Environment)
	for _, name := range v.Secrets {
		env[name] = "secret"
	}
	if len(v.Arguments) > 0 {
		engine, _ := table.Lookup(v.Runtime)
		name, value, ok := engine.MoreArguments(v.Arguments)
		if !ok {
			t.Errorf("%s: nobody tells %s the arguments %q", v.Name, v.Runtime, v.Arguments)
		}
		env[name] = value
	}
	request := variants.Request{Variant: v.Runtime, ServiceName: "model", Env: env}
	if v.Source != "" {
		request.Files = fstest.MapFS{"model.gguf": &fstest.MapFile{}, "config.json": &fstest.MapFile{}}
	}
	if v.Runtime == variants.Custom {
		request.Definition = definition
	}
	spec, problems := table.Resolve(request)
	if len(problems) > 0 {
		t.Errorf("%s: %v", v.Name, problems)
		return
	}
	s := table.Sizing(spec)
	if s.Engine == "" || s.Engine == "tei" || v.Context == 0 {
		return
	}
	context, sequences := v.Context, s.Sequences
	if s.Engine == "llama-cpp" {
		context *= v.Concurrency
	}
	if s.Context != context || sequences > 0 && sequences != v.Concurrency || max(1, s.Devices) != devices(v) {
		t.Errorf("%s: is started with a context of %d, %d sequences, %d devices; the recipe says %d, %d, %d",
			v.Name, s.Context, sequences, max(1, s.Devices), v.Context, v.Concurrency, devices(v))
	}
}

// A variant that runs in the box's memory asks for as much as it takes.
func TestMemoryOfTheBoxIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		for _, v := range e.Variants {
			number, whole := strings.CutSuffix(v.MinimumNeeds["mem"], "g")
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || !whole {
				t.Errorf("%s: %q of memory", v.Name, v.MinimumNeeds["mem"])
			}
			if slices.Contains(v.Accelerators, recipe.CPU) && n<<30 < v.Memory.Total() {
				t.Errorf("%s: asks for %d GiB, and takes %s", v.Name, n, bytesize.Format(v.Memory.Total()))
			}
		}
	})
}

// Sources are pinned to commits or not at all, and what is not free of conditions asks first.
func TestSourcesAndLicences(t *testing.T) {
	pinned := regexp.MustCompile(`^hf:[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(@[0-9a-f]{40})?$`)
	free := []string{"Apache-2.0", "MIT", "CC0-1.0"}
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		for _, s := range e.Sources {
			if !pinned.MatchString(s.From) {
				t.Errorf("source %s is at %s", s.Name, s.From)
			}
		}
		if e.License.Accept == slices.Contains(free, e.License.ID) {
			t.Errorf("%s, to be accepted: %v", e.License.ID, e.License.Accept)
		}
		for _, v := range e.Verified {
			if !strings.Contains(v.What, "arithmetic only") {
				t.Errorf("%q is said to be verified: by whom?", v.What)
			}
		}
	})
}

// The catalog has something for every task, engine and size.
func TestTheCatalogIsWide(t *testing.T) {
	var tasks []recipe.Task
	var engines []string
	count, least, most := 0, int64(1<<62), int64(0)
	each(t, func(_ *testing.T, e recipe.Entry, f facts) {
		count++
		tasks = append(tasks, e.Task)
		if e.Task == recipe.Chat {
			least, most = min(least, e.Parameters), max(most, e.Parameters)
		}
		for _, v := range e.Variants {
			engines = append(engines, v.Runtime, f.Engines[v.Name])
			for _, i := range v.Images {
				if strings.Contains(i.Reference, "/tritonserver:") {
					engines = append(engines, "triton")
				}
			}
		}
	})
	for _, task := range []recipe.Task{recipe.Chat, recipe.Embedding, recipe.Rerank, recipe.Transcription, recipe.Speech, recipe.Images, recipe.Vision} {
		if !slices.Contains(tasks, task) {
			t.Errorf("no recipe for %s", task)
		}
	}
	for _, engine := range []string{"vllm", "sglang", "huggingface-tgi", "tei", "llama-cpp", "ollama", "triton", "nim"} {
		if !slices.Contains(engines, engine) {
			t.Errorf("no recipe for %s", engine)
		}
	}
	if count < 30 || least > 200e6 || most < 400e9 {
		t.Errorf("%d recipes, of %d to %d parameters", count, least, most)
	}
}
