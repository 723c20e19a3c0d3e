package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/signature"
)

// Receive takes in a bundle that comes whole.
func (s *Shelf) Receive(ctx context.Context, r io.Reader, allowUnsigned bool, tell Progress) (Held, error) {
	return s.receive(ctx, r, &taking{shelf: s, allowUnsigned: allowUnsigned, texts: map[string][]byte{}}, tell)
}

const recipeOfTiny = `schema: 1
name: tiny
version: 3
title: Tiny
description: A model for tests.
license: {id: Apache-2.0}
task: chat
inputs: [text]
outputs: [text]
parameters: 1000
sources:
  - {name: weights, from: "hf:org/tiny", mirrors: ["https://mirror.example/tiny.gguf"], secret: HF_TOKEN}
  - {name: others, from: "hf:org/others"}
variants:
  - {name: gguf, runtime: llama-cpp, images: "example.com/engine:1", accelerators: [cpu], source: weights, memory: {weights: 1MB}}
  - {name: other, runtime: vllm, images: "example.com/engine:1", accelerators: [cuda], source: others, memory: {weights: 1MB}}
`

// tiny is what a bundle is made of in tests.
type tiny struct {
	files map[string][]byte // by checksum
	image []byte            // archive; nil: none
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (m tiny) spec(names map[string]string) Spec {
	spec := Spec{
		Contents: Contents{Name: "tiny", Version: "3", License: License{ID: "Apache-2.0"}, MadeAt: time.Unix(1_800_000_000, 0), Source: "weights", Variant: "gguf"},
		Texts:    map[string][]byte{"recipe.yaml": []byte(recipeOfTiny), "README.md": []byte("# Tiny\n")},
		Open: func(sum string) (io.ReadCloser, error) {
			b, ok := m.files[sum]
			if !ok {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(bytes.NewReader(b)), nil
		},
	}
	for name, text := range names {
		sum := sumOf([]byte(text))
		m.files[sum] = []byte(text)
		spec.Files = append(spec.Files, File{Name: name, Bytes: int64(len(text)), SHA256: sum, Run: strings.HasSuffix(name, ".sh")})
	}
	if m.image != nil {
		spec.Image = "example.com/engine:1"
		spec.Export = func(_ context.Context, w io.Writer) error {
			_, err := w.Write(m.image)
			return err
		}
	}
	return spec
}

// engineImage is an archive as runtimes write one: blobs first, the index after them.
func engineImage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, text []byte) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(text)
	}
	blob := func(text []byte) ocispec.Descriptor {
		add(blobsDir+sumOf(text), text)
		return ocispec.Descriptor{Digest: digest.FromBytes(text), Size: int64(len(text))}
	}
	config, layer := blob([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)), blob(bytes.Repeat([]byte("layer"), 500))
	config.MediaType, layer.MediaType = ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer
	raw, _ := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}})
	manifest := blob(raw)
	manifest.MediaType, manifest.Annotations = ocispec.MediaTypeImageManifest, map[string]string{imageName: "example.com/engine:1"}
	raw, _ = json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{manifest}})
	add(indexName, raw)
	add("manifest.json", []byte("[]"))
	add(layoutName, []byte(layoutValue))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func made(t *testing.T, spec Spec) []byte {
	t.Helper()
	m, err := Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != m.Size() {
		t.Fatalf("%d bytes were written, %d announced", b.Len(), m.Size())
	}
	return b.Bytes()
}

// engines keeps what is imported whole.
type engines struct{ imported [][]byte }

func (e *engines) Import(_ context.Context, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	e.imported = append(e.imported, b)
	return nil
}

type box struct {
	*Shelf
	blobs  *blobs.Store
	images *engines
	dir    string
}

func newBox(t *testing.T, keys ...signature.Key) box {
	t.Helper()
	dir := t.TempDir()
	store, err := blobs.Open(filepath.Join(dir, "blobs"), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := box{blobs: store, images: &engines{}, dir: filepath.Join(dir, "bundles")}
	b.Shelf = b.open(t, keys...)
	return b
}

func (b box) open(t *testing.T, keys ...signature.Key) *Shelf {
	t.Helper()
	shelf, broken, err := OpenShelf(b.dir, Around{
		Blobs: b.blobs, Images: b.images, Now: func() time.Time { return time.Unix(1_800_000_100, 0) },
		Keys: func(context.Context) ([]signature.Key, error) { return keys, nil },
	})
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	return shelf
}

var tinyFiles = map[string]string{"tiny.gguf": strings.Repeat("weights", 300), "run.sh": "#!/bin/sh\n", "empty": "", "deep/er/config.json": "{}"}

func TestABundleIsMadeAndTakenIn(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	b := newBox(t)
	var last int64
	held, err := b.Receive(t.Context(), bytes.NewReader(raw), true, func(done, total int64) {
		if last = done; total != int64(len(raw)) {
			t.Errorf("%d of %d", done, total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != int64(len(raw)) {
		t.Errorf("%d bytes were told of", last)
	}
	for name, text := range tinyFiles {
		if !b.blobs.Has(sumOf([]byte(text))) || !b.Uses(sumOf([]byte(text))) {
			t.Errorf("%s is not here", name)
		}
	}
	if len(b.images.imported) != 1 {
		t.Fatalf("%d images", len(b.images.imported))
	}
	if diff := cmp.Diff(entriesOf(t, engineImage(t), "manifest.json"), entriesOf(t, b.images.imported[0], "")); diff != "" {
		t.Errorf("the image (-want +got):\n%s", diff)
	}
	for what, r := range map[string]Held{"as it came": held, "after a restart": b.open(t).List()[0]} {
		if len(r.Recipe.Variants) != 1 || r.Recipe.Variants[0].Name != "gguf" || len(r.Recipe.Sources) != 1 || string(r.Recipe.Readme) != "# Tiny\n" {
			t.Fatalf("%s: %+v", what, r.Recipe)
		}
		if s := r.Recipe.Sources[0]; s.From != filepath.Join(b.dir, "tiny") || s.Secret != "" || s.Mirrors != nil || s.Checksum["tiny.gguf"] != sumOf([]byte(tinyFiles["tiny.gguf"])) {
			t.Errorf("%s: %+v", what, s)
		}
	}
	if at, ok := b.At(filepath.Join(b.dir, "tiny")); !ok || at.Digest != held.Digest {
		t.Errorf("by its place: %+v", at)
	}
	if _, ok := b.At("/etc/tiny"); ok {
		t.Error("another place has it, too")
	}
	if _, err := b.Receive(t.Context(), bytes.NewReader(raw), true, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
	if err := b.Remove("tiny"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find("tiny"); !errors.Is(err, ErrNotFound) || len(b.open(t).List()) != 0 {
		t.Errorf("removed: %v", err)
	}
}

func entriesOf(t *testing.T, archive []byte, but string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := eachFile(bytes.NewReader(archive), func(name string, _ int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if name == indexName {
			var index ocispec.Index
			_ = json.Unmarshal(b, &index)
			b, _ = json.Marshal(index.Manifests)
		}
		if name != but {
			out[name] = string(b)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOthersCanReadIt: a bundle is a layout as others' tools read it, with the model and the image.
func TestOthersCanReadIt(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	dir := t.TempDir()
	if err := eachFile(bytes.NewReader(raw), func(name string, _ int64, r io.Reader) error {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		return errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	model, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := model.Manifest()
	if err != nil || len(manifest.Layers) != len(tinyFiles)+2 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	for _, l := range manifest.Layers {
		blob, err := layout.Path(dir).Bytes(l.Digest)
		if err != nil || int64(len(blob)) != l.Size || l.Annotations["org.cncf.model.filepath"] == "" {
			t.Errorf("%v: %d bytes, %v", l, len(blob), err)
		}
	}
}

// TestEveryByteCounts alters each byte, and cuts off at each: always it is refused, and nothing has changed.
func TestEveryByteCounts(t *testing.T) {
	signer, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var signed bytes.Buffer
	if _, err := Copy(t.Context(), bytes.NewReader(made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(map[string]string{"a": "weights"}))), &signed, &signer, nil); err != nil {
		t.Fatal(err)
	}
	raw := signed.Bytes()
	for at := range raw {
		raw[at] ^= 1 << (at % 8)
		if _, err := Read(t.Context(), bytes.NewReader(raw), nil, nil); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotBundle) {
			t.Fatalf("byte %d of %d altered: %v", at, len(raw), err)
		}
		raw[at] ^= 1 << (at % 8)
		if at%block > 1 && at%7 > 0 {
			continue
		}
		if _, err := Read(t.Context(), bytes.NewReader(raw[:at]), nil, nil); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotBundle) {
			t.Fatalf("cut off after %d of %d: %v", at, len(raw), err)
		}
	}
	for _, every := range []int{701} {
		b := newBox(t, signer.Key())
		for at := 0; at < len(raw); at += every {
			raw[at] ^= 0x10
			_, altered := b.Receive(t.Context(), bytes.NewReader(raw), false, nil)
			raw[at] ^= 0x10
			_, cut := b.Receive(t.Context(), bytes.NewReader(raw[:at]), false, nil)
			if altered == nil || cut == nil || len(b.List()) != 0 || len(b.images.imported) != 0 {
				t.Fatalf("byte %d: %v, %v; %d on the shelf, %d images", at, altered, cut, len(b.List()), len(b.images.imported))
			}
		}
		left, err := os.ReadDir(b.dir)
		if err != nil || len(left) != 0 {
			t.Errorf("%v is left, %v", left, err)
		}
		if _, err := b.Receive(t.Context(), io.MultiReader(bytes.NewReader(raw), strings.NewReader("x")), false, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("with something behind its end: %v", err)
		}
		if held, err := b.Receive(t.Context(), bytes.NewReader(raw), false, nil); err != nil || held.SignedBy != signer.Key().ID() {
			t.Errorf("whole: %+v, %v", held, err)
		}
	}
}

func TestWhoIsBelieved(t *testing.T) {
	ours, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	plain := made(t, tiny{files: map[string][]byte{}}.spec(tinyFiles))
	sign := func(raw []byte, by signature.Signer) []byte {
		var b bytes.Buffer
		if _, err := Copy(t.Context(), bytes.NewReader(raw), &b, &by, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	once := sign(plain, other)
	for _, c := range []struct {
		what  string
		raw   []byte
		allow bool
		want  error
		by    string
	}{
		{"ours", sign(plain, ours), false, nil, ours.Key().ID()},
		{"signed anew", sign(once, ours), false, nil, ours.Key().ID()},
		{"not signed", plain, false, ErrUnsigned, ""},
		{"not signed, let in", plain, true, nil, ""},
		{"another's", once, false, signature.ErrUntrusted, ""},
		{"another's, let in", once, true, nil, ""},
	} {
		b := newBox(t, ours.Key())
		held, err := b.Receive(t.Context(), bytes.NewReader(c.raw), c.allow, nil)
		var h interface{ Hint() string }
		if !errors.Is(err, c.want) || held.SignedBy != c.by || err != nil && (!errors.As(err, &h) || len(b.List()) > 0) {
			t.Errorf("%s: %q, %v", c.what, held.SignedBy, err)
		}
	}
	copied := bytes.Buffer{}
	if _, err := Copy(t.Context(), bytes.NewReader(once), &copied, nil, nil); err != nil || !bytes.Equal(copied.Bytes(), once) {
		t.Errorf("copied without a key: %v", err)
	}
}

func TestContentsThatMeanHarm(t *testing.T) {
	m, err := Prepare(t.Context(), tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Contents){
		"a way out":             func(c *Contents) { c.Files[0].Name = "../../etc/passwd" },
		"an absolute name":      func(c *Contents) { c.Files[0].Name = "/etc/passwd" },
		"a backslash":           func(c *Contents) { c.Files[0].Name = `..\x` },
		"a text with a way out": func(c *Contents) { c.Texts[0].Name = "../held.json" },
		"a name twice":          func(c *Contents) { c.Files[0].Name = c.Files[1].Name },
		"a file as a directory": func(c *Contents) { c.Files[0].Name, c.Files[1].Name = "a", "a/b" },
		"an entry twice":        func(c *Contents) { c.Entries = append(c.Entries, c.Entries[3]) },
		"an entry of no name":   func(c *Contents) { c.Entries[0].Name = "../x" },
		"an entry nobody needs": func(c *Contents) {
			c.Entries = append(c.Entries, Entry{blobsDir + sumOf([]byte("x")), 1, sumOf([]byte("x"))})
		},
		"another size":           func(c *Contents) { c.Files[0].Bytes++ },
		"a size below zero":      func(c *Contents) { c.Entries[3].Bytes = -1 },
		"sizes that run over":    func(c *Contents) { c.Entries[3].Bytes = 1 << 62 },
		"a file that is missing": func(c *Contents) { c.Files[0].SHA256 = sumOf([]byte("y")) },
		"a blob that is missing": func(c *Contents) { c.Image.Blobs[0] = sumOf([]byte("y")) },
		"no recipe":              func(c *Contents) { c.Texts = c.Texts[:1] },
		"no layout":              func(c *Contents) { c.Entries = c.Entries[1:] },
		"a name as a path":       func(c *Contents) { c.Name = "../tiny" },
		"a hidden name":          func(c *Contents) { c.Name = ".tiny" },
		"a later schema":         func(c *Contents) { c.Schema = 2 },
		"a text like a disk": func(c *Contents) {
			c.Texts[0].Bytes = 1 << 40
			c.Entries[slices.IndexFunc(c.Entries, func(e Entry) bool { return e.SHA256 == c.Texts[0].SHA256 })].Bytes = 1 << 40
		},
	} {
		var c Contents
		if err := json.Unmarshal(m.raw, &c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseContents(raw); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := parseContents(bytes.Replace(m.raw, []byte(`"name"`), []byte(`"more": 1, "name"`), 1)); !errors.Is(err, ErrRefused) {
		t.Errorf("an unknown field: %v", err)
	}
	if _, err := parseContents(m.raw); err != nil {
		t.Error(err)
	}
}

// faultyBlobs has no room, or fails as it keeps.
type faultyBlobs struct {
	free int64
	err  error
}

func (f faultyBlobs) Has(string) bool                                   { return false }
func (f faultyBlobs) Sure(context.Context, string) (int64, bool, error) { return 0, false, nil }
func (f faultyBlobs) Release(...string)                                 {}
func (f faultyBlobs) Frontier(string) int64                             { return 0 }
func (f faultyBlobs) Part(context.Context, string, int64) (*blobs.Part, error) {
	return nil, f.err
}
func (f faultyBlobs) Free() (int64, error) { return f.free, nil }

type faultyImages struct{ err error }

func (f faultyImages) Import(_ context.Context, r io.Reader) error {
	_, _ = io.CopyN(io.Discard, r, 700)
	return f.err
}

func TestABoxThatCannotTakeIt(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		around Around
		want   error
	}{
		"no room":               {Around{Blobs: faultyBlobs{free: 1000}}, ErrNoSpace},
		"blobs fail":            {Around{Blobs: faultyBlobs{free: 1 << 40, err: broken}}, broken},
		"the runtime refuses":   {Around{Blobs: newBox(t).blobs, Images: faultyImages{broken}}, broken},
		"the keys are not read": {Around{Blobs: newBox(t).blobs, Keys: func(context.Context) ([]signature.Key, error) { return nil, broken }}, broken},
	} {
		c.around.Now = time.Now
		if c.around.Keys == nil {
			c.around.Keys = func(context.Context) ([]signature.Key, error) { return nil, nil }
		}
		shelf, _, err := OpenShelf(t.TempDir(), c.around)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shelf.Receive(t.Context(), bytes.NewReader(raw), true, nil); !errors.Is(err, c.want) || len(shelf.List()) != 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	shelf, _, err := OpenShelf(t.TempDir(), Around{Blobs: newBox(t).blobs, Now: time.Now, Keys: func(context.Context) ([]signature.Key, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if held, err := shelf.Receive(t.Context(), bytes.NewReader(raw), true, nil); err != nil || !held.NoImage {
		t.Errorf("no containers: %+v, %v", held.NoImage, err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := shelf.Receive(gone, bytes.NewReader(raw), true, nil); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestARecipeOfNoUse(t *testing.T) {
	for what, change := range map[string]func(*Spec){
		"none that can be read": func(s *Spec) { s.Texts["recipe.yaml"] = []byte("name: [") },
		"another model's": func(s *Spec) {
			s.Texts["recipe.yaml"] = bytes.Replace(s.Texts["recipe.yaml"], []byte("tiny"), []byte("else"), 1)
		},
		"no such source": func(s *Spec) { s.Source = "nothing" },
	} {
		spec := tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles)
		change(&spec)
		b := newBox(t)
		if _, err := b.Receive(t.Context(), bytes.NewReader(made(t, spec)), true, nil); !errors.Is(err, ErrRefused) || len(b.images.imported) != 0 || len(b.List()) != 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatIsDamagedHereGoesIntoNoBundle(t *testing.T) {
	m := tiny{files: map[string][]byte{}}
	spec := m.spec(tinyFiles)
	made, err := Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	m.files[sumOf([]byte(tinyFiles["tiny.gguf"]))][5]++
	if err := made.Write(t.Context(), io.Discard); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
}

// nothing is a file of zeros that no disk holds.
type nothing struct{ left int64 }

func (n *nothing) Read(p []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	got := min(int64(len(p)), n.left)
	clear(p[:got])
	n.left -= got
	return int(got), nil
}

func (n *nothing) Close() error { return nil }

// large is a bundle of one file of half a GiB.
func large(t testing.TB) *Made {
	t.Helper()
	const size = 512 << 20
	sum := sha256.New()
	if _, err := io.Copy(sum, &nothing{size}); err != nil {
		t.Fatal(err)
	}
	spec := tiny{files: map[string][]byte{}}.spec(nil)
	spec.Files = []File{{Name: "large", Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil))}}
	spec.Open = func(string) (io.ReadCloser, error) { return &nothing{size}, nil }
	m, err := Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// writeAndRead writes a bundle on one side of a pipe and verifies it on the other.
func writeAndRead(t testing.TB, m *Made) {
	t.Helper()
	from, to := io.Pipe()
	go func() { _ = to.CloseWithError(m.Write(context.WithoutCancel(t.Context()), to)) }()
	head, err := Read(t.Context(), from, nil, nil)
	if err != nil || head.Size != m.Size() {
		t.Fatalf("%d, %v", head.Size, err)
	}
}

// BenchmarkWriteAndRead is of both sides at once, checksums included.
func BenchmarkWriteAndRead(b *testing.B) {
	m := large(b)
	b.SetBytes(m.Size())
	for b.Loop() {
		writeAndRead(b, m)
	}
}

func TestLargeFilesTakeNoMemory(t *testing.T) {
	m := large(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	writeAndRead(t, m)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("%d MiB were allocated", took>>20)
	}
}

func TestHeadersOfAnySize(t *testing.T) {
	for _, size := range []int64{0, 1, 8 << 30, 100 << 30, 1 << 50} {
		if h, err := header(blobsDir+sumOf(nil), size); err != nil || len(h) != block {
			t.Errorf("%d: %d, %v", size, len(h), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	m, err := Prepare(context.Background(), tiny{files: map[string][]byte{}}.spec(map[string]string{"a": "b"}))
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(context.Background(), &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, err := Read(t.Context(), bytes.NewReader(raw), nil, nil)
		if err == nil && head.Size != int64(len(raw)) {
			t.Errorf("%d bytes of %d", head.Size, len(raw))
		}
		if err != nil && strings.TrimSpace(fmt.Sprint(err)) == "" {
			t.Error("an error without words")
		}
	})
}
