package admintest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// catalogRows is an index.Store.
type catalogRows struct {
	mu       sync.Mutex
	catalogs map[string]index.Catalog
	keys     map[string]index.TrustedKey
}

// newCatalogs is a real index, for catalogs in folders: nothing is to be had from elsewhere.
func newCatalogs(dir string, log *slog.Logger) *index.Index {
	return index.New(index.Deps{
		Store: &catalogRows{catalogs: map[string]index.Catalog{}, keys: map[string]index.TrustedKey{}},
		Dir:   filepath.Join(dir, "catalogs"), Log: log, Now: time.Now,
		Shipped: func() []recipe.Entry { return nil },
		Sources: func(scheme string) (fetch.Source, error) {
			return nil, fmt.Errorf("nothing comes from %s here: %w", scheme, fetch.ErrNotFound)
		},
	})
}

// Catalogs implements index.Store.
func (r *catalogRows) Catalogs(context.Context) ([]index.Catalog, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.catalogs), func(a, b index.Catalog) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// SaveCatalog implements index.Store.
func (r *catalogRows) SaveCatalog(_ context.Context, c index.Catalog) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catalogs[c.Name] = c
	return nil
}

// DeleteCatalog implements index.Store.
func (r *catalogRows) DeleteCatalog(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.catalogs, name)
	return nil
}

// CatalogKeys implements index.Store.
func (r *catalogRows) CatalogKeys(context.Context) ([]index.TrustedKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.keys), func(a, b index.TrustedKey) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// SaveCatalogKey implements index.Store.
func (r *catalogRows) SaveCatalogKey(_ context.Context, k index.TrustedKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[k.ID] = k
	return nil
}

// DeleteCatalogKey implements index.Store.
func (r *catalogRows) DeleteCatalogKey(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, id)
	return nil
}
