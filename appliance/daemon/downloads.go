package daemon

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/install"
)

// downloads are the places of models, what brings their files, and the store that these come into. It is an install.Places,
// an install.Secrets, and its store an install.Blobs.
type downloads struct {
	*places
	store   *blobs.Store
	fetcher *fetch.Fetcher
}

// openDownloads opens the store beside the folders, on the same disk: models' files are links to it.
func openDownloads(c config.Config, v *vault.Vault, version string, log *slog.Logger) (*downloads, error) {
	store, err := blobs.Open(filepath.Join(c.Data, "catalog", "blobs"), log)
	if err != nil {
		return nil, err
	}
	return &downloads{
		places: newPlaces(placesOptions{
			data: c.Data, hub: cmp.Or(c.Catalog.Hub, os.Getenv("HF_ENDPOINT")), insecure: c.Containerd.Insecure, vault: v,
			http: web.New(web.Options{UserAgent: "palisade/" + cmp.Or(version, "dev")}),
		}),
		store: store,
		fetcher: fetch.New(store, fetch.Options{
			Connections: c.Catalog.Connections, Rate: c.Catalog.Rate, Keep: c.Catalog.Reserve, Log: log,
		}),
	}, nil
}

// close ends what the store does by itself. What is being fetched must have ended.
func (d *downloads) close() error { return d.store.Close() }

// Fetch implements install.Places.
func (d *downloads) Fetch(ctx context.Context, from fetch.Source, in fetch.Listing, tell func(install.Transfer)) ([]install.File, error) {
	m, err := d.fetcher.Fetch(ctx, from, in, func(p fetch.Progress) { tell(transfer(p)) })
	if err != nil {
		return nil, err
	}
	files := make([]install.File, 0, len(m.Files))
	for _, e := range m.Files {
		files = append(files, install.File{Name: e.Name, Bytes: e.Bytes, SHA256: e.SHA256})
	}
	return files, nil
}

func transfer(p fetch.Progress) install.Transfer {
	return install.Transfer{
		Files: p.Files, Done: p.FilesDone, Bytes: max(p.Bytes, 0), Here: p.Done, Reused: p.Reused, Speed: p.Speed, Left: max(p.ETA, 0).Round(time.Second),
		Current: p.Current, Message: p.Message,
	}
}

// Has implements install.Secrets.
func (d *downloads) Has(ctx context.Context, name string) (bool, error) {
	_, err := d.named.Get(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
