package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// RecipeOverview is a part of what can be installed, as a catalog shows it.
type RecipeOverview struct {
	Items    []RecipeRow    `json:"items"`
	Total    int            `json:"total"`    // that fit the filter; Items are a part of them
	Tasks    map[string]int `json:"tasks"`    // how many of those that fit the rest of the filter are for which task
	Catalogs map[string]int `json:"catalogs"` // how many of those that fit the rest of the filter are of which catalog
}

// RecipeRow is one recipe in a list.
type RecipeRow struct {
	ID          string        `json:"id"` // CATALOG/NAME
	Catalog     string        `json:"catalog"`
	Name        string        `json:"name"`
	Version     string        `json:"version"`
	Title       string        `json:"title"`
	Description string        `json:"description"`
	Publisher   string        `json:"publisher,omitempty"`
	License     RecipeLicense `json:"license"`
	Tags        []string      `json:"tags"`
	Task        string        `json:"task"`
	Parameters  int64         `json:"parameters,omitempty"`
	Active      int64         `json:"active,omitempty"` // parameters of a token, where that is fewer
	Context     int           `json:"context,omitempty"`
	Memory      int64         `json:"memory"`           // bytes: of the variant that it would be installed as, else of the smallest
	Secret      string        `json:"secret,omitempty"` // that opens its files, where one does
	Icon        bool          `json:"icon"`
	Fit         RecipeFit     `json:"fit"`
	Installed   string        `json:"installed,omitempty"` // name of the project's model that was installed by it
}

// RecipeOverviewFilter chooses recipes, and which part of them comes.
type RecipeOverviewFilter struct {
	Text, Task, Tag, Catalog string
	MaxBytes                 int64 // of memory
	Fits                     bool  // only those that fit this box
	Installed                bool  // only those that the project has
	Limit                    int   // 0: 24
	Offset                   int
}

// RecipeOverview lists recipes as people look at them: the best answers first where words are looked for, else by catalog and
// name.
func (c *Client) RecipeOverview(ctx context.Context, f RecipeOverviewFilter) (RecipeOverview, error) {
	q := url.Values{}
	for name, value := range map[string]string{"q": f.Text, "task": f.Task, "tag": f.Tag, "catalog": f.Catalog} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range map[string]int64{"max_bytes": f.MaxBytes, "limit": int64(f.Limit), "offset": int64(f.Offset)} {
		if value > 0 {
			q.Set(name, strconv.FormatInt(value, 10))
		}
	}
	for name, value := range map[string]bool{"fits": f.Fits, "installed": f.Installed} {
		if value {
			q.Set(name, "true")
		}
	}
	var out RecipeOverview
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/recipe-overview", query: q}, &out)
}
