package vault_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/vault"
)

func TestNamed(t *testing.T) {
	rows := &memory{}
	v := open(t, rows, filepath.Join(t.TempDir(), "key"))
	n, ctx := v.Named(), t.Context()
	if err := v.Registries().Put(ctx, "ghcr.io", "ann", "hunter1"); err != nil {
		t.Fatal(err)
	}
	if err := n.Put(ctx, "HF_TOKEN", "hunter2"); err != nil {
		t.Fatal(err)
	}
	if s, err := n.Get(ctx, "HF_TOKEN"); err != nil || s.Reveal() != "hunter2" {
		t.Errorf("%v, %v", s, err)
	}
	if all, err := n.List(ctx); err != nil || len(all) != 1 || all[0].Name != "HF_TOKEN" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, name := range []string{"", "2nd", "HF-TOKEN", "../key", "a b", "registry/ghcr.io", strings.Repeat("a", 65)} {
		if err := n.Put(ctx, name, "hunter3"); !errors.Is(err, vault.ErrInvalid) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := n.Put(ctx, "A", "hunter\x00"); !errors.Is(err, vault.ErrInvalid) {
		t.Error(err)
	}
	if err := n.Delete(ctx, "HF_TOKEN"); err != nil {
		t.Fatal(err)
	}
	_, err := n.Get(ctx, "HF_TOKEN")
	hinted, ok := errors.AsType[*vault.Error](err)
	if !errors.Is(err, vault.ErrNotFound) || !ok || hinted.Hint() != "keep it with: palisade secret set HF_TOKEN" {
		t.Errorf("%v", err)
	}
}
