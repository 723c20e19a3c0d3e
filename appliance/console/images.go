package console

import (
	"cmp"
	"errors"
	"slices"

	"github.com/palisade-run/palisade/appliance/api"
)

// imagesData are the images of the box, and the log-ins for where they come from.
type imagesData struct {
	Images     []api.Image
	Total      int64 // bytes of all; layers that images share are counted for each
	Unused     int
	Registries []api.Registry
	None       *api.Problem // why this box keeps no images; nil: it does
}

func imagePages() []Page {
	return []Page{{Pattern: "/images", Name: "images", Section: "images", Data: imagesPage}}
}

func imageActions() []Action {
	return []Action{
		{Pattern: "/images/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("images.removed", v.Field("image"))}, v.API.RemoveImage(v.Context(), v.Field("image"))
		}},
		{Pattern: "/images/prune", Do: func(v *View) (Outcome, error) {
			gone, err := v.API.PruneImages(v.Context(), api.ImagePrune{})
			return Outcome{Toast: v.Say("images.pruned", len(gone.Removed))}, err
		}},
		{Pattern: "/images/registries", Do: func(v *View) (Outcome, error) {
			kept, err := v.API.LogIn(v.Context(), v.Field("host"), api.RegistryLogIn{User: v.Field("user"), Password: v.Field("password")})
			return Outcome{Toast: v.Say("images.logged_in", kept.Host)}, err
		}},
		{Pattern: "/images/registries/{host}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("images.logged_out", v.PathValue("host"))}, v.API.LogOut(v.Context(), v.PathValue("host"))
		}},
	}
}

func imagesPage(v *View) (any, error) {
	var out imagesData
	ctx := v.Context()
	ask := []func() error{func() (err error) { out.Images, err = v.API.Images(ctx); return err }}
	if v.Me.Admin {
		ask = append(ask, func() (err error) { out.Registries, err = v.API.Registries(ctx); return err })
	}
	err := sideBySide(ask...)
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Kind() == api.KindNotSupported {
		out.None, err = p, nil
	}
	for _, i := range out.Images {
		if out.Total += i.Size; len(i.UsedBy) == 0 {
			out.Unused++
		}
	}
	slices.SortFunc(out.Images, func(a, b api.Image) int { return cmp.Compare(a.Name, b.Name) })
	return out, err
}
