package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Words of those who put models into registries. ModelPack had another name before it came to the CNCF.
const (
	modelPack     = "application/vnd.cncf.model."
	modelPackOnce = "application/vnd.cnai.model."
	modelKit      = "application/vnd.kitops.modelkit."
	dockerModel   = "application/vnd.docker.ai."
	ollamaLayer   = "application/vnd.ollama.image."

	annotationUnpack = "io.deis.oras.content.unpack" // of oras: a directory, as a tar
)

// pathAnnotations say what a layer's file is called, the strongest first.
var pathAnnotations = [...]string{"org.cncf.model.filepath", "org.cnai.model.filepath", ocispec.AnnotationTitle}

// modeAnnotations hold a file's mode, as JSON.
var modeAnnotations = [...]string{"org.cncf.model.file.metadata+json", "org.cnai.model.file.metadata+json"}

// mostFiles is how many layers a model may have.
const mostFiles = 10_000

// isModel reports whether a type is one of a model.
func isModel(kind string) bool {
	return slices.ContainsFunc([]string{modelPack, modelPackOnce, modelKit, dockerModel, ollamaLayer}, func(prefix string) bool { return strings.HasPrefix(kind, prefix) })
}

func notModel(why error) error {
	return &hinted{fmt.Errorf("no model is there: %w: %w", fetch.ErrNotFound, why), "models are pushed by kit, modctl, oras or docker model; what runs as a container is pulled with palisade image pull"}
}

// files are the layers of a model as files, by name.
//  1. The file's name is what an annotation says.
//  2. The layers of docker and ollama have none: their type says what they are.
//  3. A layer that is a tar needs none: what it holds has names.
func files(m ocispec.Manifest) ([]fetch.File, error) {
	if len(m.Layers) > mostFiles {
		return nil, fmt.Errorf("it has %d layers, at most %d are read", len(m.Layers), mostFiles)
	}
	if !isModel(m.ArtifactType) && !isModel(m.Config.MediaType) && isImage(m) {
		return nil, notModel(errors.New("it is a container image"))
	}
	var out []fetch.File
	taken := map[string]string{}
	for i, layer := range m.Layers {
		if layer.Size == 0 && layer.MediaType == ocispec.MediaTypeEmptyJSON || layer.Digest == ocispec.DescriptorEmptyJSON.Digest {
			continue // what stands in for nothing
		}
		if err := layer.Digest.Validate(); err != nil || layer.Digest.Algorithm() != "sha256" || layer.Size < 0 {
			return nil, fmt.Errorf("layer %d has no proper digest and size: %q, %d", i, layer.Digest, layer.Size)
		}
		f := fetch.File{Bytes: layer.Size, SHA256: layer.Digest.Encoded(), At: layer.Digest.String(), Unpack: packing(layer), Run: mayRun(layer)}
		f.Name = layerName(m, i, f.Unpack)
		if f.Name == "" {
			return nil, notModel(fmt.Errorf("layer %d of type %q has no name", i, layer.MediaType))
		}
		if !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsAny(f.Name, "\\\x00\n") {
			return nil, &hinted{fmt.Errorf("layer %d has the name %q, which leads out of the model or is none", i, f.Name), "do not use this model: who made it either made a mistake or means harm"}
		}
		if was, twice := taken[f.Name]; twice {
			if was == f.SHA256 {
				continue
			}
			return nil, fmt.Errorf("two of its layers are called %q", f.Name)
		}
		taken[f.Name] = f.SHA256
		out = append(out, f)
	}
	if len(out) == 0 {
		return nil, notModel(errors.New("it holds no files"))
	}
	slices.SortFunc(out, func(a, b fetch.File) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// isImage reports whether it is a container image: its settings say so, and none of its layers has a name.
func isImage(m ocispec.Manifest) bool {
	if m.Config.MediaType != ocispec.MediaTypeImageConfig && m.Config.MediaType != "application/vnd.docker.container.image.v1+json" {
		return false
	}
	return !slices.ContainsFunc(m.Layers, func(l ocispec.Descriptor) bool { return annotated(l) != "" })
}

func annotated(layer ocispec.Descriptor) string {
	for _, key := range pathAnnotations {
		if v := layer.Annotations[key]; v != "" {
			// "./a" and "a/" are how some write it; what leads out stays as it is, to be refused.
			return strings.TrimSuffix(strings.TrimPrefix(v, "./"), "/")
		}
	}
	return ""
}

// packing is how a layer's files are packed: fetch.File.Unpack. oras calls single files tars: it says in an annotation what
// is one.
func packing(layer ocispec.Descriptor) string {
	ours := isModel(layer.MediaType)
	if !ours && layer.Annotations[annotationUnpack] != "true" {
		return ""
	}
	switch kind := layer.MediaType; {
	case strings.HasSuffix(kind, "tar+gzip"), strings.HasSuffix(kind, "tar.gzip"), strings.HasSuffix(kind, "tar.gz"):
		return "tar+gzip"
	case strings.HasSuffix(kind, "tar+zstd"), strings.HasSuffix(kind, "tar.zstd"):
		return "tar+zstd"
	case strings.HasSuffix(kind, ".tar"):
		return "tar"
	case !ours:
		return "tar+gzip" // as oras packs them
	}
	return ""
}

// mayRun reads the mode that a layer's file had.
func mayRun(layer ocispec.Descriptor) bool {
	for _, key := range modeAnnotations {
		var had struct {
			Mode uint32 `json:"mode"`
		}
		if text := layer.Annotations[key]; text != "" && json.Unmarshal([]byte(text), &had) == nil {
			return had.Mode&0o111 != 0
		}
	}
	return false
}

// layerName is what the file of layer i is called, or "".
func layerName(m ocispec.Manifest, i int, unpack string) string {
	layer := m.Layers[i]
	if unpack != "" {
		return path.Join(".layers", layer.Digest.Encoded()+"."+strings.ReplaceAll(unpack, "+", "."))
	}
	if named := annotated(layer); named != "" {
		return named
	}
	kind, ok := strings.CutPrefix(layer.MediaType, ollamaLayer)
	if !ok {
		if kind, ok = strings.CutPrefix(layer.MediaType, dockerModel); !ok {
			return ""
		}
	}
	base, ending := plainName(kind)
	return base + ordinal(m, i, base == "model") + ending
}

// plainName is what a layer of docker or ollama is called by the rest of its type.
func plainName(kind string) (base, ending string) {
	switch kind, _, _ = strings.Cut(kind, ".v"); kind {
	case "model", "gguf":
		return "model", ".gguf"
	case "safetensors":
		return "model", ".safetensors"
	case "projector", "mmproj", "multimodal-projector":
		return "mmproj", ".gguf"
	case "adapter", "lora":
		return "adapter", ".gguf"
	case "license":
		return "LICENSE", ""
	case "template":
		return "template", ".txt"
	case "system":
		return "system", ".txt"
	case "chat.template.jinja", "chat_template", "chat.template":
		return "chat_template", ".jinja"
	case "params", "messages":
		return kind, ".json"
	default:
		return strings.ReplaceAll(kind, "/", "-"), ""
	}
}

// ordinal tells layers of one type apart: as engines expect of a model in parts, else -2 for the second.
func ordinal(m ocispec.Manifest, i int, parts bool) string {
	at, all := 0, 0
	for j, l := range m.Layers {
		if l.MediaType == m.Layers[i].MediaType {
			all++
			if j <= i {
				at++
			}
		}
	}
	switch {
	case all == 1:
		return ""
	case parts:
		return fmt.Sprintf("-%05d-of-%05d", at, all)
	case at == 1:
		return ""
	}
	return fmt.Sprintf("-%d", at)
}
