package fit

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Read reads what the model at a path of the folder says of itself: a file, or a directory in which it is looked for.
// Where a directory has weights in several formats, prefer is taken if it is one of them; "" prefers safetensors. Weights
// are never read. The error is ErrNoModel, ErrDamaged, or that of the file system.
//
// In a directory, in this order:
//
//  1. an adapter (adapter_config.json)
//  2. weights in the directory itself
//  3. what ollama keeps: manifests and blobs
//  4. a pipeline of parts (model_index.json): the weights of all its directories
//  5. the first of its directories that has weights
func Read(files fs.FS, at string, prefer Format) (Model, error) {
	at = path.Clean(at)
	info, err := fs.Stat(files, at)
	if err != nil {
		return Model{}, fmt.Errorf("reading the model: %w", err)
	}
	if !info.IsDir() {
		return readFile(files, at)
	}
	d, err := list(files, at)
	if err != nil {
		return Model{}, err
	}
	if d.has("adapter_config.json") { // 1
		return readAdapter(files, d)
	}
	if f := d.format(prefer); f != "" { // 2
		return readDirectory(files, d, f)
	}
	if m, found, err := readOllama(files, d); found || err != nil { // 3
		return m, err
	}
	if d.has("model_index.json") { // 4
		return readPipeline(files, d)
	}
	for _, dir := range d.dirs { // 5
		below, err := list(files, dir)
		if err != nil {
			continue
		}
		if f := below.format(prefer); f != "" {
			return readDirectory(files, below, f)
		}
	}
	return Model{}, fmt.Errorf("%w in %s", ErrNoModel, at)
}

func readFile(files fs.FS, name string) (Model, error) {
	lower := strings.ToLower(name)
	switch {
	case strings.HasSuffix(lower, ".gguf"):
		return readGGUFModel(files, name)
	case strings.HasSuffix(lower, ".safetensors"), isPickle(lower):
		d := directory{at: path.Dir(name), files: []File{{Name: name}}}
		f := Safetensors
		if isPickle(lower) {
			f = PyTorch
		}
		return readDirectory(files, d, f)
	}
	return Model{}, fmt.Errorf("%w: %s", ErrNoModel, name)
}

var pickle = regexp.MustCompile(`(?i)\.(bin|pt|pth)$`)

// isPickle tells weights from the other things that training leaves behind.
func isPickle(name string) bool {
	base := path.Base(strings.ToLower(name))
	return pickle.MatchString(base) && !strings.Contains(base, "training_args") && !strings.Contains(base, "optimizer") &&
		!strings.Contains(base, "scheduler") && !strings.Contains(base, "rng_state")
}

func isProjector(name string) bool {
	return strings.HasPrefix(strings.ToLower(path.Base(name)), "mmproj")
}

// ggufs are the models among the GGUF files; projectors are none.
func (d directory) ggufs() (models, projectors []File) {
	for _, f := range d.ending(".gguf") {
		if isProjector(f.Name) {
			projectors = append(projectors, f)
		} else {
			models = append(models, f)
		}
	}
	return models, projectors
}

// pickles are the weights of PyTorch's own format: those that transformers wrote, if there are any, else all.
func (d directory) pickles() []File {
	var all, own []File
	for _, f := range d.files {
		if !isPickle(f.Name) {
			continue
		}
		if all = append(all, f); strings.HasPrefix(path.Base(f.Name), "pytorch_model") {
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// format is how the weights of the directory are read; "" where it has none.
func (d directory) format(prefer Format) Format {
	models, _ := d.ggufs()
	has := map[Format]bool{Safetensors: len(d.ending(".safetensors")) > 0, GGUF: len(models) > 0, PyTorch: len(d.pickles()) > 0 && d.has("config.json")}
	for _, f := range []Format{prefer, Safetensors, GGUF, PyTorch} {
		if has[f] {
			return f
		}
	}
	return ""
}

func readDirectory(files fs.FS, d directory, f Format) (Model, error) {
	if f == GGUF {
		models, projectors := d.ggufs()
		m, err := readGGUFModel(files, models[0].Name)
		if err != nil {
			return Model{}, err
		}
		if len(projectors) > 0 {
			m.ProjectorBytes = projectors[0].Bytes
		}
		return m, nil
	}
	config, err := readConfig(files, path.Join(d.at, "config.json"))
	if err != nil {
		return Model{}, err
	}
	quantization, packed := config.quantization()
	w := new(weights)
	if f == PyTorch {
		w.readPickles(d)
	} else if err := w.readAll(files, d, packed); err != nil {
		return Model{}, err
	}
	m := Model{
		Path: d.at, Format: f, Kind: Other, Parameters: w.parameters, WeightBytes: w.bytes, DType: w.dtype(), Quantization: quantization,
		Files: w.files, Unknown: w.unknown, Tied: f == Safetensors && !w.names.head,
	}
	if m.Quantization == "" && strings.HasPrefix(m.DType, "F8") {
		m.Quantization = "fp8"
	}
	if config == nil {
		m.Unknown = append(m.Unknown, "there is no config.json: only the weights are counted")
		return m, nil
	}
	m.describeConfig(config)
	if f == PyTorch {
		m.pickled(config)
	}
	return m, nil
}

func readConfig(files fs.FS, name string) (config, error) {
	src, err := document(files, name)
	if err != nil || src == nil {
		return nil, err
	}
	return parseConfig(name, src)
}

// readAll counts the safetensors of a directory: those that an index lists, else all. Weights that are there a second
// time, as their authors' own program wants them (consolidated*), count once.
func (w *weights) readAll(files fs.FS, d directory, packed packing) error {
	var names []string
	if indices := d.ending(".safetensors.index.json"); len(indices) > 0 {
		listed, err := shards(files, indices[0].Name)
		if err != nil {
			return err
		}
		names = listed
	} else {
		for _, f := range d.ending(".safetensors") {
			names = append(names, f.Name)
		}
		names = withoutConsolidated(names)
	}
	if len(names) > maxShards {
		return damaged(d.at, "has %d files of weights", len(names))
	}
	for _, name := range names {
		if err := w.readSafetensors(files, name, packed); err != nil {
			return err
		}
	}
	return nil
}

func withoutConsolidated(names []string) []string {
	var rest []string
	for _, name := range names {
		if !strings.HasPrefix(path.Base(name), "consolidated") {
			rest = append(rest, name)
		}
	}
	if len(rest) == 0 {
		return names
	}
	return rest
}

// readPickles counts the files of PyTorch's own format, by their size: they are programs, and not looked into.
func (w *weights) readPickles(d directory) {
	for _, f := range d.pickles() {
		w.files = append(w.files, f)
		w.bytes = plus(w.bytes, f.Bytes)
	}
	w.doubt("weights of PyTorch's own format are known by the size of their files only")
}

// pickled guesses the parameters of pickles from their size.
func (m *Model) pickled(c config) {
	bytes := int64(2)
	if t := c.language().text("torch_dtype", "dtype"); strings.Contains(t, "32") {
		bytes, m.DType = 4, "F32"
	} else if t != "" {
		m.DType = strings.ToUpper(strings.NewReplacer("bfloat16", "BF16", "float16", "F16").Replace(shortened(t)))
	}
	if m.Quantization == "" {
		m.Parameters = m.WeightBytes / bytes
	}
}

func readAdapter(files fs.FS, d directory) (Model, error) {
	config, err := readConfig(files, path.Join(d.at, "adapter_config.json"))
	if err != nil {
		return Model{}, err
	}
	m := Model{Path: d.at, Kind: Adapter, Format: Safetensors, Base: shortened(config.text("base_model_name_or_path"))}
	w := new(weights)
	if err := w.readAll(files, d, packing{}); err != nil {
		return Model{}, err
	}
	if len(w.files) == 0 {
		m.Format = PyTorch
		w.readPickles(d)
	}
	m.WeightBytes, m.Parameters, m.DType, m.Files = w.bytes, w.parameters, w.dtype(), w.files
	w.doubt("this is an adapter: what its base model needs comes on top")
	m.Unknown = w.unknown
	return m, nil
}

// readPipeline adds up the parts of a diffusers pipeline.
func readPipeline(files fs.FS, d directory) (Model, error) {
	m := Model{Path: d.at, Kind: Other, Format: Safetensors}
	if index, err := readConfig(files, path.Join(d.at, "model_index.json")); err != nil {
		return Model{}, err
	} else if name := index.text("_class_name"); name != "" {
		m.Architecture = shortened(name)
	}
	w := new(weights)
	for _, dir := range d.dirs {
		part, err := list(files, dir)
		if err != nil {
			return Model{}, err
		}
		if err := w.readAll(files, part, packing{}); err != nil {
			return Model{}, err
		}
	}
	if len(w.files) == 0 {
		return Model{}, fmt.Errorf("%w in %s", ErrNoModel, d.at)
	}
	m.WeightBytes, m.Parameters, m.DType, m.Files = w.bytes, w.parameters, w.dtype(), w.files
	w.doubt("what a pipeline needs beside its weights depends on the pictures: only the weights are counted")
	m.Unknown = w.unknown
	return m, nil
}

// readOllama reads the largest model of a directory that ollama has filled: it loads whichever is asked for.
func readOllama(files fs.FS, d directory) (m Model, found bool, err error) {
	blobs := path.Join(d.at, "blobs")
	if !slices.Contains(d.dirs, blobs) || !slices.Contains(d.dirs, path.Join(d.at, "manifests")) {
		return Model{}, false, nil
	}
	kept, err := list(files, blobs)
	if err != nil {
		return Model{}, false, err
	}
	models := 0
	for _, f := range kept.files {
		if !startsWithGGUF(files, f.Name) {
			continue
		}
		one, err := readGGUFModel(files, f.Name)
		if err != nil {
			return Model{}, true, err
		}
		if one.Kind == Other || one.Kind == Adapter {
			continue
		}
		if models++; one.WeightBytes > m.WeightBytes {
			m = one
		}
	}
	if models == 0 {
		return Model{}, false, nil
	}
	if models > 1 {
		m.Unknown = append(m.Unknown, fmt.Sprintf("there are %d models: this is the largest of them", models))
	}
	return m, true, nil
}

func startsWithGGUF(files fs.FS, name string) bool {
	f, size, err := open(files, name)
	if err != nil || size < 24 {
		return false
	}
	defer f.Close()
	var magic [4]byte
	n, _ := f.Read(magic[:])
	return n == 4 && string(magic[:]) == "GGUF"
}

// String is the model in a few words: "LlamaForCausalLM, 8.0 billion parameters, BF16".
func (m Model) String() string {
	parts := []string{m.Architecture}
	if m.Architecture == "" {
		parts[0] = string(m.Kind)
	}
	if m.Parameters > 0 {
		parts = append(parts, count(m.Parameters)+" parameters")
	}
	if m.Quantization != "" {
		parts = append(parts, m.Quantization)
	} else if m.DType != "" {
		parts = append(parts, m.DType)
	}
	return strings.Join(parts, ", ")
}

// count is a number of parameters as people say it.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f million", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}
