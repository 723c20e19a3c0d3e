package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Schema is the newest schema of contents that is written and read.
const Schema = 1

// Bounds of what is read of a file that anybody may have made.
const (
	longestContents = 32 << 20
	longestText     = 2 << 20
	mostEntries     = 100_000
	mostTexts       = 32
)

// Contents is the table of contents: the first thing in a bundle, which names every other byte of it by its checksum, in
// order. A signature is over it.
type Contents struct {
	Schema  int       `json:"schema"`
	Name    string    `json:"name"`    // of the recipe
	Version string    `json:"version"` // of the recipe
	Title   string    `json:"title,omitempty"`
	License License   `json:"license"`
	MadeAt  time.Time `json:"made_at"`
	MadeBy  string    `json:"made_by"`           // palisade 1.2.3
	Origin  string    `json:"origin,omitempty"`  // where the files are from: hf:Qwen/Qwen3-8B@COMMIT
	Source  string    `json:"source,omitempty"`  // the recipe's source whose files these are
	Variant string    `json:"variant,omitempty"` // of the recipe, that ran where the bundle was made
	Texts   []File    `json:"texts"`             // recipe.yaml, README.md, ...
	Files   []File    `json:"files"`             // of the model, by name
	Image   *Image    `json:"image,omitempty"`
	Entries []Entry   `json:"entries"` // all that follows, in order
}

// License is what whoever installs it agrees to.
type License struct {
	ID     string `json:"id"`
	URL    string `json:"url,omitempty"`
	Accept bool   `json:"accept,omitempty"` // in so many words
}

// File is a file of the model, or a text that describes it.
type File struct {
	Name   string `json:"name"` // relative, with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Run    bool   `json:"run,omitempty"`
}

// Image is the engine's.
type Image struct {
	Reference string               `json:"reference"` // as sessions name it
	Platform  string               `json:"platform,omitempty"`
	Manifests []ocispec.Descriptor `json:"manifests"` // of its archive's index
	Blobs     []string             `json:"blobs"`     // SHA-256 of all that it consists of, each an entry
}

// imageName is where runtimes look for what an image in an archive is called.
const imageName = "io.containerd.image.name"

// named are the manifests, called as the image is.
func (i Image) named() []ocispec.Descriptor {
	out := slices.Clone(i.Manifests)
	for n := range out {
		names := map[string]string{}
		maps.Copy(names, out[n].Annotations)
		names[imageName] = i.Reference
		out[n].Annotations = names
	}
	return out
}

// Entry is one file in the tar.
type Entry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Weight is how many bytes the model's files have.
func (c Contents) Weight() (n int64) {
	for _, f := range c.Files {
		n += f.Bytes
	}
	return n
}

// Names in the tar.
const (
	blobsDir   = "blobs/sha256/"
	layoutName = "oci-layout"
	indexName  = "index.json"
	recipeText = "recipe.yaml"
)

var (
	hexSHA256  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	bundleName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
)

// parseContents reads a table of contents, and makes sure that it holds together.
func parseContents(raw []byte) (Contents, error) {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Contents{}, refused("", "its table of contents cannot be read: %v", err)
	}
	if head.Schema != Schema {
		return Contents{}, refused("update Palisade, or make the bundle with this version", "its table of contents is of schema %d; this Palisade reads %d", head.Schema, Schema)
	}
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	var c Contents
	if err := in.Decode(&c); err != nil {
		return Contents{}, refused("", "its table of contents cannot be read: %v", err)
	}
	if err := c.check(); err != nil {
		return Contents{}, refused("", "its table of contents does not hold together: %v", err)
	}
	return c, nil
}

// check makes sure of what the rest relies on:
//  1. Entries are few enough, each once, of a name that a layout has, and their sizes can be added up.
//  2. Texts, files and what an image consists of are entries, of those sizes.
//  3. Names of files stay in the model, and no two are the same or one below the other.
//  4. Every blob is of use: nothing is carried along.
func (c Contents) check() error {
	if !bundleName.MatchString(c.Name) {
		return fmt.Errorf("%q is not a model's name", c.Name)
	}
	sizes, err := c.sizes() // 1
	if err != nil {
		return err
	}
	used := map[string]bool{}
	if len(c.Texts) > mostTexts || len(c.Files) > mostEntries {
		return fmt.Errorf("it has %d texts and %d files", len(c.Texts), len(c.Files))
	}
	for _, f := range slices.Concat(c.Texts, c.Files) { // 2
		if n, there := sizes[f.SHA256]; !there || n != f.Bytes {
			return fmt.Errorf("%q of %d bytes is not among what follows", f.Name, f.Bytes)
		}
		used[f.SHA256] = true
	}
	for _, t := range c.Texts {
		if t.Bytes > longestText {
			return fmt.Errorf("the text %q has %d bytes", t.Name, t.Bytes)
		}
	}
	if !slices.ContainsFunc(c.Texts, func(t File) bool { return t.Name == recipeText }) {
		return errors.New("there is no recipe")
	}
	if err := errors.Join(named(c.Texts), named(c.Files)); err != nil { // 3
		return err
	}
	if c.Image != nil {
		if c.Image.Reference == "" || len(c.Image.Manifests) == 0 || len(c.Image.Manifests) > 64 || len(c.Image.Blobs) > mostEntries {
			return errors.New("its image has no name or no manifest")
		}
		for _, sum := range c.Image.Blobs {
			if _, there := sizes[sum]; !there {
				return fmt.Errorf("blob %s of its image is not among what follows", sum)
			}
			used[sum] = true
		}
	}
	return c.idle(used) // 4
}

func (c Contents) sizes() (map[string]int64, error) {
	if len(c.Entries) > mostEntries {
		return nil, fmt.Errorf("%d entries are too many", len(c.Entries))
	}
	sizes, names, total := map[string]int64{}, map[string]bool{}, int64(0)
	for _, e := range c.Entries {
		switch {
		case !hexSHA256.MatchString(e.SHA256) || e.Bytes < 0:
			return nil, fmt.Errorf("entry %q has no proper size and checksum", e.Name)
		case names[e.Name]:
			return nil, fmt.Errorf("entry %q is there twice", e.Name)
		case e.Name == layoutName || e.Name == indexName:
			if e.Bytes > longestText {
				return nil, fmt.Errorf("entry %q has %d bytes", e.Name, e.Bytes)
			}
		case e.Name != blobsDir+e.SHA256:
			return nil, fmt.Errorf("entry %q is not called as its checksum", e.Name)
		default:
			sizes[e.SHA256] = e.Bytes
		}
		names[e.Name] = true
		if e.Bytes > math.MaxInt64/4-total {
			return nil, errors.New("it is larger than any disk")
		}
		total += e.Bytes + 2*block
	}
	if !names[layoutName] || !names[indexName] {
		return nil, errors.New("it lacks what makes an OCI layout of it")
	}
	return sizes, nil
}

// idle refuses large blobs that nothing names. Small ones are the manifest and the settings of the model as an artifact.
func (c Contents) idle(used map[string]bool) error {
	spare := 0
	for _, e := range c.Entries {
		if e.Name == layoutName || e.Name == indexName || used[e.SHA256] {
			continue
		}
		if spare++; spare > 2 || e.Bytes > longestContents {
			return fmt.Errorf("nothing needs the entry %q", e.Name)
		}
	}
	return nil
}

// named makes sure that names can be files together.
func named(files []File) error {
	taken := map[string]bool{}
	for _, f := range files {
		if !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsAny(f.Name, "\\\x00\r\n") || len(f.Name) > 1000 {
			return fmt.Errorf("the name %q leads out of the model, or is none", f.Name)
		}
		if taken[f.Name] {
			return fmt.Errorf("the name %q is there twice", f.Name)
		}
		taken[f.Name] = true
	}
	for name := range taken {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return fmt.Errorf("%q is a file and a directory", dir)
			}
		}
	}
	return nil
}
