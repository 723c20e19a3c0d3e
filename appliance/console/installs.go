package console

import (
	"slices"

	"github.com/palisade-run/palisade/appliance/api"
)

func installsPages() []Page {
	return []Page{
		{Pattern: "/installs", Name: "installs/list", Section: "catalog", Data: installsList},
		{Pattern: "/installs/{id}", Name: "installs/show", Section: "catalog", Data: installsShow},
	}
}

func installsActions() []Action {
	return []Action{
		{Pattern: "/installs/{id}/cancel", Do: func(v *View) (Outcome, error) {
			_, err := v.API.CancelInstall(v.Context(), v.PathValue("id"))
			return Outcome{Toast: v.Say("installs.cancelled")}, err
		}},
		{Pattern: "/installs/{id}/again", Do: installsAgain},
	}
}

// installsShown bounds a list of installs; the newest are in it.
const installsShown = 100

func installsList(v *View) (any, error) {
	all, err := v.API.Installs(v.Context())
	return struct{ Installs []api.Install }{all[:min(len(all), installsShown)]}, err
}

// installView is one install as it is shown.
type installView struct {
	api.Install
	Chats bool // the playground can talk to what it made
}

func installsShow(v *View) (any, error) {
	one, err := v.API.Install(v.Context(), v.PathValue("id"))
	return installView{one, slices.Contains([]string{"chat", "vision"}, one.Task)}, err
}

// installsAgain tries what failed once more: what is there already is not fetched again.
func installsAgain(v *View) (Outcome, error) {
	ctx := v.Context()
	old, err := v.API.Install(ctx, v.PathValue("id"))
	if err != nil {
		return Outcome{}, err
	}
	var begun api.Install
	if old.Kind == "install" {
		begun, err = v.API.CreateInstall(ctx, api.InstallCreate{Source: old.Source, Name: old.Model, Variant: old.Variant, AcceptLicense: v.Field("accept_license") != ""})
	} else {
		begun, err = v.API.UpdateModel(ctx, old.Model, api.ModelUpdate{AcceptLicense: v.Field("accept_license") != ""})
	}
	return Outcome{To: "/installs/" + begun.ID}, err
}
