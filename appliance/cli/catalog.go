package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/variants"
)

func (a *app) catalogCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "catalog", Aliases: []string{"catalogs"}, Short: "Models that can be installed by name"})
	cmd.AddCommand(a.catalogList(), a.catalogSearch(), a.catalogShow(), a.catalogPlan(), a.catalogLint())
	cmd.AddCommand(a.catalogPlaces()...)
	return cmd
}

func (a *app) recipeNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Recipes(ctx, api.RecipeFilter{})
	return namesOf(items, err, func(r api.CatalogRecipe) string { return r.Name })
}

// recipeFlags are taken: these are what recipes are chosen by.
type catalogFlags struct {
	api.RecipeFilter
	memory string
}

func (f *catalogFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Task, "task", "", "only of this task: chat, completion, embedding, rerank, transcription, speech, images, vision")
	flags.StringVar(&f.Tag, "tag", "", "only with this tag")
	flags.StringVar(&f.Runtime, "runtime-variant", "", "only with a variant for this engine: vllm, llama-cpp, ...")
	flags.StringVar(&f.Accelerator, "accelerator", "", "only with a variant for this kind: cuda, rocm, cpu")
	flags.StringVar(&f.memory, "memory", "", "only with a variant that needs no more: 24g")
	flags.StringVar(&f.Catalog, "catalog", "", "only of this catalog")
	flags.BoolVar(&f.Fits, "fits", false, "only what fits this appliance as it is now")
	_ = cmd.RegisterFlagCompletionFunc("runtime-variant", a.completeAt(-1, a.variantNames))
}

func (f *catalogFlags) filter() (api.RecipeFilter, error) {
	out := f.RecipeFilter
	out.Fit = true
	if f.memory != "" {
		bytes, err := parseSize(f.memory)
		if err != nil || bytes <= 0 {
			return out, &usageError{message: fmt.Sprintf("--memory %s: is no size", f.memory), hint: "for example --memory 24g"}
		}
		out.MaxBytes = bytes
	}
	return out, nil
}

func (a *app) catalogList() *cobra.Command {
	var f catalogFlags
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what can be installed, and whether it fits this appliance", Args: cobra.NoArgs,
		Example: "  palisade catalog list --fits --task chat\n  palisade catalog list --memory 24g --accelerator cuda",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.recipes(cmd.Context(), f) },
	}
	f.add(a, cmd)
	return cmd
}

func (a *app) catalogSearch() *cobra.Command {
	var f catalogFlags
	cmd := &cobra.Command{
		Use: "search WORD...", Short: "Look for models by words: in names, titles, tags, tasks and descriptions", Args: cobra.MinimumNArgs(1),
		Example: "  palisade catalog search qwen3 coder\n  palisade catalog search speech to text --fits",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Text = strings.Join(args, " ")
			return a.recipes(cmd.Context(), f)
		},
	}
	f.add(a, cmd)
	return cmd
}

func (a *app) recipes(ctx context.Context, f catalogFlags) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	items, err := c.Recipes(ctx, filter)
	if err != nil {
		return err
	}
	t := newTable("NAME", "TASK", "PARAMETERS", "CONTEXT", "MEMORY", "LICENCE", "FITS AS")
	wide := newTable("NAME", "VERSION", "TITLE", "TASK", "PARAMETERS", "CONTEXT", "MEMORY", "ENGINES", "LICENCE", "FITS AS", "WHY NOT")
	var names []string
	seen := make(map[string]bool)
	for _, r := range items {
		name := r.Name
		if seen[name] || r.Catalog != recipe.Shipped && seen[r.ID] {
			name = r.ID
		}
		seen[r.Name] = true
		names = append(names, name)
		fits, why := fitCells(r.Fit)
		t.add(name, r.Task, parameters(r), tokensOf(r.Context), memorySpan(r.Variants), license(r), fits)
		wide.add(name, r.Version, r.Title, r.Task, parameters(r), tokensOf(r.Context), memorySpan(r.Variants), engines(r.Variants), license(r), fits, why)
	}
	if len(items) == 0 && !a.quiet && a.output != "json" {
		a.notef("nothing of the kind is in the catalogs")
	}
	return a.show(result{quiet: names, json: items, table: t, wide: wide})
}

// fitCells are what a list says of how something fits.
func fitCells(fit *api.RecipeFit) (as, why string) {
	switch {
	case fit == nil:
		return "-", ""
	case fit.Verdict == api.PlanDoesNotFit:
		return "-", fit.Sentence
	case fit.Verdict == api.PlanFits:
		return fit.Variant, ""
	case fit.Verdict == api.PlanFitsMoving:
		return fit.Variant + " (others move)", fit.Sentence
	}
	return fit.Variant + " (perhaps)", fit.Sentence
}

// parameters is how large a model is: 8.2B, or 30.5B, 3.3B active.
func parameters(r api.CatalogRecipe) string {
	text := manyOf(r.Parameters)
	if r.Active > 0 && r.Active < r.Parameters {
		text += " (" + manyOf(r.Active) + " active)"
	}
	return text
}

// manyOf prints many: 8.2B, 137M, 665K.
func manyOf(n int64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if v := float64(n) / unit.of; v >= 1 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + unit.name
		}
	}
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func tokensOf(n int) string {
	switch {
	case n == 0:
		return "-"
	case n%1024 == 0 && n >= 1024:
		return fmt.Sprintf("%dk", n/1024)
	}
	return fmt.Sprint(n)
}

// memorySpan is from the least to the most that the variants need.
func memorySpan(all []api.RecipeVariant) string {
	if len(all) == 0 {
		return "-"
	}
	least, most := all[0].Memory, all[0].Memory
	for _, v := range all {
		least, most = min(least, v.Memory), max(most, v.Memory)
	}
	if bytesize.Format(least) == bytesize.Format(most) {
		return bytesize.Format(least)
	}
	return bytesize.Format(least) + " to " + bytesize.Format(most)
}

func engines(all []api.RecipeVariant) string {
	var names []string
	for _, v := range all {
		if len(names) == 0 || names[len(names)-1] != v.Runtime {
			names = append(names, v.Runtime)
		}
	}
	return strings.Join(unique(names), ", ")
}

func unique(words []string) (out []string) {
	seen := make(map[string]bool)
	for _, w := range words {
		if !seen[w] {
			seen[w], out = true, append(out, w)
		}
	}
	return out
}

func license(r api.CatalogRecipe) string {
	if r.License.Accept {
		return r.License.ID + " (to accept)"
	}
	return r.License.ID
}

func (a *app) catalogLint() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use: "lint PATH...", Short: "Say all that is wrong with recipes, for those who write them",
		Long: "Say all that is wrong with recipes, each problem with file, line and column. PATH is a recipe's directory, its recipe.yaml, or a directory of recipes.\n" +
			"No daemon is needed. Exit code 0: good, 1: it would be refused, 2: a mistake in the command.",
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(_ *cobra.Command, args []string) error {
			table, problems := variants.Load("")
			if err := problems.Err(); err != nil {
				return err
			}
			var found catalog.Problems
			recipes := 0
			for _, path := range args {
				n, ps, err := lint(path, table.Names())
				if err != nil {
					return err
				}
				recipes, found = recipes+n, append(found, ps...)
			}
			if strict {
				found = found.Strict()
			}
			return a.showLint(recipes, found)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	return cmd
}

// lint looks at one recipe, or at a directory of them.
func lint(path string, runtimes []string) (recipes int, ps catalog.Problems, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, &usageError{message: path + ": there is no such file or directory"}
	}
	if err != nil {
		return 0, nil, err
	}
	if !info.IsDir() {
		if filepath.Base(path) != recipe.File {
			return 0, nil, &usageError{message: fmt.Sprintf("%s: is no recipe", path), hint: "a recipe is a directory with a " + recipe.File}
		}
		path = filepath.Dir(path)
	}
	at := func(dir string) {
		// Named by its own directory, so that its name can be held against it.
		whole, failed := filepath.Abs(dir)
		if failed != nil {
			whole = dir
		}
		_, found := recipe.Lint(os.DirFS(filepath.Dir(whole)), filepath.Base(whole), runtimes)
		for i := range found {
			found[i].File = filepath.Join(dir, filepath.Base(found[i].File))
		}
		recipes, ps = recipes+1, append(ps, found...)
	}
	if _, err := os.Stat(filepath.Join(path, recipe.File)); err == nil {
		at(path)
		return recipes, ps, nil
	}
	dirs, err := filepath.Glob(filepath.Join(escapeGlob(path), "*", recipe.File))
	if err != nil {
		return 0, nil, err
	}
	if len(dirs) == 0 {
		return 0, nil, &usageError{message: fmt.Sprintf("%s: has neither a %s nor directories with one", path, recipe.File), hint: "see docs/recipes.md"}
	}
	for _, file := range dirs {
		at(filepath.Dir(file))
	}
	return recipes, ps, nil
}

// escapeGlob makes a path mean only itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func (a *app) showLint(recipes int, found catalog.Problems) error {
	warnings := len(found.Warnings())
	verdict := "good"
	if found.Err() != nil {
		verdict = "bad"
	}
	err := a.show(result{
		quiet: []string{verdict},
		json: struct {
			Recipes  int              `json:"recipes"`
			Verdict  string           `json:"verdict"`
			Problems catalog.Problems `json:"problems"`
		}{recipes, verdict, append(catalog.Problems{}, found...)},
		text: func() error {
			for _, p := range found {
				fmt.Fprintln(a.out, oneLine(p.String()))
			}
			fmt.Fprintf(a.out, "%s: %s, %s, %s\n", verdict, plural(recipes, "recipe"), plural(len(found)-warnings, "error"), plural(warnings, "warning"))
			return nil
		},
	})
	if err != nil || verdict == "good" {
		return err
	}
	return errQuietFailure // all was said
}
