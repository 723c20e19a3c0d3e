package catalog

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests got as what they want")

// golden compares got with the file that holds what is wanted.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// Every NAME.good.yaml parses into NAME.good.json, which holds its warnings too.
func TestGoodDefinitions(t *testing.T) {
	files, err := filepath.Glob("testdata/definitions/*.good.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d definitions: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".good.yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			def, ps := ParseDefinition(filepath.Base(file), src)
			if err := ps.Err(); err != nil {
				t.Fatal(err)
			}
			var warnings []string
			for _, p := range ps {
				warnings = append(warnings, p.String())
			}
			got, err := json.MarshalIndent(struct {
				Models   []Model
				Warnings []string `json:",omitempty"`
			}{def.Models, warnings}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", string(got)+"\n")
		})
	}
}

// Every NAME.bad.yaml fails with exactly the problems of NAME.bad.txt, each with its place.
func TestBadDefinitions(t *testing.T) {
	files, err := filepath.Glob("testdata/definitions/*.bad.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d definitions: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			def, ps := ParseDefinition(filepath.Base(file), src)
			if def != nil || ps.Err() == nil {
				t.Fatalf("parsed: %+v", def)
			}
			for _, p := range ps {
				if p.Line < 1 || p.Column < 1 {
					t.Errorf("no place: %s", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", ps.Error()+"\n")
		})
	}
}

func TestStrict(t *testing.T) {
	src := []byte("models:\n  - name: a\n    colour: red\n    service: {port: 8000}\n")
	def, ps := ParseDefinition("f.yaml", src)
	if def == nil || ps.Err() != nil || len(ps.Warnings()) != 1 {
		t.Fatalf("%v, %v", def, ps)
	}
	err := ps.Strict().Err()
	if err == nil || err.Error() != "f.yaml:3:5: models[0].colour: unknown key" {
		t.Errorf("strict: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	_, ps := ParseDefinition("f.yaml", make([]byte, MaxDocumentSize+1))
	if len(ps) != 1 || !strings.Contains(ps.Error(), "the file has 1048577 bytes; at most 1048576 are read") {
		t.Errorf("%v", ps)
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	var src strings.Builder
	src.WriteString("models:\n")
	for range 1000 {
		src.WriteString("  - name: 5\n")
	}
	_, ps := ParseDefinition("f.yaml", []byte(src.String()))
	if len(ps) != maxProblems+1 || ps[maxProblems].Message != "and 800 more problems" {
		t.Errorf("%d problems, the last is %s", len(ps), ps[len(ps)-1])
	}
}

func TestParseMetadata(t *testing.T) {
	src := []byte("models:\n  - name: a\n    metadata: {title: T, author: 5}\n    service: {port: none}\n")
	name, meta, ps := ParseMetadata("f.yaml", src)
	if name != "a" || meta.Title != "T" {
		t.Errorf("%q %+v", name, meta)
	}
	if ps.Err() != nil || len(ps) != 1 || !strings.Contains(ps[0].String(), "f.yaml:3:34: warning: models[0].metadata.author: is number 5") {
		t.Errorf("%v", ps)
	}
	if _, _, ps := ParseMetadata("f.yaml", []byte("{")); ps.Err() != nil || len(ps) != 1 {
		t.Errorf("%v", ps)
	}
}

func TestDefinitionProblemPlaces(t *testing.T) {
	def, ps := ParseDefinition("f.yaml", []byte("models:\n  - name: a\n    service:\n      port: 8000\n      start_command: [x,\n        y]\n"))
	if def == nil {
		t.Fatal(ps)
	}
	for field, want := range map[string]string{
		"models[0].service.start_command[1]":     "f.yaml:6:9: ",
		"models[0].service.start_command":        "f.yaml:5:22: ",
		"models[0].service.health_check.path":    "f.yaml:4:7: ",
		"models[0].model_path":                   "f.yaml:2:5: ",
		"models[7].name":                         "f.yaml:2:3: ",
		"models[0].service.start_command[1].far": "f.yaml:6:9: ",
	} {
		p := def.Problem(SeverityError, field, "m", "")
		if !strings.HasPrefix(p.String(), want+field) {
			t.Errorf("%s: %s", field, p)
		}
	}
	if p := new(Definition).Problem(SeverityError, "models[0]", "m", "h"); p.String() != "models[0]: m (h)" {
		t.Errorf("%s", p)
	}
}
