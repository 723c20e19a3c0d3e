package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// resolve finds the recipe, or makes one up of the files that there are.
func (m *Manager) resolve(ctx context.Context, j *job) (string, error) {
	if j.Recipe != nil { // before a crash: what is to be installed does not change on the way
		return j.Steps[j.at(StepResolve)].Note, nil
	}
	if !fetch.IsRef(j.Wish.Source) {
		found, err := m.Recipes.Find(ctx, j.Wish.Source)
		if err != nil {
			return "", err
		}
		texts := map[string]string{}
		for name, text := range map[string][]byte{recipe.DefinitionFile: found.Definition, recipe.ReadmeFile: found.Readme} {
			if text != nil {
				texts[name] = string(text)
			}
		}
		err = m.edit(ctx, j, func(s *State) { s.Recipe, s.Origin, s.Texts = &found.Recipe, found.Catalog, texts })
		return fmt.Sprintf("%s, version %s, of catalog %s", found.Name, cmp.Or(found.Version, "1"), found.Catalog), err
	}
	ref, err := fetch.ParseRef(j.Wish.Source)
	if err != nil {
		return "", err
	}
	if err := ofBox(ref, j.Wish.ByHand); err != nil {
		return "", err
	}
	listing, err := m.list(ctx, ref, Asker{ByHand: j.Wish.ByHand})
	if err != nil {
		return "", err
	}
	made, err := fromFiles(j.Model, ref, listing)
	if err != nil {
		return "", err
	}
	err = m.edit(ctx, j, func(s *State) { s.Recipe = &made })
	return fmt.Sprintf("made up of the files of %s: %s", ref, made.Description), err
}

// license is where somebody has to have agreed, and to have given what opens the place.
func (m *Manager) license(j *job) (string, error) {
	r := *j.Recipe
	if err := licensed(r, j.Wish); err != nil {
		return "", err
	}
	if r.License.ID == "" {
		return "", errSkip("the files say nothing of a licence")
	}
	if r.License.Accept {
		return r.License.ID + ", accepted by " + j.CreatedBy, nil
	}
	return r.License.ID, nil
}

// secrets refuses a choice for which a secret is missing.
func (m *Manager) secrets(ctx context.Context, r recipe.Recipe, c Choice) error {
	names := slices.Clone(c.Secrets)
	if source, is := r.Source(c.Source); is && source.Secret != "" {
		names = append(names, source.Secret)
	}
	for _, name := range names {
		has, err := m.Secrets.Has(ctx, name)
		if err != nil {
			return err
		}
		if !has {
			return &fault{
				kind: ErrState, message: fmt.Sprintf("%s needs the secret %s, which is not kept here", cmp.Or(r.Title, r.Name), name),
				hint: "palisade secret set " + name + ", and then the same command again",
			}
		}
	}
	return nil
}

// plan decides which variant runs where.
func (m *Manager) plan(ctx context.Context, j *job) (string, error) {
	choice, err := m.Planner.Plan(ctx, j.Project, *j.Recipe, j.Wish)
	if err != nil {
		return "", err
	}
	if err := m.secrets(ctx, *j.Recipe, choice); err != nil {
		return "", err
	}
	changed := j.Choice != nil && j.Choice.Source != choice.Source
	err = m.edit(ctx, j, func(s *State) {
		if s.Choice = &choice; changed {
			s.Listing = nil
		}
	})
	return cmp.Or(strings.Join(choice.Sentences, "; "), choice.Variant), err
}

// ofBox refuses files of the box itself to who may not have them served.
func ofBox(ref fetch.Ref, byHand bool) error {
	if ref.Scheme != "file" || byHand {
		return nil
	}
	return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s is a place of the box itself, which its owner alone may name", ref), hint: "ask an admin of this box, or upload the files into a folder: palisade folder cp"}
}

// list asks a place what there is. Files that a place calls by names that lead elsewhere are refused here once more.
func (m *Manager) list(ctx context.Context, ref fetch.Ref, by Asker) (fetch.Listing, error) {
	from, err := m.Places.Source(ctx, ref, by)
	if err != nil {
		return fetch.Listing{}, err
	}
	listing, err := from.List(ctx, ref)
	if err != nil {
		return fetch.Listing{}, fmt.Errorf("asking what %s has: %w", ref, err)
	}
	for _, f := range listing.Files {
		if !fs.ValidPath(f.Name) || f.Name == "." || strings.Contains(f.Name, `\`) {
			return fetch.Listing{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("%s has a file %q, whose name leads out of the model", ref, short(f.Name)), hint: "do not trust this place"}
		}
	}
	return listing, nil
}

// download brings the files of the chosen variant, of the first of its places that has them.
func (m *Manager) download(ctx context.Context, j *job) (string, error) {
	source, is := j.Recipe.Source(j.Choice.Source)
	if !is {
		return "", errSkip("the engine fetches what it needs by itself")
	}
	var failed error
	for _, text := range append([]string{source.From}, source.Mirrors...) {
		ref, err := fetch.ParseRef(text)
		if err == nil {
			ref.Files = append(ref.Files, source.Files...)
			err = m.bring(ctx, j, source, ref)
		}
		if err == nil {
			return downloaded(m.stateOf(j)), nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		failed = errors.Join(failed, err)
		if errors.Is(err, fetch.ErrNoSpace) || errors.Is(err, ErrState) {
			break
		}
	}
	return "", failed
}

func downloaded(s State) string {
	if s.Fetched == 0 {
		return fmt.Sprintf("%s, %s, all on the box already", filesText(len(s.Files)), bytesize.Format(s.Reused))
	}
	if s.Reused > 0 {
		return fmt.Sprintf("%s, %s came, %s were on the box already", filesText(len(s.Files)), bytesize.Format(s.Fetched), bytesize.Format(s.Reused))
	}
	return fmt.Sprintf("%s, %s", filesText(len(s.Files)), bytesize.Format(s.Fetched))
}

func filesText(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// bring fetches from one place. What was listed before a crash is gone on with: a place that has changed since is another one.
func (m *Manager) bring(ctx context.Context, j *job, source recipe.Source, ref fetch.Ref) error {
	by := Asker{Secret: source.Secret, ByHand: j.Wish.ByHand && j.Origin == ""} // what a recipe names, its maker has named
	from, err := m.Places.Source(ctx, ref, by)
	if err != nil {
		return err
	}
	var listing fetch.Listing
	if before := j.Listing; before != nil && before.Ref.String() == ref.String() {
		listing = *before
	} else {
		if listing, err = m.list(ctx, ref, by); err != nil {
			return err
		}
		if listing, err = fetch.Pick(listing); err != nil {
			return err
		}
		if err = checksums(listing.Files, source.Checksum); err != nil {
			return err
		}
		if err := m.edit(ctx, j, func(s *State) { s.Listing = &listing }); err != nil {
			return err
		}
	}
	var last Transfer
	files, err := m.Places.Fetch(ctx, from, listing, func(t Transfer) {
		last = t
		m.note(j, t)
	})
	m.metrics.fetched.Add(float64(max(0, last.Here-last.Reused)))
	if err != nil && last.Here > 0 {
		err = errors.Join(err, m.edit(ctx, j, func(s *State) { s.Kept, s.KeptOf = last.Here, source.Where() }))
	}
	if errors.Is(err, fetch.ErrChanged) { // what there is now is listed anew by the next try
		err = errors.Join(err, m.edit(ctx, j, func(s *State) { s.Listing = nil }))
	}
	if err != nil {
		return fmt.Errorf("fetching %s: %w", ref, err)
	}
	return m.edit(ctx, j, func(s *State) {
		s.Files, s.Fetched, s.Reused = files, max(0, last.Here-last.Reused), last.Reused
		s.Kept, s.KeptOf = last.Here, source.Where()
	})
}

// checksums puts what the recipe pins into a listing. A place that says something else is refused.
func checksums(files []fetch.File, pinned map[string]string) error {
	for name, sum := range pinned {
		i := slices.IndexFunc(files, func(f fetch.File) bool { return f.Name == name })
		if i < 0 {
			continue // another variant's
		}
		if has := files[i].SHA256; has != "" && !strings.EqualFold(has, sum) {
			return &fault{kind: fetch.ErrChecksum, message: fmt.Sprintf("%s is another file than the recipe means: its place says sha256 %s, the recipe %s", name, short(has), short(sum)), hint: "look for a newer recipe: palisade catalog update"}
		}
		files[i].SHA256 = strings.ToLower(sum)
	}
	return nil
}

// folder makes a revision of the model, whose folder has the files; one that is there with the same is used again.
func (m *Manager) folder(ctx context.Context, j *job) (string, error) {
	note, err := m.revise(ctx, j)
	if err == nil && j.Wish.NoService {
		err = m.settle(ctx, j)
	}
	return note, err
}

func (m *Manager) revise(ctx context.Context, j *job) (string, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	model, err := m.modelFor(j)
	if err != nil {
		return "", err
	}
	next := Revision{
		Number: model.newest() + 1, CreatedAt: clock(), CreatedBy: j.CreatedBy, Recipe: *j.Recipe, Origin: j.Origin, Choice: *j.Choice, Files: slices.Clone(j.Files),
	}
	if l := j.Listing; l != nil {
		next.From, next.Pin = l.Ref.String(), l.Revision
	}
	slices.SortFunc(next.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if next.Files != nil {
		next.Folder = "?"
	}
	for _, r := range slices.Backward(model.Revisions) {
		if r.same(next) && m.whole(ctx, r) {
			err := m.edit(ctx, j, func(s *State) { s.Revision, s.Folder = r.Number, r.Folder })
			return fmt.Sprintf("nothing has changed: revision %d has it all", r.Number), err
		}
	}
	note := "it has no files"
	if next.Folder = ""; next.Files != nil {
		f, err := m.seal(ctx, j, model.Name, next)
		if err != nil {
			return "", err
		}
		next.Folder, note = f.ID, "folder "+f.Name
	}
	model.Source, model.UpdatedAt = j.Wish.Source, clock()
	model.ModelState = model.with(next)
	if err := m.saveModel(ctx, model); err != nil {
		return "", err
	}
	if err := m.edit(ctx, j, func(s *State) { s.Revision, s.Folder = next.Number, next.Folder }); err != nil {
		return "", err
	}
	for _, f := range next.Files {
		m.Blobs.Release(f.SHA256)
	}
	return fmt.Sprintf("revision %d, %s", next.Number, note), nil
}

// whole reports whether a revision's folder is there.
func (m *Manager) whole(ctx context.Context, r Revision) bool {
	if r.Folder == "" {
		return true
	}
	f, err := m.Folders.Find(ctx, "", r.Folder)
	if err != nil {
		return false
	}
	if boxes, is := m.Folders.(interface{ Away(f folders.Folder) bool }); is && boxes.Away(f) {
		return true // its home says so when it is asked for it
	}
	_, err = os.Stat(f.Path)
	return err == nil
}

// seal makes the folder of a revision. One that a crash has left, which no model knows, is of the same name: it is replaced.
func (m *Manager) seal(ctx context.Context, j *job, name string, r Revision) (folders.Folder, error) {
	spec := folders.Spec{Name: fmt.Sprintf("%s-r%d", name, r.Number), Project: j.Project, Usage: folders.UsageModel, CreatedBy: j.CreatedBy}
	if old, err := m.Folders.Find(ctx, j.Project, spec.Name); err == nil {
		if !old.Sealed {
			return old, &fault{kind: ErrExists, message: fmt.Sprintf("there is a folder %s already, which no install has made", old.Name), hint: "rename it, or give the model another name: --name"}
		}
		if err := m.Folders.Discard(ctx, j.Project, old.ID); err != nil {
			return old, err
		}
	}
	bytes := r.Bytes()
	for _, text := range j.Texts {
		bytes += int64(len(text))
	}
	return m.Folders.Seal(ctx, spec, bytes, func(ctx context.Context, root *os.Root) error {
		for _, f := range r.Files {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if dir := path.Dir(f.Name); dir != "." {
				if err := root.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			if err := m.Blobs.Link(f.SHA256, root, f.Name); err != nil {
				return fmt.Errorf("putting %s into it: %w", f.Name, err)
			}
		}
		return putTexts(root, j.Texts)
	})
}

// putTexts writes what came with the recipe beside the files. The definition is the recipe's; a README that the model has itself
// stays.
func putTexts(root *os.Root, texts map[string]string) error {
	for name, text := range texts {
		if _, err := root.Lstat(name); err == nil {
			if name == recipe.ReadmeFile {
				continue
			}
			if err := root.Remove(name); err != nil {
				return err
			}
		}
		if err := root.WriteFile(name, []byte(text), 0o444); err != nil {
			return err
		}
	}
	return nil
}
