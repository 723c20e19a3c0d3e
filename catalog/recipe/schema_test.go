package recipe

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/palisade-run/palisade/catalog"
)

const schemaFile = "../../docs/recipe.schema.json"

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a file as a checker of JSON schemas takes it.
func instance(t *testing.T, src []byte) any {
	t.Helper()
	doc := catalog.ReadDocument("f.yaml", src)
	return jsonish(doc.Root().Value())
}

// jsonish is a value with its whole numbers as the checker knows them, and kebab-case keys as they are read.
func jsonish(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[strings.ReplaceAll(key, "minimum-needs", "minimum_needs")] = jsonish(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = jsonish(value)
		}
		return out
	case int64:
		return int(v)
	}
	return v
}

// Whatever is read without a problem is right by the schema; what has unknown keys or is wrong is not.
func TestTheSchemaAgreesWithTheReader(t *testing.T) {
	s := schema(t)
	own, err := filepath.Glob("testdata/recipes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Glob("../../model-definitions/*/recipe.yaml")
	if err != nil || len(shipped) == 0 {
		t.Fatalf("found %d shipped recipes, %v", len(shipped), err)
	}
	for _, file := range append(own, shipped...) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "broken.bad.yaml") {
			continue // nothing that a schema could look at
		}
		_, ps := Parse(file, src)
		wrong := s.Validate(instance(t, src))
		switch {
		case len(ps) == 0 && wrong != nil:
			t.Errorf("%s is read, and wrong by the schema: %v", file, wrong)
		case ps.Strict().Err() != nil && wrong == nil && !strings.Contains(file, "unknown-source"): // a schema cannot look names up
			t.Errorf("%s is right by the schema, and its reader says %v", file, ps)
		}
	}
}

// Every key that the reader knows stands in the schema, and no other.
func TestTheSchemaHasTheReadersKeys(t *testing.T) {
	s := schema(t)
	item := func(s *jsonschema.Schema, key string) *jsonschema.Schema {
		list := s.Properties[key]
		if len(list.OneOf) > 0 { // one word, or a list
			list = list.OneOf[1]
		}
		return list.Items2020
	}
	variant := item(s, "variants")
	for name, level := range map[string]struct {
		schema *jsonschema.Schema
		keys   []string
	}{
		"recipe": {s, recipeKeys}, "license": {s.Properties["license"], licenseKeys}, "sources": {item(s, "sources"), sourceKeys},
		"variants": {variant, variantKeys}, "images": {item(variant, "images"), imageKeys}, "memory": {variant.Properties["memory"], memoryKeys},
		"smoke_test": {s.Properties["smoke_test"], smokeKeys}, "verified": {item(s, "verified"), verifiedKeys},
	} {
		if diff := cmp.Diff(slices.Sorted(slices.Values(level.keys)), slices.Sorted(maps.Keys(level.schema.Properties))); diff != "" {
			t.Errorf("%s (-reader +schema):\n%s", name, diff)
		}
	}
}

// docs/recipes.md shows a recipe that is one.
func TestTheDocumentedRecipeIsGood(t *testing.T) {
	page, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := bytes.Cut(page, []byte("```yaml\n"))
	src, _, ended := bytes.Cut(rest, []byte("```\n"))
	if !found || !ended {
		t.Fatal("no recipe in the page")
	}
	src = bytes.ReplaceAll(src, []byte("0123..."), bytes.Repeat([]byte("a0"), 32))
	r, ps := Parse("recipes.md", src)
	if len(ps) > 0 {
		t.Error(ps)
	}
	if err := schema(t).Validate(instance(t, src)); err != nil {
		t.Error(err)
	}
	for _, key := range slices.Concat(recipeKeys, licenseKeys, sourceKeys, variantKeys, imageKeys[:1], memoryKeys, smokeKeys, verifiedKeys) {
		if key != "platform" && key != "form" && key != "with" && !bytes.Contains(src, []byte(key+":")) {
			t.Errorf("the page does not show %s", key)
		}
	}
	if r.Name != "qwen3-8b" {
		t.Errorf("%+v", r)
	}
}
