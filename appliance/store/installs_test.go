package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/install"
)

var _ install.Store = (*store.Store)(nil)

// Every field of an install and of a model comes back.
func TestInstallsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full, bare := filled[install.Install](), install.Install{ID: "ins-bare", Project: "default", Model: awkward, CreatedAt: at.UTC()}
		must(t, s.SaveInstall(t.Context(), bare))
		must(t, s.SaveInstall(t.Context(), full))
		check := func(want ...install.Install) {
			t.Helper()
			got, err := s.Installs(t.Context())
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-saved +read):\n%s", d)
			}
		}
		check(bare, full)
		bare.State = full.State
		must(t, s.SaveInstall(t.Context(), bare))
		must(t, s.DeleteInstall(t.Context(), full.ID))
		must(t, s.DeleteInstall(t.Context(), full.ID))
		check(bare)
	})
}

func TestModelsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full, bare := filled[install.Model](), install.Model{ID: "mdl-bare", Project: "default", Name: awkward}
		full.Project = "a"
		must(t, s.SaveModel(t.Context(), bare))
		must(t, s.SaveModel(t.Context(), full))
		if err := s.SaveModel(t.Context(), install.Model{ID: "mdl-other", Project: "default", Name: awkward}); !errors.Is(err, install.ErrExists) {
			t.Errorf("a name that is taken: %v", err)
		}
		check := func(want ...install.Model) {
			t.Helper()
			got, err := s.Models(t.Context())
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-saved +read):\n%s", d)
			}
		}
		check(full, bare)
		bare.ModelState = full.ModelState
		must(t, s.SaveModel(t.Context(), bare))
		must(t, s.DeleteModel(t.Context(), full.ID))
		check(bare)
	})
}
