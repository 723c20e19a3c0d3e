package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// openInstalls joins all that an install takes: recipes, plans, places, files, folders, images, services, tests and measurements.
func (d *daemon) openInstalls(ctx context.Context) (err error) {
	c := d.Config.Catalog
	rate, err := c.Rate()
	if err != nil {
		return err
	}
	log := d.Log.With("room", "install")
	if d.seat != nil {
		d.blobs = d.seat.blobs
	} else if d.blobs, err = blobs.Open(filepath.Join(d.Config.Data, "blobs"), log); err != nil {
		return err
	}
	p := newPlaces(placesOptions{
		data: d.Config.Data, hub: cmp.Or(c.Hub, os.Getenv("HF_ENDPOINT")), insecure: d.Config.Containerd.Insecure, vault: d.vault,
		guard: d.guard, http: web.New(web.Options{UserAgent: "palisade/" + cmp.Or(d.Version.Version, "dev"), Guard: d.guard}),
	})
	d.fetcher = fetch.New(d.blobs, fetch.Options{Connections: c.Connections, Rate: rate, Keep: reserve, Log: log})
	shelf, err := d.openShelf(d.blobs, d.runtime.containerd, d.catalogs.TrustedKeys)
	if err != nil {
		return err
	}
	around := install.Around{
		Store: d.store, Recipes: bundleRecipes{d.collected(), shelf}, Planner: installPlanner{d.planning}, Places: bundlePlaces{installPlaces{p, d.fetcher}, shelf}, Blobs: bundleBlobs{d.blobs, shelf}, Folders: d.folders,
		Services: installServices{d}, Secrets: installSecrets{d.vault.Named()}, Probe: installProbe{d}, Measure: installMeasure{d},
		Settings: install.Settings{Keep: c.Keep, Revisions: c.Revisions, Patience: c.Patience}, Registry: d.registry, Log: log,
	}
	if d.runtime.containerd != nil {
		around.Images = installImages{d}
	}
	d.installs, err = install.New(ctx, around)
	d.planning.installs = d.installs
	d.bundles = &bundles{
		Shelf: shelf, models: d.installs, folders: d.folders, blobs: d.blobs, images: d.runtime.containerd, version: cmp.Or(d.Version.Version, "dev"), now: time.Now,
	}
	if d.seat != nil {
		d.bundles.near = d.seat.near
	}
	return err
}

// collectedRecipes finds recipes in all catalogs.
type collectedRecipes struct {
	collection func(ctx context.Context) *recipe.Collection
	registry   func(host string) error // why a registry may not be named by others
}

func (d *daemon) collected() collectedRecipes {
	return collectedRecipes{d.catalogs.Collection, d.registryOfOthers}
}

// imagesFar refuses a recipe of a catalog that was added whose images are at this box, or beside it.
func (c collectedRecipes) imagesFar(e recipe.Entry) error {
	if e.Catalog == recipe.Shipped {
		return nil
	}
	for _, v := range e.Variants {
		for _, image := range v.Images {
			named, err := reference.ParseNormalizedNamed(image.Reference)
			if err != nil {
				continue // who pulls it says what is wrong
			}
			if err := c.registry(reference.Domain(named)); err != nil {
				return fmt.Errorf("recipe %s of catalog %s names the image %s: %w", e.Name, e.Catalog, image.Reference, err)
			}
		}
	}
	return nil
}

// Find implements install.Recipes.
func (c collectedRecipes) Find(ctx context.Context, name string) (recipe.Entry, error) {
	e, err := c.collection(ctx).Find(name)
	if err == nil {
		err = c.imagesFar(e)
	}
	return e, err
}

// installPlaces are where files come from, and how.
type installPlaces struct {
	*places
	fetcher *fetch.Fetcher
}

// Fetch implements install.Places.
func (p installPlaces) Fetch(ctx context.Context, from fetch.Source, listing fetch.Listing, tell func(install.Transfer)) ([]install.File, error) {
	var last install.Transfer
	got, err := p.fetcher.Fetch(ctx, from, listing, func(at fetch.Progress) {
		last = install.Transfer{
			Files: at.Files, Done: at.FilesDone, Bytes: max(0, at.Bytes), Here: at.Done, Reused: at.Reused, Speed: at.Speed, Left: max(0, at.ETA),
			Current: at.Current, Message: at.Message,
		}
		tell(last)
	})
	if err != nil {
		return nil, err
	}
	last.Here, last.Reused = got.Fetched+got.Reused, got.Reused
	tell(last)
	out := make([]install.File, len(got.Files))
	for i, f := range got.Files {
		out[i] = install.File{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256}
	}
	return out, nil
}

// secret is the value of a secret that an environment names.
func (d *daemon) secret(ctx context.Context, name string) (string, error) {
	s, err := d.vault.Named().Get(ctx, name)
	return s.Reveal(), err
}

// installSecrets are those of the vault.
type installSecrets struct{ named vault.Named }

// Has implements install.Secrets.
func (s installSecrets) Has(ctx context.Context, name string) (bool, error) {
	_, err := s.named.Get(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// installImages are those of containerd.
type installImages struct{ d *daemon }

// Pull implements install.Images.
func (i installImages) Pull(ctx context.Context, ref string, tell func(done, total int64, message string)) error {
	return i.d.runtime.Pull(ctx, ref, func(p sessions.Progress) { tell(p.Done, p.Total, p.Message) })
}

// installPlanner holds recipes against this box, and has secrets put in by their names.
type installPlanner struct{ *planning }

// Plan implements install.Planner.
func (p installPlanner) Plan(ctx context.Context, project string, r recipe.Recipe, w install.Wish) (install.Choice, error) {
	c, err := p.planning.Plan(ctx, project, r, w)
	if err != nil {
		return c, err
	}
	if c.Env = maps.Clone(c.Env); c.Env == nil {
		c.Env = map[string]string{}
	}
	for _, name := range c.Secrets {
		c.Env[name] = sessions.SecretPrefix + name
	}
	if w.Force {
		c.Options = map[string]string{sessions.OptMemoryCheck: "off"}
	}
	return c, nil
}

// installServices are services as installs see them.
type installServices struct{ d *daemon }

func (s installServices) view(v sessions.ServiceView, err error) (install.Service, error) {
	if errors.Is(err, sessions.ErrNotFound) {
		return install.Service{}, fmt.Errorf("%w: %w", err, install.ErrNotFound)
	}
	if err != nil {
		return install.Service{}, err
	}
	out := install.Service{
		ID: v.ID, Name: v.Name, ModelName: v.ModelName, Folder: v.Recipe.Folder, Revision: v.Revision, Good: v.GoodRevision, Replicas: v.Replicas,
		Failures: v.Failures, Sentence: v.Sentence, LastError: v.LastError,
	}
	for _, r := range v.Routes {
		if r.Status == sessions.RouteHealthy && r.Revision == v.Revision {
			out.Healthy++
		}
	}
	return out, nil
}

// Service implements install.Services.
func (s installServices) Service(project, ref string) (install.Service, error) {
	return s.view(s.d.manager.Service(project, ref))
}

func recipeOf(w install.ServiceWish) sessions.Recipe {
	return sessions.Recipe{
		Image: w.Choice.Image, Folder: w.Folder, Variant: w.Choice.Runtime, Env: w.Choice.Env, Resources: w.Choice.Resources, ResourceOpts: w.Choice.Options,
	}
}

// Create implements install.Services.
func (s installServices) Create(ctx context.Context, w install.ServiceWish) (install.Service, error) {
	return s.view(s.d.manager.CreateService(ctx, sessions.ServiceRequest{
		Name: w.Name, Project: w.Project, CreatedBy: w.By, Replicas: max(1, w.Replicas), Recipe: recipeOf(w),
	}))
}

// Update implements install.Services. What the owner has set since stays: environment beside the model's own, mounts, labels.
func (s installServices) Update(ctx context.Context, id string, w install.ServiceWish) (install.Service, error) {
	now, err := s.d.manager.Service(w.Project, id)
	if err != nil {
		return s.view(now, err)
	}
	next := recipeOf(w)
	next.Mounts, next.Selector, next.MountDestination = now.Recipe.Mounts, now.Recipe.Selector, now.Recipe.MountDestination
	next.ClusterSize, next.ClusterMode = now.Recipe.ClusterSize, now.Recipe.ClusterMode
	up := sessions.ServiceUpdate{Recipe: &next, By: w.By}
	if w.Replicas > 0 {
		up.Replicas = &w.Replicas
	}
	return s.view(s.d.manager.UpdateService(ctx, w.Project, id, up))
}

// Destroy implements install.Services.
func (s installServices) Destroy(ctx context.Context, project, id, by string) error {
	err := s.d.manager.DestroyService(ctx, project, id, by)
	if errors.Is(err, sessions.ErrNotFound) {
		return fmt.Errorf("%w: %w", err, install.ErrNotFound)
	}
	return err
}

// Users implements install.Services.
func (s installServices) Users(folder string) []install.User {
	var out []install.User
	for _, v := range s.d.manager.Services("") {
		if v.Recipe.Folder == folder || strings.HasPrefix(v.Recipe.Folder, folder+"/") {
			out = append(out, install.User{Service: v.ID, Name: "service " + v.Name})
		}
	}
	if by, used := s.d.manager.FolderUsedBy(folder); used && !slices.ContainsFunc(out, func(u install.User) bool { return u.Name == by }) {
		user := install.User{Name: by}
		if name, is := strings.CutPrefix(by, "service "); is { // it would go back to it
			for _, v := range s.d.manager.Services("") {
				if v.Name == name {
					user.Service = v.ID
				}
			}
		}
		out = append(out, user)
	}
	return out
}

// Changed implements install.Services.
func (s installServices) Changed() <-chan struct{} { return s.d.manager.Changed() }

// installMeasure measures services for a short time.
type installMeasure struct{ d *daemon }

// calibrateFor is how long an install measures.
const calibrateFor = 20 * time.Second

// Calibrate implements install.Calibrator. What was measured and has not changed since is not measured again: it takes its time,
// and keeps users waiting.
func (m installMeasure) Calibrate(ctx context.Context, _, service string, tell func(string)) (string, error) {
	if c, known := m.d.measures.Known(ctx, service); known {
		return measured(c) + ", as measured before", nil
	}
	got, err := m.d.measures.Do(ctx, calibrate.Wish{ServiceID: service, By: "install", Budget: calibrateFor}, func(p calibrate.Progress) {
		tell(p.Doing)
	})
	if err != nil {
		return "", err
	}
	return measured(got), nil
}

// measured is what a calibration found, in a sentence.
func measured(c calibrate.Calibration) string {
	var words []string
	if c.Load > 0 {
		words = append(words, fmt.Sprintf("loads in %s", c.Load.Round(100*time.Millisecond)))
	}
	if alone := c.Alone(); alone.Tokens > 0 {
		words = append(words, fmt.Sprintf("%.0f tokens/s alone", alone.Tokens))
	}
	for _, p := range c.Points {
		if p.Concurrency == c.Knee.At && p.Concurrency > 1 {
			words = append(words, fmt.Sprintf("%.0f tokens/s with %d requests at once, which is what it takes well", p.Tokens, p.Concurrency))
		}
	}
	return strings.Join(words, ", ")
}

// installProbe asks services by the way that clients take: with a token, through the router.
type installProbe struct{ d *daemon }

// mostHeard is how much of an answer is kept.
const mostHeard = 4 << 20

// Ask implements install.Probe.
func (p installProbe) Ask(ctx context.Context, project, service string, r recipe.Request) (recipe.Answer, error) {
	v, err := p.d.manager.Service(project, service)
	if err != nil {
		return recipe.Answer{}, err
	}
	token, plain, err := p.d.tokens.Issue(ctx, router.IssueRequest{ServiceID: v.ID, Project: project, Name: "smoke-test", CreatedBy: "install", Duration: "600s"})
	if err != nil {
		return recipe.Answer{}, fmt.Errorf("making a token for a moment: %w", err)
	}
	defer func() {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := p.d.tokens.Revoke(leaving, token.ID); err != nil {
			p.d.Log.Warn("the token of a smoke test was not ended; it ends by itself in ten minutes", "error", err)
		}
	}()
	path := askedAt(v.Name, r.Path)
	req, err := http.NewRequestWithContext(ctx, r.Method, p.d.gateway+path, bytes.NewReader(r.Body))
	if err != nil {
		return recipe.Answer{}, err
	}
	req.RemoteAddr, req.RequestURI = "127.0.0.1:0", path
	req.Header.Set("Authorization", "Bearer "+plain)
	req.Header.Set("User-Agent", "palisade-install")
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	heard := &listener{header: http.Header{}, status: http.StatusOK}
	if err := p.through(heard, req); err != nil {
		return recipe.Answer{}, err
	}
	if ctx.Err() != nil {
		return recipe.Answer{}, context.Cause(ctx)
	}
	return recipe.Answer{Status: heard.status, Type: heard.header.Get("Content-Type"), Body: heard.body.Bytes()}, nil
}

// askedAt is where clients reach a path of a service's engine: what is not of OpenAI's API is below the service's own address.
func askedAt(service, path string) string {
	if path == "/v1" || strings.HasPrefix(path, "/v1/") {
		return path
	}
	return "/services/" + url.PathEscape(service) + path
}

// through has the router answer. It breaks an answer off that the engine has broken off by a panic, as net/http wants it.
func (p installProbe) through(w http.ResponseWriter, req *http.Request) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			if broken != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http compares it
				panic(broken)
			}
			err = errors.New("its answer broke off")
		}
	}()
	p.d.router.ServeHTTP(w, req)
	return nil
}

// listener keeps the beginning of an answer.
type listener struct {
	header http.Header
	status int
	began  bool
	body   bytes.Buffer
}

func (l *listener) Header() http.Header { return l.header }

func (l *listener) WriteHeader(status int) {
	if !l.began && status >= 200 {
		l.status, l.began = status, true
	}
}

func (l *listener) Write(p []byte) (int, error) {
	l.began = true
	if left := mostHeard - l.body.Len(); left > 0 {
		l.body.Write(p[:min(left, len(p))])
	}
	return len(p), nil
}

// Flush implements http.Flusher: what is streamed is kept as it comes.
func (l *listener) Flush() {}
