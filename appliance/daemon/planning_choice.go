package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/variants"
)

// unfit is an install.ErrFit with what would.
type unfit struct {
	plan plan.Plan
	name string
}

func (u *unfit) Error() string { return u.plan.Sentence }
func (u *unfit) Unwrap() error { return install.ErrFit }

// Hint is the first alternative that can be asked for.
func (u *unfit) Hint() string {
	for _, a := range u.plan.Alternatives {
		if a.Option != "" {
			return fmt.Sprintf("palisade install %s %s", u.name, a.Option)
		}
	}
	return "the whole plan: palisade install " + u.name + " --dry-run; --force tries it all the same"
}

// Plan implements install.Planner.
//
// A model's own service holds nothing against it: the same command again, or an update, would else be told that the model itself
// is in the way, or be given another variant beside it.
func (p *planning) Plan(ctx context.Context, project string, r recipe.Recipe, w install.Wish) (install.Choice, error) {
	box, err := p.Box(ctx, project, cmp.Or(w.Name, r.Name))
	if err != nil {
		return install.Choice{}, err
	}
	r = p.WithImages(ctx, r)
	made := plan.Make(r, plan.Wish{
		Name: w.Name, Variant: w.Variant, On: w.Devices, Context: w.Context, Concurrency: w.Concurrency, Replicas: w.Replicas,
	}, box)
	if made.Verdict == plan.DoesNotFit && (!w.Force || made.Variant == "" || made.Image == "") {
		return install.Choice{}, &unfit{plan: made, name: w.Source}
	}
	v, known := p.variants.Lookup(made.Runtime)
	if !known {
		return install.Choice{}, fmt.Errorf("variant %s of %s: this appliance has no runtime variant %q: %w", made.Variant, r.Name, made.Runtime, install.ErrFit)
	}
	return p.choice(r, made, v)
}

// WithImages implements admin.Planning: what was made up of files names none. An image that is more than an engine, such as a NIM
// or what a definition starts, is of its own model alone.
func (p *planning) WithImages(ctx context.Context, r recipe.Recipe) recipe.Recipe {
	r.Variants = slices.Clone(r.Variants)
	for i := range r.Variants {
		v := &r.Variants[i]
		if engine, known := p.variants.Lookup(v.Runtime); len(v.Images) > 0 || !known || engine.ReadsDefinition || engine.FolderOptional {
			continue
		}
		for _, e := range p.recipes.Collection(ctx).All() {
			if e.Catalog != recipe.Shipped {
				continue
			}
			for _, other := range e.Variants {
				if other.Runtime != v.Runtime {
					continue
				}
				for _, kind := range other.Accelerators {
					if reference := other.Image(kind, ""); reference != "" && v.Image(kind, "") == "" {
						v.Images = append(v.Images, recipe.Image{Accelerator: kind, Reference: reference})
					}
				}
			}
		}
	}
	return r
}

// choice is a plan as a service is made of it.
func (p *planning) choice(r recipe.Recipe, made plan.Plan, v variants.Variant) (install.Choice, error) {
	devices := 1
	if len(made.Replicas) > 0 {
		devices = max(1, len(made.Replicas[0].Devices))
	}
	env, words := v.Tuned(made.Environment, made.Arguments, variants.Tune{Context: made.Context, Sequences: made.Concurrency, Devices: devices})
	if len(words) > 0 {
		name, value, takes := v.MoreArguments(words)
		if !takes {
			return install.Choice{}, fmt.Errorf("variant %s of %s: runtime variant %s takes no arguments, and the recipe has %q: %w",
				made.Variant, r.Name, v.Name, strings.Join(words, " "), install.ErrInvalid)
		}
		env[name] = strings.TrimSpace(env[name] + " " + value)
	}
	if of, known := r.Variant(made.Variant); known && of.Model != "" {
		env["BACKEND_MODEL_PATH"] = of.Model
	}
	out := install.Choice{
		Variant: made.Variant, Runtime: made.Runtime, Image: made.Image, Source: made.Source, Env: env, Resources: made.Resources,
		Context: made.Context, Concurrency: made.Concurrency, Secrets: made.Secrets, Sentences: []string{made.Variant + ": " + made.Sentence}, Warnings: made.Warnings,
	}
	switch made.Verdict {
	case plan.CannotTell:
		out.Warnings = append(slices.Clone(out.Warnings), "whether it fits cannot be told: "+made.Sentence)
	case plan.DoesNotFit:
		out.Warnings = append(slices.Clone(out.Warnings), "it is tried although it does not fit")
	}
	return out, nil
}
