package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/index"
)

var _ index.Store = (*store.Store)(nil)

// Every field of a catalog and of a trusted key comes back.
func TestCatalogsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full, bare := filled[index.Catalog](), index.Catalog{Name: awkward}
		key, second := filled[index.TrustedKey](), index.TrustedKey{ID: "minisign:1", AddedAt: filled[index.TrustedKey]().AddedAt}
		check := func(wantCatalogs []index.Catalog, wantKeys []index.TrustedKey) {
			t.Helper()
			catalogs, err := s.Catalogs(t.Context())
			must(t, err)
			keys, err := s.CatalogKeys(t.Context())
			must(t, err)
			if d := cmp.Diff(wantCatalogs, catalogs) + cmp.Diff(wantKeys, keys); d != "" {
				t.Errorf("(-saved +read):\n%s", d)
			}
		}
		check(nil, nil)
		must(t, s.SaveCatalog(t.Context(), full))
		must(t, s.SaveCatalogKey(t.Context(), key))
		check([]index.Catalog{full}, []index.TrustedKey{key})

		full.Serial, full.Pin, full.Unsigned = full.Serial+1, "", !full.Unsigned
		key.Name = awkward
		must(t, s.SaveCatalog(t.Context(), full))
		must(t, s.SaveCatalogKey(t.Context(), key))
		check([]index.Catalog{full}, []index.TrustedKey{key})

		must(t, s.SaveCatalog(t.Context(), bare))
		must(t, s.SaveCatalogKey(t.Context(), second))
		must(t, s.DeleteCatalog(t.Context(), full.Name))
		must(t, s.DeleteCatalog(t.Context(), full.Name))
		must(t, s.DeleteCatalogKey(t.Context(), key.ID))
		must(t, s.DeleteCatalogKey(t.Context(), key.ID))
		check([]index.Catalog{bare}, []index.TrustedKey{second})
	})
}
