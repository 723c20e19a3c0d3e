package admintest

import (
	"context"
	"slices"

	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// recipes are two that come with the appliance, and those of its catalogs.
type recipes struct{ index *index.Index }

// Collection implements admin.Recipes.
func (r recipes) Collection(ctx context.Context) *recipe.Collection {
	small := recipe.Entry{Catalog: recipe.Shipped, Readme: []byte("# Small\n\nIt says one sentence.\n"), Recipe: recipe.Recipe{
		Name: "small", Version: "1", Title: "Small", Description: "A model that fits.", License: recipe.License{ID: "MIT"}, Task: recipe.Chat,
		Inputs: []string{"text"}, Outputs: []string{"text"}, Parameters: 8_200_000_000, Context: 32768, Tags: []string{"tools"},
		Sources: []recipe.Source{{Name: "weights", From: "hf:a/small", Bytes: 8 << 30}},
		Variants: []recipe.Variant{{
			Name: "fp8", Runtime: "vllm", Accelerators: []string{"cuda"}, Minimum: "sm_80", Source: "weights", Context: 32768, Concurrency: 1,
			Images: []recipe.Image{{Reference: "docker.io/vllm/vllm-openai:v0.11.0"}}, Memory: recipe.Memory{Weights: 8 << 30, Cache: 4 << 30, Overhead: 2 << 30},
			MinimumNeeds: map[string]string{"cpu": "2", "mem": "4g", "cuda.device": "1"},
		}},
	}}
	large := small
	large.Name, large.Title, large.Task, large.Readme = "large", "Large", recipe.Vision, nil
	large.License = recipe.License{ID: "llama3.1", URL: "https://example.org/licence", Accept: true}
	large.Variants = []recipe.Variant{small.Variants[0]}
	large.Variants[0].Memory.Weights = 300 << 30
	return recipe.NewCollection(append([]recipe.Entry{small, large}, r.index.Collection(ctx).All()...))
}

// oneCard is a box with one free card of 24 GiB.
type oneCard struct{}

// Box implements admin.Planning.
func (oneCard) Box(context.Context, string, string) (plan.Box, error) {
	return plan.Box{
		Platform: "amd64", Containers: true, Host: plan.Host{Total: 64 << 30, Free: 64 << 30, Cores: 16, FreeCores: 16}, Disk: plan.Disk{Free: 100 << 30},
		Devices: []plan.Device{{ID: "GPU-1", Name: "Card 24", Kind: "cuda", Architecture: "sm_89", Total: 24 << 30, Free: 24 << 30}},
	}, nil
}

// WithImages implements admin.Planning: what names none runs by one that there is.
func (oneCard) WithImages(_ context.Context, r recipe.Recipe) recipe.Recipe {
	r.Variants = slices.Clone(r.Variants)
	for i := range r.Variants {
		if v := &r.Variants[i]; len(v.Images) == 0 {
			v.Images = []recipe.Image{{Reference: "docker.io/engines/" + v.Runtime + ":1"}}
		}
	}
	return r
}
