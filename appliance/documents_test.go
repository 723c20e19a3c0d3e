package appliance_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link finds the target of a Markdown link.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// eachDocument calls do with the name, relative to the root, and the text of every Markdown file of ours.
func eachDocument(t *testing.T, do func(name, text string)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != top && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(file) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, file)
		do(filepath.ToSlash(relative), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinksBetweenDocumentsLeadSomewhere(t *testing.T) {
	top, seen := root(t), 0
	eachDocument(t, func(name, text string) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(found[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(path.Dir(name)), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
			}
		}
	})
	if seen == 0 {
		t.Error("no link was found: the walk went wrong")
	}
}
