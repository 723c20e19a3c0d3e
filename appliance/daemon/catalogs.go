package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/git"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/recipe"
	modeldefinitions "github.com/palisade-run/palisade/model-definitions"
)

// openCatalogs makes the index of catalogs, and the guard of all that is asked of the network. Nothing of catalogs is read yet.
func (d *daemon) openCatalogs() (err error) {
	if d.guard, err = reach.New(d.Config.Fetch.AllowPrivate); err != nil {
		return err
	}
	client := web.New(web.Options{UserAgent: "palisade/" + d.Version.Version, Guard: d.guard})
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
				return addedByHand{repositories}, nil
			case "http":
				return addedByHand{files}, nil
			default:
				return nil, fmt.Errorf("no catalogs come from %s", scheme)
			}
		},
	})
	return nil
}

// addedByHand is where a catalog is: an admin has added it.
type addedByHand struct{ fetch.Source }

// List implements fetch.Source.
func (a addedByHand) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	return a.Source.List(reach.Owner(ctx, hostIn(ref.Where)), ref)
}

// Open implements fetch.Source.
func (a addedByHand) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	return a.Source.Open(reach.Owner(ctx, hostIn(in.Ref.Where)), in, f, offset, length)
}

// registryOfOthers says why a registry may not be named by who does not own the box; nil: it may. Those that the settings name
// are the owner's.
func (d *daemon) registryOfOthers(host string) error {
	if slices.Contains(d.Config.Containerd.Insecure, host) {
		return nil
	}
	return d.guard.Literal(reach.World, host)
}

// namedByHand says why a host may not be named over the network, be it by the owner of the box: the box itself, and where clouds
// tell a machine its secrets. Whoever has come by the log-in of an owner would see what is there.
func (d *daemon) namedByHand(host string) error {
	if slices.Contains(d.Config.Containerd.Insecure, host) {
		return nil
	}
	return d.guard.Literal(reach.LAN, host)
}
