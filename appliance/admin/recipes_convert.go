package admin

import (
	"slices"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
)

func catalogRecipe(e recipe.Entry) api.CatalogRecipe {
	out := api.CatalogRecipe{
		ID: e.ID(), Catalog: e.Catalog, Name: e.Name, Version: e.Version, Title: e.Title, Description: e.Description,
		License: api.RecipeLicense{ID: e.License.ID, URL: e.License.URL, Accept: e.License.Accept}, Publisher: e.Publisher, Homepage: e.Homepage,
		Tags: filled(e.Tags), Task: string(e.Task), Inputs: filled(e.Inputs), Outputs: filled(e.Outputs), Parameters: e.Parameters, Active: e.Active,
		Context: e.Context, Sources: []api.RecipeSource{}, Variants: []api.RecipeVariant{}, Verified: []api.RecipeVerified{},
		SmokeTest: e.SmokeTest != nil, Readme: e.Readme != nil, Icon: e.Icon != nil,
	}
	for _, s := range e.Sources {
		out.Sources = append(out.Sources, api.RecipeSource{Name: s.Name, From: s.From, Mirrors: s.Mirrors, Files: s.Files, Bytes: s.Bytes, Secret: s.Secret})
	}
	for _, v := range e.Variants {
		one := api.RecipeVariant{
			Name: v.Name, Runtime: v.Runtime, Accelerators: v.Accelerators, Architecture: v.Minimum, Platforms: v.Platforms, Source: v.Source,
			Quantization: v.Quantization, Context: v.Context, Concurrency: v.Concurrency, Weights: v.Memory.Weights, Cache: v.Memory.Cache,
			Overhead: v.Memory.Overhead, Memory: v.Memory.Total(), Minimum: v.MinimumNeeds, Recommended: v.Recommended, Secrets: v.Secrets,
		}
		for _, i := range v.Images {
			if !slices.Contains(one.Images, i.Reference) {
				one.Images = append(one.Images, i.Reference)
			}
		}
		out.Variants = append(out.Variants, one)
	}
	for _, v := range e.Verified {
		out.Verified = append(out.Verified, api.RecipeVerified{What: v.What, On: v.On, With: v.With, Date: v.Date})
	}
	for _, p := range e.Problems {
		out.Warnings = append(out.Warnings, p.String())
	}
	return out
}

// filled is a list that is there, if empty.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func recipeFit(e recipe.Entry, box plan.Box) *api.RecipeFit {
	p := plan.Judge(e.Recipe, plan.Wish{}, box)
	fit := &api.RecipeFit{Verdict: string(p.Verdict), Sentence: p.Sentence}
	if p.Verdict != plan.DoesNotFit {
		fit.Variant = p.Variant
	}
	return fit
}

func planOut(e recipe.Entry, p plan.Plan) api.Plan {
	out := api.Plan{
		Recipe: e.ID(), Version: e.Version, Verdict: string(p.Verdict), Sentence: p.Sentence, Variant: p.Variant, Runtime: p.Runtime,
		Image: p.Image, ImageHere: p.ImageHere, Source: p.Source, Kind: p.Kind, Quantization: p.Quantization, Context: p.Context,
		Concurrency: p.Concurrency, Resources: p.Resources, Secrets: p.Secrets, Memory: p.Memory, Parts: []api.PlanPart{},
		Replicas: []api.PlanPlace{}, Moves: []api.PlanMove{}, Disk: api.PlanDisk{Bytes: p.Disk.Bytes, Here: p.Disk.Here, Free: p.Disk.Free},
		Steps: []api.PlanStep{}, Considered: []api.PlanAttempt{}, Alternatives: []api.PlanAlternative{}, Warnings: filled(p.Warnings),
	}
	if s, known := e.Source(p.Source); known && s.Secret != "" && !slices.Contains(out.Secrets, s.Secret) {
		out.Secrets = append(slices.Clone(out.Secrets), s.Secret)
	}
	for _, part := range p.Parts {
		out.Parts = append(out.Parts, api.PlanPart{Name: part.Name, Bytes: part.Bytes, Measured: part.Measured})
	}
	for _, r := range p.Replicas {
		place := api.PlanPlace{Devices: []api.PlanUse{}}
		for _, u := range r.Devices {
			place.Devices = append(place.Devices, api.PlanUse{ID: u.ID, Name: u.Name, Bytes: u.Bytes, Free: u.Free, Total: u.Total, Share: u.Share})
		}
		out.Replicas = append(out.Replicas, place)
	}
	for _, m := range p.Moves {
		out.Moves = append(out.Moves, api.PlanMove{Who: m.Who, Device: m.Device, Bytes: m.Bytes})
	}
	for _, step := range p.Steps {
		one := api.PlanStep{Name: step.Name, Bytes: step.Bytes, From: step.From}
		if step.Known {
			one.Seconds = new(step.Took.Seconds())
		}
		out.Steps = append(out.Steps, one)
	}
	for _, a := range p.Considered {
		out.Considered = append(out.Considered, api.PlanAttempt{Variant: a.Variant, Kind: a.Kind, Reason: a.Reason})
	}
	for _, a := range p.Alternatives {
		out.Alternatives = append(out.Alternatives, api.PlanAlternative{Change: a.Change, Value: a.Value, Option: a.Option, Text: a.Text, Needs: a.Needs})
	}
	return out
}
