package recipe

import (
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// Bounds of a recipe. Whoever makes catalogs of thousands wants each of them small.
const (
	maxTitle       = 100
	maxDescription = 1000
	maxList        = 100
)

var (
	recipeName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,58}[a-z0-9])?$`)
	versionName = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$`)
	tagName     = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,39}$`)
	licenseID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	sha256Text  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

var (
	inputs  = []string{"text", "image", "audio", "video"}
	outputs = []string{"text", "image", "audio", "vector", "score"}
)

// Keys of each level of the file, in the order in which they are written.
var (
	recipeKeys = []string{
		"schema", "name", "version", "title", "description", "license", "publisher", "homepage", "tags", "task", "inputs", "outputs",
		"parameters", "active", "context", "sources", "variants", "smoke_test", "verified",
	}
	licenseKeys  = []string{"id", "url", "accept"}
	sourceKeys   = []string{"name", "from", "mirrors", "files", "checksum", "bytes", "secret"}
	verifiedKeys = []string{"what", "on", "with", "date"}
)

// Parse reads a recipe.yaml, which file names in messages. It returns every problem at once, in the order of their places;
// the recipe is of use only where Err of them is nil. Keys that are not known are warnings, so that a recipe of tomorrow is
// read today; Lint makes them errors.
func Parse(file string, src []byte) (Recipe, catalog.Problems) {
	doc := catalog.ReadDocument(file, src)
	r := &reader{doc: doc}
	root := doc.Root()
	if !root.Given() {
		if doc.Errors() == 0 {
			root.Error("begin with schema: 1", "the file is empty")
		}
		return Recipe{}, doc.Problems()
	}
	if top, ok := root.Map(); ok {
		r.recipe(top)
	}
	return r.out, doc.Problems()
}

// reader reads one file. Problems are collected in the document.
type reader struct {
	doc *catalog.Document
	out Recipe
}

func (r *reader) recipe(top catalog.Map) {
	r.schema(top.Get("schema"))
	top.WarnUnknown(recipeKeys...)
	out := &r.out
	out.Name = r.named(top.Get("name"), recipeName, "small letters, digits, - and ., at most 60: qwen3-8b")
	if version := top.Get("version"); !version.Given() {
		version.Error("version: 1", "is required")
	} else if text, ok := version.Scalar(); ok {
		out.Version = text
		if !versionName.MatchString(text) {
			version.Error("count up: 1, 2, 3", "%q is not a version", spelling.Short(text))
		}
	}
	out.Title = r.line(top.Get("title"), true, maxTitle)
	out.Description = r.line(top.Get("description"), true, maxDescription)
	out.License = r.license(top.Get("license"))
	out.Publisher = r.line(top.Get("publisher"), false, maxTitle)
	out.Homepage = r.link(top.Get("homepage"))
	out.Tags = r.words(top.Get("tags"), tagName, "small letters, digits, -, + and .")
	out.Task = r.task(top.Get("task"))
	out.Inputs = r.choices(top.Get("inputs"), inputs)
	out.Outputs = r.choices(top.Get("outputs"), outputs)
	out.Parameters = r.amount(top.Get("parameters"), counts, "8.2B")
	out.Active = r.amount(top.Get("active"), counts, "3.3B")
	if out.Active > out.Parameters && out.Parameters > 0 {
		top.Get("active").Error("leave it out where a token takes all of them", "is more than all parameters")
	}
	out.Context, _ = top.Get("context").Int(0, math.MaxInt32)
	out.Sources = r.sources(top.Get("sources"))
	out.Variants = r.variants(top.Get("variants"))
	out.SmokeTest = r.smokeTest(top.Get("smoke_test"))
	out.Verified = r.verified(top.Get("verified"))
}

func (r *reader) schema(f catalog.Field) {
	if !f.Given() {
		f.Error("begin the file with schema: 1", "is required")
		return
	}
	if n, ok := f.Int(1, math.MaxInt32); ok && n > Schema {
		f.Error("update Palisade, or ask for an older version of the recipe", "is %d; this Palisade reads up to %d", n, Schema)
	}
}

// named is a required name that matches.
func (r *reader) named(f catalog.Field, good *regexp.Regexp, wanted string) string {
	text, ok := f.Text()
	switch {
	case !f.Given():
		f.Error(wanted, "is required")
	case ok && !good.MatchString(text):
		f.Error(wanted, "%q cannot be used here", spelling.Short(text))
	}
	return text
}

// line is a text for people, in one line.
func (r *reader) line(f catalog.Field, required bool, most int) string {
	text, ok := f.Text()
	text = strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))
	switch {
	case !f.Given():
		if required {
			f.Error("", "is required")
		}
	case !ok: // said already
	case text == "":
		f.Error("", "is empty")
	case utf8.RuneCountInString(text) > most:
		f.Error("what is longer belongs in README.md", "has %d characters; at most %d are wanted", utf8.RuneCountInString(text), most)
	case strings.ContainsFunc(text, unprintable):
		f.Error("", "holds a control character")
	}
	return text
}

// unprintable is what can move a cursor or turn a line around in a terminal or a page.
func unprintable(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)
}

// link is an address that a person may follow.
func (r *reader) link(f catalog.Field) string {
	text, ok := f.Text()
	if !ok {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsFunc(text, unprintable) {
		f.Error("for example https://huggingface.co/Qwen/Qwen3-8B", "%q is not the address of a page", spelling.Short(text))
		return ""
	}
	return text
}

func (r *reader) license(f catalog.Field) (out License) {
	if !f.Given() {
		f.Error("license: {id: Apache-2.0}", "is required")
		return out
	}
	m, ok := f.Map()
	if !ok {
		return out
	}
	m.WarnUnknown(licenseKeys...)
	out.ID = r.named(m.Get("id"), licenseID, "its SPDX identifier where it has one: Apache-2.0")
	out.URL = r.link(m.Get("url"))
	out.Accept, _ = m.Get("accept").Bool()
	if out.Accept && !m.Get("url").Given() {
		m.Get("url").Error("where its text stands: nobody can accept what cannot be read", "is required where accept is true")
	}
	return out
}

func (r *reader) task(f catalog.Field) Task {
	text, ok := f.Text()
	if !f.Given() {
		f.Error(tasksHint(), "is required")
	} else if ok && !slices.Contains(Tasks(), Task(text)) {
		f.Error(tasksHint(), "there is no task %q", spelling.Short(text))
	}
	return Task(text)
}

func tasksHint() string {
	words := make([]string, 0, 9)
	for _, t := range Tasks() {
		words = append(words, string(t))
	}
	return "one of " + strings.Join(words, ", ")
}

// words is a list of names that match, none of them twice.
func (r *reader) words(f catalog.Field, good *regexp.Regexp, wanted string) []string {
	texts, _ := f.Texts()
	items, _ := f.Items("a list")
	for i, text := range texts {
		switch {
		case !good.MatchString(text):
			items[i].Error(wanted, "%q cannot be used here", spelling.Short(text))
		case slices.Contains(texts[:i], text):
			items[i].Error("remove one of them", "%q is given twice", text)
		}
	}
	r.few(f, len(texts))
	return texts
}

func (r *reader) few(f catalog.Field, n int) {
	if n > maxList {
		f.Error("", "has %d items; at most %d are wanted", n, maxList)
	}
}

// choices is a list of words that are known, at least one.
func (r *reader) choices(f catalog.Field, known []string) []string {
	texts, ok := f.Texts()
	if !f.Given() || ok && len(texts) == 0 {
		f.Error("some of "+strings.Join(known, ", "), "is required")
	}
	items, _ := f.Items("a list")
	for i, text := range texts {
		switch {
		case text != "" && !slices.Contains(known, text):
			items[i].Error("one of "+strings.Join(known, ", "), "%q is not known", spelling.Short(text))
		case slices.Contains(texts[:i], text):
			items[i].Error("remove one of them", "%q is given twice", text)
		}
	}
	return texts
}

func (r *reader) verified(f catalog.Field) (out []Verified) {
	items, _ := f.Items("a list of {what, on, with, date}")
	r.few(f, len(items))
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			continue
		}
		m.WarnUnknown(verifiedKeys...)
		v := Verified{
			What: r.line(m.Get("what"), true, maxTitle), On: r.line(m.Get("on"), true, maxTitle),
			With: r.line(m.Get("with"), false, maxTitle),
		}
		date := m.Get("date")
		v.Date, _ = date.Text()
		if !date.Given() {
			date.Error(`date: "2026-11-22"`, "is required")
		} else if _, err := time.Parse(time.DateOnly, v.Date); err != nil && v.Date != "" {
			date.Error(`date: "2026-11-22"`, "%q is not a date", spelling.Short(v.Date))
		}
		out = append(out, v)
	}
	return out
}
