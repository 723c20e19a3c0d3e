package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// serviceSettings is what the form of a service's settings offers.
type serviceSettings struct {
	Runtimes []api.Runtime
	Folders  []api.Folder
	Environ  []setting
}

// setting is a variable; of one that may open something the value is not sent to the page.
type setting struct {
	Name, Value string
	Hidden      bool
}

func settingsTab(v *View, d *servicePage) error {
	return together(
		func() (err error) { d.Settings.Runtimes, err = v.API.Runtimes(v.Context()); return err },
		func() (err error) { d.Settings.Folders, err = v.API.Folders(v.Context()); return err },
	)
}

// Variables are the service's, by name, without values that may open something.
func (d *servicePage) Variables() []setting {
	var out []setting
	for _, name := range sortedKeys(d.Service.Recipe.Environ) {
		s := setting{Name: name, Value: d.Service.Recipe.Environ[name], Hidden: hidesValue(name)}
		if s.Hidden {
			s.Value = ""
		}
		out = append(out, s)
	}
	return out
}

// ResourceList is what each replica asks for, by name.
func (d *servicePage) ResourceList() []setting {
	var out []setting
	for _, name := range sortedKeys(d.Service.Recipe.Resources) {
		out = append(out, setting{Name: name, Value: d.Service.Recipe.Resources[name]})
	}
	return out
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// Balances are the ways in which a request finds its route.
func (*servicePage) Balances() []string {
	return []string{"round_robin", "least_in_flight", "session_affinity", "prefix"}
}

// settingsForm reads what is different from the service as it is.
type settingsForm struct {
	values  url.Values
	now     *api.Service
	out     api.ServiceUpdate
	wrong   []api.FieldError
	message string // of what is no number
}

// read gives the change; what is as it was is left out, so that no new revision comes of it.
func (f *settingsForm) read() api.ServiceUpdate {
	r := &f.now.Recipe
	f.text("name", f.now.Name, &f.out.Name)
	f.text("image", r.Image, &f.out.Image)
	f.text("folder", r.Folder, &f.out.Folder)
	f.text("runtime_variant", r.RuntimeVariant, &f.out.RuntimeVariant)
	f.text("model_definition_path", r.ModelDefinitionPath, &f.out.ModelDefinitionPath)
	if public := f.values.Get("open_to_public") != ""; public != f.now.OpenToPublic {
		f.out.OpenToPublic = &public
	}
	f.whole("priority", f.now.Priority, &f.out.Priority)
	f.out.Environ = changedPairs(r.Environ, f.values["environ.name"], f.values["environ.value"])
	f.out.Resources = changedPairs(r.Resources, f.values["resources.name"], f.values["resources.value"])
	f.policy()
	f.routing()
	f.out.Reload = f.values.Get("reload") != ""
	return f.out
}

func (f *settingsForm) policy() {
	var p api.Policy
	now := &f.now.Policy
	f.seconds("policy.unhealthy_ttl", now.UnhealthyTTL, &p.UnhealthyTTL)
	f.seconds("policy.termination_grace", now.TerminationGrace, &p.TerminationGrace)
	f.seconds("policy.start_timeout", now.StartTimeout, &p.StartTimeout)
	f.text("policy.on_unhealthy", word(now.OnUnhealthy), &p.OnUnhealthy)
	f.maybe("policy.max_surge", now.MaxSurge, &p.MaxSurge)
	f.maybe("policy.max_unavailable", now.MaxUnavailable, &p.MaxUnavailable)
	if p != (api.Policy{}) {
		f.out.Policy = &p
	}
}

func (f *settingsForm) routing() {
	var r api.Routing
	now := &f.now.Routing
	f.text("routing.balance", word(now.Balance), &r.Balance)
	f.maybe("routing.max_in_flight", now.MaxInFlight, &r.MaxInFlight)
	f.maybe("routing.max_held", now.MaxHeld, &r.MaxHeld)
	f.seconds("routing.hold_timeout", now.HoldTimeout, &r.HoldTimeout)
	f.seconds("routing.repeat_window", now.RepeatWindow, &r.RepeatWindow)
	f.maybe("routing.capture", now.Capture, &r.Capture)
	if r != (api.Routing{}) {
		f.out.Routing = &r
	}
}

func (f *settingsForm) text(field, now string, to **string) {
	if values, sent := f.values[field]; sent {
		if is := strings.TrimSpace(values[0]); is != now {
			*to = &is
		}
	}
}

func (f *settingsForm) whole(field string, now int, to **int) {
	w := strings.TrimSpace(f.values.Get(field))
	if w == "" {
		return
	}
	n, err := strconv.Atoi(w)
	switch {
	case err != nil:
		f.wrong = append(f.wrong, api.FieldError{Field: field, Message: f.message})
	case n != now:
		*to = &n
	}
}

func (f *settingsForm) maybe(field string, now *int, to **int) {
	if now == nil {
		now = new(-1)
	}
	f.whole(field, *now, to)
}

func (f *settingsForm) seconds(field string, now *float64, to **float64) {
	w := strings.TrimSpace(f.values.Get(field))
	if w == "" {
		return
	}
	n, err := strconv.ParseFloat(w, 64)
	switch {
	case err != nil:
		f.wrong = append(f.wrong, api.FieldError{Field: field, Message: f.message})
	case now == nil || n != *now:
		*to = &n
	}
}

// changedPairs says what rows of a form change of a map: null takes a name away. The value of a variable that may open something
// is not in the form; left empty, it stays.
func changedPairs(now map[string]string, names, values []string) map[string]*string {
	rows, out := pairsOf(names, values), map[string]*string{}
	for name, value := range rows {
		was, had := now[name]
		if had && (was == value || value == "" && hidesValue(name)) {
			continue
		}
		out[name] = &value
	}
	for name := range now {
		if _, stays := rows[name]; !stays {
			out[name] = nil
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func saveSettings(v *View) (Outcome, error) {
	s, err := v.API.Service(v.Context(), v.PathValue("id"))
	if err != nil {
		return Outcome{}, err
	}
	f := &settingsForm{values: v.PostForm, now: &s, message: v.Say("services.form.number")}
	change := f.read()
	if len(f.wrong) > 0 {
		p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", f.message)
		p.Errors = f.wrong
		return Outcome{}, p
	}
	version, err := strconv.ParseInt(v.Field("version"), 10, 64)
	if err != nil {
		version = s.Version // the form has none
	}
	after, err := v.API.UpdateService(v.Context(), s.ID, change, version)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{To: "/services/" + url.PathEscape(after.Name) + "/settings"}, nil
}
