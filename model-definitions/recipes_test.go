package modeldefinitions_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/catalog/fit"
	"github.com/palisade-run/palisade/catalog/recipe"
	modeldefinitions "github.com/palisade-run/palisade/model-definitions"
)

// facts is facts.yaml beside a recipe: what its arithmetic rests on.
type facts struct {
	From      string            `yaml:"from"`      // where config stands
	Config    dims              `yaml:"config"`    // of the model's own config.json, what matters for its size; none: only weights are known
	Formats   map[string]string `yaml:"formats"`   // of each variant: how its weights are stored
	Weights   map[string]int64  `yaml:"weights"`   // of variants without a format: bytes of the files, as published
	Files     map[string]int64  `yaml:"files"`     // of sources whose files are larger than what is loaded of them: bytes, as published
	Engines   map[string]string `yaml:"engines"`   // of variants with a command of their own: the engine that they start
	Reserve   map[string]string `yaml:"reserve"`   // of variants: for what fit does not count, pictures and sound while they are worked on
	Published published         `yaml:"published"` // what others say, and is held against the arithmetic
}

type published struct {
	Parameters string            `yaml:"parameters"` // 8.2B
	Sizes      map[string]string `yaml:"sizes"`      // of variants: 4.68 GiB
	By         string            `yaml:"by"`         // who says so
}

// each runs over all recipes that have facts. hello has none: its file is made here, and a real engine loads it in other tests.
func each(t *testing.T, run func(t *testing.T, e recipe.Entry, f facts)) {
	t.Helper()
	entries, problems, err := recipe.Load(os.DirFS("."), recipe.Shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	for _, e := range entries {
		if e.Name == "hello" {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			f, err := factsOf(e)
			if err != nil {
				t.Fatal(err)
			}
			run(t, e, f)
		})
	}
}

func factsOf(e recipe.Entry) (f facts, err error) {
	src, err := os.ReadFile(filepath.Join(e.Name, "facts.yaml"))
	if err != nil {
		return f, err
	}
	return f, yaml.Unmarshal(src, &f)
}

// model is what fit reads from the files of a variant, of which only headers are made up.
func (f facts) model(v recipe.Variant) (fit.Model, error) {
	files := make(folder)
	if f.Config != nil {
		src, err := json.Marshal(f.Config)
		if err != nil {
			return fit.Model{}, err
		}
		files["config.json"] = claimed{src, int64(len(src))}
	}
	format, known := f.Formats[v.Name]
	switch {
	case !known:
		bytes, known := f.Weights[v.Name]
		if !known {
			return fit.Model{}, fmt.Errorf("facts.yaml says nothing of variant %s", v.Name)
		}
		h := &header{entries: make(map[string]any)}
		h.put("all", "U8", bytes)
		whole, err := h.file()
		if err != nil {
			return fit.Model{}, err
		}
		files["model.safetensors"] = whole
	case strings.ToUpper(format) == format: // GGUF's names are in capital letters
		tensors, err := tensorsOf(f.Config)
		if err != nil {
			return fit.Model{}, err
		}
		if files["model.gguf"], err = ggufFile(f.Config, tensors, format); err != nil {
			return fit.Model{}, err
		}
		if n := projector(tensors); n > 0 {
			files["mmproj.gguf"] = claimed{size: n}
		}
	default:
		tensors, err := tensorsOf(f.Config)
		if err != nil {
			return fit.Model{}, err
		}
		if files["model.safetensors"], err = safetensors(tensors, format); err != nil {
			return fit.Model{}, err
		}
	}
	prefer := fit.Safetensors
	if _, gguf := files["model.gguf"]; gguf {
		prefer = fit.GGUF
	}
	return fit.Read(files, ".", prefer)
}

// need is what fit works out for a variant: of all its devices, or of the box's memory where it has none.
func (f facts) need(v recipe.Variant) (fit.Need, error) {
	m, err := f.model(v)
	if err != nil {
		return fit.Need{}, err
	}
	engine := fit.Engine(v.Runtime)
	if other, ok := f.Engines[v.Name]; ok {
		engine = fit.Engine(other)
	}
	r := fit.Request{Engine: engine, Context: v.Context, Sequences: v.Concurrency, Devices: devices(v)}
	_, r.Projector = v.Environment["LLAMA_ARG_MMPROJ"]
	if engine == fit.LlamaCpp { // its context is that of all its sequences together
		r.Context *= max(1, v.Concurrency)
		r.Unified = new(false)
	}
	need := fit.Estimate(m, r)
	if engine == fit.TEI && slices.Equal(v.Accelerators, []string{recipe.CPU}) { // as fit has it where there is no device
		need.Weights *= 2
	}
	if text, ok := f.Reserve[v.Name]; ok {
		n, err := amount(text)
		if err != nil {
			return need, err
		}
		need.Overhead += n
	}
	return need, nil
}

// projector is the file of what sees, beside a GGUF file of what speaks; 0 where nothing does.
func projector(tensors []tensor) (bytes int64) {
	for _, t := range tensors {
		if t.class == tower {
			bytes += 2 * t.elements()
		}
	}
	return bytes
}

// devices is how many devices a variant's memory is worked out for.
func devices(v recipe.Variant) int {
	for slot, amount := range v.MinimumNeeds {
		if n, err := strconv.Atoi(amount); err == nil && strings.HasSuffix(slot, ".device") {
			return n
		}
	}
	return 1
}

// near reports whether two sizes differ by no more than a part.
func near(a, b int64, part float64) bool {
	return math.Abs(float64(a)-float64(b)) <= part*math.Max(float64(a), float64(b))
}

func gib(n int64) string { return fmt.Sprintf("%.2fGiB", float64(n)/(1<<30)) }

// memory is what the recipe should say of a variant.
func (f facts) memory(v recipe.Variant) (recipe.Memory, error) {
	need, err := f.need(v)
	if err == nil && need.Impossible != "" {
		err = fmt.Errorf("%s: %s", v.Name, need.Impossible)
	}
	return recipe.Memory{Weights: need.Weights, Cache: need.Cache, Overhead: need.Compute + need.Overhead}, err
}

// parameters is how many weights the dimensions make; 0 where those are not known.
func (f facts) parameters() (sum int64, err error) {
	if f.Config == nil {
		return 0, nil
	}
	tensors, err := tensorsOf(f.Config)
	for _, one := range tensors {
		sum += one.elements()
	}
	return sum, err
}

// bytes is how large the files of a source are.
func (f facts) bytes(e recipe.Entry, s recipe.Source) (int64, error) {
	if n, said := f.Files[s.Name]; said {
		return n, nil
	}
	i := slices.IndexFunc(e.Variants, func(v recipe.Variant) bool { return v.Source == s.Name })
	if i < 0 {
		return 0, fmt.Errorf("no variant uses source %s", s.Name)
	}
	m, err := f.model(e.Variants[i])
	return m.WeightBytes + m.ProjectorBytes, err
}

// What is embedded is what lies here.
func TestRecipesAreEmbedded(t *testing.T) {
	entries, _, err := recipe.Load(modeldefinitions.Files, recipe.Shipped)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		i := slices.IndexFunc(entries, func(other recipe.Entry) bool { return other.Name == e.Name })
		if i < 0 || !reflect.DeepEqual(entries[i], e) {
			t.Error("another one is embedded, or none")
		}
	})
}

// The memory that a recipe states is what fit works out from the model's own dimensions.
func TestMemoryIsThatOfTheEstimator(t *testing.T) {
	each(t, func(t *testing.T, e recipe.Entry, f facts) {
		for _, v := range e.Variants {
			want, err := f.memory(v)
			if err != nil {
				t.Fatal(err)
			}
			const rounding = 1 << 30 / 100
			for _, part := range []struct {
				name      string
				says, has int64
			}{{"weights", v.Memory.Weights, want.Weights}, {"cache", v.Memory.Cache, want.Cache}, {"overhead", v.Memory.Overhead, want.Overhead}} {
				if d := part.says - part.has; d > rounding || d < -rounding {
					t.Errorf("%s: %s of %s, by arithmetic %s: go test ./model-definitions -update writes it", v.Name, part.name, gib(part.says), gib(part.has))
				}
			}
		}
	})
}

// What a recipe says of parameters and of its files' sizes is what the dimensions make.
func TestSizesAreThoseOfTheDimensions(t *testing.T) {
	each(t, func(t *testing.T, e recipe.Entry, f facts) {
		parameters, err := f.parameters()
		if err != nil {
			t.Fatal(err)
		}
		if f.Config != nil && e.Parameters != parameters {
			t.Errorf("%d parameters, by arithmetic %d", e.Parameters, parameters)
		}
		for _, s := range e.Sources {
			bytes, err := f.bytes(e, s)
			if err != nil {
				t.Fatal(err)
			}
			if !near(s.Bytes, bytes, 0.02) {
				t.Errorf("source %s has %d bytes, its weights %d", s.Name, s.Bytes, bytes)
			}
		}
	})
}

// The arithmetic agrees with what makers, hubs and engines say of the same models.
func TestSizesAreThosePublished(t *testing.T) {
	each(t, func(t *testing.T, e recipe.Entry, f facts) {
		says, err := amount(f.Published.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		if !near(says, e.Parameters, 0.05) {
			t.Errorf("%d parameters; %s are published", e.Parameters, f.Published.Parameters)
		}
		for name, size := range f.Published.Sizes {
			v, known := e.Variant(name)
			if !known {
				t.Errorf("there is no variant %s", name)
				continue
			}
			m, err := f.model(v)
			if err != nil {
				t.Fatal(err)
			}
			if says, err = amount(size); err != nil {
				t.Fatal(err)
			}
			if !near(says, m.WeightBytes, 0.01) {
				t.Errorf("%s: weights of %d bytes (%s); %s are published by %s", name, m.WeightBytes, gib(m.WeightBytes), size, f.Published.By)
			}
		}
	})
}

// amount reads 8.2B, 4.68 GiB and plain numbers.
func amount(text string) (int64, error) {
	for end, factor := range map[string]float64{" GiB": 1 << 30, " MiB": 1 << 20, " GB": 1e9, " MB": 1e6, "B": 1e9, "M": 1e6} {
		if number, is := strings.CutSuffix(text, end); is && (end[0] == ' ' || !strings.Contains(text, " ")) {
			n, err := strconv.ParseFloat(number, 64)
			return int64(n * factor), err
		}
	}
	return strconv.ParseInt(text, 10, 64)
}
