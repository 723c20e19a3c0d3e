package admin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// defaultCards is how many recipes an overview has at a time.
const defaultCards = 24

// recipeOverview answers with a part of the recipes. How one fits is worked out for those that are shown, and for all only
// where that is what is asked for.
func (s *server) recipeOverview(c *gin.Context) error {
	p := query(c, "q", "task", "tag", "catalog", "max_bytes", "fits", "installed", "limit", "offset")
	q := recipe.Query{Text: p.text("q"), Tag: p.text("tag"), MaxBytes: int64(p.number("max_bytes", 0, 0, 1<<50))}
	task, of := p.text("task"), p.text("catalog")
	fits, installed := p.flag("fits"), p.flag("installed")
	limit, offset := p.number("limit", defaultCards, 1, maxRows), p.number("offset", 0, 0, maxOffset)
	if task != "" && !isTask(recipe.Task(task)) && p.err == nil {
		p.err = badField("?task", "one of "+taskWords(), "there is no task %q", task)
	}
	if err := firstError(p.err, s.wantRecipes); err != nil {
		return err
	}
	ctx := c.Request.Context()
	box, err := s.Planning.Box(ctx, "", "")
	if err != nil {
		return err
	}
	have := s.installedBy(p.project())
	out := api.RecipeOverview{Items: []api.RecipeRow{}, Tasks: map[string]int{}, Catalogs: map[string]int{}}
	for _, found := range s.Recipes.Collection(ctx).Search(q) {
		e := found.Entry
		if installed && have[e.ID()] == "" {
			continue
		}
		inTask, inCatalog := task == "" || string(e.Task) == task, of == "" || e.Catalog == of
		var judged *plan.Plan
		if fits && (inTask || inCatalog) {
			if judged = judge(e, box); judged.Verdict != plan.Fits && judged.Verdict != plan.FitsMoving {
				continue
			}
		}
		if inCatalog {
			out.Tasks[string(e.Task)]++
		}
		if inTask {
			out.Catalogs[e.Catalog]++
		}
		if !inTask || !inCatalog {
			continue
		}
		if out.Total++; out.Total > offset && len(out.Items) < limit {
			if judged == nil {
				judged = judge(e, box)
			}
			out.Items = append(out.Items, recipeRow(e, judged, have[e.ID()]))
		}
	}
	return respond(c, http.StatusOK, out)
}

func judge(e recipe.Entry, box plan.Box) *plan.Plan {
	p := plan.Judge(e.Recipe, plan.Wish{}, box)
	return &p
}

// installedBy are the names of a project's models, by the ids of the recipes of their revisions that count.
func (s *server) installedBy(project string) map[string]string {
	have := map[string]string{}
	if s.Models == nil {
		return have
	}
	for _, m := range s.Models.Models(project) {
		if r := m.Revision(m.Current); r != nil && r.Origin != "" {
			have[r.Origin+"/"+r.Recipe.Name] = m.Name
		}
	}
	return have
}

func recipeRow(e recipe.Entry, p *plan.Plan, installed string) api.RecipeRow {
	row := api.RecipeRow{
		ID: e.ID(), Catalog: e.Catalog, Name: e.Name, Version: e.Version, Title: e.Title, Description: e.Description, Publisher: e.Publisher,
		License: api.RecipeLicense{ID: e.License.ID, URL: e.License.URL, Accept: e.License.Accept}, Tags: filled(e.Tags), Task: string(e.Task),
		Parameters: e.Parameters, Active: e.Active, Context: e.Context, Icon: e.Icon != nil, Installed: installed,
		Fit: api.RecipeFit{Verdict: string(p.Verdict), Sentence: p.Sentence},
	}
	for i, v := range e.Variants {
		if total := v.Memory.Total(); i == 0 || total < row.Memory {
			row.Memory = total
		}
	}
	for _, v := range e.Variants {
		if p.Verdict != plan.DoesNotFit && v.Name == p.Variant {
			row.Fit.Variant, row.Memory = v.Name, v.Memory.Total()
		}
	}
	for _, source := range e.Sources {
		if source.Secret != "" {
			row.Secret = source.Secret
		}
	}
	return row
}
