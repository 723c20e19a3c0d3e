package recipe

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// Lint reads a recipe's directory as its author wants it read: what a catalog's reader lets pass is an error, and what is missing
// for those who choose a model is a warning. runtimes are the runtime variants that there are; none: they are not checked.
func Lint(files fs.FS, dir string, runtimes []string) (Entry, catalog.Problems) {
	e, ps := LoadDir(files, dir)
	ps = ps.Strict()
	if ps.Err() != nil && e.Name == "" {
		return e, ps
	}
	file := path.Join(dir, File)
	doc := catalog.ReadDocument(file, mustRead(files, file))
	l := &linter{entry: e, doc: doc, runtimes: runtimes}
	l.walk(doc.Root())
	l.recipe()
	l.sources()
	for i, v := range e.Variants {
		l.variant(fmt.Sprintf("variants[%d]", i), v)
	}
	all := slices.Concat(ps, doc.Problems())
	slices.SortStableFunc(all, func(a, b catalog.Problem) int { return cmp.Compare(a.File, b.File) })
	return e, slices.CompactFunc(all, func(a, b catalog.Problem) bool { return a == b })
}

// mustRead is what LoadDir read a moment ago; a file that went away since is an empty one.
func mustRead(files fs.FS, name string) []byte {
	src, err := readBounded(files, name, maxRecipe)
	if err != nil {
		return nil
	}
	return src
}

type linter struct {
	entry    Entry
	doc      *catalog.Document
	runtimes []string
}

// walk reads all fields, so that each has a place.
func (l *linter) walk(f catalog.Field) {
	switch f.Value().(type) {
	case map[string]any:
		m, _ := f.Map()
		for _, e := range m.Entries() {
			l.walk(m.Get(strings.ReplaceAll(e.Key, "-", "_")))
		}
	case []any:
		items, _ := f.Items("a list")
		for _, item := range items {
			l.walk(item)
		}
	}
}

func (l *linter) warn(field, hint, format string, args ...any) {
	l.doc.At(field).Warn(hint, format, args...)
}

func (l *linter) recipe() {
	e := l.entry
	if places := e.OfBox(); len(places) > 0 {
		l.warn("sources", "others cannot fetch it; a catalog with it is refused", "%s is a file of this box", spelling.Short(places[0]))
	}
	switch {
	case e.Readme == nil:
		l.warn("", "write "+ReadmeFile+" beside it: what the model is good for, and what not", "has no page for people")
	case len(bytes.TrimSpace(e.Readme)) < 100:
		l.warn("", "", "%s says next to nothing", ReadmeFile)
	}
	if e.License.URL == "" && !strings.HasPrefix(e.License.ID, "CC0") {
		l.warn("license", "url: where its text stands", "nobody can read it")
	}
	if e.SmokeTest == nil {
		l.warn("", "smoke_test: one request, and what its answer must hold", "nothing says that it answers once it is installed")
	} else if len(e.SmokeTest.Holds) == 0 {
		l.warn("smoke_test", "holds: [choices[0].message.content]", "any answer is right")
	}
	if e.Parameters == 0 {
		l.warn("parameters", "parameters: 8.2B", "it does not say how large the model is")
	}
	if slices.Contains([]Task{Chat, Completion, Vision, Embedding, Rerank}, e.Task) && e.Context == 0 {
		l.warn("context", "context: 40960", "it does not say how many tokens the model is made for")
	}
	for i, v := range e.Verified {
		if strings.EqualFold(v.What, "tested") {
			l.warn(fmt.Sprintf("verified[%d].what", i), "arithmetic, download, start, answers", "%q does not say what was seen", v.What)
		}
	}
}

func (l *linter) sources() {
	for i, s := range l.entry.Sources {
		field := fmt.Sprintf("sources[%d]", i)
		if !slices.ContainsFunc(l.entry.Variants, func(v Variant) bool { return v.Source == s.Name }) {
			l.warn(field+".name", "remove it, or name it in a variant", "no variant uses source %q", s.Name)
		}
		if s.Bytes == 0 {
			l.warn(field+".bytes", "bytes: 16.4GB, so that a plan can say how long it takes", "it does not say how large its files are")
		}
	}
}

func (l *linter) variant(field string, v Variant) {
	if len(l.runtimes) > 0 && !slices.Contains(l.runtimes, v.Runtime) {
		l.warn(field+".runtime", "one of "+strings.Join(l.runtimes, ", "), "this Palisade has no runtime variant %q", v.Runtime)
	}
	on := v.Platforms
	if len(on) == 0 {
		on = platforms
	}
	for _, kind := range v.Accelerators {
		for _, platform := range on {
			if v.Image(kind, platform) == "" {
				l.warn(field+".images", "give it one, or say the platforms that there are images for", "there is no image for %s on %s", kind, platform)
			}
		}
	}
	for i, image := range v.Images {
		name, tag := image.Reference, ""
		if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
			tag = name[at+1:]
		}
		if name != "host" && !strings.Contains(name, "@") && (tag == "" || tag == "latest") {
			l.warn(fmt.Sprintf("%s.images[%d].reference", field, i), "name a version, so that it is the same everywhere and tomorrow", "%s may be anything", name)
		}
	}
	if len(v.Accelerators) == 1 && v.Accelerators[0] == CPU && v.Minimum != "" {
		l.warn(field+".minimum", "remove it", "a variant that runs without an accelerator needs no architecture")
	}
	if l.entry.Context > 0 && v.Memory.Cache > 0 && v.Context == 0 {
		l.warn(field+".context", "context: 32768", "its cache is worked out for a context that it does not say")
	}
	if v.Memory.Cache > 0 && v.Concurrency == 0 {
		l.warn(field+".concurrency", "concurrency: 1", "its cache is worked out for a number of sequences that it does not say")
	}
	if v.MinimumNeeds["cpu"] == "" || v.MinimumNeeds["mem"] == "" {
		l.warn(field+".minimum_needs", "minimum_needs: {cpu: 4, mem: 16g, cuda.device: 1}", "it does not say cpu and mem")
	}
}
