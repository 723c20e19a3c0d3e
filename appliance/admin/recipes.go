package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Recipes are what can be installed by name. *index.Index is one.
type Recipes interface {
	Collection(ctx context.Context) *recipe.Collection
}

// Planning looks at what there is to install on.
type Planning interface {
	// Box is this box as it is now, but for what a project's service of that name has, where there is one: what takes its place
	// may have that. "" for all as it is.
	Box(ctx context.Context, project, service string) (plan.Box, error)
	// WithImages gives the variants that name no image those of recipes that come with the appliance.
	WithImages(ctx context.Context, r recipe.Recipe) recipe.Recipe
}

func (s *server) wantRecipes() error {
	if s.Recipes != nil {
		return nil
	}
	return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "this appliance has no catalogs")
}

func (s *server) listRecipes(c *gin.Context) error {
	p := query(c, "q", "task", "tag", "runtime", "accelerator", "max_bytes", "catalog", "fits", "limit", "cursor")
	q := recipe.Query{
		Text: p.text("q"), Task: recipe.Task(p.text("task")), Tag: p.text("tag"), Runtime: p.text("runtime"),
		Accelerator: p.text("accelerator"), Catalog: p.text("catalog"), MaxBytes: int64(p.number("max_bytes", 0, 0, 1<<50)),
	}
	how := p.text("fits")
	switch {
	case p.err != nil:
		return p.err
	case how != "" && how != "show" && how != "only":
		return badField("?fits", "show says how each fits, only leaves out what does not", "%q is neither", how)
	case q.Task != "" && !isTask(q.Task):
		return badField("?task", "one of "+taskWords(), "there is no task %q", q.Task)
	}
	if err := s.wantRecipes(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	var box *plan.Box
	if how != "" {
		now, err := s.Planning.Box(ctx, "", "")
		if err != nil {
			return err
		}
		box = &now
	}
	type ranked struct {
		rank string
		api.CatalogRecipe
	}
	items := []ranked{}
	for _, found := range s.Recipes.Collection(ctx).Search(q) {
		item := ranked{fmt.Sprintf("%08d", len(items)), catalogRecipe(found.Entry)}
		if box != nil {
			item.Fit = recipeFit(found.Entry, *box)
			if how == "only" && item.Fit.Verdict != api.PlanFits && item.Fit.Verdict != api.PlanFitsMoving {
				continue
			}
		}
		items = append(items, item)
	}
	return respondPage(c, p, items, func(r ranked) string { return r.rank })
}

func isTask(t recipe.Task) bool { return slices.Contains(recipe.Tasks(), t) }

func taskWords() string {
	var words []string
	for _, t := range recipe.Tasks() {
		words = append(words, string(t))
	}
	return strings.Join(words, ", ")
}

// findRecipe finds the one that a request is about.
func (s *server) findRecipe(ctx context.Context, name string) (recipe.Entry, error) {
	if err := s.wantRecipes(); err != nil {
		return recipe.Entry{}, err
	}
	return s.Recipes.Collection(ctx).Find(name)
}

func (s *server) getRecipe(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx := c.Request.Context()
	e, err := s.findRecipe(ctx, c.Param("name"))
	if err != nil {
		return err
	}
	out := catalogRecipe(e)
	for _, other := range s.Recipes.Collection(ctx).Versions(e.Catalog, e.Name) {
		out.Versions = append(out.Versions, other.Version)
	}
	box, err := s.Planning.Box(ctx, "", "")
	if err != nil {
		return err
	}
	out.Fit = recipeFit(e, box)
	return respond(c, http.StatusOK, out)
}

func (s *server) getRecipeReadme(c *gin.Context) error {
	return s.beside(c, "page", "text/markdown; charset=utf-8", func(e recipe.Entry) []byte { return e.Readme })
}

func (s *server) getRecipeIcon(c *gin.Context) error {
	return s.beside(c, "icon", "image/svg+xml", func(e recipe.Entry) []byte { return e.Icon })
}

// beside answers with a file that stands beside a recipe. It may be a stranger's: whatever it holds, a browser runs nothing of it.
func (s *server) beside(c *gin.Context, what, mediaType string, of func(recipe.Entry) []byte) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	e, err := s.findRecipe(c.Request.Context(), c.Param("name"))
	if err != nil {
		return err
	}
	text := of(e)
	if text == nil {
		return api.NewProblem(api.KindNotFound, http.StatusNotFound, "recipe %s has no %s", e.ID(), what)
	}
	c.Header("Content-Security-Policy", "default-src 'none'; sandbox")
	c.Data(http.StatusOK, mediaType, text)
	return nil
}

// planned is the recipe of that name, or the one that is made up of the files of a place.
func (s *server) planned(ctx context.Context, source string) (e recipe.Entry, err error) {
	if s.Installs == nil || !fetch.IsRef(source) {
		return s.findRecipe(ctx, source)
	}
	if e.Recipe, err = s.Installs.Preview(ctx, source, s.ownsBox(ctx)); err == nil {
		e.Recipe = s.Planning.WithImages(ctx, e.Recipe)
	}
	return e, err
}

func (s *server) makePlan(c *gin.Context) error {
	p := query(c)
	var in api.PlanCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if in.Recipe == "" {
		return badField("recipe", "see: palisade catalog list", "is required")
	}
	for field, n := range map[string]int{"devices": in.Devices, "context": in.Context, "concurrency": in.Concurrency, "replicas": in.Replicas} {
		if n < 0 || n > 1<<26 {
			return badField(field, "leave it out for what the recipe says", "%d cannot be had", n)
		}
	}
	ctx := c.Request.Context()
	if err := s.permitSource(ctx, in.Recipe); err != nil {
		return err
	}
	e, err := s.planned(ctx, in.Recipe)
	if err != nil {
		return err
	}
	box, err := s.Planning.Box(ctx, p.project(), cmp.Or(in.Name, e.Name))
	if err != nil {
		return err
	}
	made := plan.Make(e.Recipe, plan.Wish{
		Name: in.Name, Variant: in.Variant, Devices: in.Devices, On: in.On, Context: in.Context, Concurrency: in.Concurrency, Replicas: min(in.Replicas, 1000),
	}, box)
	out := planOut(e, made)
	if e.Catalog == "" { // it was made up
		out.Recipe = in.Recipe
	}
	return respond(c, http.StatusOK, out)
}
