package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
)

// has reports whether one of the model's revisions has its files in a folder.
func (s ModelState) has(folder string) bool {
	return folder != "" && slices.ContainsFunc(s.Revisions, func(r Revision) bool { return r.Folder == folder })
}

// Models of a project ("" for all), by name.
func (m *Manager) Models(project string) []Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []Model{}
	for _, one := range m.models {
		if project == "" || one.Project == project {
			out = append(out, *one)
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Project, b.Project)) })
	return out
}

// Model finds one by its name or id. ErrNotFound.
func (m *Manager) Model(project, ref string) (Model, error) {
	for _, one := range m.Models(project) {
		if one.Name == ref || one.ID == ref {
			return one, nil
		}
	}
	return Model{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no model %q", short(ref)), hint: "palisade model list shows those that are installed"}
}

// Users are who runs from a model's revisions, by revision.
func (m *Manager) Users(model Model) map[int][]User {
	out := map[int][]User{}
	for _, r := range model.Revisions {
		if r.Folder != "" {
			if users := m.Services.Users(r.Folder); len(users) > 0 {
				out[r.Number] = users
			}
		}
	}
	return out
}

// modelFor is the model of an install, or the one that it is to become. The caller holds writing.
func (m *Manager) modelFor(j *job) (Model, error) {
	model, err := m.Model(j.Project, j.Model)
	if errors.Is(err, ErrNotFound) {
		return Model{ID: newID("mdl"), Project: j.Project, Name: j.Model, CreatedBy: j.CreatedBy, CreatedAt: clock()}, nil
	}
	return model, err
}

// saveModel writes a model down. The caller holds writing.
func (m *Manager) saveModel(ctx context.Context, model Model) error {
	writing, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := m.Store.SaveModel(writing, model); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.models[model.ID] = &model
	m.metrics.set(m.jobs, m.models)
	m.tell()
	return nil
}

// change edits a model.
func (m *Manager) change(ctx context.Context, project, ref string, change func(*ModelState)) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	model, err := m.Model(project, ref)
	if err != nil {
		return err
	}
	change(&model.ModelState)
	model.UpdatedAt = clock()
	return m.saveModel(ctx, model)
}

// Pin has a model stay as it is, or be updated again.
func (m *Manager) Pin(ctx context.Context, project, ref string, pinned bool) (Model, error) {
	if err := m.change(ctx, project, ref, func(s *ModelState) { s.Pinned = pinned }); err != nil {
		return Model{}, err
	}
	return m.Model(project, ref)
}

// Update brings a model to what there is now: the files of its place, the recipe of its catalog. What w gives beside its source
// counts from then on; what it does not stays as it was.
func (m *Manager) Update(ctx context.Context, project, ref, by string, w Wish) (View, bool, error) {
	model, err := m.Model(project, ref)
	if err != nil {
		return View{}, false, err
	}
	if model.Pinned {
		return View{}, false, &fault{kind: ErrState, message: fmt.Sprintf("model %s is pinned: it stays as it is", model.Name), hint: "palisade model unpin " + model.Name}
	}
	w.Kind, w.Source, w.Name = KindUpdate, cmp.Or(w.Source, model.Source), model.Name
	if last := model.Revision(cmp.Or(model.Current, model.newest())); last != nil {
		w.Variant = cmp.Or(w.Variant, last.Choice.Variant)
		if l := last.Recipe.License; l.Accept {
			w.Accepted = l.ID
		}
	}
	w.NoService = w.NoService || model.Service == ""
	return m.Begin(ctx, project, by, w)
}

// RollBack has a model's service run an earlier revision, 0 for the good one before.
func (m *Manager) RollBack(ctx context.Context, project, ref, by string, number int) (View, bool, error) {
	model, err := m.Model(project, ref)
	if err != nil {
		return View{}, false, err
	}
	if number == 0 {
		number = model.previous()
	}
	r := model.Revision(number)
	switch {
	case number == 0:
		return View{}, false, &fault{kind: ErrState, message: fmt.Sprintf("model %s has no earlier revision that was good", model.Name), hint: "palisade model show " + model.Name + " lists its revisions"}
	case r == nil:
		return View{}, false, &fault{kind: ErrNotFound, message: fmt.Sprintf("model %s has no revision %d", model.Name, number), hint: "palisade model show " + model.Name + " lists those that it has"}
	case number == model.Current:
		return View{}, false, &fault{kind: ErrState, message: fmt.Sprintf("model %s is at revision %d already", model.Name, number), hint: "palisade model show " + model.Name + " lists its revisions"}
	case model.Service == "":
		return View{}, false, &fault{kind: ErrState, message: fmt.Sprintf("model %s has no service that could go back", model.Name), hint: "palisade install " + model.Source + " makes one"}
	case !m.whole(ctx, *r):
		return View{}, false, &fault{kind: ErrState, message: fmt.Sprintf("the folder of revision %d of model %s is gone", number, model.Name), hint: "palisade model update " + model.Name + " fetches what is missing"}
	}
	return m.Begin(ctx, project, by, Wish{Kind: KindRollback, Source: model.Source, Name: model.Name, Revision: number})
}

// removeTimeout bounds the wait for services that a forced removal ends.
const removeTimeout = 2 * time.Minute

// Remove deletes a model with all its revisions. ErrInUse says who uses it; with force services that do are removed first.
// ErrConflict while an install of it is under way. It returns how many bytes the disk has got back.
func (m *Manager) Remove(ctx context.Context, project, ref, by string, force bool) (freed int64, err error) {
	model, err := m.Model(project, ref)
	if err != nil {
		return 0, err
	}
	if err := m.idle(model); err != nil {
		return 0, err
	}
	if err := m.unused(ctx, model, by, force); err != nil {
		return 0, err
	}
	for _, r := range model.Revisions {
		if err := m.dropRevision(ctx, model, r.Number); err != nil {
			return 0, err
		}
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if err := m.idle(model); err != nil { // begun meanwhile: it has found no revisions, and makes its own
		return 0, err
	}
	writing, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := m.Store.DeleteModel(writing, model.ID); err != nil {
		return 0, err
	}
	m.mu.Lock()
	delete(m.models, model.ID)
	m.metrics.set(m.jobs, m.models)
	m.tell()
	last := m.newest(model.Project, model.Name)
	m.mu.Unlock()
	if last != nil { // one that failed does not go on with what is not wanted any more
		if err := m.edit(ctx, last, func(s *State) { s.Listing, s.Files = nil, nil }); err != nil {
			return 0, err
		}
	}
	for _, r := range model.Revisions {
		for _, f := range r.Files {
			m.Blobs.Release(f.SHA256)
		}
	}
	return m.Sweep(ctx, 0)
}

// idle refuses a model that an install is changing.
func (m *Manager) idle(model Model) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.newest(model.Project, model.Name); j != nil && !j.Status.Ended() {
		return &fault{kind: ErrConflict, message: fmt.Sprintf("model %s is being changed: %s, at %s", model.Name, j.Wish.Kind, cmp.Or(string(j.Step()), "its end")), hint: "end it first: palisade model cancel " + model.Name}
	}
	return nil
}

// unused refuses a model that somebody uses, or removes the services that do.
func (m *Manager) unused(ctx context.Context, model Model, by string, force bool) error {
	var names []string
	services := map[string]bool{}
	others := false
	if model.Service != "" { // it may have no folder
		if there, err := m.Services.Service(model.Project, model.Service); err == nil {
			names, services[there.ID] = append(names, "service "+there.Name), true
		}
	}
	for _, users := range m.Users(model) {
		for _, u := range users {
			if !slices.Contains(names, u.Name) {
				names = append(names, u.Name)
			}
			if services[u.Service] = true; u.Service == "" {
				others = true
			}
		}
	}
	delete(services, "")
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return nil
	case others || !force:
		hint := "palisade model rm " + model.Name + " --force removes the services too"
		if others {
			hint = "end the sessions first"
		}
		return &fault{kind: ErrInUse, message: fmt.Sprintf("model %s is used by %s", model.Name, strings.Join(names, ", ")), hint: hint}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, removeTimeout, errors.New("they take too long to end"))
	defer cancel()
	for id := range services {
		if err := m.destroy(ctx, model.Project, id, by); err != nil {
			return err
		}
	}
	return nil
}

// dropRevision deletes a revision with its folder. Who uses the folder is asked where it is removed: ErrInUse.
func (m *Manager) dropRevision(ctx context.Context, model Model, number int) error {
	r := model.Revision(number)
	if r == nil {
		return nil
	}
	if r.Folder != "" {
		err := m.Folders.Discard(ctx, model.Project, r.Folder)
		if errors.Is(err, folders.ErrInUse) {
			return &fault{kind: ErrInUse, message: err.Error(), hint: hintOf(err)}
		}
		if err != nil && !errors.Is(err, folders.ErrNotFound) {
			return err
		}
	}
	return m.change(ctx, model.Project, model.ID, func(s *ModelState) {
		*s = s.without(number)
		if s.Current == number {
			s.Current = 0
		}
	})
}

// Claims says which bytes models and installs need, by their checksums.
func (m *Manager) Claims() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]bool{}
	for _, model := range m.models {
		for _, r := range model.Revisions {
			for _, f := range r.Files {
				out[f.SHA256] = true
			}
		}
	}
	for _, j := range m.jobs {
		if !m.goesOn(j) {
			continue
		}
		for _, f := range j.Files {
			out[f.SHA256] = true
		}
		if j.Listing != nil {
			for _, f := range j.Listing.Files {
				out[f.SHA256] = true
			}
		}
	}
	return out
}

// goesOn reports whether what an install has brought is of use to it yet: it runs, or it failed a short while ago, and nothing was
// done with the model since. The caller holds mu.
func (m *Manager) goesOn(j *job) bool {
	return j.Status == Running || j.Status == Failed && m.newest(j.Project, j.Model) == j && time.Since(j.EndedAt) < m.Settings.Keep
}

// Sweep deletes bytes that nobody claims and nobody has touched for a while. While an install runs, that while is at least the
// one that is set: it may not know its checksums yet.
func (m *Manager) Sweep(ctx context.Context, untouched time.Duration) (freed int64, err error) {
	m.mu.Lock()
	for _, j := range m.jobs {
		if j.Status == Running && j.ended != nil && j.Files == nil && j.Listing != nil {
			untouched = max(untouched, m.Settings.Keep)
		}
	}
	m.mu.Unlock()
	claims := m.Claims()
	freed, err = m.Blobs.Sweep(ctx, func(sum string) bool { return claims[sum] }, time.Now().Add(-untouched))
	m.metrics.freed.Add(float64(freed))
	return freed, err
}
