package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) catalogShow() *cobra.Command {
	var readme bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a model's card: licence, variants, what each needs, and where it fits", Args: words("NAME", 1, 1),
		Long:              "Show a model's card. NAME is a recipe's name, NAME@VERSION, or CATALOG/NAME.",
		Example:           "  palisade catalog show qwen3-8b\n  palisade catalog show qwen3-8b --readme",
		ValidArgsFunction: a.completeAt(0, a.recipeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if readme {
				text, err := c.RecipeReadme(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.show(result{quiet: []string{text}, json: map[string]string{"readme": text}, text: func() error {
					for line := range strings.Lines(text) {
						fmt.Fprintln(a.out, oneLine(strings.TrimRight(line, "\r\n")))
					}
					return nil
				}})
			}
			r, err := c.CatalogRecipe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{r.ID}, json: r, text: func() error { a.recipeCard(r); return nil }})
		},
	}
	cmd.Flags().BoolVar(&readme, "readme", false, "its page, as its maker wrote it")
	return cmd
}

func (a *app) recipeCard(r api.CatalogRecipe) {
	context := ""
	if r.Context > 0 {
		context = fmt.Sprintf("%d tokens", r.Context)
	}
	terms := r.License.ID
	if r.License.Accept {
		terms += ", which must be accepted"
	}
	if r.License.URL != "" {
		terms += ": " + r.License.URL
	}
	fits := ""
	if r.Fit != nil {
		fits = r.Fit.Sentence
		if r.Fit.Variant != "" {
			fits = r.Fit.Variant + ": " + fits
		}
	}
	a.fields(
		[2]string{"Name", r.ID + " " + r.Version}, [2]string{"Title", r.Title}, [2]string{"Description", r.Description},
		[2]string{"Task", r.Task}, [2]string{"In and out", strings.Join(r.Inputs, ", ") + " -> " + strings.Join(r.Outputs, ", ")},
		[2]string{"Parameters", parameters(r)}, [2]string{"Context", context}, [2]string{"Licence", terms}, [2]string{"Publisher", r.Publisher},
		[2]string{"Homepage", r.Homepage}, [2]string{"Tags", strings.Join(r.Tags, ", ")}, [2]string{"Secrets", strings.Join(secretsOf(r), ", ")},
		[2]string{"Here", fits},
	)
	t := newTable("VARIANT", "ENGINE", "ON", "FROM", "CONTEXT", "AT ONCE", "MEMORY", "WEIGHTS", "CACHE", "DOWNLOAD")
	for _, v := range r.Variants {
		download := "by the engine"
		for _, s := range r.Sources {
			if s.Name == v.Source {
				if download = s.From; s.Bytes > 0 {
					download = bytesize.Format(s.Bytes) + " from " + s.From
				}
			}
		}
		architecture := v.Architecture
		if architecture == "" {
			architecture = "any"
		}
		t.add(v.Name, v.Runtime, strings.Join(v.Accelerators, ", "), architecture, tokensOf(v.Context), tokensOf(v.Concurrency), bytesize.Format(v.Memory), bytesize.Format(v.Weights), bytesize.Format(v.Cache), download)
	}
	fmt.Fprintln(a.out)
	t.write(a.out)
	fmt.Fprintln(a.out)
	if len(r.Verified) == 0 {
		fmt.Fprintln(a.out, "Nothing of it was verified.")
	}
	for _, v := range r.Verified {
		text := fmt.Sprintf("Verified on %s: %s, on %s", v.Date, v.What, v.On)
		if v.With != "" {
			text += ", with " + v.With
		}
		fmt.Fprintln(a.out, oneLine(text))
	}
	if r.Fit != nil && r.Fit.Verdict != api.PlanDoesNotFit {
		a.notef("install it: palisade install %s", r.Name)
	}
	if r.Readme {
		a.notef("its page: palisade catalog show %s --readme", r.Name)
	}
}

// secretsOf are what a recipe's sources and variants want.
func secretsOf(r api.CatalogRecipe) []string {
	var out []string
	for _, s := range r.Sources {
		if s.Secret != "" {
			out = append(out, s.Secret)
		}
	}
	for _, v := range r.Variants {
		out = append(out, v.Secrets...)
	}
	return unique(out)
}
