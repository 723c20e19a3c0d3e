package variants

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

func readEnvArguments(f catalog.Field) []EnvArgument {
	items, _ := f.Items("a list of {env: NAME, flag: --flag}")
	var out []EnvArgument
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			continue
		}
		m.WarnUnknown("env", "flag", "split")
		var a EnvArgument
		a.Env = readEnvName(m.Get("env"))
		a.Flag, _ = m.Get("flag").Text()
		a.Split, _ = m.Get("split").Bool()
		if (a.Flag == "") != a.Split {
			item.Error("flag: --quantization for one value, split: true for a line of arguments", "wants a flag, or split, and not both")
		}
		out = append(out, a)
	}
	return out
}

func readNeeds(f catalog.Field) []Need {
	items, _ := f.Items("a list of {env: NAME, hint: where to get it}")
	var out []Need
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			continue
		}
		m.WarnUnknown("env", "hint")
		n := Need{Env: readEnvName(m.Get("env"))}
		n.Hint, _ = m.Get("hint").Text()
		out = append(out, n)
	}
	return out
}

func readEnvName(f catalog.Field) string {
	name, ok := f.Text()
	switch {
	case !f.Given():
		f.Error("env: MY_VARIABLE", "is required")
	case ok && !envName.MatchString(name):
		f.Error("letters, digits and _, not beginning with a digit", "%q cannot be the name of an environment variable", name)
	}
	return name
}

// readEnv adds a map of environment variables to base.
func readEnv(v *Variant, base map[string]string, f catalog.Field, more ...string) map[string]string {
	m, ok := f.Map()
	if !ok {
		return base
	}
	if base == nil {
		base = make(map[string]string)
	}
	for _, e := range m.Entries() {
		if !envName.MatchString(e.Key) {
			e.Value.Error("letters, digits and _, not beginning with a digit", "%q cannot be the name of an environment variable", e.Key)
		}
		value, ok := e.Value.Scalar()
		if !ok {
			continue
		}
		checkTemplate(v, e.Value, value, more...)
		base[e.Key] = value
	}
	return base
}

func readScratch(f catalog.Field) []string {
	dirs, _ := f.Texts()
	for _, dir := range dirs {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" {
			f.Error("for example /var/cache/engine", "%q is not the absolute path of a directory", dir)
		}
	}
	return dirs
}

func readMetrics(f catalog.Field) Metrics {
	var out Metrics
	m, ok := f.Map()
	if !ok {
		return out
	}
	m.WarnUnknown("path", "port", "names")
	if p := m.Get("path"); !p.Given() {
		p.Error("path: /metrics", "is required")
	} else if text, ok := p.Text(); ok {
		out.Path = text
		if !path.IsAbs(text) {
			p.Error("for example /metrics", "%q does not begin with /", text)
		}
	}
	out.Port, _ = m.Get("port").Int(1, 65535)
	names, ok := m.Get("names").Map()
	if !ok {
		return out
	}
	out.Names = make(map[string][]string)
	for _, e := range names.Entries() {
		list, _ := e.Value.Texts()
		for _, name := range list {
			if !metricName.MatchString(name) {
				e.Value.Error("", "%q cannot be the name of a Prometheus metric", name)
			}
		}
		out.Names[e.Key] = list
	}
	return out
}

// readSizing reads what an engine calls what decides its memory. An empty one takes back what a variant began with.
func readSizing(f catalog.Field, name string) *SizingNames {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	out := SizingNames{Family: name}
	lists := map[string]*[]string{
		"programs": &out.Programs, "model": &out.Model, "context": &out.Context, "sequences": &out.Sequences, "key_type": &out.KeyType,
		"value_type": &out.ValueType, "tensor_parallel": &out.Tensor, "pipeline_parallel": &out.Pipeline, "batch_tokens": &out.BatchTokens,
		"quantization": &out.Quantize, "device_layers": &out.Layers, "projector": &out.Projector, "unified": &out.Unified, "separate": &out.Separate,
	}
	known := append(slices.Sorted(maps.Keys(lists)), "family", "positional_model", "memory_fraction")
	m.WarnUnknown(known...)
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		list := m.Get(key)
		*lists[key], _ = list.Texts()
		for _, word := range *lists[key] {
			if key != "programs" && !strings.HasPrefix(word, "-") && !envName.MatchString(word) {
				list.Error("an argument begins with -, an environment variable is letters, digits and _", "%q is neither an argument nor a variable", word)
			}
			if strings.TrimSpace(word) == "" {
				list.Error("for example vllm serve", "has an empty word")
			}
		}
	}
	if family, ok := m.Get("family").Text(); ok {
		out.Family = family
	}
	out.Positional, _ = m.Get("positional_model").Bool()
	if fraction := m.Get("memory_fraction"); fraction.Given() {
		out.Fraction = readFraction(fraction)
	}
	return &out
}

func readFraction(f catalog.Field) *FractionName {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("argument", "env", "scale")
	var out FractionName
	out.Argument, _ = m.Get("argument").Text()
	if env := m.Get("env"); env.Given() {
		out.Env = readEnvName(env)
	}
	scale := m.Get("scale")
	if text, ok := scale.Scalar(); ok {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v <= 1) {
			scale.Error("1 (the default), or less where the engine takes more than it is told", "%q is not a number above 0 and up to 1", text)
		}
		out.Scale = v
	}
	if !strings.HasPrefix(out.Argument, "-") && out.Env == "" {
		f.Error("argument: --gpu-memory-utilization, or env: MY_FRACTION", "wants an argument or an environment variable")
	}
	return &out
}
