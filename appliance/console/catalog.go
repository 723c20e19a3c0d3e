package console

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"html/template"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/markdown"
	"github.com/palisade-run/palisade/appliance/console/ui"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func catalogPages() []Page {
	return []Page{
		{Pattern: "/catalog", Name: "catalog/list", Section: "catalog", Data: catalogList},
		{Pattern: "/catalog/{name...}", Name: "catalog/show", Section: "catalog", Data: catalogShow, Still: true},
	}
}

func catalogActions() []Action {
	return []Action{
		{Pattern: "/catalog-install", Do: catalogInstall},
		{Pattern: "/catalog-secret", Do: catalogSecret},
	}
}

func catalogRaws() []Raw {
	return []Raw{{Pattern: "GET /catalog-plan", Serve: catalogPlan}}
}

// cardsAtOnce is how many recipes a page of the catalog has.
const cardsAtOnce = 24

// shelf is what the catalog shows.
type shelf struct {
	api.RecipeOverview
	Filter   api.RecipeOverviewFilter
	Narrowed bool
	TaskRow  []chip
	Sources  []string // catalogs
	Sizes    []int64
	Range    span
}

// chip is one choice of several, with how many it would show.
type chip struct {
	Name  string // "": all
	Count int
	On    bool
	Path  string
}

// span is which part of a list a page shows.
type span struct {
	From, To, Total int
	Before, After   string // addresses of the pages beside it; "" where there is none
}

// spanOf works out the part from offset on that has shown of total.
func spanOf(v *View, offset, shown, total, size int) span {
	out := span{From: min(offset+1, total), To: offset + shown, Total: total}
	if offset > 0 {
		before := ""
		if offset > size {
			before = strconv.Itoa(offset - size)
		}
		out.Before = v.With("offset", before)
	}
	if out.To < total {
		out.After = v.With("offset", strconv.Itoa(offset+size))
	}
	return out
}

// catalogSizes are the memories that one chooses by.
func catalogSizes() []int64 {
	return []int64{2 << 30, 8 << 30, 16 << 30, 24 << 30, 48 << 30, 80 << 30, 160 << 30, 640 << 30}
}

func catalogList(v *View) (any, error) {
	size, _ := strconv.ParseInt(v.Parameter("size"), 10, 64) // what is no number asks for nothing
	offset, _ := strconv.Atoi(v.Parameter("offset"))
	f := api.RecipeOverviewFilter{
		Text: v.Parameter("q"), Task: v.Parameter("task"), Tag: v.Parameter("tag"), Catalog: v.Parameter("catalog"), MaxBytes: max(size, 0),
		Fits: v.Parameter("fits") != "", Installed: v.Parameter("installed") != "", Limit: cardsAtOnce, Offset: min(max(offset, 0), 1_000_000),
	}
	found, err := v.API.RecipeOverview(v.Context(), f)
	if err != nil {
		return nil, err
	}
	out := shelf{
		RecipeOverview: found, Filter: f, Sizes: catalogSizes(), Range: spanOf(v, f.Offset, len(found.Items), found.Total, cardsAtOnce),
		Narrowed: f.Text != "" || f.Task != "" || f.Tag != "" || f.Catalog != "" || f.MaxBytes > 0 || f.Fits || f.Installed,
		Sources:  slices.Sorted(maps.Keys(found.Catalogs)),
	}
	all := 0
	for _, task := range slices.Sorted(maps.Keys(found.Tasks)) {
		all += found.Tasks[task]
		out.TaskRow = append(out.TaskRow, chip{task, found.Tasks[task], task == f.Task, v.With("task", task, "offset", "")})
	}
	out.TaskRow = append([]chip{{"", all, f.Task == "", v.With("task", "", "offset", "")}}, out.TaskRow...)
	return out, nil
}

// detail is one recipe.
type detail struct {
	api.CatalogRecipe
	Plan      planned
	Readme    template.HTML
	Devices   []api.Device
	Installed string
}

func catalogShow(v *View) (any, error) {
	ctx, name := v.Context(), v.PathValue("name")
	out := detail{}
	var err error
	if out.CatalogRecipe, err = v.API.CatalogRecipe(ctx, name); err != nil {
		return nil, err
	}
	var readme string
	var wg sync.WaitGroup
	wg.Go(func() {
		if out.CatalogRecipe.Readme {
			readme, _ = v.API.RecipeReadme(ctx, out.ID) // the rest says enough
		}
	})
	wg.Go(func() { out.Devices, _ = v.API.Devices(ctx) }) // without them the plan chooses
	wg.Go(func() {
		models, _ := v.API.Models(ctx) // that it is there already is good to know
		for _, m := range models {
			if m.Origin == out.Catalog && (m.Source == out.Name || m.Source == out.ID) {
				out.Installed = m.Name
			}
		}
	})
	out.Plan, err = planFor(v, api.PlanCreate{Recipe: out.ID})
	wg.Wait()
	if readme != "" {
		out.Readme = markdown.Document(readme)
	}
	return out, err
}

// planned is what an install would do, as it is shown.
type planned struct {
	api.Plan
	Bars    []planBar
	Missing []string // secrets that are wanted and not set
	Unknown []string // secrets that are wanted, where the viewer may not know whether they are set
}

// planBar is a device, and what is on it.
type planBar struct {
	Name    string
	Picture template.HTML
	Free    int64
	Total   int64
	Needs   int64
}

func planFor(v *View, wish api.PlanCreate) (planned, error) {
	p, err := v.API.MakePlan(v.Context(), wish)
	if err != nil {
		return planned{}, err
	}
	out := planned{Plan: p}
	for _, place := range p.Replicas {
		for _, use := range place.Devices {
			out.Bars = append(out.Bars, planBar{Name: use.Name, Free: use.Free, Total: use.Total, Needs: use.Bytes, Picture: ui.Stack(
				v.Say("catalog.plan.device", use.Name, bytesize.Format(use.Total)), float64(use.Total), planPieces(v, p, use)...)})
		}
	}
	if len(p.Secrets) == 0 {
		return out, nil
	}
	if !v.May("admin") {
		out.Unknown = p.Secrets
		return out, nil
	}
	have, err := v.API.Secrets(v.Context())
	for _, name := range p.Secrets {
		if !slices.ContainsFunc(have, func(s api.Secret) bool { return s.Name == name }) {
			out.Missing = append(out.Missing, name)
		}
	}
	return out, err
}

// planPieces are what is on a device beside what others have: the parts of a replica, by the share of it that is there.
func planPieces(v *View, p api.Plan, use api.PlanUse) []ui.Piece {
	pieces := []ui.Piece{{Kind: "others", Value: float64(use.Total - use.Free), Title: v.Say("catalog.plan.others") + ": " + bytesize.Format(use.Total-use.Free)}}
	for _, part := range p.Parts {
		share := 1.0
		if p.Memory > 0 {
			share = float64(use.Bytes) / float64(p.Memory)
		}
		bytes := float64(part.Bytes) * share
		pieces = append(pieces, ui.Piece{Kind: part.Name, Value: bytes, Title: part.Name + ": " + bytesize.Format(int64(bytes))})
	}
	return pieces
}

// planWish is what a form asks for.
func planWish(v *View) api.PlanCreate {
	number := func(name string) int {
		n, _ := strconv.Atoi(v.FormValue(name)) // what is left out is left to the recipe
		return n
	}
	w := api.PlanCreate{
		Recipe: v.FormValue("source"), Name: v.FormValue("name"), Variant: v.FormValue("variant"), Context: number("context"),
		Concurrency: number("concurrency"), Replicas: number("replicas"),
	}
	if on := v.FormValue("devices"); on != "" {
		w.On = []string{on}
	}
	return w
}

// catalogPlan is the plan of what a form asks for, while it is being filled in.
func catalogPlan(v *View, w http.ResponseWriter) error {
	p, err := planFor(v, planWish(v))
	if err != nil {
		return err
	}
	v.console.fragment(w, v, http.StatusOK, "catalog-plan", p)
	return nil
}

func catalogInstall(v *View) (Outcome, error) {
	w := planWish(v)
	begun, err := v.API.CreateInstall(v.Context(), api.InstallCreate{
		Source: w.Recipe, Name: w.Name, Variant: w.Variant, Devices: w.On, Context: w.Context, Concurrency: w.Concurrency, Replicas: w.Replicas,
		AcceptLicense: v.Field("accept_license") != "", NoCalibrate: v.Field("no_calibrate") != "", NoService: v.Field("no_service") != "", Force: v.Field("force") != "",
	})
	return Outcome{To: "/installs/" + begun.ID}, err
}

func catalogSecret(v *View) (Outcome, error) {
	_, err := v.API.SetSecret(v.Context(), v.Field("secret"), api.SecretValue{Value: v.Field("value")})
	return Outcome{Toast: v.Say("catalog.secret_kept", v.Field("secret"))}, err
}
