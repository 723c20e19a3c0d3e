package hub_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
)

// A model of the hub comes whole into the store, whatever happens on the way; what is there is not fetched again, not even for
// another model.
func TestAModelIntoTheStore(t *testing.T) {
	h, commit := start(t)
	s := source(t, h, "")
	store, err := blobs.Open(filepath.Join(t.TempDir(), "blobs"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f := fetch.New(store, fetch.Options{Chunk: 20_000})
	h.Break(hubtest.Store, "", 1, hubtest.Cut(7))
	h.Break(hubtest.Resolve, "config.json", 1, hubtest.Refuse(http.StatusTooManyRequests, "Retry-After", "0"))
	h.Break(hubtest.Resolve, "tokenizer/*", 1, hubtest.Refuse(http.StatusBadGateway))
	l := list(t, s, ref(""))
	m, err := f.Fetch(t.Context(), s, l, nil)
	if err != nil || len(m.Files) != 4 || m.Revision != commit || m.Bytes() != m.Fetched {
		t.Fatalf("%+v, %v", m, err)
	}
	to := t.TempDir()
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, e := range m.Files {
		if e.Name == "model.safetensors" {
			if err := store.Link(e.SHA256, root, e.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(to, "model.safetensors")); err != nil || string(text) != weights {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	served := h.Served()
	h.Commit("other/tiny", hubtest.Files{"weights/same.safetensors": weights, "new.json": "{}"})
	for _, where := range []string{repo, "other/tiny"} {
		r := fetch.Ref{Scheme: "hf", Where: where}
		if m, err = f.Fetch(t.Context(), s, list(t, s, r), nil); err != nil {
			t.Fatal(err)
		}
	}
	if came := h.Served() - served; came != 2 || m.Fetched != 2 || m.Reused != int64(len(weights)) {
		t.Errorf("%d bytes came again: %+v", came, m)
	}
	// What comes wrong is not taken for the file.
	h.Commit("bad/tiny", hubtest.Files{"a.gguf": "some other weights"})
	h.Break(hubtest.Store, "a.gguf", -1, hubtest.Alter())
	if m, err := f.Fetch(t.Context(), s, list(t, s, fetch.Ref{Scheme: "hf", Where: "bad/tiny"}), nil); !errors.Is(err, fetch.ErrChecksum) {
		t.Errorf("%+v, %v", m, err)
	}
}
