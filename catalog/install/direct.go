package install

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// nameOf is how a model of a place is called, where nobody says otherwise: the last part of where it is.
func nameOf(ref fetch.Ref) string {
	name := path.Base(strings.TrimRight(ref.Where, "/"))
	for _, end := range []string{".git", ".gguf", ".safetensors", ".tar", ".gz"} {
		name = strings.TrimSuffix(name, end)
	}
	name = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-.")
	if len(name) > 56 {
		name = strings.TrimRight(name[:56], "-.")
	}
	return name
}

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// quantizations of gguf files, the preferred first: small enough for most boxes, and good.
var quantizations = []string{"q4_k_m", "q5_k_m", "q4_k_s", "q4_0", "q6_k", "q8_0", "iq4_xs", "q3_k_m", "f16", "bf16"}

// shard is the end of the name of a part of a split file: -00001-of-00003.
var shard = regexp.MustCompile(`-(\d{5})-of-(\d{5})$`)

// fromFiles makes a recipe up of what a place has: files of llama.cpp, or weights in safetensors. ErrInvalid where it has
// neither.
func fromFiles(name string, ref fetch.Ref, l fetch.Listing) (recipe.Recipe, error) {
	r := recipe.Recipe{Name: name, Version: "1", Title: ref.Where, Task: recipe.Other}
	files := slices.DeleteFunc(slices.Clone(l.Files), func(f fetch.File) bool { return !ref.Matches(f.Name) && f.Unpack == "" })
	with := func(end string) bool {
		return slices.ContainsFunc(files, func(f fetch.File) bool { return strings.HasSuffix(strings.ToLower(f.Name), end) })
	}
	switch {
	case with(".gguf"):
		fromGGUF(&r, ref, files)
	case with(".safetensors"):
		fromTensors(&r, ref, files)
	case with("model-definition.yaml"), with("model-definition.yml"):
		var bytes int64
		for _, f := range files {
			bytes += max(0, f.Bytes)
		}
		r.Description = "a model with a definition of its own"
		r.Sources = []recipe.Source{{Name: "files", From: ref.String(), Bytes: bytes}}
		r.Variants = []recipe.Variant{variantOf("definition", "custom", "files", bytes)}
	default:
		return r, &fault{
			kind: ErrInvalid, message: fmt.Sprintf("%s has neither *.gguf nor *.safetensors nor a model-definition.yaml: no engine is known for it", ref),
			hint: "write a recipe for it (palisade catalog lint), or put it into a folder and make a service of that",
		}
	}
	return r, nil
}

// variantOf is a variant of which nothing is known but its files.
func variantOf(name, runtime, source string, bytes int64) recipe.Variant {
	return recipe.Variant{
		Name: name, Runtime: runtime, Source: source,
		Memory: recipe.Memory{Weights: bytes, Cache: bytes / 10, Overhead: bytes/20 + 64<<20},
	}
}

// fromGGUF makes a variant of each file, or of each that is split.
func fromGGUF(r *recipe.Recipe, ref fetch.Ref, files []fetch.File) {
	r.Description, r.Task = "files of llama.cpp", recipe.Chat
	type group struct {
		name  string
		globs []string
		bytes int64
		main  string
	}
	var groups []*group
	var projector []string
	for _, f := range files {
		if !strings.HasSuffix(strings.ToLower(f.Name), ".gguf") {
			continue
		}
		stem := strings.TrimSuffix(path.Base(f.Name), path.Ext(f.Name))
		if strings.Contains(strings.ToLower(stem), "mmproj") {
			projector = append(projector, f.Name)
			continue
		}
		whole := shard.ReplaceAllString(stem, "")
		i := slices.IndexFunc(groups, func(g *group) bool { return g.name == whole })
		if i < 0 {
			groups, i = append(groups, &group{name: whole, main: f.Name}), len(groups)
		}
		groups[i].globs = append(groups[i].globs, f.Name)
		groups[i].bytes += max(0, f.Bytes)
	}
	rank := func(g *group) int {
		i := slices.IndexFunc(quantizations, func(q string) bool { return strings.Contains(strings.ToLower(g.name), q) })
		if i < 0 {
			return len(quantizations)
		}
		return i
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.name, b.name)) })
	for _, g := range groups {
		name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(g.name), "-"), "-.")
		if i := rank(g); i < len(quantizations) {
			name = strings.ReplaceAll(quantizations[i], "_", "-")
		}
		if _, taken := r.Variant(name); taken {
			name = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(g.name), "-"), "-.")
		}
		own := ref
		own.Files = slices.Concat(g.globs, projector[:min(1, len(projector))])
		r.Sources = append(r.Sources, recipe.Source{Name: name, From: refText(ref), Files: literal(own.Files), Bytes: g.bytes})
		v := variantOf(name, "llama-cpp", name, g.bytes)
		v.Model, v.Quantization = g.main, name
		r.Variants = append(r.Variants, v)
	}
}

// fromTensors leaves out what engines do not read: weights in other forms, pictures.
func fromTensors(r *recipe.Recipe, ref fetch.Ref, files []fetch.File) {
	r.Description, r.Task = "weights in safetensors", recipe.Chat
	var names []string
	var bytes int64
	for _, f := range files {
		switch end := strings.ToLower(path.Ext(f.Name)); {
		case strings.HasPrefix(f.Name, "original/"), strings.HasPrefix(f.Name, "."),
			slices.Contains([]string{".bin", ".pth", ".pt", ".h5", ".msgpack", ".onnx", ".gguf", ".png", ".jpg", ".jpeg", ".gif", ".mp4", ".pdf"}, end):
		default:
			names = append(names, f.Name)
			bytes += max(0, f.Bytes)
		}
	}
	r.Sources = []recipe.Source{{Name: "files", From: refText(ref), Files: literal(names), Bytes: bytes}}
	r.Variants = []recipe.Variant{variantOf("safetensors", "vllm", "files", bytes)}
}

// refText is a ref without its globs: those are the source's.
func refText(ref fetch.Ref) string {
	if ref.Scheme == "hf" || ref.Scheme == "ngc" || ref.Scheme == "oci" || ref.Scheme == "s3" || ref.Scheme == "git" {
		ref.Files = nil
	}
	return ref.String()
}

// literal makes globs of names, which may have signs of globs in them.
func literal(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = globSigns.ReplaceAllString(n, `\$0`)
	}
	return out
}

var globSigns = regexp.MustCompile(`[\\*?\[]`)
