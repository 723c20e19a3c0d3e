package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Models are those that are installed. *install.Manager is one.
type Models interface {
	Models(project string) []install.Model
	Model(project, ref string) (install.Model, error)
	// Users are who runs from a model's revisions, by revision.
	Users(model install.Model) map[int][]install.User
	Update(ctx context.Context, project, ref, by string, w install.Wish) (v install.View, joined bool, err error)
	RollBack(ctx context.Context, project, ref, by string, revision int) (v install.View, joined bool, err error)
	Pin(ctx context.Context, project, ref string, pinned bool) (install.Model, error)
	// Remove returns how many bytes of the disk are free again.
	Remove(ctx context.Context, project, ref, by string, force bool) (freed int64, err error)
}

// model is one on the wire, with its files where they are wanted.
func (s *server) model(m install.Model, folderNames map[string]string, files bool) api.Model {
	out := api.Model{
		ID: m.ID, Name: m.Name, Project: m.Project, Source: m.Source, Pinned: m.Pinned, Current: m.Current, CreatedBy: m.CreatedBy,
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), Status: s.modelStatus(m), Revisions: []api.ModelRevision{},
	}
	users, used := s.Models.Users(m), map[string]bool{}
	seen := map[string]bool{}
	for _, r := range m.Revisions {
		one := api.ModelRevision{
			Number: r.Number, Current: r.Number == m.Current, Good: r.Good, Recipe: r.Recipe.Version, Variant: r.Choice.Variant, Runtime: r.Choice.Runtime,
			Image: r.Choice.Image, From: r.From, Pin: r.Pin, Folder: folderNames[r.Folder], Bytes: r.Bytes(), CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(),
		}
		for _, u := range users[r.Number] {
			one.UsedBy = append(one.UsedBy, u.Name)
			used[u.Name] = true
		}
		for _, f := range r.Files {
			if !seen[f.SHA256] {
				seen[f.SHA256] = true
				out.Bytes += f.Bytes
			}
			if files {
				one.Files = append(one.Files, api.ModelFile{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256})
			}
		}
		out.Revisions = append(out.Revisions, one)
	}
	if there, err := s.Services.Service(m.Project, m.Service); err == nil && m.Service != "" {
		out.Service, out.ServiceID = there.Name, there.ID
		used["service "+there.Name] = true
	}
	out.UsedBy = slices.Sorted(maps.Keys(used))
	if len(m.Revisions) > 0 {
		shown := m.Revision(m.Current)
		if shown == nil {
			shown = &m.Revisions[len(m.Revisions)-1]
		}
		card(&out, shown)
	}
	return out
}

// card puts what a recipe says of its model into the answer.
func card(out *api.Model, r *install.Revision) {
	of := r.Recipe
	out.Origin, out.Title, out.Description, out.Homepage, out.Task, out.Tags = r.Origin, of.Title, of.Description, of.Homepage, string(of.Task), of.Tags
	out.License, out.LicenseURL, out.Parameters, out.Variant = of.License.ID, of.License.URL, of.Parameters, r.Choice.Variant
}

// modelStatus is a word for how a model stands.
func (s *server) modelStatus(m install.Model) string {
	v, err := s.Installs.Install(m.Project, m.Name)
	switch {
	case err == nil && v.Status == install.Running:
		return map[install.Kind]string{install.KindInstall: "installing", install.KindUpdate: "updating", install.KindRollback: "rolling back"}[v.Wish.Kind]
	case m.Current != 0:
		return "ready"
	case err == nil && v.Status == install.Failed:
		return "failed"
	}
	return "incomplete"
}

func (s *server) listModels(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if err := firstError(p.err, s.wantInstalls); err != nil {
		return err
	}
	names := s.folderNamesOf(c.Request.Context(), p.project())
	items := []api.Model{}
	for _, m := range s.Models.Models(p.project()) {
		items = append(items, s.model(m, names, false))
	}
	return respondPage(c, p, items, func(m api.Model) string { return m.Name + "/" + m.ID })
}

// findModel finds the one that a request is about.
func (s *server) findModel(c *gin.Context, p *params) (install.Model, error) {
	if err := firstError(p.err, s.wantInstalls); err != nil {
		return install.Model{}, err
	}
	m, err := s.Models.Model(p.project(), c.Param("id"))
	return m, withNearest(err, c.Param("id"), func() (names []string) {
		for _, one := range s.Models.Models(p.project()) {
			names = append(names, one.Name)
		}
		return names
	})
}

func (s *server) getModel(c *gin.Context) error {
	m, err := s.findModel(c, query(c))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.model(m, s.folderNamesOf(c.Request.Context(), m.Project), true))
}

func (s *server) pinModel(c *gin.Context) error {
	m, err := s.findModel(c, query(c))
	var in api.ModelPin
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if m, err = s.Models.Pin(ctx, m.Project, m.ID, in.Pinned); err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.model(m, s.folderNamesOf(ctx, m.Project), true))
}

func (s *server) removeModel(c *gin.Context) error {
	p := query(c, "force")
	force := p.flag("force")
	m, err := s.findModel(c, p)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	freed, err := s.Models.Remove(ctx, m.Project, m.ID, actorOf(ctx).Name, force)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.ModelRemoved{Freed: freed})
}

func (s *server) updateModel(c *gin.Context) error {
	m, err := s.findModel(c, query(c))
	var in api.ModelUpdate
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.permitSource(ctx, in.Source); err != nil {
		return err
	}
	v, joined, err := s.Models.Update(ctx, m.Project, m.ID, actorOf(ctx).Name, install.Wish{
		Source: in.Source, ByHand: s.ownsBox(ctx), Variant: in.Variant, Context: in.Context, Concurrency: in.Concurrency, AcceptLicense: in.AcceptLicense, NoCalibrate: in.NoCalibrate, Force: in.Force,
	})
	return s.accepted(c, v, joined, err)
}

func (s *server) rollBackModel(c *gin.Context) error {
	m, err := s.findModel(c, query(c))
	var in api.ModelRollback
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	v, joined, err := s.Models.RollBack(ctx, m.Project, m.ID, actorOf(ctx).Name, in.Revision)
	return s.accepted(c, v, joined, err)
}

// modelReadme sends the README of the revision that counts, out of its folder.
func (s *server) modelReadme(c *gin.Context) error {
	m, err := s.findModel(c, query(c))
	if err != nil {
		return err
	}
	none := &hinted{fmt.Errorf("model %s has no README: %w", m.Name, install.ErrNotFound), "palisade model show " + m.Name + " shows what is known of it"}
	r := m.Revision(m.Current)
	if r == nil && len(m.Revisions) > 0 {
		r = &m.Revisions[len(m.Revisions)-1]
	}
	if r == nil || r.Folder == "" {
		return none
	}
	f, err := s.Folders.Find(c.Request.Context(), m.Project, r.Folder)
	if err != nil {
		return err
	}
	file, err := s.Files.Open(f, recipe.ReadmeFile)
	if errors.Is(err, folders.ErrNotFound) {
		return none
	}
	if err != nil {
		return err
	}
	defer file.Close()
	const most = 4 << 20
	c.Header("Content-Type", "text/markdown; charset=utf-8")
	_, err = io.Copy(c.Writer, io.LimitReader(file, most))
	return err
}

// newestFirst is a key by which what is later comes first.
func newestFirst(t time.Time) string {
	return fmt.Sprintf("%020d", uint64(1<<63)-uint64(t.Sub(time.Unix(0, 0)))) // after 1970
}

// example is a command that asks a model what its smoke test asks, or something simple. The token is whoever's who runs it.
func example(base, model string, r *recipe.Recipe) string {
	test := recipe.SmokeTest{Method: http.MethodGet, Path: "/v1/models"}
	if r.Task == recipe.Chat || r.Task == recipe.Vision {
		test = recipe.SmokeTest{Method: http.MethodPost, Path: "/v1/chat/completions", Body: `{"model": "{model}", "messages": [{"role": "user", "content": "Hello!"}]}`}
	}
	if r.SmokeTest != nil && r.SmokeTest.Form == nil && r.SmokeTest.Path != "" {
		test = *r.SmokeTest
	}
	request, err := test.Request(model)
	if err != nil {
		return ""
	}
	command := "curl " + base + request.Path + ` -H "Authorization: Bearer $TOKEN"`
	if len(request.Body) > 0 {
		body := request.Body
		if short, err := json.Marshal(json.RawMessage(body)); err == nil { // in one line
			body = short
		}
		command += " -H 'Content-Type: " + cmp.Or(request.Type, "application/json") + "' -d '" + strings.ReplaceAll(string(body), "'", `'\''`) + "'"
	}
	return command
}
