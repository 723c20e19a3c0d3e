package console

import (
	"html/template"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/markdown"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func modelsPages() []Page {
	return []Page{
		{Pattern: "/models", Name: "models/list", Section: "models", Data: modelsList},
		{Pattern: "/models/{id}", Name: "models/show", Section: "models", Data: modelsShow},
	}
}

func modelsActions() []Action {
	return []Action{
		{Pattern: "/models/{id}/update", Do: func(v *View) (Outcome, error) {
			begun, err := v.API.UpdateModel(v.Context(), v.PathValue("id"), api.ModelUpdate{Variant: v.Field("variant"), AcceptLicense: v.Field("accept_license") != ""})
			return Outcome{To: "/installs/" + begun.ID}, err
		}},
		{Pattern: "/models/{id}/rollback", Do: func(v *View) (Outcome, error) {
			number, _ := strconv.Atoi(v.Field("revision")) // 0: the good one before
			begun, err := v.API.RollBackModel(v.Context(), v.PathValue("id"), api.ModelRollback{Revision: number})
			return Outcome{To: "/installs/" + begun.ID}, err
		}},
		{Pattern: "/models/{id}/pin", Do: func(v *View) (Outcome, error) {
			m, err := v.API.PinModel(v.Context(), v.PathValue("id"), v.Field("pinned") != "")
			key := "models.unpinned"
			if m.Pinned {
				key = "models.pinned_now"
			}
			return Outcome{Toast: v.Say(key)}, err
		}},
		{Pattern: "/models/{id}/remove", Do: func(v *View) (Outcome, error) {
			_, err := v.API.RemoveModel(v.Context(), v.PathValue("id"), v.Field("force") != "")
			return Outcome{To: "/models"}, err
		}},
		{Pattern: "/models-gc", Do: func(v *View) (Outcome, error) {
			swept, err := v.API.SweepModels(v.Context())
			return Outcome{Toast: v.Say("models.freed", bytesize.Format(swept.Freed))}, err
		}},
		{Pattern: "/bundles/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("models.bundle_removed")}, v.API.RemoveBundle(v.Context(), v.PathValue("name"))
		}},
		{Pattern: "/bundles/{name}/install", Do: func(v *View) (Outcome, error) {
			begun, err := v.API.CreateInstall(v.Context(), api.InstallCreate{Source: "bundle/" + v.PathValue("name"), AcceptLicense: v.Field("accept_license") != ""})
			return Outcome{To: "/installs/" + begun.ID}, err
		}},
	}
}

// modelsData is what is on the box.
type modelsData struct {
	Models  []api.Model
	Bundles []api.Bundle
	Bytes   int64
}

func modelsList(v *View) (any, error) {
	var out modelsData
	var wg sync.WaitGroup
	wg.Go(func() { out.Bundles, _ = v.API.Bundles(v.Context()) }) // an appliance may keep none
	var err error
	out.Models, err = v.API.Models(v.Context())
	wg.Wait()
	for _, m := range out.Models {
		out.Bytes += m.Bytes
	}
	return out, err
}

// modelView is one model as it is shown.
type modelView struct {
	api.Model
	Files       []api.ModelFile // of the revision that counts, else of the newest
	Readme      template.HTML
	Calibration *api.Calibration
}

// longestReadme bounds what is read of a README, in bytes.
const longestReadme = markdown.MaxSource + 1

func modelsShow(v *View) (any, error) {
	ctx := v.Context()
	m, err := v.API.Model(ctx, v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := modelView{Model: m}
	for _, r := range m.Revisions {
		if r.Current || out.Files == nil {
			out.Files = r.Files
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		body, err := v.API.ModelReadme(ctx, m.ID)
		if err != nil {
			return // it has none
		}
		defer body.Close()
		text, _ := io.ReadAll(io.LimitReader(body, longestReadme)) // what came of it
		out.Readme = markdown.Document(strings.ToValidUTF8(string(text), ""))
	})
	wg.Go(func() {
		if m.Service == "" {
			return
		}
		standing, _ := v.API.Calibration(ctx, m.Service) // not measured: nothing is shown
		out.Calibration = standing.Last
	})
	wg.Wait()
	return out, nil
}
