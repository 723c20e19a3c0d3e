package oci

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/fetch"
)

func layer(kind, named string, more ...string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromString(kind + named), Size: int64(len(named)) + 1, Annotations: map[string]string{}}
	if named != "" {
		d.Annotations[ocispec.AnnotationTitle] = named
	}
	for i := 0; i+1 < len(more); i += 2 {
		d.Annotations[more[i]] = more[i+1]
	}
	return d
}

func TestLayersBecomeFiles(t *testing.T) {
	pack := func(what, named string) ocispec.Descriptor {
		d := layer("application/vnd.cncf.model."+what, "")
		d.Annotations["org.cncf.model.filepath"] = named
		d.Digest = digest.FromString(what + named)
		return d
	}
	tarred := layer("application/vnd.kitops.modelkit.model.v1.tar+gzip", "")
	dir := layer("application/vnd.oci.image.layer.v1.tar+gzip", "tokenizer", annotationUnpack, "true")
	for _, c := range []struct {
		what   string
		m      ocispec.Manifest
		want   []string // names, "*" those that may be run, with how they are packed
		broken string
		hint   bool
	}{
		{what: "ModelPack", m: ocispec.Manifest{ArtifactType: "application/vnd.cncf.model.manifest.v1+json", Layers: []ocispec.Descriptor{
			pack("weight.v1.raw", "model.safetensors"), pack("weight.config.v1.raw", "./config.json"), pack("doc.v1.raw", "docs/README.md"),
		}}, want: []string{"config.json", "docs/README.md", "model.safetensors"}},
		{what: "ModelPack, packed", m: ocispec.Manifest{Layers: []ocispec.Descriptor{pack("weight.v1.tar+zstd", "weights")}},
			want: []string{".layers/" + digest.FromString("weight.v1.tar+zstdweights").Encoded() + ".tar.zstd tar+zstd"}},
		{what: "ModelKit", m: ocispec.Manifest{Config: ocispec.Descriptor{MediaType: "application/vnd.kitops.modelkit.config.v1+json"}, Layers: []ocispec.Descriptor{tarred}},
			want: []string{".layers/" + tarred.Digest.Encoded() + ".tar.gzip tar+gzip"}},
		{what: "oras: its type says tar, and is not", m: ocispec.Manifest{Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer("application/vnd.oci.image.layer.v1.tar", "a.gguf")}},
			want: []string{"a.gguf"}},
		{what: "oras: a directory", m: ocispec.Manifest{Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig}, Layers: []ocispec.Descriptor{dir}},
			want: []string{".layers/" + dir.Digest.Encoded() + ".tar.gzip tar+gzip"}},
		{what: "docker", m: ocispec.Manifest{Config: ocispec.Descriptor{MediaType: "application/vnd.docker.ai.model.config.v0.1+json"}, Layers: []ocispec.Descriptor{
			layer("application/vnd.docker.ai.gguf.v3", ""), layer("application/vnd.docker.ai.license", ""), layer("application/vnd.docker.ai.mmproj", ""),
		}}, want: []string{"LICENSE", "mmproj.gguf", "model.gguf"}},
		{what: "ollama", m: ocispec.Manifest{Layers: []ocispec.Descriptor{
			layer("application/vnd.ollama.image.model", ""), layer("application/vnd.ollama.image.template", ""), layer("application/vnd.ollama.image.params", ""),
		}}, want: []string{"model.gguf", "params.json", "template.txt"}},
		{what: "in parts", m: ocispec.Manifest{Layers: []ocispec.Descriptor{
			layer("application/vnd.docker.ai.gguf.v3", "", "n", "1"), {MediaType: "application/vnd.docker.ai.gguf.v3", Digest: digest.FromString("2"), Size: 4},
		}}, want: []string{"model-00001-of-00002.gguf", "model-00002-of-00002.gguf"}},
		{what: "may be run", m: ocispec.Manifest{Layers: []ocispec.Descriptor{layer("application/vnd.cncf.model.code.v1.raw", "run.sh", "org.cncf.model.file.metadata+json", `{"mode":493}`)}},
			want: []string{"run.sh*"}},
		{what: "a container image", m: ocispec.Manifest{Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig}, Layers: []ocispec.Descriptor{layer(ocispec.MediaTypeImageLayerGzip, "")}},
			broken: "container image", hint: true},
		{what: "nothing", m: ocispec.Manifest{Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}}, broken: "no files", hint: true},
		{what: "a way out", m: ocispec.Manifest{Layers: []ocispec.Descriptor{layer("x", "../../etc/passwd")}}, broken: "leads out", hint: true},
		{what: "an absolute name", m: ocispec.Manifest{Layers: []ocispec.Descriptor{layer("x", "/etc/passwd")}}, broken: "leads out", hint: true},
		{what: "a name with a backslash", m: ocispec.Manifest{Layers: []ocispec.Descriptor{layer("x", `..\a`)}}, broken: "leads out", hint: true},
		{what: "one name twice", m: ocispec.Manifest{Layers: []ocispec.Descriptor{layer("x", "a"), layer("y", "a")}}, broken: "two of its layers"},
		{what: "a digest that is none", m: ocispec.Manifest{Layers: []ocispec.Descriptor{{MediaType: "x", Digest: "sha256:../..", Annotations: map[string]string{ocispec.AnnotationTitle: "a"}}}}, broken: "no proper digest"},
		{what: "too many", m: ocispec.Manifest{Layers: make([]ocispec.Descriptor, mostFiles+1)}, broken: "at most"},
	} {
		got, err := files(c.m)
		if c.broken != "" {
			var h interface{ Hint() string }
			if err == nil || !strings.Contains(err.Error(), c.broken) || errors.As(err, &h) != c.hint {
				t.Errorf("%s: %v, want %q, a hint: %v", c.what, err, c.broken, c.hint)
			}
			continue
		}
		var names []string
		for _, f := range got {
			n := f.Name
			if f.Run {
				n += "*"
			}
			names = append(names, strings.TrimSpace(n+" "+f.Unpack))
		}
		if diff := cmp.Diff(c.want, names); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.what, err, diff)
		}
	}
}

// FuzzFiles: whatever a manifest says, names stay in the model and none is there twice.
func FuzzFiles(f *testing.F) {
	f.Add("application/vnd.docker.ai.gguf.v3", "a", "application/vnd.ollama.image.x/../y", "../b", true)
	f.Fuzz(func(t *testing.T, kind, named, kind2, named2 string, unpack bool) {
		a, b := layer(kind, named), layer(kind2, named2)
		if unpack {
			b.Annotations[annotationUnpack] = "true"
		}
		got, err := files(ocispec.Manifest{Layers: []ocispec.Descriptor{a, b}})
		if err != nil {
			return
		}
		if _, err := fetchable(got); err != nil {
			t.Error(err)
		}
	})
}

func fetchable(files []fetch.File) (int, error) {
	taken := map[string]bool{}
	for _, f := range files {
		if strings.HasPrefix(f.Name, "/") || strings.Contains("/"+f.Name+"/", "/../") || f.Name == "" || taken[f.Name] {
			return 0, errors.New(f.Name)
		}
		taken[f.Name] = true
	}
	return len(files), nil
}
