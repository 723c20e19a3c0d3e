package admintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/sessions"
)

// newInstalls is the real thing but for where files come from, and for what is asked and measured. It ends with ctx.
func (a *Appliance) newInstalls(ctx context.Context, of recipes, secrets install.Secrets, dir string, log *slog.Logger) (*install.Manager, error) {
	store, err := blobs.Open(filepath.Join(dir, "blobs"), log)
	if err != nil {
		return nil, err
	}
	m, err := install.New(ctx, install.Around{
		Store: &installRows{installs: map[string]install.Install{}, models: map[string]install.Model{}}, Recipes: of, Planner: planner{}, Blobs: store, Folders: a.Folders,
		Places: places{a.Places, fetch.New(store, fetch.Options{Log: log, Tries: 1})}, Services: installed{a.Manager}, Secrets: secrets, Measure: stopwatch{},
		Registry: prometheus.NewRegistry(), Log: log,
	})
	if err == nil {
		go m.Run(ctx)
	}
	return m, err
}

// Find implements install.Recipes.
func (r recipes) Find(ctx context.Context, name string) (recipe.Entry, error) {
	return r.Collection(ctx).Find(name)
}

// planner holds recipes against the one card.
type planner struct{}

// Plan implements install.Planner.
func (planner) Plan(ctx context.Context, _ string, r recipe.Recipe, w install.Wish) (install.Choice, error) {
	box, err := oneCard{}.Box(ctx, "", "")
	if err != nil {
		return install.Choice{}, err
	}
	p := plan.Make(oneCard{}.WithImages(ctx, r), plan.Wish{
		Name: w.Name, Variant: w.Variant, On: w.Devices, Context: w.Context, Concurrency: w.Concurrency, Replicas: w.Replicas,
	}, box)
	if p.Verdict == plan.DoesNotFit && !w.Force {
		return install.Choice{}, fmt.Errorf("%s: %w", p.Sentence, install.ErrFit)
	}
	return install.Choice{
		Variant: p.Variant, Runtime: p.Runtime, Image: p.Image, Source: p.Source, Resources: p.Resources, Secrets: p.Secrets, Sentences: []string{p.Variant + ": " + p.Sentence},
	}, nil
}

// stopwatch measures nothing.
type stopwatch struct{}

// Calibrate implements install.Calibrator.
func (stopwatch) Calibrate(context.Context, string, string, func(string)) (string, error) {
	return "40 tokens/s alone", nil
}

// installed are the services of a Manager as installs see them.
type installed struct{ m *Manager }

func (i installed) view(v sessions.ServiceView, err error) (install.Service, error) {
	if errors.Is(err, sessions.ErrNotFound) {
		return install.Service{}, fmt.Errorf("%w: %w", err, install.ErrNotFound)
	}
	return install.Service{
		ID: v.ID, Name: v.Name, ModelName: v.ModelName, Folder: v.Recipe.Folder, Revision: v.Revision, Good: v.GoodRevision, Healthy: v.HealthyRoutes,
		Replicas: v.Replicas, Failures: v.Failures, Sentence: v.Sentence, LastError: v.LastError,
	}, err
}

// Service implements install.Services.
func (i installed) Service(project, ref string) (install.Service, error) {
	return i.view(i.m.Service(project, ref))
}

// Create implements install.Services.
func (i installed) Create(ctx context.Context, w install.ServiceWish) (install.Service, error) {
	return i.view(i.m.CreateService(ctx, sessions.ServiceRequest{
		Name: w.Name, Project: w.Project, CreatedBy: w.By, Replicas: max(1, w.Replicas),
		Recipe: sessions.Recipe{Image: w.Choice.Image, Folder: w.Folder, Variant: w.Choice.Runtime, Resources: w.Choice.Resources},
	}))
}

// Update implements install.Services. What runs already as it is wished makes no new revision.
func (i installed) Update(ctx context.Context, id string, w install.ServiceWish) (install.Service, error) {
	now, err := i.m.Service(w.Project, id)
	if err != nil || now.Recipe.Folder == w.Folder {
		return i.view(now, err)
	}
	next := now.Recipe
	next.Folder, next.Image = w.Folder, w.Choice.Image
	return i.view(i.m.UpdateService(ctx, w.Project, id, sessions.ServiceUpdate{Recipe: &next, By: w.By}))
}

// Destroy implements install.Services.
func (i installed) Destroy(ctx context.Context, project, id, by string) error {
	_, err := i.view(sessions.ServiceView{}, i.m.DestroyService(ctx, project, id, by))
	return err
}

// Users implements install.Services.
func (i installed) Users(folder string) (out []install.User) {
	for _, v := range i.m.Services("") {
		if v.Recipe.Folder == folder {
			out = append(out, install.User{Service: v.ID, Name: "service " + v.Name})
		}
	}
	return out
}

// Changed implements install.Services.
func (i installed) Changed() <-chan struct{} { return i.m.Changed() }

// places bring the files of Places.
type places struct {
	*Places
	fetcher *fetch.Fetcher
}

// Source implements install.Places.
func (p places) Source(context.Context, fetch.Ref, install.Asker) (fetch.Source, error) {
	return p.Places, nil
}

// Fetch implements install.Places.
func (p places) Fetch(ctx context.Context, from fetch.Source, l fetch.Listing, tell func(install.Transfer)) (out []install.File, err error) {
	got, err := p.fetcher.Fetch(ctx, from, l, func(at fetch.Progress) {
		tell(install.Transfer{Files: at.Files, Done: at.FilesDone, Bytes: max(0, at.Bytes), Here: at.Done, Reused: at.Reused, Current: at.Current})
	})
	if err != nil {
		return nil, err
	}
	tell(install.Transfer{Files: len(got.Files), Done: len(got.Files), Bytes: got.Fetched + got.Reused, Here: got.Fetched + got.Reused, Reused: got.Reused})
	for _, f := range got.Files {
		out = append(out, install.File{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256})
	}
	return out, nil
}

// Slow is a file that never comes to its end.
const Slow = "slow.safetensors"

// List implements fetch.Source.
func (p *Places) List(_ context.Context, ref fetch.Ref) (fetch.Listing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := p.files[ref.Where]
	if files == nil {
		return fetch.Listing{}, fetch.Say(fetch.ErrNotFound, "look at its name", "there is no %s", ref.Where)
	}
	l := fetch.Listing{Ref: ref, Revision: fmt.Sprintf("%s at %d", ref.Where, p.changes[ref.Where])}
	for name, text := range files {
		l.Files = append(l.Files, fetch.File{Name: name, Bytes: int64(len(text)), SHA256: sum(text)})
	}
	slices.SortFunc(l.Files, func(a, b fetch.File) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// Open implements fetch.Source.
func (p *Places) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	if f.Name == Slow {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.files[in.Ref.Where][f.Name]
	if sum(text) != f.SHA256 {
		return nil, fetch.ErrChanged
	}
	text = text[offset:]
	if length >= 0 {
		text = text[:min(int64(len(text)), length)]
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// until bounds the wait of Await.
const until = 20 * time.Second

// Await returns when the newest install of a model is at a step; an empty step is its end.
func (a *Appliance) Await(ctx context.Context, project, model, step string) (install.View, error) {
	ctx, cancel := context.WithTimeout(ctx, until)
	defer cancel()
	for {
		changed := a.Installs.Changed()
		v, err := a.Installs.Install(project, model)
		if err != nil || v.Status.Ended() || step != "" && string(v.Step()) == step {
			return v, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, fmt.Errorf("the install of %s is at %s: %w", model, v.Step(), context.Cause(ctx))
		}
	}
}
