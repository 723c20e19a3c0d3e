package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/appliance/vault"
)

var _ vault.Rows = (*store.Store)(nil)

func TestSecrets(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		first := vault.Row{Name: "registry/b", Ciphertext: []byte{0, 0xff, '\n'}, CreatedAt: at.UTC(), UpdatedAt: at.UTC()}
		other := vault.Row{Name: "registry/a", Ciphertext: []byte("x"), CreatedAt: at.UTC(), UpdatedAt: at.UTC()}
		must(t, s.SaveSecret(t.Context(), first))
		must(t, s.SaveSecret(t.Context(), other))
		again := first
		again.Ciphertext, again.CreatedAt, again.UpdatedAt = []byte("new"), at.UTC().Add(time.Hour), at.UTC().Add(time.Hour)
		must(t, s.SaveSecret(t.Context(), again))
		again.CreatedAt = first.CreatedAt

		got, err := s.Secrets(t.Context())
		must(t, err)
		if d := cmp.Diff([]vault.Row{other, again}, got); d != "" {
			t.Errorf("secrets (-want +got):\n%s", d)
		}
		one, found, err := s.Secret(t.Context(), "registry/b")
		must(t, err)
		if d := cmp.Diff(again, one); d != "" || !found {
			t.Errorf("found %v (-want +got):\n%s", found, d)
		}
		for name, want := range map[string]bool{"registry/b": true, "registry/c": false} {
			if had, err := s.DeleteSecret(t.Context(), name); had != want || err != nil {
				t.Errorf("%s: %v, %v", name, had, err)
			}
			if _, found, err := s.Secret(t.Context(), name); found || err != nil {
				t.Errorf("%s is there: %v", name, err)
			}
		}
	})
}

// TestVaultOnTheStore: the two as the appliance joins them.
func TestVaultOnTheStore(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		key := filepath.Join(t.TempDir(), "vault.key")
		v, err := vault.Open(t.Context(), s, key, time.Now)
		must(t, err)
		must(t, v.Registries().Put(t.Context(), "ghcr.io", awkward, "s3cret"))
		again, err := vault.Open(t.Context(), s, key, time.Now)
		must(t, err)
		if user, secret, err := again.Registries().Credentials(t.Context(), "ghcr.io"); user != awkward || secret != "s3cret" || err != nil {
			t.Errorf("%q, %q, %v", user, secret, err)
		}
	})
}
