// Package texts owns what the console says, a file a language: en.yaml, ko.yaml. A test sees to it that all languages say
// the same things. It knows nothing of pages.
package texts

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var embedded embed.FS

// Default is the language of who asks for none of ours.
const Default = "en"

// Texts are all languages. They are not changed after Load.
type Texts struct {
	byLanguage map[string]map[string]string
}

// Load reads the languages that the program carries.
func Load() (*Texts, error) {
	t := &Texts{byLanguage: map[string]map[string]string{}}
	entries, err := embedded.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("the texts of the console: %w", err)
	}
	for _, e := range entries {
		raw, err := embedded.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("the texts of the console: %w", err)
		}
		var tree map[string]any
		if err := yaml.Unmarshal(raw, &tree); err != nil {
			return nil, fmt.Errorf("the texts of the console: %s: %w", e.Name(), err)
		}
		said := map[string]string{}
		if err := flatten(said, "", tree); err != nil {
			return nil, fmt.Errorf("the texts of the console: %s: %w", e.Name(), err)
		}
		t.byLanguage[strings.TrimSuffix(e.Name(), ".yaml")] = said
	}
	return t, nil
}

func flatten(into map[string]string, above string, tree map[string]any) error {
	for key, v := range tree {
		name := above + key
		switch v := v.(type) {
		case string:
			into[name] = v
		case map[string]any:
			if err := flatten(into, name+".", v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: %v is no text (quote it)", name, v)
		}
	}
	return nil
}

// Languages that there are, sorted.
func (t *Texts) Languages() []string { return slices.Sorted(maps.Keys(t.byLanguage)) }

// Keys of a language, sorted.
func (t *Texts) Keys(language string) []string {
	return slices.Sorted(maps.Keys(t.byLanguage[language]))
}

// Say returns a text with {0}, {1} ... replaced by the arguments. An unknown key is an error: a page is wrong.
func (t *Texts) Say(language, key string, args ...any) (string, error) {
	text, ok := t.byLanguage[language][key]
	if !ok {
		if text, ok = t.byLanguage[Default][key]; !ok {
			return "", fmt.Errorf("the console has no text %s", key)
		}
	}
	if len(args) == 0 {
		return text, nil
	}
	pairs := make([]string, 0, 2*len(args))
	for i, a := range args {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", fmt.Sprint(a))
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// Count says how many there are of something: key.one for one, key.other else, with {0} the number.
func (t *Texts) Count(language, key string, n int) (string, error) {
	if n == 1 {
		return t.Say(language, key+".one", n)
	}
	return t.Say(language, key+".other", n)
}

// Choose returns the first of a browser's languages (Accept-Language, best first as browsers send it) that there is.
func (t *Texts) Choose(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		if _, ok := t.byLanguage[tag]; ok {
			return tag
		}
	}
	return Default
}
