package recipe

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const small = `schema: 1
name: NAME
version: 1
title: Small
description: Says one sentence.
license: {id: MIT}
task: chat
inputs: [text]
outputs: [text]
variants:
  - {name: any, runtime: llama-cpp, accelerators: [cpu], memory: {weights: 1MiB}}
`

func named(name, text string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "NAME", name))}
}

func TestOneBadRecipeSpoilsOnlyItself(t *testing.T) {
	files := fstest.MapFS{
		"good/recipe.yaml":            named("good", small),
		"good/README.md":              {Data: []byte("# Good")},
		"good/icon.svg":               {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`)},
		"newer/recipe.yaml":           named("newer", small+"colour: red\n"),
		"other/recipe.yaml":           named("good", small),
		"broken/recipe.yaml":          {Data: []byte("{")},
		"long/recipe.yaml":            {Data: make([]byte, maxRecipe+1)},
		"evil/recipe.yaml":            named("evil", small),
		"evil/icon.svg":               {Data: []byte(`<svg onload="alert(1)"/>`)},
		"thief/recipe.yaml":           named("thief", small+"sources: [{name: x, from: \"hf:a/b\", mirrors: [/etc/shadow]}]\n"),
		"defined/recipe.yaml":         named("defined", strings.ReplaceAll(small, "llama-cpp", "custom")),
		"wrong/recipe.yaml":           named("wrong", small),
		"wrong/model-definition.yaml": {Data: []byte("models: []")},
		"a-file":                      {Data: []byte("x")},
		"empty/README.md":             {Data: []byte("x")},
	}
	entries, problems, err := Load(files, "friends")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.ID())
	}
	if got := strings.Join(names, " "); got != "friends/good friends/newer" {
		t.Errorf("read: %s", got)
	}
	if string(entries[0].Readme) != "# Good" || entries[0].Icon == nil || entries[0].Problems != nil {
		t.Errorf("%+v", entries[0])
	}
	for _, want := range []string{
		`newer/recipe.yaml:12:1: warning: colour: unknown key`,
		`other/recipe.yaml: name: is "good", and its directory is called "other" (give both the same name)`,
		`broken/recipe.yaml:1:1: not valid YAML`,
		`long/recipe.yaml: has more than 131072 bytes`,
		`evil/icon.svg: holds onload on <svg>; only drawings are wanted`,
		`thief/recipe.yaml: sources: /etc/shadow is a file of the box; a catalog names none (put the files where others can fetch them)`,
		`defined/recipe.yaml: variants: a variant's runtime is custom, and there is no model-definition.yaml (write it beside the recipe)`,
		`wrong/model-definition.yaml:1:9: models: is an empty list`,
	} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() {
		t.Log(problems)
	}
	if _, _, err := Load(os.DirFS(filepath.Join(t.TempDir(), "gone")), "x"); err == nil {
		t.Error("a catalog that is not there was read")
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(string) error{
		File:       func(name string) error { return os.WriteFile(name, named("m", small).Data, 0o644) },
		ReadmeFile: func(name string) error { return os.Symlink(secret, name) },
	} {
		if err := write(filepath.Join(dir, "m", name)); err != nil {
			t.Fatal(err)
		}
	}
	e, ps := LoadDir(os.DirFS(dir), "m")
	if e.Readme != nil || ps.Err() == nil || !strings.Contains(ps.Error(), "m/README.md: is not a plain file") {
		t.Errorf("%q, %v", e.Readme, ps)
	}
	if _, ps := LoadDir(os.DirFS(dir), "nothing"); !strings.Contains(ps.Error(), "nothing/recipe.yaml: is not there") {
		t.Error(ps)
	}
}

func TestIcons(t *testing.T) {
	for src, want := range map[string]string{
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><defs><linearGradient id="a"><stop offset="0"/></linearGradient></defs><rect fill="url(#a)"/></svg>`: "",
		``:                                         "is not SVG: it is empty",
		`<html/>`:                                  "is <html>, not <svg>",
		`<svg><script>1</script>`:                  "holds <script>",
		`<svg><foreignObject/>`:                    "holds <foreignObject>",
		`<svg><use href="#a"/>`:                    "holds <use>",
		`<svg><path onclick="x"/>`:                 "holds onclick",
		`<svg style="x"/>`:                         "holds style",
		`<svg><rect fill="url(http://x)"/>`:        "holds fill",
		`<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`:   "holds a declaration",
		`<?xml version="1.0"?><svg/>`:              "",
		`<?xml-stylesheet href="http://x"?><svg/>`: "holds <?xml-stylesheet?>",
		`<svg`:                              "is not SVG",
		strings.Repeat("<g>", 3):            "is <g>",
		"<svg>" + strings.Repeat("<g>", 40): "nested too deep",
	} {
		err := checkIcon([]byte(src))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}

// Every recipe that Palisade comes with is one that Lint has nothing to say about.
func TestShippedRecipes(t *testing.T) {
	files := os.DirFS("../../model-definitions")
	found, err := fs.Glob(files, "*/"+File)
	if err != nil || len(found) == 0 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, name := range found {
		if _, ps := Lint(files, filepath.Dir(name), nil); len(ps) > 0 {
			t.Errorf("%v", ps)
		}
	}
}

func TestLint(t *testing.T) {
	text := strings.Replace(small, "variants:", `colour: red
sources: [{name: w, from: "hf:a/b"}, {name: unused, from: /srv/x, bytes: 5}]
smoke_test: {path: /v1/models}
verified: [{what: tested, on: x, date: "2026-01-01"}]
variants:
  - {name: b, runtime: vlm, accelerators: [cpu], minimum: sm_80, images: "docker.io/x/y:latest", source: w, memory: {weights: 1, cache: 1}}`, 1)
	files := fstest.MapFS{"a/recipe.yaml": named("a", text), "a/README.md": {Data: []byte("short")}}
	_, ps := Lint(files, "a", []string{"vllm", "llama-cpp"})
	golden(t, "testdata/lint.txt", ps.Error()+"\n")
	for _, p := range ps {
		if p.Line == 0 {
			t.Errorf("no place: %s", p)
		}
	}
	_, ps = Lint(fstest.MapFS{"a/recipe.yaml": {Data: []byte("{")}}, "a", nil)
	if len(ps) != 1 {
		t.Errorf("a broken one: %v", ps)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/recipes/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		r, ps := Parse("f.yaml", src)
		for _, p := range ps {
			if p.Message == "" || p.Line < 1 && len(src) < 1<<20 {
				t.Errorf("%+v", p)
			}
		}
		if ps.Err() != nil {
			return
		}
		// What is read can be used: nothing in it fails later.
		for _, v := range r.Variants {
			if _, known := r.Source(v.Source); v.Source != "" && !known || v.Memory.Total() < 0 {
				t.Errorf("%+v", v)
			}
		}
		if r.SmokeTest != nil {
			if _, err := r.SmokeTest.Request(`a"b`); err != nil {
				t.Error(err)
			}
			_ = r.SmokeTest.Judge(Answer{Status: r.SmokeTest.Status, Body: []byte(`{"choices":[{"message":{"content":"x"}}]}`)})
		}
		if c := NewCollection([]Entry{{Recipe: r, Catalog: Shipped}}); len(c.Search(Query{Text: r.Name})) != 1 {
			t.Errorf("%q does not find itself", r.Name)
		}
	})
}
