package variants

import (
	"path"

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
func readEnv(v *Variant, base map[string]string, f catalog.Field) map[string]string {
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
		checkTemplate(v, e.Value, value)
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
