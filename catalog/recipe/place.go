package recipe

import (
	"errors"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/fetch"
)

// place is where files of a model are.
func (r *reader) place(f catalog.Field) string {
	text, ok := f.Text()
	if !f.Given() {
		f.Error("from: hf:ORG/NAME", "is required")
	}
	if !ok {
		return ""
	}
	if _, err := fetch.ParseRef(text); err != nil {
		hint := ""
		if h, is := errors.AsType[interface {
			error
			Hint() string
		}](err); is {
			hint = h.Hint()
		}
		f.Error(hint, "%v", err)
	}
	return text
}

// globs are the files of a source.
func (r *reader) globs(f catalog.Field) []string {
	texts, _ := f.Texts()
	items, _ := f.Items("a list of file names, which may hold *")
	r.few(f, len(texts))
	for i, text := range texts {
		if err := fetch.CheckGlob(text); err != nil {
			items[i].Error("for example *.safetensors, or original/*.json", "%v", err)
		}
	}
	return texts
}

// OfBox are the sources of a recipe that are files of the box itself. Only its owner may say such a thing: a recipe from
// elsewhere would have any file of the box served.
func (r Recipe) OfBox() (out []string) {
	for _, s := range r.Sources {
		for _, place := range append([]string{s.From}, s.Mirrors...) {
			if ref, err := fetch.ParseRef(place); err == nil && ref.Scheme == "file" {
				out = append(out, place)
			}
		}
	}
	return out
}
