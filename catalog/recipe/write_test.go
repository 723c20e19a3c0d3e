package recipe

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestWhatIsWrittenIsReadAsTheSame takes every recipe that is shipped.
func TestWhatIsWrittenIsReadAsTheSame(t *testing.T) {
	found, err := filepath.Glob("../../model-definitions/*/recipe.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("%d recipes, %v", len(found), err)
	}
	for _, name := range found {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, problems := Parse(name, src)
		if err := problems.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := Write(want)
		if err != nil {
			t.Fatal(err)
		}
		got, problems := Parse(name, text)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || problems.Err() != nil {
			t.Errorf("%s: %v (-want +got):\n%s\n%s", name, problems.Err(), diff, text)
		}
	}
}
