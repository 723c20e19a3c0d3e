package recipe

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

// Every NAME.good.yaml parses into NAME.good.json, which holds its warnings too; every NAME.bad.yaml has exactly the problems of
// NAME.bad.txt, each with its place.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("testdata/recipes/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d recipes: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, ps := Parse(filepath.Base(file), src)
			for _, p := range ps {
				if p.Line < 1 || p.Column < 1 {
					t.Errorf("no place: %s", p)
				}
			}
			if strings.HasSuffix(file, ".bad.yaml") {
				if ps.Err() == nil {
					t.Fatalf("parsed: %+v", r)
				}
				golden(t, strings.TrimSuffix(file, ".yaml")+".txt", ps.Error()+"\n")
				return
			}
			if err := ps.Err(); err != nil {
				t.Fatal(err)
			}
			warnings := []string{}
			for _, p := range ps {
				warnings = append(warnings, p.String())
			}
			got, err := json.MarshalIndent(struct {
				Recipe   Recipe
				Warnings []string
			}{r, warnings}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", string(got)+"\n")
		})
	}
}
