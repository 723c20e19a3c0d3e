package modeldefinitions_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// TestMain writes what follows from the facts anew, where that is asked for. It does nothing else then: what is embedded in this
// program is what was there before.
func TestMain(m *testing.M) {
	update := flag.Bool("update", false, "write parameters, sizes, memory and the tables of pages anew, as the arithmetic has them")
	flag.Parse()
	if !*update {
		os.Exit(m.Run())
	}
	if err := writeAnew(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// loaded are the recipes that have facts.
func loaded() (rows []row, err error) {
	entries, problems, err := recipe.Load(os.DirFS("."), recipe.Shipped)
	if err == nil {
		err = problems.Err()
	}
	for _, e := range entries {
		if e.Name == "hello" {
			continue
		}
		f, wrong := factsOf(e)
		if wrong != nil {
			return nil, wrong
		}
		rows = append(rows, row{e, f})
	}
	return rows, err
}

func writeAnew() error {
	rows, err := loaded()
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := r.writeRecipe(); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	if rows, err = loaded(); err != nil { // with what was written
		return err
	}
	for _, r := range rows {
		text, err := readme(r.Entry)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if err := os.WriteFile(filepath.Join(r.Name, recipe.ReadmeFile), []byte(text), 0o644); err != nil {
			return err
		}
	}
	want, _, err := listed(rows)
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(want), 0o644)
}

func (r row) writeRecipe() error {
	var memory, bytes []string
	for _, v := range r.Variants {
		m, err := r.facts.memory(v)
		if err != nil {
			return err
		}
		memory = append(memory, fmt.Sprintf("memory: {weights: %s, cache: %s, overhead: %s}", gib(m.Weights), gib(m.Cache), gib(m.Overhead)))
	}
	for _, s := range r.Sources {
		n, err := r.facts.bytes(r.Entry, s)
		if err != nil {
			return err
		}
		if bytes = append(bytes, fmt.Sprintf("bytes: %.2fGB", float64(n)/1e9)); n < 1e9 {
			bytes[len(bytes)-1] = fmt.Sprintf("bytes: %.0fMB", float64(n)/1e6)
		}
	}
	file := filepath.Join(r.Name, recipe.File)
	if err := rewrite(file, `memory: \{.*\}`, memory); err != nil {
		return err
	}
	if err := rewrite(file, `bytes: .*`, bytes); err != nil {
		return err
	}
	n, err := r.facts.parameters()
	if err != nil || n == 0 {
		return err
	}
	return rewrite(file, `(?m)^parameters: .*$`, []string{fmt.Sprintf("parameters: %d", n)})
}

// rewrite puts lines in place of what matches in a file, one after another.
func rewrite(file, pattern string, lines []string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	what := regexp.MustCompile(pattern)
	if n := len(what.FindAll(src, -1)); n != len(lines) {
		return fmt.Errorf("%d places for %d lines of %s", n, len(lines), what)
	}
	out := what.ReplaceAllStringFunc(string(src), func(string) string {
		line := lines[0]
		lines = lines[1:]
		return line
	})
	return os.WriteFile(file, []byte(out), 0o644)
}
