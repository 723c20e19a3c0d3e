package install_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/install"
)

func TestVerify(t *testing.T) {
	in(t, func(t *testing.T, w *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		if got := ended(t, m, "tiny"); got != through {
			t.Fatal(got)
		}
		verify := func(wish install.VerifyWish) install.Check {
			t.Helper()
			told := 0
			wish.Project = "p"
			c, err := m.Verify(t.Context(), wish, func(install.Check) { told++ })
			if err != nil || told == 0 || c.Done != 2 || c.Files != 2 || c.Models != 1 || c.Bytes != int64(len("weights")+len("{}")) || c.Read != c.Bytes {
				t.Errorf("%+v, told %d times, %v", c, told, err)
			}
			return c
		}
		if c := verify(install.VerifyWish{}); len(c.Damaged) != 0 {
			t.Errorf("%+v", c.Damaged)
		}
		model, err := m.Model("p", "tiny")
		if err != nil {
			t.Fatal(err)
		}
		folder, err := w.folders.Find(t.Context(), "p", model.Revision(1).Folder)
		if err != nil {
			t.Fatal(err)
		}
		weights, config := filepath.Join(folder.Path, "model.gguf"), filepath.Join(folder.Path, "config.json")
		if err := errors.Join(os.WriteFile(weights, []byte("weightS"), 0o600), os.Remove(config)); err != nil {
			t.Fatal(err)
		}
		c := verify(install.VerifyWish{Model: "tiny"})
		if len(c.Damaged) != 2 || c.Damaged[0].File != "config.json" || c.Damaged[0].Problem != "it is gone" || !strings.Contains(c.Damaged[1].Problem, "its checksum is") || c.Damaged[1].Repaired {
			t.Errorf("%+v", c.Damaged)
		}
		w.fault = fetch.ErrDenied
		if c = verify(install.VerifyWish{Repair: true}); len(c.Damaged) != 2 || c.Damaged[1].Repaired || c.Damaged[1].Failed == "" {
			t.Errorf("where its place is closed: %+v", c.Damaged)
		}
		if c = verify(install.VerifyWish{Repair: true}); len(c.Damaged) != 2 || !c.Damaged[0].Repaired || !c.Damaged[1].Repaired {
			t.Errorf("repaired: %+v", c.Damaged)
		}
		if c = verify(install.VerifyWish{}); len(c.Damaged) != 0 {
			t.Errorf("after that: %+v", c.Damaged)
		}
		if err := os.RemoveAll(folder.Path); err != nil {
			t.Fatal(err)
		}
		c, err = m.Verify(t.Context(), install.VerifyWish{Project: "p"}, func(install.Check) {})
		if err != nil || len(c.Damaged) != 1 || c.Damaged[0].Problem != "its folder is gone" {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := m.Verify(t.Context(), install.VerifyWish{Project: "p", Model: "none"}, nil); !errors.Is(err, install.ErrNotFound) {
			t.Errorf("a model that is not there: %v", err)
		}
	})
	in(t, func(t *testing.T, _ *world, m *install.Manager) {
		begin(t, m, install.Wish{Source: "tiny"})
		ended(t, m, "tiny")
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("given up")
		cancel(why)
		if _, err := m.Verify(ctx, install.VerifyWish{Project: "p"}, func(install.Check) {}); !errors.Is(err, why) {
			t.Errorf("given up: %v", err)
		}
	})
}
