package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// CatalogRecipe is a model that can be installed by name.
type CatalogRecipe struct {
	ID          string           `json:"id"`      // CATALOG/NAME
	Catalog     string           `json:"catalog"` // palisade for those that come with the appliance
	Name        string           `json:"name"`
	Version     string           `json:"version"`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	License     RecipeLicense    `json:"license"`
	Publisher   string           `json:"publisher,omitempty"`
	Homepage    string           `json:"homepage,omitempty"`
	Tags        []string         `json:"tags"`
	Task        string           `json:"task"`
	Inputs      []string         `json:"inputs"`
	Outputs     []string         `json:"outputs"`
	Parameters  int64            `json:"parameters,omitempty"`
	Active      int64            `json:"active,omitempty"`  // parameters of a token, where that is fewer
	Context     int              `json:"context,omitempty"` // tokens that the model was made for
	Sources     []RecipeSource   `json:"sources"`
	Variants    []RecipeVariant  `json:"variants"` // the preferred first
	Verified    []RecipeVerified `json:"verified"` // what was seen where; empty: nothing was
	SmokeTest   bool             `json:"smoke_test"`
	Readme      bool             `json:"readme"`
	Icon        bool             `json:"icon"`
	Versions    []string         `json:"versions,omitempty"` // that its catalog has, the newest first
	Warnings    []string         `json:"warnings,omitempty"` // of its file
	Fit         *RecipeFit       `json:"fit,omitempty"`      // on this box, where it was asked for
}

// RecipeLicense is what an owner agrees to.
type RecipeLicense struct {
	ID     string `json:"id"`
	URL    string `json:"url,omitempty"`
	Accept bool   `json:"accept"` // must be accepted before anything is fetched
}

// RecipeSource is where files of a model are.
type RecipeSource struct {
	Name    string   `json:"name"`
	From    string   `json:"from"`
	Mirrors []string `json:"mirrors,omitempty"`
	Files   []string `json:"files,omitempty"`
	Bytes   int64    `json:"bytes,omitempty"`
	Secret  string   `json:"secret,omitempty"` // name of the secret that opens it
}

// RecipeVariant is one way to run a model.
type RecipeVariant struct {
	Name         string            `json:"name"`
	Runtime      string            `json:"runtime_variant"`
	Accelerators []string          `json:"accelerators"`
	Architecture string            `json:"architecture,omitempty"` // from which on it runs
	Platforms    []string          `json:"platforms,omitempty"`
	Images       []string          `json:"images,omitempty"`
	Source       string            `json:"source,omitempty"`
	Quantization string            `json:"quantization,omitempty"`
	Context      int               `json:"context,omitempty"`
	Concurrency  int               `json:"concurrency,omitempty"`
	Weights      int64             `json:"weights"` // bytes
	Cache        int64             `json:"cache"`
	Overhead     int64             `json:"overhead"`
	Memory       int64             `json:"memory"` // the sum of the three
	Minimum      map[string]string `json:"minimum,omitempty"`
	Recommended  map[string]string `json:"recommended,omitempty"`
	Secrets      []string          `json:"secrets,omitempty"`
}

// RecipeVerified is one thing that was seen to work.
type RecipeVerified struct {
	What string `json:"what"`
	On   string `json:"on"`
	With string `json:"with,omitempty"`
	Date string `json:"date"`
}

// RecipeFit is whether a recipe fits this box.
type RecipeFit struct {
	Verdict  string `json:"verdict"`
	Variant  string `json:"variant,omitempty"` // that it would be installed as
	Sentence string `json:"sentence"`
}

// The verdicts of plans.
const (
	PlanFits       = "fits"
	PlanFitsMoving = "fits when others move"
	PlanDoesNotFit = "does not fit"
	PlanCannotTell = "cannot tell"
)

// RecipeFilter says which recipes are wanted.
type RecipeFilter struct {
	Text, Task, Tag, Runtime, Accelerator, Catalog string
	MaxBytes                                       int64
	Fit                                            bool // say how each fits
	Fits                                           bool // only those that do
}

// Recipes that can be installed: the best answers first where words are looked for, else by catalog and name.
func (c *Client) Recipes(ctx context.Context, f RecipeFilter) ([]CatalogRecipe, error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"q": f.Text, "task": f.Task, "tag": f.Tag, "runtime": f.Runtime, "accelerator": f.Accelerator, "catalog": f.Catalog,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.MaxBytes > 0 {
		q.Set("max_bytes", fmt.Sprint(f.MaxBytes))
	}
	switch {
	case f.Fits:
		q.Set("fits", "only")
	case f.Fit:
		q.Set("fits", "show")
	}
	return list[CatalogRecipe](ctx, c, "/catalog/recipes", q)
}

// CatalogRecipe finds one by NAME, NAME@VERSION or CATALOG/NAME, and says how it fits.
func (c *Client) CatalogRecipe(ctx context.Context, name string) (CatalogRecipe, error) {
	var out CatalogRecipe
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/catalog/recipes/" + seg(name)}, &out)
}

// RecipeReadme is a recipe's page for people, in Markdown.
func (c *Client) RecipeReadme(ctx context.Context, name string) (string, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/catalog/recipes/" + seg(name) + "/readme"})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(text), err
}

// MakePlan works out what an install would do. Nothing is fetched or changed.
func (c *Client) MakePlan(ctx context.Context, in PlanCreate) (Plan, error) {
	var out Plan
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/catalog/plan", in: in}, &out)
}
