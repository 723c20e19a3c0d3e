package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
	"github.com/palisade-run/palisade/catalog/install"
)

func TestAModelComesByTheDaemonsWay(t *testing.T) {
	h := hubtest.Start(t)
	h.Commit("acme/tiny", hubtest.Files{"a.gguf": "weights", "README.md": "words"})
	t.Setenv("HF_ENDPOINT", h.URL())
	c := config.Default()
	c.Data = t.TempDir()
	v, err := vault.Open(t.Context(), safe{}, filepath.Join(c.Data, "key"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDownloads(c, v, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	var places install.Places = d
	var blobs install.Blobs = d.store
	ref, err := fetch.ParseRef("hf:acme/tiny#*.gguf")
	if err != nil {
		t.Fatal(err)
	}
	from, err := places.Source(t.Context(), ref, "")
	if err != nil {
		t.Fatal(err)
	}
	listing, err := from.List(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var last install.Transfer
	files, err := places.Fetch(t.Context(), from, listing, func(now install.Transfer) { last = now })
	if err != nil || len(files) != 1 || files[0].Name != "a.gguf" || !blobs.Has(files[0].SHA256) || last.Here != 7 || last.Done != 1 {
		t.Fatalf("%+v, %+v, %v", files, last, err)
	}
	root, err := os.OpenRoot(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := blobs.Link(files[0].SHA256, root, "here"); err != nil {
		t.Error(err)
	}
	if has, err := d.Has(t.Context(), "HF_TOKEN"); has || err != nil {
		t.Error(has, err)
	}
	if err := v.Named().Put(t.Context(), "HF_TOKEN", "x"); err != nil {
		t.Fatal(err)
	}
	if has, err := d.Has(t.Context(), "HF_TOKEN"); !has || err != nil {
		t.Error(has, err)
	}
}
