package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/git"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/recipe"
	modeldefinitions "github.com/palisade-run/palisade/model-definitions"
)

// openCatalogs makes the index of catalogs. Nothing of them is read yet.
func (d *daemon) openCatalogs() {
	client := web.New(web.Options{UserAgent: "palisade/" + d.Version.Version})
	repositories := git.New(git.Options{
		Dir: filepath.Join(d.Config.Data, "repositories"), HTTP: client, LogIn: d.vault.Registries().Credentials, PlainHTTP: d.Config.Containerd.Insecure,
	})
	files := web.NewSource(client, nil)
	log := d.Log.With("room", "catalog")
	d.catalogs = index.New(index.Deps{
		Store: d.store, Dir: filepath.Join(d.Config.Data, "catalogs"), Log: log, Now: time.Now,
		Shipped: func() []recipe.Entry {
			entries, problems, err := recipe.Load(modeldefinitions.Files, recipe.Shipped)
			if err = errors.Join(err, problems.Err()); err != nil { // a test sees to it that this is never so
				log.Error("recipes that come with Palisade cannot be read", "error", err)
			}
			return entries
		},
		Sources: func(scheme string) (fetch.Source, error) {
			switch scheme {
			case "git":
				return repositories, nil
			case "http":
				return files, nil
			default:
				return nil, fmt.Errorf("no catalogs come from %s", scheme)
			}
		},
	})
}
