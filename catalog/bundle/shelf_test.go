package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/signature"
)

// then runs once everything before it was read.
type then func()

func (f then) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestFilesStayWhileABundleComes sweeps when all has come but the end: what was here before the bundle came is its own now.
func TestFilesStayWhileABundleComes(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}}.spec(tinyFiles))
	b := newBox(t)
	weights := []byte(tinyFiles["tiny.gguf"])
	if _, _, err := b.blobs.Add(t.Context(), bytes.NewReader(weights), ""); err != nil {
		t.Fatal(err)
	}
	b.blobs.Release(sumOf(weights))
	sweep := func() {
		if _, err := b.blobs.Sweep(t.Context(), b.Uses, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	end := len(raw) - 2*block
	if _, err := b.Receive(t.Context(), io.MultiReader(bytes.NewReader(raw[:end]), then(sweep), bytes.NewReader(raw[end:])), true, nil); err != nil {
		t.Fatal(err)
	}
	for name, text := range tinyFiles {
		if !b.blobs.Has(sumOf([]byte(text))) {
			t.Errorf("%s is on the shelf, and not here", name)
		}
	}
	if err := b.Remove("tiny"); err != nil {
		t.Fatal(err)
	}
	sweep()
	if left, err := b.blobs.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%d files of a bundle that is gone are kept, %v", len(left), err)
	}
}

func TestAnImageTakesNoOtherName(t *testing.T) {
	m, err := Prepare(t.Context(), tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	if err != nil {
		t.Fatal(err)
	}
	m.contents.Image.Manifests[0].Annotations[imageName] = "docker.io/library/postgres:17"
	if m.raw, err = json.Marshal(m.contents); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := m.Write(t.Context(), &raw); err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	if _, err := b.Receive(t.Context(), &raw, true, nil); err != nil {
		t.Fatal(err)
	}
	var manifests []ocispec.Descriptor
	if err := json.Unmarshal([]byte(entriesOf(t, b.images.imported[0], "")[indexName]), &manifests); err != nil {
		t.Fatal(err)
	}
	if got := manifests[0].Annotations[imageName]; got != "example.com/engine:1" {
		t.Errorf("the image is called %s", got)
	}
}

// TestASpoiledBundle: one whose recipe this Palisade does not read any more keeps its files until it is taken down.
func TestASpoiledBundle(t *testing.T) {
	b := newBox(t)
	if _, err := b.Receive(t.Context(), bytes.NewReader(made(t, tiny{files: map[string][]byte{}}.spec(tinyFiles))), true, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tiny", textsDir, recipeText), []byte("schema: 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shelf, broken, err := OpenShelf(b.dir, Around{Blobs: b.blobs, Now: time.Now, Keys: func(context.Context) ([]signature.Key, error) { return nil, nil }})
	if err != nil || len(broken) != 1 {
		t.Fatal(err, broken)
	}
	if _, err := shelf.Find("tiny"); !errors.Is(err, ErrRefused) {
		t.Errorf("it can be installed: %v", err)
	}
	if !shelf.Uses(sumOf([]byte(tinyFiles["tiny.gguf"]))) || len(shelf.List()) != 1 {
		t.Error("its files are nobody's")
	}
	if err := shelf.Remove("tiny"); err != nil || len(shelf.List()) != 0 {
		t.Errorf("it cannot be taken down: %v", err)
	}
}
