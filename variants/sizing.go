package variants

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// SizingNames is what an engine calls the settings that decide how much memory it takes. A name that begins with - is an
// argument, any other is an environment variable; arguments win, and the first variable that is set. That an engine is there is
// told by its program.
type SizingNames struct {
	Family      string        `json:"family"`   // the built-in variant whose kind it is: vllm, llama-cpp
	Programs    []string      `json:"programs"` // words of its command: "vllm serve", or a Python module
	Positional  bool          `json:"positional_model,omitempty"`
	Model       []string      `json:"model,omitempty"`
	Context     []string      `json:"context,omitempty"`
	Sequences   []string      `json:"sequences,omitempty"`
	KeyType     []string      `json:"key_type,omitempty"`
	ValueType   []string      `json:"value_type,omitempty"`
	Tensor      []string      `json:"tensor_parallel,omitempty"`
	Pipeline    []string      `json:"pipeline_parallel,omitempty"`
	BatchTokens []string      `json:"batch_tokens,omitempty"`
	Quantize    []string      `json:"quantization,omitempty"`
	Layers      []string      `json:"device_layers,omitempty"`
	Projector   []string      `json:"projector,omitempty"`
	Unified     []string      `json:"unified,omitempty"`
	Separate    []string      `json:"separate,omitempty"` // the opposite of unified
	Fraction    *FractionName `json:"memory_fraction,omitempty"`
}

// FractionName is how an engine is told how much of a device's memory it may take.
type FractionName struct {
	Argument string `json:"argument,omitempty"`
	Env      string `json:"env,omitempty"` // for commands that are the image's own, and what an owner may have set instead
	// Scale is what the engine is told for each part of the device: less than 1 where what it is told leaves something out
	// that it takes too.
	Scale float64 `json:"scale,omitempty"`
}

func (f *FractionName) names() []string {
	var out []string
	for _, name := range []string{f.Argument, f.Env} {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

// Sizing is what a launch says about the memory that its engine will take. What it leaves to the engine is zero.
type Sizing struct {
	Engine         string  `json:"engine"`          // a built-in variant; "" where the engine is not known
	Model          string  `json:"model,omitempty"` // path of what it loads, as the session sees it
	Context        int     `json:"context,omitempty"`
	Sequences      int     `json:"sequences,omitempty"` // that the engine keeps room for; not those that it merely allows
	KeyType        string  `json:"key_type,omitempty"`
	ValueType      string  `json:"value_type,omitempty"`
	Devices        int     `json:"devices,omitempty"` // that it spreads the model over
	Stages         int     `json:"stages,omitempty"`  // of a pipeline; Devices is a multiple of it
	BatchTokens    int     `json:"batch_tokens,omitempty"`
	Quantization   string  `json:"quantization,omitempty"`
	MemoryFraction float64 `json:"memory_fraction,omitempty"`
	DeviceLayers   *int    `json:"device_layers,omitempty"`
	Projector      bool    `json:"projector,omitempty"`
	Unified        *bool   `json:"unified,omitempty"`
}

// InFolder is the path in the model folder of what the engine loads; false where that is elsewhere, or a name to download.
func (s Sizing) InFolder(mount string) (string, bool) {
	if !path.IsAbs(s.Model) {
		return "", false
	}
	if rel, ok := within(mount, path.Clean(s.Model)); ok {
		return rel, true
	}
	return "", false
}

// Sizing reads what a launch says of the engine that requests are routed to.
func (t *Table) Sizing(l LaunchSpec) Sizing {
	if len(l.Processes) == 0 {
		return Sizing{}
	}
	p := l.Processes[0]
	c, ok := t.engineOf(l, p)
	if !ok {
		return Sizing{Model: p.Env[envModelPath]}
	}
	n := c.names
	s := Sizing{
		Engine: n.Family, Model: p.Env[envModelPath], Context: c.number(n.Context), Sequences: c.number(n.Sequences),
		KeyType: c.text(n.KeyType), ValueType: c.text(n.ValueType), BatchTokens: c.number(n.BatchTokens), Quantization: c.text(n.Quantize),
		Projector: c.text(n.Projector) != "",
	}
	if across, stages := c.number(n.Tensor), c.number(n.Pipeline); across > 1 || stages > 1 {
		s.Devices = max(1, min(across, 1<<16)) * max(1, min(stages, 1<<16))
		if stages > 1 {
			s.Stages = stages
		}
	}
	if n.Fraction != nil {
		s.MemoryFraction, _ = strconv.ParseFloat(c.text(n.Fraction.names()), 64)
		if !(s.MemoryFraction > 0 && s.MemoryFraction <= 1) {
			s.MemoryFraction = 0
		}
	}
	if layers, err := strconv.Atoi(c.text(n.Layers)); err == nil && layers >= 0 {
		s.DeviceLayers = &layers
	} else if c.text(n.Layers) == "all" {
		s.DeviceLayers = new(1 << 16)
	}
	switch {
	case c.has(n.Separate):
		s.Unified = new(false)
	case c.has(n.Unified):
		s.Unified = new(true)
	}
	if model := c.model(); model != "" {
		s.Model = model
		if !path.IsAbs(model) && p.WorkDir != "" && strings.HasPrefix(model, ".") {
			s.Model = path.Join(p.WorkDir, model)
		}
	}
	return s
}

// command is an engine's command and environment, as far as they can be known without running anything.
type command struct {
	names SizingNames
	args  []string // after the program
	env   func(name string) string
}

// engineOf finds the engine of one process: by its program, or by the variant where the command is the image's own.
func (t *Table) engineOf(l LaunchSpec, p Process) (command, bool) {
	c := command{env: func(name string) string {
		if v, ok := p.Env[name]; ok {
			return v
		}
		return l.Env[name]
	}}
	if len(p.Argv) == 0 {
		v, ok := t.Lookup(l.Variant)
		if !ok || v.Sizing == nil {
			return command{}, false
		}
		c.names = *v.Sizing
		return c, true
	}
	for _, words := range p.wordings(c.env) {
		for _, v := range t.ofPrograms(l.Variant) {
			for _, program := range v.Sizing.Programs {
				if at := programIn(words, program); at >= 0 {
					c.names, c.args = *v.Sizing, untilOperator(words[at:])
					return c, true
				}
			}
		}
	}
	return command{}, false
}

// ofPrograms are the variants that say what programs they are, the named one first.
func (t *Table) ofPrograms(first string) []Variant {
	var out []Variant
	for _, v := range t.variants {
		switch {
		case v.Sizing == nil:
		case v.Name == first:
			out = slices.Insert(out, 0, v)
		default:
			out = append(out, v)
		}
	}
	return out
}

// wordings are the ways in which a command may be read: its words, and the words of each that is a line of its own.
func (p Process) wordings(env func(string) string) [][]string {
	out := [][]string{p.Argv}
	for i, word := range p.Argv {
		if !strings.ContainsAny(word, " \t\n") && (i == 0 || p.Argv[i-1] != "-c") {
			continue
		}
		line := expandVariables(word, env)
		words, err := splitWords(strings.ReplaceAll(line, "\\\n", " "))
		if err != nil {
			words = strings.Fields(line)
		}
		out = append(out, words)
	}
	return out
}

// expandVariables replaces $NAME and ${NAME} that are known. Anything else that a shell would do is left as it is.
func expandVariables(line string, env func(string) string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(line, '$')
		if at < 0 {
			return b.String() + line
		}
		b.WriteString(line[:at])
		line = line[at+1:]
		name, rest := line, ""
		end := strings.IndexFunc(line, func(r rune) bool {
			return !(r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
		})
		if strings.HasPrefix(line, "{") {
			end = strings.IndexByte(line, '}')
			if end > 0 {
				name, rest = line[1:end], line[end+1:]
			}
		} else if end >= 0 {
			name, rest = line[:end], line[end:]
		}
		if value := env(name); name != "" && value != "" {
			b.WriteString(value)
			line = rest
			continue
		}
		b.WriteByte('$')
	}
}

// programIn is where the arguments of a program begin among words; -1 where it is not among them. Programs may be given with
// their path.
func programIn(words []string, program string) int {
	parts := strings.Fields(program)
	for i := range words {
		if i+len(parts) > len(words) || path.Base(words[i]) != parts[0] {
			continue
		}
		if slices.Equal(words[i+1:i+len(parts)], parts[1:]) {
			return i + len(parts)
		}
	}
	return -1
}

// untilOperator is the words up to the end of a shell's simple command.
func untilOperator(words []string) []string {
	for i, w := range words {
		switch {
		case slices.Contains([]string{";", "&", "&&", "|", "||", ">", "2>", ">>"}, w):
			return words[:i]
		case strings.HasSuffix(w, ";"):
			return append(slices.Clone(words[:i]), strings.TrimSuffix(w, ";"))
		}
	}
	return words
}

// spelled is a long flag as it is listed: some engines take _ for -.
func spelled(flag string) string {
	if strings.HasPrefix(flag, "--") {
		return strings.ReplaceAll(flag, "_", "-")
	}
	return flag
}

// text is the value of a setting; of several, the last argument, or the first variable.
func (c command) text(names []string) string {
	found := ""
	for i, word := range c.args {
		flag, value, joined := strings.Cut(word, "=")
		if !strings.HasPrefix(flag, "-") || !slices.Contains(names, spelled(flag)) {
			continue
		}
		if !joined && i+1 < len(c.args) {
			value = c.args[i+1]
		}
		if value != "" {
			found = value
		}
	}
	for _, name := range names {
		if found == "" && !strings.HasPrefix(name, "-") {
			found = c.env(name)
		}
	}
	if strings.EqualFold(found, "auto") {
		return ""
	}
	return found
}

// has reports whether a setting is there that has no value, or a variable says yes.
func (c command) has(names []string) bool {
	for _, name := range names {
		if slices.ContainsFunc(c.args, func(word string) bool { return spelled(word) == name }) {
			return true
		}
		if !strings.HasPrefix(name, "-") && slices.Contains([]string{"1", "true", "on", "enabled"}, strings.ToLower(c.env(name))) {
			return true
		}
	}
	return false
}

// number is a setting that counts something: 8192, 16k (thousands), 16K (1024). 0 for any other.
func (c command) number(names []string) int {
	text := c.text(names)
	units := map[byte]float64{'k': 1e3, 'm': 1e6, 'K': 1 << 10, 'M': 1 << 20}
	factor := 1.0
	if n := len(text); n > 1 && units[text[n-1]] > 0 {
		factor, text = units[text[n-1]], text[:n-1]
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v > 0) || v*factor > 1<<31 {
		return 0
	}
	return int(v * factor)
}

// model is what the command loads, where it says so.
func (c command) model() string {
	if found := c.text(c.names.Model); found != "" {
		return found
	}
	args := c.args
	if f := c.names.Fraction; f != nil && len(args) > 2 && args[0] == f.Argument { // put there by WithMemoryFraction
		args = args[2:]
	}
	if c.names.Positional && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return args[0]
	}
	return ""
}
