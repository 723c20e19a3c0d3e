package console

import (
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
)

func catalogsPages() []Page {
	return []Page{
		{Pattern: "/catalogs", Name: "catalogs/list", Section: "catalog", Data: catalogsList},
		{Pattern: "/catalogs/{name}", Name: "catalogs/show", Section: "catalog", Data: func(v *View) (any, error) {
			one, err := v.API.Catalog(v.Context(), v.PathValue("name"))
			return struct{ Catalog api.Catalog }{one}, err
		}},
	}
}

// catalogsData are the catalogs that were added, and whom the owner believes.
type catalogsData struct {
	Catalogs []api.Catalog
	Keys     []api.CatalogKey
}

func catalogsList(v *View) (any, error) {
	var out catalogsData
	var wg sync.WaitGroup
	var keysErr error
	wg.Go(func() { out.Keys, keysErr = v.API.CatalogKeys(v.Context()) })
	var err error
	out.Catalogs, err = v.API.Catalogs(v.Context())
	wg.Wait()
	if err == nil {
		err = keysErr
	}
	return out, err
}

func catalogsActions() []Action {
	return []Action{
		{Pattern: "/catalogs", Do: catalogsAdd},
		{Pattern: "/catalogs/{name}/diff", Do: func(v *View) (Outcome, error) {
			would, err := v.API.UpdateCatalog(v.Context(), v.PathValue("name"), catalogsUpdate(v, true))
			return Outcome{Fragment: "fragment-catalog-changes", Data: catalogChanges{would, false}}, err
		}},
		{Pattern: "/catalogs/{name}/update", Do: func(v *View) (Outcome, error) {
			did, err := v.API.UpdateCatalog(v.Context(), v.PathValue("name"), catalogsUpdate(v, false))
			return Outcome{Fragment: "fragment-catalog-changes", Data: catalogChanges{did, true}}, err
		}},
		{Pattern: "/catalogs/{name}/pin", Do: func(v *View) (Outcome, error) {
			did, err := v.API.PinCatalog(v.Context(), v.PathValue("name"), api.CatalogPin{Revision: strings.TrimSpace(v.Field("revision"))})
			return Outcome{Toast: v.Say("catalogs.pinned_at", shortRevision(did.To))}, err
		}},
		{Pattern: "/catalogs/{name}/unpin", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("catalogs.unpinned")}, v.API.UnpinCatalog(v.Context(), v.PathValue("name"))
		}},
		{Pattern: "/catalogs/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{To: "/catalogs"}, v.API.RemoveCatalog(v.Context(), v.PathValue("name"))
		}},
		{Pattern: "/catalog-keys", Do: func(v *View) (Outcome, error) {
			key, err := v.API.TrustCatalogKey(v.Context(), api.CatalogKeyTrust{PublicKey: v.Field("public_key"), Name: v.Field("name")})
			return Outcome{Toast: v.Say("catalogs.trusted", key.ID)}, err
		}},
		{Pattern: "/catalog-keys/{id}/untrust", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("catalogs.untrusted")}, v.API.UntrustCatalogKey(v.Context(), v.PathValue("id"), v.Field("force") != "")
		}},
	}
}

// catalogChanges is what an update brought, or would bring.
type catalogChanges struct {
	api.CatalogUpdated
	Done bool
}

func catalogsUpdate(v *View, dry bool) api.CatalogUpdate {
	return api.CatalogUpdate{DryRun: dry, AllowUnsigned: v.Field("allow_unsigned") != "", AcceptKey: v.Field("accept_key")}
}

func catalogsAdd(v *View) (Outcome, error) {
	added, err := v.API.AddCatalog(v.Context(), api.CatalogAdd{
		Name: strings.TrimSpace(v.Field("name")), URL: strings.TrimSpace(v.Field("url")), Path: v.Field("path"), Tracks: v.Field("tracks"), Pin: v.Field("pin"),
		AllowUnsigned: v.Field("allow_unsigned") != "", TrustKey: strings.TrimSpace(v.Field("trust_key")),
	})
	return Outcome{To: "/catalogs/" + added.Name}, err
}

// shortRevision is the beginning of a commit or a checksum, by which people know it again.
func shortRevision(revision string) string {
	kind, sum, is := strings.Cut(revision, ":")
	if !is {
		sum, kind = kind, ""
	} else {
		kind += ":"
	}
	return kind + sum[:min(len(sum), 12)]
}
