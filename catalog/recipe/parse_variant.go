package recipe

import (
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

var (
	partName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,58}[a-z0-9])?$`)
	kindName     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	architecture = regexp.MustCompile(`^(sm_[0-9]{2,3}[a-z]?|gfx[0-9a-f]{3,4})$`)
	reference    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$`)
	slotName     = regexp.MustCompile(`^(cpu|mem|[a-z][a-z0-9-]*\.[a-z0-9-]+)$`)
	slotAmount   = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?([kmgtKMGT]i?[bB]?)?$`)
)

var (
	platforms   = []string{"amd64", "arm64"}
	variantKeys = []string{
		"name", "runtime", "images", "accelerators", "minimum", "platforms", "source", "model", "quantization", "context",
		"concurrency", "environment", "arguments", "memory", "minimum_needs", "recommended", "secrets",
	}
	imageKeys  = []string{"accelerator", "platform", "reference"}
	memoryKeys = []string{"weights", "cache", "overhead"}
)

func (r *reader) sources(f catalog.Field) (out []Source) {
	items, _ := f.Items("a list of {name, from}")
	r.few(f, len(items))
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			r.missing(item, "a source")
			continue
		}
		m.WarnUnknown(sourceKeys...)
		s := Source{Name: r.named(m.Get("name"), partName, "small letters, digits, -, _ and .: weights")}
		if slices.ContainsFunc(out, func(o Source) bool { return o.Name == s.Name && s.Name != "" }) {
			m.Get("name").Error("give each source a name of its own", "there is a source %q already", s.Name)
		}
		s.From = r.place(m.Get("from"))
		mirrors, _ := m.Get("mirrors").Items("a list of places")
		for _, mirror := range mirrors {
			s.Mirrors = append(s.Mirrors, r.place(mirror))
		}
		s.Files = r.globs(m.Get("files"))
		s.Checksum = r.checksums(m.Get("checksum"))
		s.Bytes = r.amount(m.Get("bytes"), sizes, "16.4GB")
		if secret := m.Get("secret"); secret.Given() {
			s.Secret = r.named(secret, envName, "the name of a secret: HF_TOKEN")
		}
		out = append(out, s)
	}
	return out
}

// missing reports an empty item of a list; what is of the wrong type was said already.
func (r *reader) missing(item catalog.Field, what string) {
	if !item.Given() {
		item.Error("remove the empty item", "is null; %s is wanted", what)
	}
}

// local reports whether a name stays below where it begins.
func local(name string) bool { return fs.ValidPath(name) && !strings.ContainsAny(name, "\\\x00") }

func (r *reader) checksums(f catalog.Field) map[string]string {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	out := make(map[string]string)
	for _, e := range m.Entries() {
		sum, ok := e.Value.Scalar()
		switch {
		case !local(e.Key):
			e.Value.Error("its path in the model", "%q is not the name of a file", spelling.Short(e.Key))
		case !e.Value.Given() || ok && !sha256Text.MatchString(sum):
			e.Value.Error("64 hexadecimal digits, in small letters", "%q is not a SHA-256", spelling.Short(sum))
		}
		out[e.Key] = sum
	}
	return out
}

func (r *reader) variants(f catalog.Field) (out []Variant) {
	items, ok := f.Items("a list of variants")
	if !f.Given() || ok && len(items) == 0 {
		f.Error("say at least one way in which the model is run", "is required")
	}
	r.few(f, len(items))
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			r.missing(item, "a variant")
			continue
		}
		v := r.variant(m)
		if slices.ContainsFunc(out, func(o Variant) bool { return o.Name == v.Name && v.Name != "" }) {
			m.Get("name").Error("give each variant a name of its own", "there is a variant %q already", v.Name)
		}
		out = append(out, v)
	}
	return out
}

func (r *reader) variant(m catalog.Map) (v Variant) {
	m.WarnUnknown(variantKeys...)
	v.Name = r.named(m.Get("name"), partName, "small letters, digits, -, _ and .: q4-k-m")
	v.Runtime = r.named(m.Get("runtime"), partName, "a runtime variant: vllm, llama-cpp (see palisade runtimes)")
	v.Accelerators = r.words(m.Get("accelerators"), kindName, "a kind of accelerator: cuda, rocm, cpu")
	if len(v.Accelerators) == 0 {
		m.Get("accelerators").Error("for example [cuda], or [cpu] where it needs none", "is required")
	}
	v.Images = r.images(m.Get("images"), v.Accelerators)
	if f := m.Get("minimum"); f.Given() {
		v.Minimum = r.named(f, architecture, "sm_80, or gfx942")
	}
	if f := m.Get("platforms"); f.Given() {
		v.Platforms = r.choices(f, platforms)
	}
	v.Source = r.sourceName(m.Get("source"))
	if text, ok := m.Get("model").Text(); ok {
		v.Model = text
		if text != "" && !local(text) {
			m.Get("model").Error("a file or directory of the model's folder", "%q is not a path in a folder", spelling.Short(text))
		}
	}
	v.Quantization = r.line(m.Get("quantization"), false, maxTitle)
	v.Context, _ = m.Get("context").Int(0, math.MaxInt32)
	if most := r.out.Context; most > 0 && v.Context > most {
		m.Get("context").Error("", "is %d, and the model is made for %d", v.Context, most)
	}
	v.Concurrency, _ = m.Get("concurrency").Int(0, 1<<20)
	v.Environment = r.environment(m.Get("environment"))
	v.Arguments, _ = m.Get("arguments").Texts()
	v.Memory = r.memory(m.Get("memory"))
	v.MinimumNeeds = r.slots(m.Get("minimum_needs"))
	v.Recommended = r.slots(m.Get("recommended"))
	v.Secrets = r.words(m.Get("secrets"), envName, "the name of an environment variable: NGC_API_KEY")
	return v
}

func (r *reader) sourceName(f catalog.Field) string {
	text, ok := f.Text()
	if !ok {
		return ""
	}
	if _, known := r.out.Source(text); !known {
		hint := "list it under sources:"
		if names := r.sourceNames(); len(names) > 0 {
			hint = "one of " + strings.Join(names, ", ")
		}
		f.Error(hint, "there is no source %q", spelling.Short(text))
	}
	return text
}

func (r *reader) sourceNames() (out []string) {
	for _, s := range r.out.Sources {
		out = append(out, s.Name)
	}
	return out
}

// images reads a list, or one reference for all kinds.
func (r *reader) images(f catalog.Field, kinds []string) (out []Image) {
	if one, is := f.Value().(string); is {
		return []Image{{Reference: r.reference(f, one)}}
	}
	items, _ := f.Items("a list of {accelerator, reference}")
	r.few(f, len(items))
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			r.missing(item, "an image")
			continue
		}
		m.WarnUnknown(imageKeys...)
		var i Image
		if text, ok := m.Get("accelerator").Text(); ok {
			i.Accelerator = text
			if !slices.Contains(kinds, text) {
				m.Get("accelerator").Error("name it among the variant's accelerators, or remove the image", "the variant does not run on %q", spelling.Short(text))
			}
		}
		if text, ok := m.Get("platform").Text(); ok {
			i.Platform = text
			if !slices.Contains(platforms, text) {
				m.Get("platform").Error("one of "+strings.Join(platforms, ", "), "%q is not known", spelling.Short(text))
			}
		}
		text, ok := m.Get("reference").Text()
		if ok {
			i.Reference = r.reference(m.Get("reference"), text)
		} else if !m.Get("reference").Given() {
			m.Get("reference").Error("docker.io/vllm/vllm-openai:v0.11.0", "is required")
		}
		out = append(out, i)
	}
	return out
}

func (r *reader) reference(f catalog.Field, text string) string {
	if !reference.MatchString(text) {
		f.Error("for example docker.io/vllm/vllm-openai:v0.11.0", "%q is not the reference of an image", spelling.Short(text))
	}
	return text
}

func (r *reader) environment(f catalog.Field) map[string]string {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	out := make(map[string]string)
	for _, e := range m.Entries() {
		if !envName.MatchString(e.Key) {
			e.Value.Error("letters, digits and _, not beginning with a digit", "%q cannot be the name of an environment variable", spelling.Short(e.Key))
		}
		if e.Value.IsNull() {
			e.Value.Error(`put it in quotes: ""`, "is null; a value is wanted")
		}
		out[e.Key], _ = e.Value.Scalar()
	}
	return out
}

func (r *reader) memory(f catalog.Field) (out Memory) {
	if !f.Given() {
		f.Error("memory: {weights: 15.3GiB, cache: 4GiB, overhead: 1.5GiB}", "is required")
		return out
	}
	m, ok := f.Map()
	if !ok {
		return out
	}
	m.WarnUnknown(memoryKeys...)
	if !m.Get("weights").Given() {
		m.Get("weights").Error("15.3GiB", "is required")
	}
	out.Weights = r.amount(m.Get("weights"), sizes, "15.3GiB")
	out.Cache = r.amount(m.Get("cache"), sizes, "4GiB")
	out.Overhead = r.amount(m.Get("overhead"), sizes, "1.5GiB")
	return out
}

// slots reads resources and amounts. Their names have dots and dashes of their own.
func (r *reader) slots(f catalog.Field) map[string]string {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	out := make(map[string]string)
	for _, e := range m.Entries() {
		amount, ok := e.Value.Scalar()
		switch {
		case !slotName.MatchString(e.Key):
			e.Value.Error("cpu, mem, cuda.device, cuda.shares", "%q is not a resource", spelling.Short(e.Key))
		case !e.Value.Given() || ok && !slotAmount.MatchString(amount):
			e.Value.Error("a number, or a size such as 16g", "%q is not an amount", spelling.Short(amount))
		}
		out[e.Key] = amount
	}
	return out
}
