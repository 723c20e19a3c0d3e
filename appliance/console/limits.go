package console

import (
	"net/url"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

func limitsActions() []Action {
	return []Action{
		{Pattern: "/projects/{name}/limits", Do: func(v *View) (Outcome, error) {
			_, err := v.API.SetProjectLimits(v.Context(), v.PathValue("name"), limitsAsked(v))
			return Outcome{Toast: v.Say("people.saved")}, err
		}},
		{Pattern: "/users/{name}/limits", Do: func(v *View) (Outcome, error) {
			_, err := v.API.SetUserLimits(v.Context(), v.PathValue("name"), limitsAsked(v))
			return Outcome{Toast: v.Say("people.saved")}, err
		}},
	}
}

// limitsOnPage are limits with what is used of each, and the form by which an administrator sets them.
type limitsOnPage struct {
	Bounds []boundOnPage
	Fields []boundOnPage // of the form; none for who may not
	Post   string        // of the form
	By     *api.Limits   // who set them last; nil: nobody has
}

// boundOnPage is one bound. Set is what was set of it; "" leaves it to the settings.
type boundOnPage struct {
	api.LimitBound
	Label, Tone, Set string
	Counted          bool // somebody has something of it, or it is bounded
}

// boundWords are the bounds that there are words for; resources go by their own names.
var boundWords = []string{
	"cpu", "mem", "sessions", "services", "routes", "storage", "tokens_per_minute", "requests_per_minute", "concurrent_requests", "token_budget", "budget_window",
}

func limitsOf(v *View, l api.Limits, post string) limitsOnPage {
	out := limitsOnPage{Post: post}
	if l.ChangedAt != nil {
		out.By = &l
	}
	for _, b := range l.Bounds {
		row := boundRow(v, b, l.Set[b.Name])
		if out.Bounds = append(out.Bounds, row); post != "" {
			out.Fields = append(out.Fields, row)
		}
	}
	if post == "" {
		return out
	}
	for _, name := range boundWords { // that nothing is said of yet
		if !slices.ContainsFunc(out.Fields, func(b boundOnPage) bool { return b.Name == name }) {
			out.Fields = append(out.Fields, boundRow(v, api.LimitBound{Name: name}, l.Set[name]))
		}
	}
	return out
}

func boundRow(v *View, b api.LimitBound, set string) boundOnPage {
	row := boundOnPage{LimitBound: b, Label: b.Name, Set: set}
	if slices.Contains(boundWords, b.Name) {
		row.Label = v.Say("limits." + b.Name)
	}
	switch {
	case b.Limit == "":
	case b.Part >= 1:
		row.Tone = "danger"
	case b.Part >= 0.8:
		row.Tone = "warning"
	}
	return row
}

// limitsAsked reads the form: a field for each bound, and one for a resource that has none yet.
func limitsAsked(v *View) api.LimitsSet {
	in := api.LimitsSet{Set: map[string]string{}}
	_ = v.ParseForm() // it was read before
	for field := range v.PostForm {
		name, is := strings.CutPrefix(field, "set.")
		if word := strings.TrimSpace(v.Field(field)); is && word != "" {
			in.Set[name] = word
		}
	}
	if name := strings.TrimSpace(v.Field("slot")); name != "" {
		in.Set[name] = strings.TrimSpace(v.Field("amount"))
	}
	return in
}

// limitsPath is where the limits of a project or a user are set.
func limitsPath(of, name string) string { return "/" + of + "/" + url.PathEscape(name) + "/limits" }
