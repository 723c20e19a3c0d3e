package appliance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	unhappyWays = "docs/unhappy-ways.md"
	scripts     = "appliance/cli/testdata"
)

// testsOf is every test and fuzz target, as room.TestName, with the texts in it: one of them is the name of each of its
// parts that the document may name.
func testsOf(t *testing.T) map[string][]string {
	t.Helper()
	top, found := root(t), map[string][]string{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, filepath.FromSlash(s.dir), s.name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, is := d.(*ast.FuncDecl)
			if !is || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			texts := []string{}
			ast.Inspect(f, func(n ast.Node) bool {
				if l, is := n.(*ast.BasicLit); is && l.Kind == token.STRING {
					if text, err := strconv.Unquote(l.Value); err == nil {
						texts = append(texts, text)
					}
				}
				return true
			})
			found[s.dir+"."+f.Name.Name] = texts
		}
	}
	return found
}

// TestUnhappyWaysAreWalked holds the document's word: each row has a test, each test is there, and none of either is
// there twice.
func TestUnhappyWaysAreWalked(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(unhappyWays)))
	if err != nil {
		t.Fatal(err)
	}
	tests, said, rows := testsOf(t), map[string]bool{}, 0
	once := func(what string) {
		if said[what] {
			t.Errorf("%q is there twice", what)
		}
		said[what] = true
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[0]) == "what goes wrong" {
			continue
		}
		rows++
		if len(cells) != 3 {
			t.Errorf("%d cells, want 3: %s", len(cells), line)
			continue
		}
		once(strings.TrimSpace(cells[0]))
		if strings.TrimSpace(cells[1]) == "" {
			t.Errorf("what the appliance does is not said: %s", line)
		}
		for named := range strings.SplitSeq(cells[2], ", ") {
			rest, opens := strings.CutPrefix(strings.TrimSpace(named), "`")
			name, closes := strings.CutSuffix(rest, "`")
			if !opens || !closes {
				t.Errorf("%q names no test: %s", named, line)
				continue
			}
			once(name)
			if wrong := noTest(t, tests, name); wrong != "" {
				t.Error(wrong)
			}
		}
	}
	if rows == 0 {
		t.Error("no row was found: the document is read wrongly")
	}
}

// noTest says why name is no test, or "".
func noTest(t *testing.T, tests map[string][]string, name string) string {
	t.Helper()
	if strings.HasSuffix(name, ".txtar") {
		if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(scripts), name)); err != nil {
			return name + " is no script of " + scripts
		}
		return ""
	}
	whole, part := name, ""
	if dot := strings.LastIndex(name, ".Test"); dot >= 0 {
		if test, of, is := strings.Cut(name[dot:], "/"); is {
			whole, part = name[:dot]+test, of
		}
	}
	texts, is := tests[whole]
	switch {
	case !is:
		return whole + " is no test"
	case part != "" && !slices.Contains(texts, part):
		return whole + " has no part " + strconv.Quote(part)
	}
	return ""
}

// named finds tests that documents speak of.
var named = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")

// TestDocumentsNameTestsThatAreThere: a decision says what holds it, and what does must not go away unseen.
func TestDocumentsNameTestsThatAreThere(t *testing.T) {
	there := map[string]bool{}
	for name := range testsOf(t) {
		there[name[strings.LastIndex(name, ".")+1:]] = true
	}
	seen := 0
	eachDocument(t, func(name, text string) {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			seen++
			if !there[found[1]] {
				t.Errorf("%s speaks of %s, which is no test", name, found[1])
			}
		}
	})
	if seen == 0 {
		t.Error("no document names a test: the walk went wrong")
	}
}
