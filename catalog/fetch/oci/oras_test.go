package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/oci"
)

// oras is the program itself.
func oras(t *testing.T) string {
	t.Helper()
	built, err := exec.Command(filepath.Join("..", "..", "..", ".ci", "oras", "build")).Output()
	if err != nil {
		t.Fatalf("building oras: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(built)), "oras")
}

// orasPush pushes what lies in dir.
func orasPush(t *testing.T, program, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program,
		append([]string{"push", "--plain-http", "--username", "ann", "--password", "secret", "--registry-config", filepath.Join(t.TempDir(), "none")}, args...)...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("oras push %q: %v: %s", args, err, said)
	}
}

// tarred is what kit packs files of a model in.
func tarred(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	w := tar.NewWriter(packed)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What oras pushes with the types and annotations of ModelPack and of ModelKit, and files and directories as it packs them by
// itself, comes out as the files that went in.
func TestModelsThatOrasPushed(t *testing.T) {
	program := oras(t)
	address, weights, settings := registry(t), make([]byte, 1<<20), []byte(`{"layers": 2}`)
	_, _ = rand.Read(weights)
	model := map[string][]byte{"model.safetensors": weights, "config.json": settings}
	for what, c := range map[string]struct {
		lie  map[string][]byte // in the directory that oras works in
		args []string
		want map[string][]byte
	}{
		"ModelPack": {
			lie: map[string][]byte{"w.bin": weights, "c.bin": settings, "pack.json": []byte("{}"), "named.json": named(t, map[string]string{"w.bin": "model.safetensors", "c.bin": "sub/config.json"})},
			args: []string{"--artifact-type", "application/vnd.cncf.model.manifest.v1+json", "--config", "pack.json:application/vnd.cncf.model.config.v1+json", "--annotation-file", "named.json",
				"w.bin:application/vnd.cncf.model.weight.v1.raw", "c.bin:application/vnd.cncf.model.weight.config.v1.raw"},
			want: map[string][]byte{"model.safetensors": weights, "sub/config.json": settings},
		},
		"ModelPack, packed": {
			lie:  map[string][]byte{"w.tar.gz": tarred(t, model), "pack.json": []byte("{}")},
			args: []string{"--artifact-type", "application/vnd.cncf.model.manifest.v1+json", "--config", "pack.json:application/vnd.cncf.model.config.v1+json", "w.tar.gz:application/vnd.cncf.model.weight.v1.tar+gzip"},
			want: model,
		},
		"ModelKit": {
			lie:  map[string][]byte{"model.tar.gz": tarred(t, model), "docs.tar.gz": tarred(t, map[string][]byte{"README.md": []byte("# A model")}), "kit.json": []byte(`{"manifestVersion": "1.0.0"}`)},
			args: []string{"--config", "kit.json:application/vnd.kitops.modelkit.config.v1+json", "model.tar.gz:application/vnd.kitops.modelkit.model.v1.tar+gzip", "docs.tar.gz:application/vnd.kitops.modelkit.docs.v1.tar+gzip"},
			want: map[string][]byte{"model.safetensors": weights, "config.json": settings, "README.md": []byte("# A model")},
		},
		"files":       {lie: model, args: []string{"model.safetensors", "config.json"}, want: model},
		"a directory": {lie: map[string][]byte{"8b/model.safetensors": weights, "8b/sub/config.json": settings}, args: []string{"8b"}, want: map[string][]byte{"8b/model.safetensors": weights, "8b/sub/config.json": settings}},
	} {
		t.Run(what, func(t *testing.T) {
			dir, repository := t.TempDir(), "org/"+strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(what))
			for name, data := range c.lie {
				at := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, at, string(data))
			}
			orasPush(t, program, dir, append([]string{address + "/" + repository + ":8b"}, c.args...)...)
			if diff := cmp.Diff(c.want, fetched(t, address+"/"+repository)); diff != "" {
				t.Errorf("(-pushed +fetched):\n%.600s", diff)
			}
		})
	}
}

// named is oras's file of annotations: what ModelPack calls each file.
func named(t *testing.T, names map[string]string) []byte {
	t.Helper()
	all := map[string]map[string]string{}
	for file, name := range names {
		all[file] = map[string]string{"org.cncf.model.filepath": name}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fetched is what comes into the store from a repository's tag 8b, by name.
func fetched(t *testing.T, where string) map[string][]byte {
	t.Helper()
	store, err := blobs.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	source := oci.New(oci.Config{Credentials: logIn("ann", "secret")})
	in, err := source.List(t.Context(), fetch.Ref{Scheme: "oci", Where: where, Revision: "8b"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := fetch.New(store, fetch.Options{}).Fetch(t.Context(), source, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range got.Files {
		file, err := store.Open(f.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	return out
}
