package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/bundle"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
)

// hostImage is the image of a session that has none: it is a process of the box.
const hostImage = "host"

// bundles are models in one file: the shelf of those that came here, and new ones of what is installed.
type bundles struct {
	*bundle.Shelf
	models interface {
		Model(project, ref string) (install.Model, error)
	}
	folders *folders.Keeper
	blobs   *blobs.Store
	images  *containerd.Runtime // nil: sessions are plain processes
	version string
	now     func() time.Time
	near    func(ctx context.Context, f folders.Folder) (folders.Folder, error) // brings a folder that has its home on another box; nil: there is none
}

// importer takes in an image's archive.
type importer struct{ *containerd.Runtime }

// Import implements bundle.Images.
func (i importer) Import(ctx context.Context, archive io.Reader) error {
	_, err := i.Runtime.Import(ctx, archive)
	return err
}

// openShelf opens the bundles in the data directory, and logs those that cannot be read any more.
func (d *daemon) openShelf(store *blobs.Store, images *containerd.Runtime, keys func(context.Context) []signature.Key) (*bundle.Shelf, error) {
	around := bundle.Around{Blobs: store, Now: time.Now, Keys: func(ctx context.Context) ([]signature.Key, error) { return keys(ctx), nil }}
	if images != nil {
		around.Images = importer{images}
	}
	shelf, broken, err := bundle.OpenShelf(filepath.Join(d.Config.Data, "bundles"), around)
	for _, err := range broken {
		d.Log.Warn("a bundle that was brought here is of no use any more", "error", err)
	}
	return shelf, err
}

// Make implements admin.Bundles.
func (b *bundles) Make(ctx context.Context, project, ref string, withImage bool) (*bundle.Made, error) {
	model, err := b.models.Model(project, ref)
	if err != nil {
		return nil, err
	}
	revision := model.Revision(model.Current)
	if revision == nil {
		return nil, &notBundled{"model " + model.Name + " has no revision that came up", "palisade install " + model.Name + " goes on with it"}
	}
	if err := b.bring(ctx, model, *revision); err != nil {
		return nil, err
	}
	spec := bundle.Spec{
		Contents: bundle.Contents{
			MadeAt: b.now(), MadeBy: "palisade " + b.version, Origin: origin(*revision), Source: revision.Choice.Source, Variant: revision.Choice.Variant,
		},
		Open: func(sum string) (io.ReadCloser, error) { return b.blobs.Open(sum) },
	}
	for _, f := range revision.Files {
		spec.Files = append(spec.Files, bundle.File{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256})
	}
	r := bundled(revision.Recipe, revision.Choice.Source)
	spec.Name, spec.Version, spec.Title, spec.License = r.Name, r.Version, r.Title, bundle.License(r.License)
	if spec.Texts, err = b.texts(ctx, model, *revision, r); err != nil {
		return nil, err
	}
	if image := revision.Choice.Image; withImage && image != "" && image != hostImage && b.images != nil {
		spec.Image, spec.Platform = image, "linux/"+runtime.GOARCH
		spec.Export = func(ctx context.Context, w io.Writer) error { return b.images.Export(ctx, image, w) }
	}
	made, err := bundle.Prepare(ctx, spec)
	if errors.Is(err, sessions.ErrNoImage) {
		err = hinted{err, "palisade image pull " + spec.Image + " brings it; --no-image leaves it out"}
	}
	if err != nil {
		return nil, fmt.Errorf("making a bundle of %s: %w", model.Name, err)
	}
	return made, nil
}

// bring has a model's files here that lie on another box.
func (b *bundles) bring(ctx context.Context, model install.Model, r install.Revision) error {
	if b.near == nil || r.Folder == "" {
		return nil
	}
	f, err := b.folders.Find(ctx, model.Project, r.Folder)
	if err == nil {
		_, err = b.near(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("bringing the files of %s: %w", model.Name, err)
	}
	return nil
}

func origin(r install.Revision) string {
	if r.From == "" || r.Pin == "" {
		return r.From
	}
	return r.From + "@" + r.Pin
}

// notBundled is a model that cannot go into a bundle as it stands.
type notBundled struct{ message, hint string }

func (n *notBundled) Error() string { return n.message }
func (n *notBundled) Hint() string  { return n.hint }
func (n *notBundled) Unwrap() error { return install.ErrState }

// bundled is a recipe as it goes into a bundle that has the files of one source: what other sources' variants need is not
// there. What a recipe that was made up of files lacks, is said to be unknown.
func bundled(r recipe.Recipe, source string) recipe.Recipe {
	r.Variants = slices.DeleteFunc(slices.Clone(r.Variants), func(v recipe.Variant) bool { return v.Source != source })
	r.Sources = slices.DeleteFunc(slices.Clone(r.Sources), func(s recipe.Source) bool { return s.Name != source })
	fill := func(text *string, otherwise string) {
		if *text == "" {
			*text = otherwise
		}
	}
	fill(&r.Version, "1")
	if strings.HasPrefix(r.Title, "/") { // the place of its files on this box says nothing on another one
		r.Title = r.Name
	}
	fill(&r.Title, r.Name)
	fill(&r.Description, r.Title)
	fill(&r.License.ID, "LicenseRef-unknown")
	if len(r.Inputs) == 0 {
		r.Inputs = []string{"text"}
	}
	if len(r.Outputs) == 0 {
		r.Outputs = []string{"text"}
	}
	for i := range r.Variants {
		if v := &r.Variants[i]; len(v.Accelerators) == 0 {
			v.Accelerators = anyKind(*v)
		}
	}
	return r
}

// anyKind are the accelerators of a variant that names none: it runs on what a box has, and a recipe has to say so in words.
func anyKind(v recipe.Variant) []string {
	kinds := []string{"cuda", "rocm"}
	for _, image := range v.Images {
		if k := image.Accelerator; k != "" && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	if plan.OnProcessors(v.Runtime) && !slices.Contains(kinds, recipe.CPU) {
		kinds = append(kinds, recipe.CPU)
	}
	return kinds
}

// longestText is the longest text beside a recipe that goes along, in bytes.
const longestText = 256 << 10

// texts are the recipe and what came beside it, which is in the revision's folder.
func (b *bundles) texts(ctx context.Context, model install.Model, revision install.Revision, r recipe.Recipe) (map[string][]byte, error) {
	text, err := recipe.Write(r)
	if err != nil {
		return nil, err
	}
	if _, problems := recipe.Parse(recipe.File, text); problems.Err() != nil {
		return nil, &notBundled{fmt.Sprintf("the recipe of %s cannot go into a bundle: %v", model.Name, problems.Err()), "install it by a recipe: palisade catalog lint says what one needs"}
	}
	out := map[string][]byte{recipe.File: text}
	if revision.Folder == "" {
		return out, nil
	}
	folder, err := b.folders.Find(ctx, model.Project, revision.Folder)
	if err != nil {
		return nil, fmt.Errorf("the folder of %s: %w", model.Name, err)
	}
	if b.near != nil {
		if folder, err = b.near(ctx, folder); err != nil {
			return nil, fmt.Errorf("the folder of %s: %w", model.Name, err)
		}
	}
	root, err := folder.OpenRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, name := range []string{recipe.DefinitionFile, recipe.ReadmeFile} {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() > longestText) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if out[name], err = root.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bundleRecipes finds recipes of bundles, bundle/NAME, beside all others.
type bundleRecipes struct {
	install.Recipes
	shelf *bundle.Shelf
}

// Find implements install.Recipes.
func (r bundleRecipes) Find(ctx context.Context, name string) (recipe.Entry, error) {
	if named, is := strings.CutPrefix(name, bundle.Catalog+"/"); is {
		named, _, _ = strings.Cut(named, "@")
		held, err := r.shelf.Find(named)
		return held.Recipe, err
	}
	return r.Recipes.Find(ctx, name)
}

// shelved is a bundle's files as a place to fetch from. All of them are among the blobs, so nobody opens one.
type shelved struct{ held bundle.Held }

// List implements fetch.Source.
func (s shelved) List(_ context.Context, ref fetch.Ref) (fetch.Listing, error) {
	out := fetch.Listing{Ref: ref, Revision: s.held.Digest}
	for _, f := range s.held.Contents.Files {
		out.Files = append(out.Files, fetch.File{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256, At: f.SHA256, Run: f.Run})
	}
	return out, nil
}

// Open implements fetch.Source.
func (s shelved) Open(_ context.Context, _ fetch.Listing, f fetch.File, _, _ int64) (io.ReadCloser, error) {
	return nil, hinted{fmt.Errorf("%s of the bundle of %s is not on this box any more: %w", f.Name, s.held.Contents.Name, fetch.ErrNotFound), "bring the bundle again: palisade bundle install FILE"}
}

// bundlePlaces are where files come from: a path of the shelf is a bundle.
type bundlePlaces struct {
	install.Places
	shelf *bundle.Shelf
}

// Source implements install.Places.
func (p bundlePlaces) Source(ctx context.Context, ref fetch.Ref, by install.Asker) (fetch.Source, error) {
	if held, is := p.shelf.At(ref.Where); is && ref.Scheme == "file" {
		return shelved{held}, nil
	}
	return p.Places.Source(ctx, ref, by)
}

// bundleBlobs are files by their checksums, of which those of bundles are not swept away.
type bundleBlobs struct {
	*blobs.Store
	shelf *bundle.Shelf
}

// Sweep implements install.Blobs.
func (b bundleBlobs) Sweep(ctx context.Context, used func(sum string) bool, before time.Time) (int64, error) {
	return b.Store.Sweep(ctx, func(sum string) bool { return used(sum) || b.shelf.Uses(sum) }, before)
}
